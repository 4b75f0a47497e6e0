"""Damaged and hostile annotation files of every tool end in our own errors, or are read."""

import json
import random
from pathlib import Path

import pytest
from support.annotation_files import (
    brush,
    coco,
    cvat,
    label_studio,
    labelme,
    labelme_mask,
    marked,
    png,
    region,
    shape,
)
from support.annotation_forms import BLOCK, BOX, read_form
from support.mutations import mutate, mutate_text

from blackbox_conformal.annotations.formats.coco import Coco
from blackbox_conformal.annotations.formats.cvat import Cvat
from blackbox_conformal.annotations.formats.label_studio import LabelStudio
from blackbox_conformal.annotations.formats.labelme import Labelme
from blackbox_conformal.annotations.formats.png import Png
from blackbox_conformal.errors import BlackboxConformalError, FileFormatError

HONEST = {
    "labelme": (
        Labelme(),
        labelme(
            shape("polygon", [[1, 1], [9, 1], [5, 8]]),
            shape("circle", [[12, 12], [15, 12]]),
            shape("mask", [[3, 5], [9, 11]], mask=labelme_mask(BLOCK)),
        ),
    ),
    "cvat": (
        Cvat(),
        cvat(
            '<polygon label="a" points="1,1;9,1;5,8"/><box label="a" xtl="3" ytl="5" xbr="10" ybr="12" rotation="30"/>',
            '<ellipse label="a" cx="12" cy="12" rx="3" ry="2"/><mask label="a" rle="0,49" left="3" top="5" width="7" '
            'height="7"/>',
        ),
    ),
    "coco": (
        Coco(),
        coco(
            {"segmentation": [[1, 1, 9, 1, 5, 8]]},
            {"segmentation": {"size": [24, 32], "counts": [700, 68]}},
            {"bbox": [3, 5, 7, 7]},
        ),
    ),
    "label-studio": (
        LabelStudio(),
        label_studio(
            region("polygon", {"points": [[3, 4], [30, 4], [15, 30]]}),
            region("rectangle", {"x": 10, "y": 20, "width": 20, "height": 30, "rotation": 10}),
            region("ellipse", {"x": 40, "y": 50, "radiusX": 10, "radiusY": 8, "rotation": 0}),
            region("brush", {"format": "rle", "rle": brush(marked(BOX))}),
        ),
    ),
    "png": (Png(), png(marked(BOX))),
}


def damaged(content: str | bytes, rng: random.Random) -> bytes:
    if isinstance(content, bytes):
        spot = rng.randrange(len(content))
        return content[:spot] + bytes([rng.randrange(256)]) + content[spot + rng.randrange(3) :]
    if content[0] in "[{" and rng.random() < 0.7:
        try:
            return json.dumps(mutate(json.loads(content), rng, rng.choice([1, 1, 2]))[0]).encode()
        except RecursionError:
            return b"[" * 3000 + b"]" * 3000
    return mutate_text(content, rng).encode("utf-8", "surrogatepass")


def try_damage(tool: str, count: int, seed: int, folder: Path) -> dict[str, int]:
    """How many damaged files were refused and read; fails on any exception that is not ours."""
    rng = random.Random(seed)
    importer, content = HONEST[tool]
    read_form(importer, folder, content)
    found = {"refused": 0, "read": 0}
    for number in range(count):
        data = damaged(content, rng)
        try:
            read_form(importer, folder, data)
        except BlackboxConformalError:
            found["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{tool} {number}: {error!r} of {data[:3000]!r}") from error
        else:
            found["read"] += 1
    return found


@pytest.mark.parametrize("tool", HONEST)
def test_no_damage_ends_in_a_bare_exception(tool: str, tmp_path: Path) -> None:
    assert try_damage(tool, 150, 4, tmp_path)["refused"] > 0


def test_endless_shapes_are_refused(tmp_path: Path) -> None:
    ring = [[k % 31, (k * 7) % 23] for k in range(1000)]
    with pytest.raises(FileFormatError, match="Merge or delete some"):
        read_form(Labelme(), tmp_path, labelme(shape("polygon", ring), shape("polygon", ring * 200)))


@pytest.mark.parametrize("radius", [1e308, float("1e400")])
def test_an_ellipse_without_end_is_refused(tmp_path: Path, radius: float) -> None:
    text = labelme(shape("circle", [[12, 12], [15, 12]])).replace("15", f"{radius:g}".replace("inf", "1e999"))
    with pytest.raises(FileFormatError):
        read_form(Labelme(), tmp_path, text)


def test_an_encoding_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="expected CVAT's XML"):
        read_form(Cvat(), tmp_path, cvat().replace("utf-8", "klingon"))
