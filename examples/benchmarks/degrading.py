"""Time how long it takes to make an input, against decoding the photograph."""

import io
from functools import partial

import baseline
import numpy as np
from bench import Bench
from material import cut, photograph
from PIL import Image
from timing import at_most, pairs

from blackbox_conformal.degradations.chain import Mixture

CHAINS = (
    "bicubic:4",
    "area:4",
    "bicubic:4+jpeg:75",
    "area:2+noise:4",
    "blur:1.5+bicubic:2+jpeg:60-95",
    "phone",
)


def degrading(bench: Bench) -> None:
    """Each chain against Pillow decoding the photograph, 12 megapixels, from a PNG and from a JPEG of about 4.5 MB."""
    width, height = (1280, 960) if bench.quick else (4000, 3000)
    truth = cut(bench.sources[0], width, height) if bench.sources else photograph(width, height, 0)
    files = {"PNG": _saved(truth, "PNG"), "JPEG": _jpeg(truth)}
    for text in CHAINS:
        mixture = Mixture.of_text(text)
        scale = mixture.scale or 4
        make = partial(mixture.at(scale).apply, truth, scale, "key")
        for kind, data in files.items():
            _, processor = pairs(make, partial(baseline.decode, data), bench.repeats)
            name = f"making an input, {text} / Pillow decoding the photograph ({kind}, 12 MP), 1 thread"
            at_most(name, processor, 1 if kind == "PNG" else None)


def _jpeg(truth: np.ndarray) -> bytes:
    """With the highest quality that keeps it at 3 bits a pixel, as cameras do."""
    qualities = (_saved(truth, "JPEG", quality=quality) for quality in range(98, 0, -1))
    return next(data for data in qualities if 8 * len(data) <= truth.size)


def _saved(truth: np.ndarray, kind: str, **settings: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(truth).save(file, kind, **settings)
    return file.getvalue()
