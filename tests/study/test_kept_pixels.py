"""Photographs are kept on the disk without a trace, and what cannot be kept is simply not there."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from blackbox_conformal.study.stages import prepare
from blackbox_conformal.study.stages.prepare import KeptPixels
from blackbox_conformal.support.types import Image

FIRST, SECOND, UNKNOWN = Path("first.png"), Path("second.png"), Path("unknown.png")


def pair(seed: int) -> tuple[Image, Image]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (12, 20, 3), np.uint8), generator.integers(0, 256, (3, 5, 3), np.uint8)


def is_kept(kept: KeptPixels, path: Path, expected: tuple[Image, Image]) -> bool:
    found = kept.get(path)
    return found is not None and all(map(np.array_equal, found, expected))


def test_what_was_kept_comes_back_in_any_order_and_as_often_as_asked(tmp_path):
    kept = KeptPixels(tmp_path / "not" / "made")
    first, second = pair(0), pair(1)
    kept.keep(FIRST, *first)
    # A photograph that was cut is a part of a larger array.
    kept.keep(SECOND, np.pad(second[0], ((0, 3), (0, 2), (0, 0)))[:-3, :-2], second[1])
    for _ in range(2):
        assert is_kept(kept, SECOND, second)
        assert is_kept(kept, FIRST, first)
    assert kept.get(UNKNOWN) is None


@pytest.mark.skipif(os.name == "nt", reason="there the file has a name until it is closed")
def test_the_file_has_no_name_and_ends_with_the_object(tmp_path):
    kept = KeptPixels(tmp_path / "run")
    kept.keep(FIRST, *pair(0))
    assert list(tmp_path.iterdir()) == []
    file = kept._file
    assert file is not None
    del kept
    gc.collect()
    assert file.closed


def test_a_photograph_that_does_not_fit_leaves_the_others(tmp_path, monkeypatch):
    first, second = pair(0), pair(1)
    size = sum(picture.nbytes for picture in first)
    for room, both in ((2 * size, True), (2 * size - 1, False)):
        monkeypatch.setattr(prepare, "MOST_BYTES", room)
        kept = KeptPixels(tmp_path)
        kept.keep(FIRST, *first)
        kept.keep(SECOND, *second)
        assert is_kept(kept, FIRST, first)
        assert is_kept(kept, SECOND, second) == both


def test_little_is_taken_of_a_disk_that_is_nearly_full(tmp_path, monkeypatch):
    first = pair(0)
    needed = sum(picture.nbytes for picture in first)
    for free, kept_then in ((4 * needed, True), (4 * needed - 4, False)):
        monkeypatch.setattr(prepare.shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        kept = KeptPixels(tmp_path)
        kept.keep(FIRST, *first)
        assert is_kept(kept, FIRST, first) == kept_then


def test_a_disk_that_fails_keeps_nothing_more_and_ends_nothing(tmp_path):
    kept = KeptPixels(tmp_path)
    first = pair(0)
    kept.keep(FIRST, *first)
    file = kept._file
    writable = os.dup(file.fileno())
    with open(os.devnull, "rb") as unwritable:
        os.dup2(unwritable.fileno(), file.fileno())
    kept.keep(SECOND, *pair(1))
    os.dup2(writable, file.fileno())
    os.close(writable)
    kept.keep(UNKNOWN, *pair(2))
    assert is_kept(kept, FIRST, first)
    assert kept.get(SECOND) is None
    assert kept.get(UNKNOWN) is None
    os.ftruncate(file.fileno(), 100)
    assert kept.get(FIRST) is None


def test_a_folder_that_takes_no_file_keeps_nothing(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError("read only")

    monkeypatch.setattr(prepare.tempfile, "TemporaryFile", refuse)
    kept = KeptPixels(tmp_path)
    kept.keep(FIRST, *pair(0))
    assert kept.get(FIRST) is None
