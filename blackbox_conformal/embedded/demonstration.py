"""The demonstration's choices before it looks: score, metric and level of a task, how many unseen photographs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.photographs import Photograph
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.listeners import Progress
from blackbox_conformal.study.stages.defaults import DEFAULT_DRAWS, DEFAULT_METRIC, SEVERAL_DRAWS
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.text import file_stem
from blackbox_conformal.support.types import Image


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """How answers to one task of the embedded vendor are drawn, scored and measured.

    `score`: None is the usual one for the draws. `slack`: how far the level is above the smallest that this many
    photographs could ever reach. `model`: one of the vendor's models, if the task has several.
    """

    draws: int
    score: str | None
    metric: str
    slack: float = 1.25
    model: str = ""


TASKS = {
    "upscale": TaskChoice(DEFAULT_DRAWS, None, DEFAULT_METRIC, slack=3, model="realesr-general-x4v3"),
    "colourise": TaskChoice(SEVERAL_DRAWS, "smoothed-variance:sigma=8", "chroma:kernel=gaussian,sigma=4", slack=2),
    "denoise": TaskChoice(DEFAULT_DRAWS, None, DEFAULT_METRIC),
}
"""Task of the embedded vendor → choice. All tasks but colourisation take the usual score and metric.

A pixel that a colouriser leaves grey is near its input, so only the spread of draws can show that it is uncertain.
Colours are uncertain almost everywhere; a higher level trusts more than black pixels. On the package's photographs
enlargements have the README's level.
"""


@dataclass(frozen=True, slots=True)
class Reduced:
    """A photograph at demonstration size: its file and the digest of its pixels."""

    path: Path
    digest: str


def reduced_photographs(
    photographs: Sequence[Photograph], folder: Path, side: int, progress: Progress, *, force: bool = False
) -> list[Reduced]:
    """Reduce every photograph by a whole factor to about `side` pixels, and cut it to at most that, as PNG files."""
    reduced = []
    for done, photograph in enumerate(photographs):
        progress("reading photographs", done, len(photographs))
        pixels = reduce(read_image(photograph.path).pixels, side)
        path = folder / f"{file_stem(photograph.name)}.png"
        write_new(path, image_png(pixels), force=force)
        reduced.append(Reduced(path, read_image(path).digest))
    progress("reading photographs", len(photographs), len(photographs))
    return reduced


def reduce(pixels: Image, side: int) -> Image:
    """Average (H, W, 3) uint8 over whole blocks until the shorter side is below 2 × `side`, and cut out the centre."""
    picture = PillowImage.fromarray(pixels)
    factor = max(1, min(picture.size) // side)
    if factor > 1:
        picture = picture.reduce(factor)
    width, height = min(side, picture.width), min(side, picture.height)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return np.ascontiguousarray(np.asarray(picture.crop((left, top, left + width, top + height))))


def held_out_count(photographs: int) -> int:
    """Return how many photographs calibration never sees: a quarter, at least one."""
    if photographs < 6:
        raise CalibrationError(
            f"the demonstration needs at least 6 photographs, some to calibrate and others to audit; got {photographs}"
        )
    return max(1, photographs // 4)


def level_for(n: int, bound: float, slack: float) -> float:
    """Return the level, fixed by n and B alone: `slack` × B / (n + 1), rounded up to a multiple of 0.05."""
    return math.ceil(slack * bound / (n + 1) / 0.05 - 1e-9) * 5 / 100


def write_input(photograph: Reduced, folder: Path, procedure: Procedure, *, force: bool = False) -> Path:
    """Write a user's picture, made from an unseen photograph as calibration makes its inputs."""
    truth = crop_to_multiple(read_image(photograph.path).pixels, procedure.scale)
    given = procedure.degraded(truth, photograph.digest)
    return write_new(folder / photograph.path.name, image_png(given), force=force)
