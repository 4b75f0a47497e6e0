"""Damaged and hostile annotation files of every tool end in our own errors, or are read."""

import json
import random
from pathlib import Path

import pytest
from support.annotation_files import coco, marked, png
from support.annotation_forms import BOX, read_form
from support.mutations import mutate, mutate_text

from blackbox_conformal.annotations.formats.coco import Coco
from blackbox_conformal.annotations.formats.png import Png
from blackbox_conformal.errors import BlackboxConformalError

HONEST = {
    "coco": (
        Coco(),
        coco(
            {"segmentation": [[1, 1, 9, 1, 5, 8]]},
            {"segmentation": {"size": [24, 32], "counts": [700, 68]}},
            {"bbox": [3, 5, 7, 7]},
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
def test_no_damage_ends_in_a_bare_exception(tool, tmp_path):
    assert try_damage(tool, 150, 4, tmp_path)["refused"] > 0
