"""Made-up photographs and draws for tests: a vendor that errs more where it varies more."""

import functools
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.duplicates import Sketch, sketch
from blackbox_conformal.support.canonical import digest_bytes


def sketch_of(name: str) -> Sketch:
    """The sketch of an imagined photograph, which looks like no other."""
    seed = int.from_bytes(name.encode(), "little")
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return sketch(pixels, digest_bytes(name.encode()))


def photograph(seed: int, size: tuple[int, int] = (64, 80)) -> np.ndarray:
    """(H, W, 3) uint8: a coarse colour field with fine texture in one part."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    field = np.asarray(
        PillowImage.fromarray(coarse).resize((size[1], size[0]), PillowImage.Resampling.BICUBIC), np.float64
    )
    texture = generator.normal(0, 1, (*size, 3))
    strength = 40 * np.clip(np.linspace(-1, 1, size[1]), 0, 1)[None, :, None]
    return np.clip(field + texture * strength, 0, 255).astype(np.uint8)


def reduced(truth: np.ndarray, scale: int) -> np.ndarray:
    """The input that a vendor is sent for a photograph by default: bicubic, (H / scale, W / scale, 3) uint8."""
    return Mixture.of_text("bicubic").apply(truth, scale)


def draw(truth: np.ndarray, seed: int, scale: int = 4) -> np.ndarray:
    """(H, W, 3) uint8: the truth degraded, brought back, with invented texture where the truth has some."""
    height, width = truth.shape[:2]
    picture = PillowImage.fromarray(truth)
    low = picture.resize((width // scale, height // scale), PillowImage.Resampling.BICUBIC)
    up = np.asarray(low.resize((width, height), PillowImage.Resampling.BICUBIC), np.float64)
    strength = 30 * np.clip(np.linspace(-1, 1, width), 0, 1)[None, :, None]
    invented = np.random.default_rng(seed).normal(0, 1, truth.shape) * strength
    return np.clip(up + invented, 0, 255).astype(np.uint8)


def _file(pixels: np.ndarray) -> bytes:
    written = io.BytesIO()
    PillowImage.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


@functools.cache
def _photograph_file(seed: int) -> bytes:
    return _file(photograph(seed))


@functools.cache
def _draw_file(seed: int, index: int) -> bytes:
    return _file(draw(photograph(seed), 1000 * seed + index))


def write_photographs(folder: Path, seeds: range) -> list[Path]:
    """One PNG a seed, ``p<seed>.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        paths.append(folder / f"p{seed}.png")
        paths[-1].write_bytes(_photograph_file(seed))
    return paths


def write_draws(folder: Path, seeds: Iterable[int], draws: int = 4) -> Path:
    """Vendor outputs as the folder adapter reads them: ``p<seed>/<draw>.png``."""
    for seed in seeds:
        (folder / f"p{seed}").mkdir(parents=True, exist_ok=True)
        for index in range(draws):
            (folder / f"p{seed}" / f"{index}.png").write_bytes(_draw_file(seed, index))
    return folder
