"""`annotate` on the command line: from marks of two people to what the metric reads."""

import json

import numpy as np
import pytest
from support.annotation_files import marked, pictures, png
from support.command_line import ended

from blackbox_conformal.annotations.annotation_file import PEOPLE, Origin, read_annotation, write_annotation
from blackbox_conformal.cli.main import run


@pytest.fixture
def folder(tmp_path):
    truth, delivered = pictures()
    (tmp_path / "photo.png").write_bytes(png(truth))
    (tmp_path / "answer.png").write_bytes(png(delivered))
    for name, levels in (("ana", marked((0, 0, 4, 4))), ("ben", marked((0, 0, 2, 4)))):
        own = tmp_path / "annotations" / PEOPLE / name
        write_annotation(own, truth, delivered, levels, Origin(name, "2026-03-01", "png"))
    return tmp_path / "annotations"


def test_agreement_and_combine(folder, capsys):
    found = json.loads(ended(capsys, ["annotate", "agreement", str(folder), "--json"]).out)
    assert found["people"] == ["ana", "ben"]
    assert found["pictures"][0]["overlap"] == 0.5
    assert found["pictures"][0]["name"] is None
    assert 0 < found["krippendorff_alpha"] < 1
    shown = ended(capsys, ["annotate", "combine", str(folder), "--rule", "max"])
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
    assert run(["annotate", "export", str(folder), "--format", "coco", *pair, "--out", str(out), "--json"]) == 0
    [file] = json.loads(capsys.readouterr().out)["files"]
    again = folder.parent / "again"
    assert run(["annotate", "import", file, "--format", "coco", *pair, "--folder", str(again)]) == 0
    np.testing.assert_array_equal(read_annotation(again, *pictures()), read_annotation(folder, *pictures()))
