"""Sockets with a wall-clock deadline and checked addresses, as a network back-end for `httpcore`."""

import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from blackbox_conformal.drawing.http.address_policy import AddressPolicy, is_allowed_address

_MOST_HELD = 16 * 1024


class AddressRefusedError(Exception):
    """A host name that resolved to an address that it may not have; nothing was connected."""


class NameUnknownError(Exception):
    """A host name that does not resolve; nothing was connected."""


class Exchange(threading.local):
    """What this thread's request may still take, and whether any of it has left."""

    deadline: float = 0.0
    flushed: bool = False

    def begin(self, seconds: float) -> None:
        """Start a request that must be over in `seconds`."""
        self.deadline = time.monotonic() + seconds
        self.flushed = False

    def left(self, timeout: float | None) -> float:
        """`timeout`, shortened to what the deadline leaves."""
        left = max(0.001, self.deadline - time.monotonic())
        return left if timeout is None else min(timeout, left)


class TimedStream(httpcore.NetworkStream):
    """A connection whose every read and write ends with the exchange it serves.

    `to_vendor` is False while what is written on it is for a proxy: asking one for a tunnel sends the vendor nothing.
    """

    def __init__(self, inner: httpcore.NetworkStream, exchange: Exchange, to_vendor: bool = True) -> None:
        self._inner = inner
        self._exchange = exchange
        self._to_vendor = to_vendor
        self._held = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read, at most until the exchange's deadline."""
        if self._held:
            self._flush(timeout)
        return self._inner.read(max_bytes, self._exchange.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, at most until the deadline; the first write that works marks the exchange as begun to leave.

        The head of a request waits for the body behind it, so that both leave at once; nothing in `buffer` is the
        library's word for the end of a request. A request that could not be written whole up to here lacks bytes that
        it announced, or its end, and cannot have been understood.
        """
        if self._held and (not buffer or len(self._held) + len(buffer) > _MOST_HELD):
            self._flush(timeout)
        if len(buffer) > _MOST_HELD:
            self._write_out(buffer, timeout)
        elif buffer:
            self._held += buffer

    def _flush(self, timeout: float | None) -> None:
        held, self._held = self._held, b""
        self._write_out(held, timeout)

    def _write_out(self, data: bytes, timeout: float | None) -> None:
        self._inner.write(data, self._exchange.left(timeout))
        self._exchange.flushed = self._to_vendor

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "TimedStream":
        """Encrypt; what was written before was for a proxy, not for the vendor."""
        inner = self._inner.start_tls(ssl_context, server_hostname, self._exchange.left(timeout))
        self._exchange.flushed = False
        return TimedStream(inner, self._exchange)

    def get_extra_info(self, info: str) -> Any:
        """Facts about the connection."""
        return self._inner.get_extra_info(info)


class CheckedBackend(httpcore.NetworkBackend):
    """Connects only to addresses that `policy` allows: the address that was checked is the one that is connected to.

    `encrypted` says that the vendor is sent nothing before `TimedStream.start_tls`.
    """

    def __init__(self, exchange: Exchange, policy: AddressPolicy, encrypted: bool) -> None:
        self._inner = httpcore.SyncBackend()
        self._exchange = exchange
        self._policy: AddressPolicy = policy
        self._encrypted = encrypted

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> TimedStream:
        """Resolve once, check every address, connect to one of those."""
        addresses = [host] if self._policy == "own" else self._resolve(host, port)
        for number, address in enumerate(addresses):
            try:
                inner = self._inner.connect_tcp(
                    address, port, self._exchange.left(timeout), local_address, socket_options
                )
            except Exception:
                if number == len(addresses) - 1:
                    raise
            else:
                return TimedStream(inner, self._exchange, to_vendor=not self._encrypted)
        raise AddressRefusedError(f"{host} resolves to no address")

    def _resolve(self, host: str, port: int) -> list[str]:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameUnknownError(f"{host} does not resolve ({error})") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        refused = [address for address in addresses if not is_allowed_address(address, self._policy)]
        if refused:
            raise AddressRefusedError(
                f"{host} resolves to {refused[0]}, which is not a {self._policy} address; nothing was sent"
            )
        return addresses
