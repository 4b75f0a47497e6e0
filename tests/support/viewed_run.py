"""A run folder that calibrate, audit and mask made with the embedded vendor, and the maps that they held."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.pages.report.full_size import FullSizeStore
from support.report_material import maps

ALPHA = 0.1
AUDITED, MASKED = ((320, 448), (96, 128)), (240, 400)


@dataclass(frozen=True)
class ViewedRun:
    """The folder, its calibration, and by picture's name the score map, the error map and the pictures."""

    folder: Path
    calibration: Calibration
    scores: Mapping[str, NDArray[np.float32]]
    errors: Mapping[str, NDArray[np.float32]]
    pictures: Mapping[str, Mapping[str, NDArray[np.uint8]]]


def command(*words: object) -> None:
    assert run([*map(str, words), "-q"]) == 0, words


def make_viewed_run(folder: Path, n: int = 40) -> ViewedRun:
    """Calibrated on `n` small pictures, two audited and one masked, by the commands."""
    for name, sizes in (("known", [(48, 64)] * n), ("unseen", AUDITED), ("whole", [MASKED])):
        (folder / name).mkdir(parents=True)
        for index, size in enumerate(sizes):
            truth = maps(hash_of(name) + index, *size)[0]
            PillowImage.fromarray(truth).save(folder / name / f"{name} {index}.png")
    command("degrade", folder / "whole", "--out", folder / "inputs")
    where = ("--run", folder / "run")
    vendor = ("--adapter", "embedded", "--draws", "2", "--score", "smoothed-variance")
    command("calibrate", folder / "known", *vendor, *where, "--out", folder / "run" / "calibration.json")
    scores, errors, pictures = {}, {}, {}
    keep = FullSizeStore.keep

    def kept(self, kind, name, identity, score_map, parts, **more):
        scores[name], errors[name] = score_map, more.get("errors")
        pictures[name] = {
            part: np.asarray(PillowImage.open(one)) if isinstance(one, Path) else one for part, one in parts.items()
        }
        return keep(self, kind, name, identity, score_map, parts, **more)

    given = ("--calibration", folder / "run" / "calibration.json", *where)
    with patch.object(FullSizeStore, "keep", kept):
        command("audit", folder / "unseen", *given, "--alpha", ALPHA)
        command("mask", folder / "inputs", *given, "--alpha", ALPHA, "--safe", "--out", folder / "masked")
    return ViewedRun(folder / "run", Calibration.load(folder / "run" / "calibration.json"), scores, errors, pictures)


def hash_of(name: str) -> int:
    return sum(name.encode()) * 100
