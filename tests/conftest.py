"""Property tests look for new examples on a person's machine and repeat the same ones in continuous integration."""

import gc
import itertools
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

# Before numpy is imported: threads of OpenBLAS and OpenMP wait for each other in loops, and take 15 times the processor
# time of one where several processes of tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Who keeps compiled modules out of the checkout would compile two thousand of them in each process: they stay with the
# environment. Before the package is imported, and before workers and other processes start, which read it as well.
if sys.dont_write_bytecode and sys.prefix != sys.base_prefix:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(sys.prefix, "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from support.forked import Forked

from blackbox_conformal.drawing import attempt
from blackbox_conformal.drawing.pacing import retry
from blackbox_conformal.embedded import process
from blackbox_conformal.method.kernels import _jit
from blackbox_conformal.study.stages import settings as stages
from blackbox_conformal.support import secrets
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.watching import watch_file

# Each payment is made durable several times, which takes a disk ten milliseconds and memory none.
_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 * 2**30 and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("person", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "person")

_COUNT = itertools.count()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A worker for each core, but four at least, since many tests wait for a timer or another process."""
    return max(4, os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """An equal part of the tests for each worker, in order, so that what a module makes for its tests is made once."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    """Workers compile every kernel before their first test, each its part, and keep what they collect for good.

    A garbage collector that looks through half a million objects of tests takes longer than it took to make them.
    """
    part, parts = _part(session.config)
    if parts and not _jit.interpreted():
        _jit.warm_up(part, parts)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, Any]:
    """Each worker begins with other files, so that the first to read one prepares its assertions for all."""
    report = yield
    part, parts = _part(collector.config)
    if parts and isinstance(collector, pytest.Directory):
        first = len(report.result) * part // parts
        report.result = [*report.result[first:], *report.result[:first]]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All workers have the same tests in the same order, wherever they began."""
    if _part(config)[1]:
        items.sort(key=lambda item: item.path)


def _part(config: pytest.Config) -> tuple[int, int]:
    """Which worker of how many this is; of none: the tests run here."""
    worker = getattr(config, "workerinput", {"workerid": "gw0", "workercount": 0})
    return int(worker["workerid"].removeprefix("gw")), worker["workercount"]


@pytest.fixture(scope="session")
def state_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each test's own state lies."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def _state_of_its_own(state_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets the pace of another one's vendor, or of the person who runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(state_folders / str(next(_COUNT))))


@pytest.fixture(autouse=True)
def _same_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal values are ranked in the same way each time, so that no test meets a false alarm that is allowed."""
    seeds = (f"{number:032x}" for number in itertools.count())
    monkeypatch.setattr(watch_file, "secrets", SimpleNamespace(token_hex=lambda _: next(seeds)))


@pytest.fixture(autouse=True)
def _repeats_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request or a download that failed is made again after some hundredths of a second."""
    monkeypatch.setattr(retry, "BASE_S", 0.02)
    monkeypatch.setattr(attempt, "_LOOK_AGAIN_S", 0.02)


@pytest.fixture(autouse=True)
def _secrets_of_its_own() -> Iterator[None]:
    """A key of one test is no secret in the next, whose texts may hold the same word."""
    kept, passing, shapes = secrets._secrets.copy(), secrets._passing.copy(), secrets._shapes.copy()
    yield
    secrets._secrets.intersection_update(kept)
    for value in secrets._passing.keys() - passing.keys():
        del secrets._passing[value]
    for key in secrets._shapes.keys() - shapes.keys():
        del secrets._shapes[key]


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A gateway of one test that sends its log to stderr leaves the next test's log where pytest reads it."""
    loggers = [logging.getLogger(name) for name in ("blackbox_conformal", "uvicorn.error")]
    kept = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, kept, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(autouse=True, scope="module")
def _embedded_vendor_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every command that draws from the embedded vendor starts its process; its own tests start a new interpreter."""
    with pytest.MonkeyPatch.context() as patch:
        if "embedded" not in request.path.parts:
            patch.setattr(process, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": Forked}))
        yield


@pytest.fixture(autouse=True, scope="module")
def _promises_of_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests of the machinery, with few tiny photographs, take `expected` and its scores where they name none.

    The usual promise takes a network for each picture and six photographs at least. Modules that are about it, or show
    what a user sees who names nothing, carry the mark `usual_promise`.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not any(mark.name == "usual_promise" for mark in request.node.iter_markers()):
            patch.setattr(stages, "_shows_detail", lambda *_: False)
        yield


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A vendor on a socket that answers as it should and asks a cent a draw."""
    with FaultServer() as running:
        yield running


@pytest.fixture
def vendor(server: FaultServer) -> SynchronousVendor:
    """Its adapter."""
    return SynchronousVendor(url=server.url)


@pytest.fixture
def jobs(server: FaultServer) -> JobVendor:
    """An adapter of it that submits jobs and asks for them."""
    return JobVendor(url=server.url)


@pytest.fixture(params=[SynchronousVendor, JobVendor])
def either(request: pytest.FixtureRequest, server: FaultServer) -> SynchronousVendor | JobVendor:
    """One adapter after the other."""
    return request.param(url=server.url)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests of a process, for those that are marked `browser`."""
    from playwright.sync_api import sync_playwright
    from support.report_browser import CHROMIUM, FLAGS

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
