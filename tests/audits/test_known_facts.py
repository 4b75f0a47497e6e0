"""Facts of answers beside the truth: how often a difference is an error, on screen, in JSON, report and kept audits."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.command_line import VENDOR, called
from support.spoiling_vendor import Change, Spoiling, as_bytes, write_crops
from support.synthetic import reduced

import blackbox_conformal as bc
from blackbox_conformal.method.audits.known_facts import FactCounts, known_facts
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

CHOICES = {"score": "texture", "metric": "rgb-linf", "max_cost": 1}


def seamed(answer: np.ndarray) -> np.ndarray:
    stepped = answer.astype(float)
    stepped[:, answer.shape[1] // 2 :] += 12
    return as_bytes(stepped)


def tinted(answer: np.ndarray) -> np.ndarray:
    return as_bytes(answer * np.array([0.8, 1, 1.1]))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[Path]:
    """Ten photographs of 224 pixels a side."""
    names = sorted(one.name for one in demo_photographs())[:10]
    return write_crops(tmp_path_factory.mktemp("photographs"), names)


def audited(change: Change, photographs: list[Path], folder: Path):
    with Spoiling() as server:
        vendor = SynchronousVendor(url=server.url)
        calibration = bc.calibrate(vendor, photographs[:6], run=folder, **CHOICES)
        server.change, before = change, server.submissions
        found = bc.audit(vendor, photographs[6:], calibration, 0.5, run=folder, stop=False, max_cost=1)
        assert server.submissions == before + 4, "facts are told of draws that are bought anyway"
    return found


@pytest.mark.parametrize(("change", "kind"), [(seamed, "seams"), (tinted, "colour"), (lambda answer: answer, None)])
def test_a_fact_that_the_originals_lack_is_an_error_of_the_vendor(change, kind, photographs, tmp_path):
    found = audited(change, photographs, tmp_path / "run")
    document = found.document()
    told = {row["kind"]: (row["told"], row["not_in_truth"]) for row in document["facts"]["kinds"]}
    said = [block.text for block in found.blocks() if getattr(block, "text", "").startswith("Differing from the input")]
    assert document["facts"]["pictures"] == 4
    if kind is None:
        assert (told, said) == ({}, [])
        return
    assert told[kind][0] == told[kind][1] >= 3
    assert f"{kind} in {told[kind][0]}" in said[0]
    assert "wrong" not in said[0]
    # An audit of a version that did not look is read, and says nothing.
    stored = AUDITS.content(found)
    assert AUDITS.parse(AUDITS.text(stored).encode()).document()["facts"] == document["facts"]
    for picture in stored["pictures"]:
        del picture["facts"]
    earlier = AUDITS.parse(AUDITS.text(stored).encode()).document()["facts"]
    assert earlier == {"pictures": 0, "differing": 0, "kinds": []}


def test_a_fact_that_the_original_has_beside_its_input_too_is_none(photographs):
    truth = read_image(photographs[0]).pixels
    low = reduced(truth, 4)
    assert known_facts(low, tinted(truth), truth)["colour"] is False
    assert known_facts(low, tinted(truth), tinted(truth))["colour"] is True
    assert known_facts(low, seamed(truth), tinted(truth))["seams"] is False
    assert known_facts(low[:31], tinted(truth)[:124], truth[:124]) is None
    counts = FactCounts.of([{"colour": True, "seams": False}, {"colour": False}, {}, None])
    assert (counts.pictures, counts.differing) == (3, 2)
    assert (counts.told, counts.errors) == ({"colour": 2, "seams": 1}, {"colour": 1, "seams": 1})


def test_compared_vendors_have_theirs_in_a_column(photographs, tmp_path):
    with Spoiling() as good, Spoiling(seamed) as tiled:
        vendors = {"good": SynchronousVendor(url=good.url), "tiled": SynchronousVendor(url=tiled.url, seedable=False)}
        found = bc.compare(vendors, photographs, [0.5], run=tmp_path / "run", metric="rgb-linf", max_cost=1)
    rows = found.document()["vendors"]
    assert [row["facts"]["pictures"] for row in rows] == [5, 5]
    assert rows[0]["facts"]["differing"] == 0
    assert rows[1]["facts"]["kinds"][0] == {"kind": "seams", "told": 5, "not_in_truth": 5}
    (table,) = [block for block in found.blocks() if getattr(block, "name", "") == "vendors"]
    headings, cells = table.cells()
    shown = [row[headings.index("differ from the input")] for row in cells]
    assert shown == ["0 of 5", "5 of 5, seams in 5"]


def test_screen_json_and_report_say_so(photographs, tmp_path):
    for name, files in (("known", photographs[:6]), ("unseen", photographs[6:])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    with Spoiling() as server:
        url = ["--adapter", VENDOR, "-p", f"url={server.url}", "--run", "run", "--yes"]
        called("calibrate", "known", "--score", "texture", "--metric", "rgb-linf", *url, folder=tmp_path, code=0)
        server.change = seamed
        typed = ["audit", "unseen", "--calibration", "run/calibration.json", "--alpha", "0.5", "--no-stop", *url]
        screen = called(*typed, folder=tmp_path, code=0).stdout
        assert "Differing from the input by more than is usual: seams in 4 of 4 pictures (4 of" in screen
        assert "where the original does not" not in screen
        assert "where the original does not" in called(*typed, "-v", folder=tmp_path).stdout
        facts = json.loads(called(*typed, "--json", folder=tmp_path).stdout)["facts"]
        assert facts["kinds"][0] == {"kind": "seams", "told": 4, "not_in_truth": 4}
    called("report", "--run", "run", folder=tmp_path)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "How answers differ from their inputs, and originals do not" in page
