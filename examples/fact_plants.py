"""Faults that are planted in answers, to measure how many `check` finds; each gives a new answer of the same size."""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Random = np.random.Generator
Plant = Callable[[Pixels, Pixels, Random], Pixels]
"""From the answer, its input and random numbers."""


def as_bytes(values: NDArray[np.floating]) -> Pixels:
    """Round, and cut what is outside."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def half(big: Pixels, random: Random, *, tries: int = 1) -> tuple[slice, slice]:
    """A rectangle of half of each side; of several `tries`, the one with most detail along both axes."""
    sides = [length // 2 for length in big.shape[:2]]
    found = []
    for _ in range(tries):
        top, left = (
            int(random.integers(0, length - side + 1)) for length, side in zip(big.shape[:2], sides, strict=True)
        )
        place = slice(top, top + sides[0]), slice(left, left + sides[1])
        sample = big[place][::4, ::4].mean(2)
        found.append((min(float(np.abs(np.diff(sample, axis=axis)).mean()) for axis in (0, 1)), place))
    return max(found, key=lambda one: one[0])[1]


def tint(big: Pixels, small: Pixels, random: Random, *, levels: float, part: bool = False) -> Pixels:
    """One channel lighter or darker, everywhere or in a quarter of the picture."""
    changed = big.astype(float)
    place = half(big, random) if part else (slice(None), slice(None))
    changed[(*place, int(random.integers(3)))] += random.choice([-1, 1]) * levels
    return as_bytes(changed)


def move(big: Pixels, small: Pixels, random: Random, *, pixels: int, part: bool = False) -> Pixels:
    """Everything, or a textured quarter, moved along an axis."""
    down, right = ((pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels))[int(random.integers(4))]
    wide = np.pad(big, [(pixels, pixels), (pixels, pixels), (0, 0)], mode="edge")
    moved = wide[pixels - down :][: big.shape[0], pixels - right :][:, : big.shape[1]]
    if not part:
        return moved.copy()
    changed, place = big.copy(), half(big, random, tries=8)
    changed[place] = moved[place]
    return changed


def seam(big: Pixels, small: Pixels, random: Random, *, levels: float, tiling: str) -> Pixels:
    """Tiles whose neighbours differ by `levels` of brightness."""
    height, width = big.shape[:2]
    if tiling in ("left", "top"):
        # One line anywhere in the middle half.
        length = width if tiling == "left" else height
        tile = np.arange(length) >= int(random.integers(length // 4, 3 * length // 4))
        step = np.broadcast_to(tile if tiling == "left" else tile[:, None], (height, width)).astype(float)
    else:
        count = int(tiling)
        rows, columns = (np.arange(length) * count // length for length in (height, width))
        step = ((rows[:, None] + columns) % 2).astype(float)
    return as_bytes(big + ((step - 0.5) * levels)[..., None])


def halo(big: Pixels, small: Pixels, random: Random, *, radius: int, percent: int) -> Pixels:
    """An unsharp mask."""
    return np.array(Image.fromarray(big).filter(ImageFilter.UnsharpMask(radius, percent, 0)))


def square(small: Pixels, random: Random) -> tuple[int, int, int]:
    """Top, left and side of a square of the input with texture: a quarter of a side."""
    side = max(16, min(small.shape[:2]) // 4)
    found = []
    for _ in range(12):
        top, left = (int(random.integers(0, length - side + 1)) for length in small.shape[:2])
        found.append((float(small[top : top + side, left : left + side].mean(2).std()), top, left))
    return (*max(found)[1:], side)


def flat(big: Pixels, small: Pixels, random: Random, *, blurred: bool) -> Pixels:
    """A square of its mean colour, or blurred by three pixels of the input."""
    scale, (top, left, side) = big.shape[0] // small.shape[0], square(small, random)
    place = slice(top * scale, (top + side) * scale), slice(left * scale, (left + side) * scale)
    changed = big.copy()
    blur = np.array(Image.fromarray(big).filter(ImageFilter.GaussianBlur(3 * scale)))
    changed[place] = blur[place] if blurred else as_bytes(big[place].mean((0, 1)))
    return changed


def pasted(big: Pixels, small: Pixels, random: Random) -> Pixels:
    """A textured square twice, the second time elsewhere."""
    scale, (top, left, side) = big.shape[0] // small.shape[0], square(small, random)
    for _ in range(50):
        down, right = (int(random.integers(0, length - side + 1)) for length in small.shape[:2])
        if max(abs(down - top), abs(right - left)) >= side:
            break
    changed = big.copy()
    source = big[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    changed[down * scale : (down + side) * scale, right * scale : (right + side) * scale] = source
    return changed


def framed(big: Pixels, small: Pixels, random: Random) -> Pixels:
    """Two rows of middle grey at the lower border."""
    changed = big.copy()
    changed[-2:] = 128
    return changed


def compressed(big: Pixels, small: Pixels, random: Random, *, quality: int) -> Pixels:
    """JPEG, and back."""
    stream = io.BytesIO()
    Image.fromarray(big).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream).convert("RGB"))


def linear(big: Pixels, small: Pixels, random: Random) -> Pixels:
    """Linear light for sRGB."""
    return as_bytes((big / 255) ** 2.2 * 255)


PLANTS: dict[str, tuple[str, Plant]] = {
    **{f"tint of {n}": ("colour", partial(tint, levels=n)) for n in (3, 6, 12)},
    **{f"tint of {n} in a quarter": ("colour", partial(tint, levels=n, part=True)) for n in (3, 6, 12)},
    "linear light": ("colour", linear),
    "red and blue swapped": ("colour", lambda big, small, random: big[..., ::-1].copy()),
    **{f"moved by {n}": ("geometry", partial(move, pixels=n)) for n in (1, 2, 4)},
    **{f"textured quarter moved by {n}": ("geometry", partial(move, pixels=n, part=True)) for n in (1, 2, 4)},
    **{
        f"seam of {n}, {name}": ("seams", partial(seam, levels=n, tiling=tiling))
        for n in (3, 6, 12)
        for tiling, name in (("left", "vertical"), ("top", "horizontal"), ("2", "2 × 2"), ("4", "4 × 4"))
    },
    **{f"unsharp mask of {n} %": ("ringing", partial(halo, radius=2, percent=n)) for n in (100, 150, 250)},
    "flat square": ("flattened", partial(flat, blurred=False)),
    "blurred square": ("flattened", partial(flat, blurred=True)),
    "pasted square": ("repeats", pasted),
    "frame": ("borders", framed),
    **{f"JPEG {n}": ("lossy", partial(compressed, quality=n)) for n in (75, 50)},
}
"""Its kind of fact, and how it is planted."""
