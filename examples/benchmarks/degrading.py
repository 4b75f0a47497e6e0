"""Time how long it takes to make an input, and a picture consistent with its input, against decoding the picture."""

import io
from functools import partial

import baseline
import numpy as np
from bench import Bench
from material import cut, photograph
from PIL import Image
from timing import at_most, pairs

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.safe_pictures import back_projected

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
            at_most(name, processor, 1)


def consistent(bench: Bench) -> None:
    """Two steps of back-projection against Pillow decoding the delivered picture."""
    width, height = (1280, 720) if bench.quick else (3840, 2160)
    truth = cut(bench.sources[0], width, height) if bench.sources else photograph(width, height, 0)
    mixture = Mixture.of_text("bicubic:4")
    low = mixture.apply(truth, 4)
    make = partial(back_projected, bicubic_up(low, 4), low, mixture.linear_part(), 2)
    _, processor = pairs(make, partial(baseline.decode, _saved(truth, "PNG")), bench.repeats)
    at_most("--delivery consistent:steps=2 / Pillow decoding the picture (PNG), 1 thread", processor, 0.25)


def _jpeg(truth: np.ndarray) -> bytes:
    """With the highest quality that keeps it at 3 bits a pixel, as cameras do."""
    qualities = (_saved(truth, "JPEG", quality=quality) for quality in range(98, 0, -1))
    return next(data for data in qualities if 8 * len(data) <= truth.size)


def _saved(truth: np.ndarray, kind: str, **settings: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(truth).save(file, kind, **settings)
    return file.getvalue()
