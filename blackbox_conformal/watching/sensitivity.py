"""How far small changes of a vendor move its answers: which photographs make good canaries, what a watch can find."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.support.types import Image
from blackbox_conformal.watching.features import FEATURES, features

_LEAST_SPREAD = 1e-6
"""Grey levels; the spread of draws that are all equal, so that nothing is divided by 0."""


def _curved(pixels: Image, change: Callable[[np.ndarray], np.ndarray]) -> Image:
    table = np.rint(np.clip(change(np.arange(256) / 255.0), 0, 1) * 255).astype(np.uint8)
    curved: Image = table[pixels]
    return curved


def _jpeg(pixels: Image) -> Image:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return np.asarray(PillowImage.open(buffer).convert("RGB"))


def _softened(pixels: Image) -> Image:
    """A fortieth of the way to the mean of the four neighbours, as a weaker network would leave it."""
    wide = np.pad(pixels.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
    return np.rint(pixels + 0.025 * (around - pixels)).astype(np.uint8)


CHANGES: Mapping[str, Callable[[Image], Image]] = {
    "jpeg 95": _jpeg,
    "gamma 1.02": lambda pixels: _curved(pixels, lambda level: level**1.02),
    "contrast 0.98": lambda pixels: _curved(pixels, lambda level: 0.5 + 0.98 * (level - 0.5)),
    "softened": _softened,
}
"""Changes that are planted in a draw: each is one that a vendor may make without a word."""


def sensitivity(draws: Sequence[Image], sent: Image) -> float:
    """How far the planted changes move a picture's features, by the spread of its own draws, worst change first.

    The value is the least over the changes of the largest shift of a feature, in standard deviations of the draws; of a
    single draw, of unknown spread, in grey levels.

    Parameters
    ----------
    draws
        (k h, k w, 3) uint8 each, at least one.
    sent
        (h, w, 3) uint8.
    """
    return float(min(np.abs(shift).max() for shift in _shifts(draws, sent).values()))


@dataclass(frozen=True, slots=True)
class Planted:
    """The `feature` that a planted `change` moves most in the median canary, and by how much: standard deviations."""

    change: str
    feature: str
    shift: float


def planted(canaries: Sequence[tuple[Sequence[Image], Image]]) -> list[Planted]:
    """What each of `CHANGES` does to canaries.

    Parameters
    ----------
    canaries
        The draws of each, (k h, k w, 3) uint8, at least two, and what was sent, (h, w, 3) uint8; at least one canary.
        Draws that it was chosen by lie too close together.
    """
    shifts, found = [_shifts(draws, sent) for draws, sent in canaries], []
    for change in CHANGES:
        moved = np.median([each[change] for each in shifts], axis=0)
        most = int(np.abs(moved).argmax())
        found.append(Planted(change, FEATURES[most], float(moved[most])))
    return found


def _shifts(draws: Sequence[Image], sent: Image) -> dict[str, NDArray[np.float64]]:
    """Change → how far it moves each feature of the first draw, in standard deviations of the draws."""
    measured = np.array([[features(draw, sent)[name] for name in FEATURES] for draw in draws])
    # One draw has no spread, so its shifts are in grey levels.
    spread = np.ones(len(FEATURES)) if len(draws) < 2 else np.maximum(measured.std(axis=0, ddof=1), _LEAST_SPREAD)
    return {
        name: (np.array(list(features(change(draws[0]), sent).values())) - measured[0]) / spread
        for name, change in CHANGES.items()
    }
