"""Faults of the pictures, I1 to I12, as far as a vendor's answer brings them."""

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.draws import draw, tasks

from blackbox_conformal.method.images.read import read_output
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

REFUSED = {
    "i01": ["wrong-size", "rounded-size"],
    "i04": ["exif-orientation"],
    "i05": ["alpha", "cmyk"],
    "i06": ["sixteen-bit"],
    "i07": ["bomb", "jpeg-bomb", "many-frames"],
    "i08": ["truncated", "no-iend", "trailing-garbage", "flipped-bit", "palette-missing", "jpeg-cut", "empty", "html"],
}
EVERY = [(case, kind) for case, kinds in REFUSED.items() for kind in kinds]


def refuse(tmp_path: Path, kind: str) -> None:
    """A wrong picture is invalid in both dialects, is bought once, and is fetched again first where that can help."""
    wrong = Fault("picture", {"kind": kind})
    with FaultServer({"submit": wrong}) as server:
        adapter = SynchronousVendor(url=server.url)
        drawn = draw(adapter, tmp_path / "whole", tasks())
        again = draw(adapter, tmp_path / "whole", tasks())
        assert drawn.states == ["invalid"]
        assert "stored" not in again.states
        assert (server.account.paid, server.account.requests("submit")) == (1, 1)
    with FaultServer({"submit": wrong}) as server:
        assert draw(JobVendor(url=server.url), tmp_path / "jobs", tasks()).states == ["invalid"]
        assert (server.account.paid, server.account.requests("submit")) == (1, 1)
    with FaultServer({"download": [wrong]}) as server:
        assert draw(JobVendor(url=server.url), tmp_path / "once", tasks()).states == ["stored"]
        assert (server.account.paid, server.account.requests("download")) == (1, 2)


@pytest.mark.parametrize("kind", REFUSED["i01"])
def test_i01_wrong_size_is_invalid_and_never_resized(tmp_path, kind):
    refuse(tmp_path, kind)


@pytest.mark.parametrize("kind", ["jpeg", "webp", "palette", "grey"])
def test_i02_i05_another_format_or_kind_is_told_by_its_bytes_and_noted(tmp_path, kind, vendor, server):
    server.script = {"submit": Fault("picture", {"kind": kind})}
    drawn = draw(vendor, tmp_path / "run", tasks())
    assert drawn.states == ["stored"]
    (content,) = drawn.pictures.values()
    noted = read_output(content, (40, 48)).conversions
    assert any("lossy" in note for note in noted) == (kind == "jpeg")
    assert noted or kind == "webp"


def test_i03_missing_profile_is_taken_as_srgb():
    good = upscale(tasks()[0].upload.png, 4, 1)
    assert read_output(good, (40, 48)).conversions == ()


@pytest.mark.parametrize("kind", REFUSED["i04"])
def test_i04_orientation_tag_in_a_result_is_refused(tmp_path, kind):
    refuse(tmp_path, kind)


@pytest.mark.parametrize("kind", REFUSED["i05"])
def test_i05_kinds_without_a_stated_conversion_are_refused(tmp_path, kind):
    refuse(tmp_path, kind)


@pytest.mark.parametrize("kind", REFUSED["i06"])
def test_i06_sixteen_bits_are_refused_and_never_cut(tmp_path, kind):
    refuse(tmp_path, kind)


@pytest.mark.parametrize("kind", REFUSED["i07"])
def test_i07_bombs_and_animations_are_refused(tmp_path, kind):
    refuse(tmp_path, kind)


def test_i07_bombs_are_refused_before_they_are_decoded(tmp_path):
    for kind in ("bomb", "stuffed-text"):
        with FaultServer({"submit": Fault("picture", {"kind": kind})}) as server:
            tracemalloc.start()
            draw(SynchronousVendor(url=server.url), tmp_path / kind, tasks(), attempt_timeout_s=10.0)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert server.account.paid == 1
        # Pictures are made in this process too: 64 MB of zeros for the stuffed one.
        assert peak < 90_000_000


@pytest.mark.parametrize("kind", REFUSED["i08"])
def test_i08_damaged_files_are_refused(tmp_path, kind):
    refuse(tmp_path, kind)


def test_i08_bytes_of_a_refused_picture_are_kept_as_evidence(tmp_path, vendor, server):
    server.script = {"submit": Fault("picture", {"kind": "no-iend"})}
    drawn = draw(vendor, tmp_path / "run", tasks())
    (outcome,) = drawn.outcomes
    assert outcome.digest is not None
    wanted = upscale(outcome.task.upload.png, 4, outcome.task.seed or 0)[:-12]
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert any(path.read_bytes() == wanted for path in files)


@pytest.mark.parametrize("kind", ["black", "constant"])
def test_i09_blank_pictures_are_noted(tmp_path, kind, vendor, server):
    server.script = {"submit": Fault("picture", {"kind": kind})}
    drawn = draw(vendor, tmp_path / "run", tasks())
    assert server.account.paid == 1
    for content in drawn.pictures.values():
        assert any("blank" in note for note in read_output(content, (40, 48)).conversions)


def test_i11_shift_changes_the_pixels_that_are_measured():
    good = upscale(tasks()[0].upload.png, 4, 1)
    from blackbox_conformal.testing.pictures import WRONG_PICTURES

    straight = read_output(good, (40, 48)).pixels
    shifted = read_output(WRONG_PICTURES["shifted"](good), (40, 48)).pixels
    assert np.array_equal(np.roll(straight, (4, 4), axis=(0, 1)), shifted)


@pytest.mark.parametrize(
    "name",
    [
        "../../escape",
        "/etc/passwd",
        "CON",
        "a" * 300,
        "x\x00y",
        "line\nbreak",
        "\x1b[2J",
        "\u202egnp",
        "",
        "..",
        "ü" * 200,
    ],
)
def test_i12_hostile_names_are_never_a_path(tmp_path, name, vendor, server):
    (task,) = tasks()
    hostile = replace(task, upload=replace(task.upload, name=name))
    server.script = {"submit": ["status:code=422"]}
    refused = draw(vendor, tmp_path / "first", [hostile])
    drawn = draw(vendor, tmp_path / "second", [hostile])
    assert (refused.states, drawn.states) == (["refused"], ["stored"])
    assert sorted(os.listdir(tmp_path)) == ["first", "second"]
    for path in tmp_path.rglob("*"):
        assert name == "" or name == ".." or name not in str(path.relative_to(tmp_path))
    for text in (refused.text, drawn.text):
        assert not any(ord(letter) < 32 or letter == "\u202e" for letter in text)


def test_every_refused_picture_belongs_to_a_case():
    assert len(EVERY) == len({kind for _, kind in EVERY})
