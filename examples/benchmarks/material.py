"""Photographs, draws and files to measure with: real ones brought to one size, or made up."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SCALE = 4


def photograph(width: int, height: int, seed: int) -> np.ndarray:
    """A picture with smooth shapes and fine grain, so that its PNG is as hard to decode as a photograph's."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(smooth + rng.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8)


def cut(path: Path, width: int, height: int) -> np.ndarray:
    """The photograph, scaled until it covers the size, and cut to it."""
    picture = Image.open(path).convert("RGB")
    factor = max(width / picture.width, height / picture.height)
    size = (max(width, round(picture.width * factor)), max(height, round(picture.height * factor)))
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS).crop((0, 0, width, height)))


def drawn(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph brought back from a quarter of its size, with a part of its detail that differs by draw."""
    height, width = truth.shape[:2]
    low = Image.fromarray(truth).resize((width // SCALE, height // SCALE), Image.Resampling.BICUBIC)
    up = np.asarray(low.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    field = rng.normal(0.35, 0.35, (height // 8, width // 8)).astype(np.float32)
    share = np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(np.rint(up + (truth - up) * share[..., None]), 0, 255).astype(np.uint8)


def write_material(root: Path, sources: list[Path], count: int, width: int, height: int, draws: int) -> list[Path]:
    """Photographs under ``truth/`` and their draws under ``draws/``, all PNG as Pillow writes them."""
    (root / "truth").mkdir(parents=True)
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        truth = cut(sources[number % len(sources)], width, height) if sources else photograph(width, height, number)
        paths.append(root / "truth" / f"p{number:02}.png")
        Image.fromarray(truth).save(paths[-1])
        folder = root / "draws" / paths[-1].stem
        folder.mkdir(parents=True)
        for index in range(draws):
            Image.fromarray(drawn(truth, rng)).save(folder / f"{index}.png")
    return paths


def repeat_draws(root: Path, draws: int) -> None:
    """Further draws up to so many: the same files under other names, which take as much memory to read."""
    for folder in (root / "draws").iterdir():
        known = len(list(folder.iterdir()))
        for index in range(known, draws):
            (folder / f"{index}.png").hardlink_to(folder / f"{index % known}.png")


def write_many(root: Path, count: int, width: int, height: int) -> None:
    """So many photographs with two draws each, flat squares that are quick to write."""
    (root / "truth").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8))
        truth = np.array(coarse.resize((width, height), Image.Resampling.NEAREST))
        (root / "truth" / f"p{number:02}.png").write_bytes(png(truth, 1, [2]))
        folder = root / "draws" / f"p{number:02}"
        folder.mkdir(parents=True)
        for index in range(2):
            truth[index * 40 : index * 40 + 300, :300] ^= 31
            (folder / f"{index}.png").write_bytes(png(truth, 1, [2]))


def png(pixels: np.ndarray, level: int, kinds: list[int], strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    """A PNG whose rows are filtered by whichever of `kinds` leaves the smallest sum of magnitudes."""
    rows = pixels.reshape(pixels.shape[0], -1)
    above, left, corner = (np.zeros_like(rows) for _ in range(3))
    above[1:], left[:, 3:], corner[1:, 3:] = rows[:-1], rows[:, :-3], rows[:-1, :-3]
    candidates = np.stack([rows - _guess(kind, left, above, corner) for kind in kinds])
    magnitudes = np.abs(candidates.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = magnitudes.argmin(axis=0)
    filtered = np.take_along_axis(candidates, best[None, :, None], axis=0)[0]
    packer = zlib.compressobj(level, strategy=strategy)
    stream = packer.compress(np.column_stack([np.array(kinds, np.uint8)[best], filtered]).tobytes()) + packer.flush()
    header = struct.pack(">II5B", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def black_png(width: int, height: int) -> bytes:
    """A PNG of one colour, made a row at a time."""
    packer = zlib.compressobj(1)
    stream = b"".join(packer.compress(bytes(3 * width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _guess(kind: int, left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    if kind == 4:
        a, b, c = (part.astype(np.int16) for part in (left, above, corner))
        near_left, near_above, near_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
        either = np.where(near_above <= near_corner, above, corner)
        return np.where((near_left <= near_above) & (near_left <= near_corner), left, either)
    average = ((left.astype(np.uint16) + above) // 2).astype(np.uint8)
    return [np.zeros_like(left), left, above, average][kind]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
