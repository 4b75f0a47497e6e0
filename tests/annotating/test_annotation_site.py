"""What the page asks for, over a real socket: pictures, versions of marks, formats, agreement."""

import io
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image
from support.command_line import VENDOR
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.annotations.annotation_file import read_annotation
from blackbox_conformal.annotations.combine import combine
from blackbox_conformal.annotations.marks import Marks
from blackbox_conformal.annotations.semantic import Semantic
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import UsageError
from blackbox_conformal.pages.annotating.pairs import Pairs
from blackbox_conformal.study.stages.settings import set_up_as
from blackbox_conformal.testing.fault_server import FaultServer

SIZE = (64, 80)


def marks_of(seed):
    return np.random.default_rng(seed).choice([0, 0, 128, 255], SIZE).astype(np.uint8)


@pytest.fixture
def ask(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def put(ask):
    def put(levels, index=0, version=None, **query):
        pair = ask.get(f"pictures/{index}").json()["pair"]
        headers = {} if version is None else {"If-Match": version if version == "*" else f'"{version}"'}
        return ask.put(
            f"pictures/{index}/marks", content=levels.tobytes(), params={"pair": pair, **query}, headers=headers
        )

    return put


def test_pictures_are_those_that_calibration_compares(ask, pairs, drawn):
    calibration = drawn[0]
    about = ask.get("pictures/1").json()
    assert (about["width"], about["height"]) == (80, 64)
    shown = pairs.shown(1)
    assert shown.pair.reference in {image.truth for image in calibration.images}
    for side, pixels in (("reference", shown.truth), ("output", shown.delivered)):
        content = ask.get(f"pictures/1/{side}.png").content
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)
    for wrong in ("3", "-1", "x", "99999999999", "²"):
        assert ask.get(f"pictures/{wrong}").status_code == 404
    assert ask.get("pictures/0/other.png").status_code == 404


def test_marks_are_kept_by_version_and_person(ask, put, folder, pairs):
    assert ask.get("pictures/0/marks").status_code == 204
    first = put(marks_of(1))
    version = first.json()["version"]
    assert put(marks_of(2), version=version).status_code == 200
    late = put(marks_of(3), version=version)
    assert late.status_code == 412
    assert "another window saved" in late.json()["detail"]
    assert put(marks_of(4)).status_code == 412, "a window that loaded nothing does not overwrite either"
    stored = ask.get("pictures/0/marks")
    assert stored.content == marks_of(2).tobytes()
    assert put(marks_of(3), annotator="ben").status_code == 200
    assert put(marks_of(3), version="*").status_code == 200
    shown = pairs.shown(0)
    for name in ("ana", "ben"):
        found = read_annotation(Marks(folder, name).own, shown.truth, shown.delivered)
        np.testing.assert_array_equal(found, marks_of(3))
    assert ask.get("pictures", params={"annotator": "ben"}).json() == {"marked": [True, False, False]}


def test_what_is_no_set_of_marks_is_refused(ask, put):
    assert put(marks_of(1)[:-1]).status_code == 400
    deflated = {"Content-Encoding": "deflate"}
    for body in (b"no stream", zlib.compress(marks_of(1).tobytes()[:-1]), zlib.compress(bytes(10**7))):
        params = {"pair": ask.get("pictures/0").json()["pair"]}
        assert ask.put("pictures/0/marks", content=body, params=params, headers=deflated).status_code == 400
    assert put(marks_of(1), pair="another").status_code == 409
    assert put(marks_of(1), annotator="x" * 201).status_code == 400
    assert ask.get("pictures/0/marks").status_code == 204


@pytest.mark.parametrize("form", ["coco", "cvat", "label-studio", "labelme", "png"])
def test_formats_go_out_and_come_in_unchanged(ask, put, form):
    assert ask.get(f"pictures/0/exported/{form}").status_code == 404
    put(marks_of(5))
    exported = ask.get(f"pictures/0/exported/{form}")
    assert exported.headers["content-disposition"].startswith("attachment")
    name = exported.headers["content-disposition"].partition("''")[2]
    read = ask.put("pictures/0/imported", content=exported.content, params={"format": form, "name": name})
    assert read.content == marks_of(5).tobytes()
    broken = ask.put("pictures/0/imported", content=b"x", params={"format": form, "name": name})
    assert broken.status_code == 400, broken.text
    assert "expected" in broken.json()["detail"]
    assert ask.get("pictures/0/exported/voc").status_code == 404


def test_agreement_is_shown_by_name(ask, put, pairs, folder, capsys):
    assert "Nobody has saved marks yet" in ask.get("agreement").text
    put(marks_of(1))
    put(marks_of(1), annotator="ben <b>")
    page = ask.get("agreement").text
    assert pairs.names[0] in page
    assert "1.000" in page
    assert "ben &lt;b&gt;" in page
    assert run(["annotate", "agreement", str(folder)]) == 0
    said = "".join(capsys.readouterr())
    assert pairs.names[0] in said
    assert ask.get("pictures/0").json()["pair"] not in said


def test_from_marks_to_a_calibration_that_pays_nothing(put, folder, drawn):
    _, setup, paths, run = drawn
    for index in range(3):
        for name in ("ana", "ben"):
            put(marks_of(index), index=index, annotator=name)
    with pytest.raises(bc.errors.CalibrationError, match="annotate combine"):
        bc.calibrate(setup.adapter, paths, metric=Semantic(annotations=folder), run=run)
    combine(folder)
    calibration = bc.calibrate(setup.adapter, paths, metric=Semantic(annotations=folder), run=run, max_calls=0)
    assert calibration.bound == 1
    assert calibration.n == 3


def test_what_is_not_drawn_is_left_out_and_nothing_is_bought(drawn, tmp_path):
    calibration, _, paths, run = drawn
    setup = set_up_as(bc.load_adapter("embedded"), calibration.procedure)
    more = write_photographs(tmp_path, range(7, 9))
    found = Pairs.of_photographs(setup, [*paths, *more], run)
    assert (len(found), found.missing) == (3, 2)
    with pytest.raises(UsageError, match=r"of 2 photographs none has any. Draw them first with `calibrate --run"):
        Pairs.of_photographs(setup, more, run)


def test_a_paid_vendor_is_not_asked_for_what_is_stored(drawn, tmp_path):
    with FaultServer() as server:
        vendor = bc.load_adapter(VENDOR, url=server.url)
        calibration = bc.calibrate(vendor, drawn[2], run=tmp_path, max_cost=1)
    # The server is gone.
    pairs = Pairs.of_photographs(set_up_as(vendor, calibration.procedure), drawn[2], tmp_path)
    assert [pairs.shown(index).delivered.shape for index in range(3)] == [(64, 80, 3)] * 3
