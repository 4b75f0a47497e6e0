"""Faults of the pictures, I1 to I12, as a vendor's answer brings them, and of the statistics, X1 to X7."""

import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from support.draws import draw, tasks

from blackbox_conformal.method.images.read import read_output
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

REFUSED = ["wrong-size", "rounded-size", "exif-orientation", "alpha", "cmyk", "sixteen-bit", "bomb", "jpeg-bomb"]
REFUSED += ["many-frames", "truncated", "no-iend", "trailing-garbage", "flipped-bit", "palette-missing", "jpeg-cut"]
REFUSED += ["empty", "html"]


@pytest.mark.parametrize("kind", REFUSED)
def test_i01_i04_i05_i06_i07_i08_wrong_pictures_are_refused_and_neither_mended_nor_bought_again(tmp_path, kind):
    """In both dialects; a wrong picture is fetched again first where that can help."""
    wrong = Fault("picture", {"kind": kind})
    for made, times in ((SynchronousVendor, 2), (JobVendor, 1)):
        with FaultServer({"submit": wrong}) as server:
            for _ in range(times):
                assert draw(made(url=server.url), tmp_path / made.__name__, tasks()).states == ["invalid"]
            assert (server.account.paid, server.account.requests("submit")) == (1, 1)
    with FaultServer({"download": [wrong]}) as server:
        assert draw(JobVendor(url=server.url), tmp_path / "once", tasks()).states == ["stored"]
        assert (server.account.paid, server.account.requests("download")) == (1, 2)


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


NAMES = ["../../escape", "/etc/passwd", "CON", "a" * 300, "x\x00y", "line\nbreak", "\x1b[2J", "\u202egnp", "", ".."]


@pytest.mark.parametrize("name", [*NAMES, "ü" * 200])
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


def test_x01_failed_draws_are_handed_over_and_never_dropped(tmp_path, vendor, server):
    plan = {"submit": [None, "status:code=422", None, "close-without-answer", Fault("picture", {"kind": "truncated"})]}
    server.script = plan
    drawn = draw(vendor, tmp_path / "run", tasks(6), concurrency=1)
    assert sorted(drawn.states) == ["ambiguous", "invalid", "refused", "stored", "stored", "stored"]
    assert len({outcome.task.upload.digest for outcome in drawn.outcomes}) == 6


def test_x02_a_draw_is_bought_again_only_by_rule_and_every_purchase_is_counted(tmp_path):
    wrong = Fault("picture", {"kind": "wrong-size"})
    for most, paid, state in ((0, 1, "invalid"), (1, 2, "invalid"), (2, 3, "stored")):
        run = tmp_path / f"run-{most}"
        with FaultServer({"submit": [wrong, wrong]}) as server:
            drawn = draw(SynchronousVendor(url=server.url), run, tasks(), max_resample=most, concurrency=1)
        assert (drawn.states, server.account.paid) == ([state], paid)
        assert len({bill.draw for bill in server.account.bills}) == 1


def test_x03_an_interrupted_run_gives_each_picture_all_its_draws(tmp_path, either, server):
    work = tasks(3, 4)
    server.script = {"submit": [None] * 5 + ["status:code=402"]}
    assert draw(either, tmp_path / "run", work, concurrency=1).error is not None
    drawn = draw(either, tmp_path / "run", work)
    assert drawn.states == ["stored"] * 12
    seeds = [bill.draw for bill in server.account.bills]
    assert len(seeds) == len(set(seeds)) == 12


def test_x04_x05_x07_pictures_depend_neither_on_resumption_nor_concurrency_nor_draws_before(tmp_path, vendor, server):
    draw(vendor, tmp_path / "run", tasks(1, 6))
    grown = draw(vendor, tmp_path / "run", tasks(2, 6))
    again = draw(vendor, tmp_path / "run", tasks(2, 6))
    one, many = (draw(vendor, tmp_path / f"{count}", tasks(2, 6), concurrency=count) for count in (1, 12))
    assert grown.pictures == again.pictures == one.pictures == many.pictures
    assert (len(grown.pictures), grown.error, server.account.paid) == (12, None, 36)
