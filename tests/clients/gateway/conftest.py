"""Gateways as processes, which the official clients are pointed at, before a vendor that asks a cent a draw."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.gateway import calibrated
from support.gateway_process import GatewayProcess

from blackbox_conformal.testing.fault_server import FaultServer

CERTIFICATE = Path(__file__).parent.parent / "loopback.pem"
DIALECTS = [word for name in ("replicate", "fal", "openai") for word in ("--as", name)]
OPTIONS = ("--webhook-host", "127.0.0.1:*", "--allow", "seedable", *DIALECTS)

collect_ignore_glob = [] if all(map(find_spec, ("fal_client", "openai", "replicate"))) else ["test_*.py"]


@pytest.fixture(scope="session")
def vendor() -> Iterator[FaultServer]:
    with FaultServer(price_usd="0.01", idempotent=True) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_faults(vendor: FaultServer) -> None:
    vendor.script = {}


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(tmp_path_factory.mktemp("calibrated"), idempotent=True)


@pytest.fixture(scope="session")
def gateway(calibration: Path, vendor: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway."""
    yield from _running(calibration, vendor, tmp_path_factory, "--max-cost", "5")


@pytest.fixture(scope="session")
def spent_gateway(calibration: Path, vendor: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway whose budget has no room."""
    yield from _running(calibration, vendor, tmp_path_factory, "--max-cost", "0.001")


@pytest.fixture(scope="session")
def secure_gateway(calibration: Path, vendor: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that speaks https."""
    yield from _running(calibration, vendor, tmp_path_factory, "--max-cost", "5", "--tls-cert", str(CERTIFICATE))


def _running(calibration: Path, vendor: FaultServer, folders: pytest.TempPathFactory, *options: str) -> Iterator[str]:
    process = GatewayProcess(calibration, vendor.url, folders.mktemp("gateway") / "run", *OPTIONS, *options).start()
    try:
        yield process.url
    finally:
        process.terminate()
        assert process.wait() == 0
