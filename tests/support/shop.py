"""A paid vendor on this machine and a calibration of it, driven by the command line as a process."""

import subprocess
import sys
from pathlib import Path

from PIL import Image as PillowImage

from blackbox_conformal.testing.fault_server import FaultServer
from support.command_line import VENDOR
from support.synthetic import photograph, write_photographs


class Shop:
    """A paid vendor and a calibration of it."""

    def __init__(self, folder: Path, server: FaultServer) -> None:
        self.folder = folder
        self.server = server
        self.common = ["--adapter", VENDOR, "-p", f"url={server.url}", "--run", str(folder / "run"), "--yes"]
        write_photographs(folder / "photographs", range(8))
        choices = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
        completed = self.run("calibrate", str(folder / "photographs"), *choices)
        assert completed.returncode == 0, completed.stderr
        self.calibration = str(folder / "run" / "calibration.json")
        truth = PillowImage.fromarray(photograph(20))
        truth.resize((20, 16), PillowImage.Resampling.BICUBIC).save(folder / "small.png")

    def run(self, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "blackbox_conformal", *arguments, *self.common]
        return subprocess.run(command, capture_output=True, timeout=120, input=data, cwd=self.folder, check=False)

    def mask(
        self, *more: str, source: str = "small.png", data: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return self.run("mask", source, "--calibration", self.calibration, *more, data=data)

    @property
    def paid(self) -> int:
        return self.server.account.paid
