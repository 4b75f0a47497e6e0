"""A vendor that asks a cent a draw, and a calibration of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


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
    folder = tmp_path_factory.mktemp("served")
    photographs = write_photographs(folder / "photographs", range(8))
    with FaultServer() as server:
        settings = {"max_calls": 40, "metric": "rgb-linf", "draws": 1, "score": "bicubic-gap"}
        made = bc.calibrate(SynchronousVendor(url=server.url), photographs, run=folder / "run", **settings)
    return made.save(folder / "calibration.json")
