"""A vendor that asks a cent a draw, and a calibration of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gateway import calibrated

from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(price_usd="0.01") as running:
        yield running


@pytest.fixture
def vendor(server: FaultServer) -> SynchronousVendor:
    return SynchronousVendor(url=server.url)


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a calibration of one draw a picture."""
    return calibrated(tmp_path_factory.mktemp("served"))
