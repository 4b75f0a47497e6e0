"""Faults of the pictures, I1 to I12, as a vendor's answer brings them, and of the statistics, X1 to X7."""

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.draws import draw, tasks

from blackbox_conformal.errors import IncompleteError
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


def test_x04_seeds_of_a_resumed_run_are_those_of_the_first(tmp_path, vendor, server):
    first = draw(vendor, tmp_path / "run", tasks(2, 3))
    again = draw(vendor, tmp_path / "run", tasks(2, 3))
    elsewhere = draw(vendor, tmp_path / "other", tasks(2, 3))
    assert first.pictures == again.pictures == elsewhere.pictures
    assert server.account.paid == 12


def test_x05_concurrency_does_not_change_the_pictures(tmp_path, vendor):
    one = draw(vendor, tmp_path / "one", tasks(2, 6), concurrency=1)
    many = draw(vendor, tmp_path / "many", tasks(2, 6), concurrency=12)
    assert (one.pictures, len(one.pictures)) == (many.pictures, 12)


def test_x06_equal_pictures_under_two_names_are_one_picture(tmp_path, vendor, server):
    from dataclasses import replace

    (task,) = tasks()
    twin = replace(task, upload=replace(task.upload, name="copy"))
    draw(vendor, tmp_path / "run", [task])
    drawn = draw(vendor, tmp_path / "run", [twin])
    assert ([outcome.cached for outcome in drawn.outcomes], server.account.paid) == ([True], 1)


def test_x07_outcomes_do_not_depend_on_what_was_drawn_before(tmp_path, vendor):
    draw(vendor, tmp_path / "run", tasks(1, 8))
    grown = draw(vendor, tmp_path / "run", tasks(3, 8))
    fresh = draw(vendor, tmp_path / "fresh", tasks(3, 8))
    assert grown.pictures == fresh.pictures
    assert not isinstance(grown.error, IncompleteError)
