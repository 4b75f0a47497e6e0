"""A vendor on a loopback socket whose answers are changed, and photographs of 224 pixels a side to send it."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.testing.pictures import encode, upscale
from blackbox_conformal.testing.raw_http import Head, Response
from support.scripted_vendor import PICTURE, ScriptedVendor

Change = Callable[[np.ndarray], np.ndarray]
SIDE = 224


def as_bytes(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def linear(answer: np.ndarray) -> np.ndarray:
    share = answer / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) * 255


SPOILED: dict[str, tuple[Change, str]] = {
    "linear light": (linear, "linear light"),
    "gamma": (lambda answer: (answer / 255) ** (1 / 2.2) * 255, "sRGB encoded twice"),
    "shift": (lambda answer: np.pad(answer, ((2, 0), (2, 0), (0, 0)), "edge")[:-2, :-2], "pixels to the right and"),
    "greyscale": (lambda answer: np.repeat(answer @ np.array([[0.299], [0.587], [0.114]]), 3, 2), "greyscale"),
    "BGR": (lambda answer: answer[..., ::-1], "BGR for RGB"),
    "turned": (lambda answer: np.asarray(Image.fromarray(answer).rotate(3, Image.Resampling.BICUBIC)), "a turn of"),
}
"""By name: how an answer is changed, and what is said of it."""


class Spoiling(ScriptedVendor):
    """The synchronous dialect, whose answers are changed by `change`."""

    def __init__(self, change: Change = lambda answer: answer) -> None:
        super().__init__()
        self.change = change

    def play(self, head: Head, body: bytes) -> Response:
        self.submissions += 1
        good = upscale(body, int(head.query["scale"]), int(head.query.get("seed", 0)), amplitude=4)
        return Response(200, PICTURE, encode(as_bytes(self.change(np.asarray(Image.open(io.BytesIO(good)))))))


def write_crops(folder: Path, names: Iterable[str]) -> list[Path]:
    """Write a part of each of the package's photographs with these names, ``NAME.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {photograph.name: photograph.path for photograph in demo_photographs()}
    files = []
    for name in names:
        pixels = read_image(found[name]).pixels
        top, left = pixels.shape[0] // 4, pixels.shape[1] // 4
        files.append(folder / f"{name}.png")
        Image.fromarray(pixels[top : top + SIDE, left : left + SIDE]).save(files[-1])
    return files
