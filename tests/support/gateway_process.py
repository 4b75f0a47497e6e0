"""`blackbox-conformal serve` as a process, before a vendor on loopback, that can be killed and started again."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.forked import Forked

LOOKING_OFTEN = """
from support.forked import Forked
from blackbox_conformal.cli.main import main
from blackbox_conformal.drawing.ledger.postgres import postgres_ledger
from blackbox_conformal.gateway import runner

postgres_ledger.LEASE_S, runner.LOOK_S = 3.0, 0.5
main()
"""
VENDOR = "blackbox_conformal.testing.reference_adapters:SynchronousVendor"


class GatewayProcess:
    """One run folder, in which processes follow each other; with a shared ledger, each looks after others often."""

    def __init__(
        self, calibration: Path, vendor_url: str, run: Path, *options: str, descriptors: int | None = None
    ) -> None:
        self.run = run
        self._descriptors = descriptors
        self.url = ""
        self.logged = run.with_name(run.name + "-log.txt")
        vendor = ["--adapter", VENDOR, "-p", f"url={vendor_url}", "-p", "idempotent=true"]
        where = ["--calibration", str(calibration), "--alpha", "0.9", "--run", str(run), "--port", "0", "--as"]
        self._words = [*vendor, *where, "multipart", "--json", "--log", "json", *options]
        self._process: Any = None

    def start(self) -> "GatewayProcess":
        """Start a process, and return once it serves."""
        program = ["-c", LOOKING_OFTEN] if "--ledger" in self._words else ["-m", "blackbox_conformal"]
        command, start = [sys.executable, *program, "serve", *self._words], Forked
        if self._descriptors is not None:
            command, start = ["sh", "-c", f'ulimit -n {self._descriptors}; exec "$@"', "sh", *command], subprocess.Popen
        with self.logged.open("ab") as log:
            self._process = start(command, stdout=subprocess.PIPE, stderr=log)
        with self._process.stdout as told:
            line = told.readline()
        assert line, self.logged.read_text()
        self.url = json.loads(line)["url"]
        return self

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def kill(self) -> None:
        """End the process as a crash does."""
        self._process.kill()
        self._process.wait()

    def stand_still(self, *, still: bool = True) -> None:
        """Stop the process as a machine that is suspended does, or let it go on."""
        self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """How the process ended."""
        return self._process.wait(60)

    def __enter__(self) -> "GatewayProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.terminate()
        assert self.wait() == 0
