"""Send local work to other processes and machines by Dask; small results come back, and workers pay nothing.

Only this file imports Dask, which does queue, scheduling, heartbeats, restarts and encryption.
"""

import hashlib
import importlib.metadata
import logging
import math
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from blackbox_conformal.errors import IncompleteError, MissingPackageError, UsageError
from blackbox_conformal.study.stages.memory import BASE_BYTES
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOCAL = re.compile(r"local:([1-9]\d{0,2})")
_ADDRESS = re.compile(r"(tcp|tls)://[^\s/@:]+:\d{1,5}|(tcp|tls)://\[[0-9a-fA-F:]+\]:\d{1,5}")
_TLS = "DASK_DISTRIBUTED__COMM__TLS__"
_CONNECT_S = 10
_WORKERS_S = 60

_AHEAD = 2  # Tasks for each thread of a worker: one under way and the next.
_COUNTED_S = 1.0  # Seconds between counts of the workers: the scheduler takes milliseconds to list many.
_SMALL_BYTES = 4 * 2**20  # The most bytes that go with every task.

_IGNORING = """
import signal
def dask_setup(worker):
    # A terminal sends these to every process of a command; the one that draws decides what becomes of the others.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
"""

_CALCULATING = ("blackbox-conformal", "numpy", "numba", "llvmlite", "pillow", "isal")


def checked_place(text: str) -> str:
    """Refuse a place of workers that cannot be used; return it as typed."""
    if not _LOCAL.fullmatch(text) and not _ADDRESS.fullmatch(text):
        raise UsageError(
            "expected local:N, such as local:4, or the address of a Dask scheduler, such as tcp://host:8786; got "
            f"{text!r}"
        )
    return text


def dask_version() -> str | None:
    """Return the installed version of Dask's scheduler; None without one."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("distributed")
    return None


@cache
def versions() -> dict[str, str]:
    """Return the versions behind this process's results: Python, processor, packages, and this package's files."""
    groups = [importlib.metadata.entry_points(group=family.group) for family in catalog.FAMILIES.values()]
    adding = {point.dist.name for group in groups for point in group if point.dist is not None}
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "processor": platform.machine()}
    for name in sorted({*_CALCULATING, *adding}):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    root, content = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return {**found, "files of blackbox-conformal": content.hexdigest()[:12]}


def _refuse_other(wanted: dict[str, str], found: dict[str, str], worker: str) -> None:
    other = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if other:
        listed = "; ".join(f"{name} {found.get(name, 'is missing')}, not {wanted.get(name, 'here')}" for name in other)
        raise UsageError(
            f"expected workers with the versions of this process, so that every byte is the same; {worker} has {listed}"
            ". Install the same there, and start it again"
        )


def _work(wanted: dict[str, str], function: Callable[[Any, Any], Any], shared: Any, batch: Any) -> Any:
    """Run on a worker; one that joined late may have other versions than the workers asked at the start."""
    _refuse_other(wanted, versions(), f"a worker on {platform.node()}")
    return function(shared, batch)


def _given(shared: Any) -> Any:
    """Return the shared part, as a task of its own: sent once, and made again where its worker dies."""
    return shared


def _missing(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not Path(path).exists()]


def _started(count: int) -> "LocalCluster":
    """Start workers on this machine, which end with this process.

    They are encrypted, since everybody who reaches a scheduler can run code on it; one thread each, as kernels take
    one.
    """
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        security=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        memory_limit=0,
        preload=_IGNORING,
        silence_logs=logging.CRITICAL,
    )


def _usable(client: Any) -> "Client":
    if dask_version() is not None:
        from distributed import Client

        if isinstance(client, Client) and not client.asynchronous and client.status == "running":
            return client
    raise UsageError(
        "expected cluster to be local:N, such as local:4, the address of a Dask scheduler, or a distributed.Client "
        f"that is open and not asynchronous; got {client!r}"
    )


def _refuse_without_certificates() -> None:
    """Refuse an encrypted connection without certificate, key and authority: Dask's own error names no file."""
    from distributed import Security

    for name in ("ca_file", "client_cert", "client_key"):
        found = getattr(Security(), f"tls_{name}")
        # The text of a certificate may stand in place of its file.
        if not found or ("\n" not in found and not Path(found).is_file()):
            variable = _TLS + name.replace("t_", "t__").upper()
            got = "no such file" if found else "nothing"
            raise UsageError(f"expected {variable} to name a PEM file beside a tls:// address; got {got}")


class Cluster:
    """Workers that calculate in place of this process; a context manager.

    `place`: ``local:N`` for N processes on this machine, a Dask scheduler's address, ``tcp://…`` or ``tls://…``, or a
      `distributed.Client`, which stays open.
    `memory_bytes`: Memory limit of each worker; None: the worker's own.
    """

    def __init__(self, place: "str | Client", memory_bytes: int | None = None) -> None:
        self._given = None if isinstance(place, str) else _usable(place)
        self.place = checked_place(place) if isinstance(place, str) else str(place.scheduler.address)
        self._memory_bytes = memory_bytes
        self._stack = ExitStack()
        self._client: Client | None = None

    def __enter__(self) -> "Cluster":
        if dask_version() is None:
            raise MissingPackageError(
                "--cluster (cluster in Python) needs Dask: pip install 'blackbox-conformal[dask]', or leave it out"
            )
        with ExitStack() as opening:
            self._client = self._given or self._connected(opening)
            try:
                self._client.wait_for_workers(1, timeout=_WORKERS_S)
            except TimeoutError:
                raise UsageError(
                    f"expected workers of the scheduler at {self.place}; got none. Start them with `dask worker "
                    f"{self.place} --nthreads 1 --nworkers 4`"
                ) from None
            for worker, found in self._everywhere(versions).items():
                _refuse_other(versions(), found, worker)
            self._stack = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client = None
        self._stack.close()

    def _connected(self, stack: ExitStack) -> "Client":
        from distributed import Client

        local = _LOCAL.fullmatch(self.place)
        # Connections complain while they end; `map` tells how a task ended.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        where: Any = self.place
        hint = "Start one with `dask scheduler`, or name it by tls:// where it is encrypted"
        if self.place.startswith("tls://"):
            _refuse_without_certificates()
            hint = f"Give it and this process certificates of one authority: {_TLS}CA_FILE"
        try:
            if local:
                where = stack.enter_context(_started(int(local[1])))
            return stack.enter_context(Client(where, timeout=_CONNECT_S, set_as_default=False))
        except (RuntimeError, OSError) as error:
            said = printable(str(error)).removesuffix(".")
            if not local:
                raise UsageError(f"expected a Dask scheduler at {self.place}; {said}. {hint}") from None
            raise IncompleteError(
                f"expected {self.place} to start; {said}. The same command tries again. Only a script of Python needs "
                'more: its call must stand below `if __name__ == "__main__":`, since workers import the script'
            ) from None

    def _everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        assert self._client is not None
        with self._reaching():
            answers: dict[str, Any] = self._client.run(function, *arguments, on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, OSError):
                raise IncompleteError(
                    f"{worker} did not answer: {printable(str(answer))}; the same command tries again"
                )
            if isinstance(answer, Exception):
                raise UsageError(
                    f"expected blackbox-conformal on every worker; {worker} answers {type(answer).__name__}: "
                    f"{printable(str(answer))}. Install what this process has, and start it again"
                )
        return answers

    def refuse_unshared(self, folder: Path) -> None:
        """Refuse workers that would write into another folder with this name; errors as for `refuse_unseen`."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".seen-by-workers-") as file:
            self.refuse_unseen([Path(file.name)])

    def refuse_unseen(self, paths: Sequence[Path]) -> None:
        """Refuse workers that do not see files of this machine."""
        for worker, missing in self._everywhere(_missing, [str(path.absolute()) for path in paths]).items():
            if missing:
                raise UsageError(
                    f"expected a file system that every worker shares; {worker} does not see {printable(missing[0])}. "
                    "Mount its folder there under the same path, or choose another folder"
                )

    @property
    def workers(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler says about each worker, by address."""
        assert self._client is not None
        with self._reaching():
            found: dict[str, dict[str, dict[str, Any]]] = self._client.scheduler_info(n_workers=-1)
        if "workers" not in found:  # So it is said where the connection is lost.
            raise self._lost()
        return found["workers"]

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (OSError, CancelledError):
            raise self._lost() from None

    def _lost(self) -> IncompleteError:
        return IncompleteError(
            f"the connection to the workers of {self.place} was lost; what is paid is kept, and the same command "
            "resumes"
        )

    @property
    def memory_for_one(self) -> int | None:
        """Return bytes that one picture's work, process included, may take on any worker; None: no limit."""
        rooms = [
            BASE_BYTES + (limit - BASE_BYTES) // worker["nthreads"]
            for worker in self.workers.values()
            for limit in (worker["memory_limit"], self._memory_bytes)
            if limit
        ]
        return min(rooms, default=self._memory_bytes)

    def map(
        self,
        function: Callable[[Any, list[Item]], list[Result]],
        shared: Any,
        batches: Iterable[list[Item]],
        name_of: Callable[[Item], str],
        on_error: Callable[[Exception], None],
    ) -> Iterator[tuple[Item, Result]]:
        """Give each item of each batch with its result of `function` on a worker, in order of completion.

        Few tasks are under way at a time. Errors are not retried. A task whose worker died runs again, since it paid
        nothing and its answer is the same, until `allowed-failures` workers died at it.

        `function`: Called with `shared` and a batch; importable on the workers.
        `name_of`: Names an item in messages.
        `on_error`: Told at once of an error of `function`, from any thread.
        """
        assert self._client is not None
        from distributed import as_completed
        from distributed.protocol.pickle import dumps

        client, wanted = self._client, versions()
        # A shared part with its own task draws other tasks to its worker, so only a large part gets one.
        small = len(dumps(shared)) <= _SMALL_BYTES
        given = shared if small else client.submit(_given, shared, pure=False, retries=0)
        under_way: dict[Future, list[Item]] = {}
        done = as_completed(loop=client.loop)
        most, asked = 0, -math.inf

        def told(future: "Future") -> None:
            if future.status == "error":
                on_error(self._error(future, []))

        try:
            for batch in batches:
                if time.monotonic() > asked + _COUNTED_S:
                    most = _AHEAD * max(1, sum(worker["nthreads"] for worker in self.workers.values()))
                    asked = time.monotonic()
                while len(under_way) >= most:
                    yield from self._results(next(done), under_way, name_of)
                future = client.submit(_work, wanted, function, given, batch, pure=False, retries=0)
                future.add_done_callback(told)
                under_way[future] = batch
                done.add(future)
            while under_way:
                yield from self._results(next(done), under_way, name_of)
        finally:
            with suppress(Exception):
                client.cancel([*under_way, *([] if small else [given])], force=True)

    def _results(
        self, future: "Future", under_way: dict["Future", list[Item]], name_of: Callable[[Item], str]
    ) -> Iterator[tuple[Item, Result]]:
        batch = under_way.pop(future)
        if future.status != "finished":
            raise self._error(future, [name_of(item) for item in batch])
        yield from zip(batch, future.result(), strict=True)

    def _error(self, future: "Future", names: Sequence[str]) -> Exception:
        from distributed import KilledWorker

        which = f" {printable(names[0])}" + f" and {len(names) - 1} more" * (len(names) > 1) if names else ""
        try:
            error = future.exception() if future.status == "error" else None
        except (CancelledError, OSError):
            error = None
        if isinstance(error, KilledWorker):
            return IncompleteError(
                f"{error.allowed_failures + 1} workers died while they worked on{which or ' a picture'}, the last at "
                f"{error.last_worker.address}; perhaps their memory is too small. What is paid is kept, and the same "
                "command resumes"
            )
        if error is not None:
            return error if isinstance(error, Exception) else IncompleteError(str(error))
        return self._lost()
