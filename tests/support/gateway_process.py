"""`blackbox-conformal serve` as a process, before a vendor on loopback, that can be killed and started again."""

import json
import signal
import subprocess
import sys
from pathlib import Path

VENDOR = "blackbox_conformal.testing.reference_adapters:SynchronousVendor"


class GatewayProcess:
    """One run folder, in which processes follow each other."""

    def __init__(self, calibration: Path, vendor_url: str, run: Path, *options: str) -> None:
        self.run = run
        self.url = ""
        self.logged = run.with_name(run.name + "-log.txt")
        vendor = ["--adapter", VENDOR, "-p", f"url={vendor_url}", "-p", "idempotent=true"]
        where = ["--calibration", str(calibration), "--alpha", "0.9", "--run", str(run), "--port", "0", "--as"]
        self._words = [*vendor, *where, "multipart", "--json", "--log", "json", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "GatewayProcess":
        """Start a process, and return once it serves."""
        command = [sys.executable, "-m", "blackbox_conformal", "serve", *self._words]
        with self.logged.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        with self._process.stdout as told:
            line = told.readline()
        assert line, self.logged.read_text()
        self.url = json.loads(line)["url"]
        return self

    def kill(self) -> None:
        """End the process as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask the process to end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """How the process ended."""
        assert self._process is not None
        return self._process.wait(60)
