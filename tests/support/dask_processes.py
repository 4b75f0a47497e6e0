"""A Dask scheduler and workers as processes of their own, and the workers that a command has started."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 90.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, and fail when it does not come."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def workers_of(command: int) -> list[Any]:
    """The processes of the workers that a command, or `dask worker`, has started."""
    import psutil

    try:
        children = psutil.Process(command).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _is_worker(child)]


def _is_worker(process: Any) -> bool:
    import psutil

    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def kill(processes: list[Any]) -> int:
    """Kill processes with SIGKILL; how many there were."""
    import psutil

    count = 0
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
            count += 1
        except psutil.NoSuchProcess:
            pass
    return count


def certificates(folder: Path) -> dict[str, str]:
    """Environment variables that name a certificate, its key and its authority, made for the test."""
    from distributed.security import Security

    folder.mkdir()
    made = Security.temporary()
    files = {"CA_FILE": made.tls_ca_file}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        files |= {f"{role}__CERT": made.tls_client_cert, f"{role}__KEY": made.tls_client_key}
    for name, content in files.items():
        (folder / name).write_text(content)
    return {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(folder / name) for name in files}


@contextmanager
def scheduler(folder: Path, port: int = 0, **tls: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A scheduler on this machine: its address and its process; `tls`: see `certificates`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "scheduler.txt"
    words = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    words += ["--no-show", "--protocol", "tls" if tls else "tcp"]
    environment = {**os.environ, **tls}
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out, cwd=folder, env=environment) as process:
        try:
            until(lambda: re.search(r"t(cp|ls)://127\.0\.0\.1:\d+", log.read_text()) is not None)
            yield re.findall(r"t\w+://127\.0\.0\.1:\d+", log.read_text())[0], process
        finally:
            process.kill()


@contextmanager
def workers(folder: Path, address: str, count: int = 2, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Worker processes that belong to a scheduler, and the process that restarts them."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "dask", "worker", address, "--nworkers", str(count), "--nthreads", "1"]
    more = ["--no-dashboard", "--local-directory", str(folder)]
    with (
        (folder / "workers.txt").open("wb") as out,
        subprocess.Popen(
            [*words, *more], stdout=out, stderr=out, cwd=folder, env={**os.environ, **environment}
        ) as process,
    ):
        try:
            yield process
        finally:
            started = workers_of(process.pid)
            process.kill()
            kill(started)
