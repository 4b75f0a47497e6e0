"""A calibrated vendor on a socket, and the calls of `watch` and `mask` that are made to it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer
from support.command_line import VENDOR, called
from support.synthetic import photograph, write_photographs

CHANGED = "picture:kind=flatter-and-brighter"


@dataclass
class Post:
    """A calibration on twelve photographs, its vendor, and where to call `watch` from."""

    folder: Path
    server: FaultServer
    capsys: pytest.CaptureFixture[str] | None = None
    seedable: bool = True
    idempotent: bool = False
    photographs: int = 12
    said: str = ""

    @property
    def calibration(self) -> str:
        return str(self.folder / "run" / "calibration.json")

    @property
    def common(self) -> list[str]:
        kind = [] if self.seedable else ["-p", "seedable=false"]
        kind += ["-p", "idempotent=true"] if self.idempotent else []
        where = ["-p", f"url={self.server.url}", *kind, "--run", str(self.folder / "run")]
        return ["--adapter", VENDOR, *where, "--yes"]

    @property
    def file(self) -> Path:
        return self.folder / "run" / "calibration.watch.sqlite"

    @property
    def paid(self) -> int:
        return self.server.account.paid

    def calibrate(self, draws: int, *more: str) -> None:
        write_photographs(self.folder / "photographs", range(self.photographs))
        score = "pixel-variance" if draws > 1 else "bicubic-gap"
        choices = ["--draws", str(draws), "--score", score, "--metric", "rgb-linf"]
        self.said = called("calibrate", str(self.folder / "photographs"), *self.common, *choices, *more, code=0).stderr

    def words(self, *more: str) -> list[str]:
        return ["watch", "--calibration", self.calibration, *self.common, *more]

    def watch(self, *more: str) -> tuple[int, dict[str, Any], str]:
        code = run([*self.words(*more), "--json"])
        out = self.capsys.readouterr()
        return code, json.loads(out.out), out.err

    def first(self, *more: str) -> dict[str, Any]:
        code, document, said = self.watch(str(self.folder / "photographs"), *more)
        assert code == 0, said
        return document

    def mask(self, seed: int = 40) -> tuple[int, str, list[dict[str, Any]]]:
        small = self.folder / "small.png"
        PillowImage.fromarray(photograph(seed)).resize((20, 16), PillowImage.Resampling.BICUBIC).save(small)
        out = ["--out", str(self.folder / "masked"), "--alpha", "0.9", "--json", "--force"]
        code = run(["mask", str(small), "--calibration", self.calibration, *self.common, *out])
        said = self.capsys.readouterr()
        return code, said.err, json.loads(said.out).get("pictures", [])


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {finding["layer"]: finding["verdict"] for finding in document["findings"]}
