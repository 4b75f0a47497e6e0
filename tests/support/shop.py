"""A paid vendor on this machine and a calibration of it, driven by the command line."""

import subprocess
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from blackbox_conformal.testing.fault_server import FaultServer
from support.command_line import VENDOR, called_with_input
from support.synthetic import photograph, write_photographs


class Shop:
    """A paid vendor and a calibration of it."""

    def __init__(self, folder: Path, server: FaultServer) -> None:
        self.folder = folder
        self.server = server
        self.common = ["--adapter", VENDOR, "-p", f"url={server.url}", "--run", str(folder / "run"), "--yes"]
        write_photographs(folder / "photographs", range(8))
        choices = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
        self.run("calibrate", str(folder / "photographs"), *choices, code=0)
        self.calibration = str(folder / "run" / "calibration.json")
        truth = PillowImage.fromarray(photograph(20))
        truth.resize((20, 16), PillowImage.Resampling.BICUBIC).save(folder / "small.png")

    def run(self, *arguments: str, data: bytes = b"", code: int | None = None) -> subprocess.CompletedProcess[bytes]:
        """A command on that vendor; `code` is the exit code it must have."""
        done = called_with_input(data, *arguments, *self.common, folder=self.folder)
        assert code in (None, done.returncode), done.stderr
        return done

    def mask(self, *more: str, source: str = "small.png", **how: Any) -> subprocess.CompletedProcess[bytes]:
        return self.run("mask", source, "--calibration", self.calibration, *more, **how)

    @property
    def paid(self) -> int:
        return self.server.account.paid
