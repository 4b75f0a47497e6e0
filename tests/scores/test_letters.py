"""Letters: those that a vendor garbled are hatched, and those that it drew right are clear.

The vendor is a stand-in that knows the sign: it draws it a little softer, and another letter in three of ten places.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from support.synthetic import reduced

import blackbox_conformal as bc
from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.kernels.detail import Energies, unexplained
from blackbox_conformal.method.risk.curve import RiskCurve

SIDE, ROWS = 256, (8, 10, 12, 14, 16, 20, 24, 28)
LETTERS = list("ABCDEFGHJKLMNPRSTUVWXYZabcdefghkmnprstuvwxyz23456789")
LARGE = 16  # Pixels: four of the input; of smaller letters it shows too little to tell them apart.
GARBLED, ALPHA, CEILING = 0.3, 0.2, 0.9


class Letter(NamedTuple):
    row: int
    box: tuple[int, ...]
    garbled: bool


class Sign(NamedTuple):
    low: np.ndarray
    answer: np.ndarray
    letters: list[Letter]
    ink: np.ndarray
    energies: Energies


def sign(seed: int) -> Sign:
    """Eight rows of letters of 8 to 28 pixels; with an odd seed they begin anywhere, else on one line."""
    source = np.random.default_rng(seed)
    colours = [int(source.integers(180, 256)), int(source.integers(0, 70))]
    ground, colour = source.permutation(colours).tolist()
    pictures = [Image.new("L", (SIDE, SIDE), ground) for _ in range(2)]
    pens, letters, y = [ImageDraw.Draw(picture) for picture in pictures], [], 4.0
    for size in source.permutation(ROWS).tolist():
        font, x = ImageFont.load_default(size), float(source.integers(2, 20)) if seed % 2 else 8.0
        while x + size < SIDE - 4:
            right, other = source.choice(LETTERS, 2, replace=False)
            garbled = bool(source.random() < GARBLED)
            drawn = right, other if garbled else right
            for pen, letter in zip(pens, drawn, strict=True):
                pen.text((x, y), letter, font=font, fill=colour)
            letters.append(Letter(size, tuple(map(int, pens[1].textbbox((x, y), drawn[1], font=font))), garbled))
            x += max(font.getlength(letter) for letter in drawn) + size / 3
        y += size * 1.3 + 3 + (float(source.integers(0, 5)) if seed % 2 else 0)
    pictures[1] = pictures[1].filter(ImageFilter.GaussianBlur(0.7))
    truth, answer = (np.asarray(picture.convert("RGB")) for picture in pictures)
    low, ink = reduced(truth, 4), (answer[..., 0] > 128) == (colour > ground)
    return Sign(low, answer, letters, ink, unexplained(answer, truth, bicubic_up(low, 4), 4.0))


@functools.cache
def signs() -> list[Sign]:
    return [sign(seed) for seed in range(24)]


def hatched(score: str) -> np.ndarray:
    """Shares of ink that are hatched, by random places, large rows and garbled letters: (2, 2, 2).

    Half of the signs calibrate, the others are masked.
    """
    maps = [bc.score_map([each.answer], score, low_resolution=each.low) for each in signs()]
    curves = []
    for each, scores in zip(signs()[:12], maps[:12], strict=True):
        curve = RiskCurve.from_maps(scores, each.energies.share, bound=1.0)
        curves += [one for one in curve.of_detail(scores, each.energies, CEILING) if one.kind == "marked"]
    level = threshold(curves, ALPHA, guarantee("marked", ceiling=CEILING))
    counts = np.zeros((2, 2, 2, 2))
    for number, (each, scores) in enumerate(zip(signs()[12:], maps[12:], strict=True)):
        for letter in each.letters:
            left, top, right, bottom = letter.box
            ink, above = each.ink[top:bottom, left:right], scores[top:bottom, left:right] >= level
            counts[number % 2, int(letter.row >= LARGE), int(letter.garbled)] += above[ink].sum(), ink.sum()
    shares: np.ndarray = counts[..., 0] / counts[..., 1]
    return shares


@pytest.mark.parametrize("region", [0, 16])
@pytest.mark.parametrize("name", ["predicted-invention", "unsupported"])
def test_garbled_letters_are_hatched_and_right_ones_that_can_be_read_are_clear(name: str, region: int) -> None:
    right, garbled = np.moveaxis(hatched(f"{name}:region={region}"), -1, 0)
    assert garbled.min() > 0.9
    assert right[:, 1].max() < 0.15


def test_a_score_that_only_sees_how_much_was_added_does_not_tell_them_apart() -> None:
    right, garbled = np.moveaxis(hatched("bicubic-gap"), -1, 0)
    assert min(right[:, 1].min(), garbled.min()) > 0.9
