"""`annotations` and `annotate` on the command line: from marks of two people to what the metric reads."""

import json

import httpx
import numpy as np
import pytest
from support.annotation_files import marked, pictures, png
from support.command_line import called, served

from blackbox_conformal.annotations.annotation_file import Pair, read_annotation
from blackbox_conformal.annotations.marks import Marks
from blackbox_conformal.cli.main import run


@pytest.fixture
def folder(tmp_path):
    truth, delivered = pictures()
    (tmp_path / "photo.png").write_bytes(png(truth))
    (tmp_path / "answer.png").write_bytes(png(delivered))
    for name, levels in (("ana", marked((0, 0, 4, 4))), ("ben", marked((0, 0, 2, 4)))):
        Marks(tmp_path / "annotations", name).save(Pair.of(truth, delivered), levels, None)
    return tmp_path / "annotations"


def test_agreement_and_combine(folder, capsys):
    assert run(["annotate", "agreement", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["people"] == ["ana", "ben"]
    assert found["pictures"][0]["overlap"] == 0.5
    assert found["pictures"][0]["name"] is None
    assert 0 < found["krippendorff_alpha"] < 1
    assert run(["annotate", "combine", str(folder), "--rule", "max"]) == 0
    shown = capsys.readouterr()
    assert "1 picture in" in shown.out + shown.err
    assert "semantic:annotations=" in shown.out + shown.err
    np.testing.assert_array_equal(read_annotation(folder, *pictures()), marked((0, 0, 4, 4)))
    assert run(["annotate", "combine", str(folder), "--annotator", "eva"]) == 2
    assert "expected names of people who marked, ana, ben" in capsys.readouterr().err


def test_export_and_import(folder, capsys):
    run(["annotate", "combine", str(folder), "-q"])
    pair = ["--truth", str(folder.parent / "photo.png"), "--delivered", str(folder.parent / "answer.png")]
    capsys.readouterr()
    out = folder.parent / "out"
    assert run(["annotate", "export", str(folder), "--format", "cvat", *pair, "--out", str(out), "--json"]) == 0
    [file] = json.loads(capsys.readouterr().out)["files"]
    again = folder.parent / "again"
    assert run(["annotate", "import", file, "--format", "cvat", *pair, "--folder", str(again)]) == 0
    np.testing.assert_array_equal(read_annotation(again, *pictures()), read_annotation(folder, *pictures()))


@pytest.fixture(scope="module")
def calibrated(photographs, tmp_path_factory):
    """A folder with a calibration in `run`."""
    folder = tmp_path_factory.mktemp("calibrated")
    called(
        "calibrate",
        str(photographs),
        "--adapter",
        "embedded",
        "--draws",
        "2",
        "-q",
        "--run",
        "run",
        folder=folder,
        code=0,
    )
    return folder


def test_the_page_is_served_until_it_is_stopped(photographs, calibrated):
    words = ["annotate", str(photographs), "--calibration", "run/calibration.json", "--annotator", "ana"]
    with served(*words, folder=calibrated) as said:
        assert said["pictures"] == 6
        assert "Mark what differs" in httpx.get(said["url"]).text
        assert httpx.get(said["url"].rsplit("/", 2)[0]).status_code == 404
    assert "annotate combine annotations" in said["stderr"]


def test_what_annotate_refuses(photographs, calibrated):
    words = ["annotate", str(photographs), "--calibration", "run/calibration.json"]
    for more, says in (
        ([], "Missing option '--annotator'"),
        (["--annotator", " "], "expected the name of who marks"),
        (["--annotator", "ana", "--run", "elsewhere"], "Draw them first with `calibrate --run elsewhere`"),
    ):
        found = called(*words, *more, folder=calibrated)
        assert found.returncode == 2, found.stderr
        assert says in found.stderr
