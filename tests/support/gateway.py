"""A gateway on a real socket, in a thread, before the fault server."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import blackbox_conformal as bc
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.gateway.server import Server, listen, run
from blackbox_conformal.gateway.service import FOLDER, Service
from blackbox_conformal.gateway.tokens import TOKENS_FILE
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Adapter
from support.synthetic import photograph, reduced, write_photographs


def picture(number: int) -> bytes:
    """The file of an input that calibration has not seen; every number has another one."""
    return image_png(reduced(photograph(100 + number), 4))


def calibrated(folder: Path, draws: int = 1, **vendor: Any) -> Path:
    """The file of a calibration, of the fault server's vendor with these parameters."""
    photographs = write_photographs(folder / "photographs", range(9))
    with FaultServer(idempotent=vendor.get("idempotent", False)) as server:
        settings = {"max_calls": 40, "metric": "rgb-linf", "draws": draws}
        settings["score"] = "bicubic-gap" if draws == 1 else "pixel-variance"
        adapter = SynchronousVendor(url=server.url, **vendor)
        made = bc.calibrate(adapter, photographs, run=folder / "run", **settings)
    return made.save(folder / "calibration.json")


def data_link(number: int) -> str:
    """That file as a link that holds it."""
    return "data:image/png;base64," + base64.b64encode(picture(number)).decode()


def held(vendor: FaultServer) -> tuple[threading.Event, threading.Event]:
    """Let the vendor answer nothing until the first event is set; the second says that it was asked."""
    gate, arrived = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        arrived.set()
        gate.wait(120)

    vendor.script = hold
    return gate, arrived


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs."""

    url: str
    run: Path

    def post(self, content: bytes, token: str = "", accept: str = "*/*", **fields: str) -> httpx.Response:
        """Send a picture by the dialect multipart; fields with capital letters are headers."""
        headers = {name.replace("_", "-"): value for name, value in fields.items() if name[0].isupper()}
        data = {name: value for name, value in fields.items() if not name[0].isupper()}
        headers |= {"Accept": accept, **({"Authorization": f"Bearer {token}"} if token else {})}
        files = {"image": ("in.png", content, "image/png")}
        return httpx.post(f"{self.url}/pictures", files=files, data=data, headers=headers, timeout=60)

    def json(self, content: bytes, **fields: str) -> dict[str, Any]:
        """The JSON answer to a picture."""
        answered: dict[str, Any] = self.post(content, accept="application/json", **fields).json()
        return answered

    def get(self, path: str, token: str = "") -> httpx.Response:
        """Ask for a path of the gateway, or for a whole link."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(path if path.startswith("http") else self.url + path, headers=headers, timeout=60)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"blackbox_conformal_{name}"))


@contextmanager
def serving(
    calibration: Path,
    vendor: Adapter,
    folder: Path,
    *,
    terms: GatewayTerms | None = None,
    alpha: float = 0.9,
    **given: Any,
) -> Iterator[Gateway]:
    """Serve for the ``with`` block; `given` are fields of `Service`, and keywords of `Session` in ``settings``."""
    given["settings"] = {"max_cost": "5", **given.get("settings", {})}
    given = {"tokens": folder / FOLDER / TOKENS_FILE, "dialects": ("multipart", "replicate"), **given}
    known = {"calibration": calibration, "vendor": vendor, "alpha": alpha, "run": folder}
    service = Service(**known, terms=terms or GatewayTerms(), **given)
    listening, started = listen("127.0.0.1", 0), threading.Event()
    servers: list[Server] = []
    failed: list[BaseException] = []

    def on_start(server: Server) -> None:
        servers.append(server)
        started.set()

    def work() -> None:
        try:
            run(service, listening, None, on_start)
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    try:
        if failed:
            raise failed[0]
        yield Gateway(f"http://127.0.0.1:{listening.getsockname()[1]}", folder)
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(60)
        listening.close()
    if failed:
        raise failed[0]
