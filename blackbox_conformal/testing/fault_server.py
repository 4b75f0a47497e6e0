"""A vendor on a loopback socket that misbehaves on request: a script chooses each request's fault.

The faults are in `faults`, the vendor in `fault_vendor`. ::

    with FaultServer({"submit": ["close-without-answer"]}) as server:
        adapter = SynchronousVendor(url=server.url)
        ...
    assert server.account.paid == 1
"""

import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

from blackbox_conformal.testing.fault_vendor import Account, FaultVendor, RecordedRequest
from blackbox_conformal.testing.faults import FAULTS, Exchange, Fault, Vendor, perform
from blackbox_conformal.testing.raw_http import AcceptedSocket, Head, PeerGoneError

# The choice of a request's fault: in order, always, by chance, or by a function.

OK = Fault("ok")
Named = Fault | str | None


@dataclass(frozen=True, slots=True)
class Situation:
    """A request before a script: its purpose, its number (from 0) among requests of the purpose, its head."""

    purpose: str
    number: int
    head: Head


Script = Callable[[Situation], Named]
Plan = Mapping[str, str | Fault | Sequence[Named]]


def as_fault(named: Named) -> Fault:
    """Return the fault of a name; a fault stays, and nothing means no fault."""
    if named is None:
        return OK
    return named if isinstance(named, Fault) else Fault.parse(named)


def planned(plan: Plan) -> Script:
    """Build a script from faults by purpose: one for all requests, or a list for the first ones (None: no fault)."""

    def choose(situation: Situation) -> Named:
        entry = plan.get(situation.purpose)
        if entry is None or isinstance(entry, str | Fault):
            return entry
        return entry[situation.number] if situation.number < len(entry) else None

    return choose


def chances(seed: int, shares: Mapping[str, Mapping[str, float]]) -> Script:
    """Build a script from probabilities of faults by purpose, drawn from the request's number, so repeatable."""

    def choose(situation: Situation) -> Named:
        point = random.Random(f"{seed}:{situation.purpose}:{situation.number}").random()
        for name, share in shares.get(situation.purpose, {}).items():
            if point < share:
                return name
            point -= share
        return None

    return choose


def as_script(script: Script | Plan | None) -> Script:
    """Return a script in any form as a function."""
    if script is None:
        return lambda situation: None
    return script if callable(script) else planned(script)


PURPOSES = frozenset({"submit", "poll", "download", "lookup", "cancel", "quote"})


class FaultServer:
    """An HTTP/1.1 server on 127.0.0.1 and a free port, run by threads between `start` and `stop`.

    `script`: which fault meets which request; a request's ``X-Fault`` header goes before it. `account`: the books.
    `vendor`: what to play, by default a `FaultVendor` with `options`. `connections`: for each in turn ``reset``,
    ``silent`` or None (read it). `separate_results`: result links point to a second port. `certificate`: PEM file of
    certificate and key, to speak TLS.
    """

    def __init__(
        self,
        script: Script | Plan | None = None,
        *,
        price_usd: str = "0.01",
        account: Account | None = None,
        vendor: Vendor | None = None,
        connections: Sequence[str | None] = (),
        separate_results: bool = False,
        certificate: Path | None = None,
        port: int = 0,
        **options: Any,
    ) -> None:
        self.account = account or Account(Decimal(price_usd))
        self.vendor: Vendor = vendor or FaultVendor(self.account, **options)
        self._script = as_script(script)
        self.port = port
        self.result_port: int | None = None
        self.failures: list[BaseException] = []
        self._connection_faults = connections
        self._separate_results = separate_results
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[socket.socket] = []
        self._open: set[AcceptedSocket] = set()
        self._threads: set[threading.Thread] = set()

    @property
    def url(self) -> str:
        """Return the interface's address, without a trailing slash."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def script(self) -> Script:
        """Return the function that chooses each request's fault; set a script, a plan, or None for no fault."""
        return self._script

    @script.setter
    def script(self, script: Script | Plan | None) -> None:
        self._script = as_script(script)

    def start(self) -> "FaultServer":
        """Listen and serve until `stop`."""
        self.port = self._listen(self.port)
        if self._separate_results:
            self.result_port = self._listen(0)
            if isinstance(self.vendor, FaultVendor):
                self.vendor.result_port = self.result_port
        return self

    def stop(self) -> None:
        """Close every socket, wait for the threads, and raise here the error of a fault that failed."""
        self._stopping.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                # Shutting down wakes the accepting thread; closing alone would not.
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            connections, threads = list(self._open), list(self._threads)
        for connection in connections:
            connection.close()
        for thread in threads:
            # With a limit: a hanging fault must not hang the test.
            thread.join(10)
        if self.failures:
            raise self.failures[0]

    def __enter__(self) -> "FaultServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self, port: int) -> int:
        listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._listeners.append(listener)
        bound = int(listener.getsockname()[1])
        self._spawn(self._accept, listener, bound)
        return bound

    def _spawn(self, target: Any, *arguments: Any) -> None:
        def run() -> None:
            try:
                target(*arguments)
            # Kept for `stop`, since a thread's error would vanish.
            except Exception as error:  # noqa: BLE001 - raised again by stop
                self.failures.append(error)
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, daemon=True, name="fault-server")
        with self._lock:
            self._threads.add(thread)
            thread.start()

    def _accept(self, listener: socket.socket, port: int) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._spawn(self._serve, sock, port)

    def _serve(self, sock: socket.socket, port: int) -> None:
        number = self.account.connected()
        # Sent at once: tests of timing must not wait for the system to gather bytes.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
        connection = AcceptedSocket(sock)
        with self._lock:
            self._open.add(connection)
        try:
            fault = self._connection_faults[number] if number < len(self._connection_faults) else None
            if fault == "reset":
                connection.reset()
            elif fault == "silent":
                # Neither read nor closed: the client sees an open connection that says nothing.
                while not (self._stopping.wait(0.05) or connection.left()):
                    pass
            else:
                while not self._stopping.is_set() and self._request(connection, port):
                    pass
        except PeerGoneError:
            pass
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)

    def _request(self, connection: AcceptedSocket, port: int) -> bool:
        head = connection.head()
        if head is None:
            return False
        purpose = self.vendor.purpose(head)
        number = self.account.arrived(purpose)
        try:
            situation = Situation(purpose, number, head)
            # A request's own header decides, so that a test can spoil a single request.
            named = head.headers.get("x-fault") or (self.script(situation) if purpose in PURPOSES else None)
            chosen = as_fault(named)
            self.account.record(RecordedRequest(purpose, head.method, head.target, head.headers, chosen.name, port))
            exchange = Exchange(connection, head, purpose, self.vendor, port, self._stopping)
            perform(chosen, exchange)
            if exchange.keep_alive:
                with contextlib.suppress(PeerGoneError):
                    # The server would take the rest of the body for the next request.
                    exchange.body()
                    return True
            return False
        finally:
            self.account.answered(purpose)


def fault_names() -> list[str]:
    """List every fault that a script may name."""
    return sorted(FAULTS)
