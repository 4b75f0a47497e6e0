"""A vendor that asks a cent a draw, and a calibration of it; a book in a file, and one in a database."""

import functools
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gateway import Gateway, calibrated, serving
from support.postgres_server import database as database
from support.postgres_server import postgres as postgres
from support.postgres_server import run_with_both

from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

BOTH = {"test_fal", "test_multipart", "test_replicate"}
"""Modules whose tests run with both kinds of book, but for those that are marked with ``sqlite``."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_with_both(metafunc, BOTH)


@pytest.fixture(autouse=True, scope="module")
def _authorities_read_once() -> Iterator[None]:
    """Every `httpx.get` reads all certificate authorities, which takes ten times the work of a request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a calibration of one draw a picture."""
    return calibrated(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a vendor that honours idempotency keys."""
    return calibrated(tmp_path_factory.mktemp("keyed"), idempotent=True)


@pytest.fixture
def keyed_server() -> Iterator[FaultServer]:
    """That vendor, so that what was sent before a crash is asked for again and not paid."""
    with FaultServer(idempotent=True) as running:
        yield running


@pytest.fixture
def gateway(
    request: pytest.FixtureRequest, calibration: Path, vendor: SynchronousVendor, tmp_path: Path
) -> Iterator[Gateway]:
    """A gateway before that vendor, with a run folder `run`; it speaks the `DIALECTS` of the module."""
    dialects = getattr(request.module, "DIALECTS", ("multipart", "replicate"))
    with serving(calibration, vendor, tmp_path / "run", dialects=dialects) as opened:
        yield opened
