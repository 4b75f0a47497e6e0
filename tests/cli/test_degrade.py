"""`degrade`: the files are what a calibration sends, and nothing of the user's is overwritten."""

import json

import numpy as np
import pytest
from PIL import Image
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image

CHAIN = "50% area+noise:2-6,shot=0.5+jpeg:60-95 | 50% blur:0.5-2+bicubic"


@pytest.fixture
def photographs(tmp_path):
    write_photographs(tmp_path / "photographs", range(6))
    return tmp_path / "photographs"


def degraded(photographs, out, *arguments):
    return run(["degrade", str(photographs), "--out", str(out), "--json", "-q", *arguments])


def test_the_files_are_what_a_calibration_sends(photographs, tmp_path, capsys):
    assert degraded(photographs, tmp_path / "inputs", "--scale", "4", "--degradation", CHAIN, "--seed", "5") == 0
    made = json.loads(capsys.readouterr().out)
    write_draws(tmp_path / "outputs", range(6), 3)
    given = ["--adapter", "folder", "-p", f"path={tmp_path / 'outputs'}", "-p", "label=made", "--draws", "3"]
    given += ["--degradation", CHAIN, "--seed", "5", "--run", str(tmp_path / "run"), "--yes", "-q"]
    assert run(["calibrate", str(photographs), *given]) == 0
    calibration = bc.Calibration.load(tmp_path / "run" / "calibration.json")
    assert {pixels_digest(read_image(tmp_path / "inputs" / f"p{seed}.png").pixels) for seed in range(6)} == {
        image.input for image in calibration.images
    }
    assert [(one["input"], one["size"]) for one in made] == [
        (str((tmp_path / "inputs" / f"p{seed}.png").resolve()), [16, 20]) for seed in range(6)
    ]


def test_what_was_drawn_is_said_and_makes_the_same_again(photographs, tmp_path, capsys):
    chain = "blur:0.5-2+bicubic+jpeg:60-95,grid=random"
    assert run(["degrade", str(photographs), "--out", str(tmp_path / "inputs"), "--degradation", chain]) == 0
    lines = capsys.readouterr().out.splitlines()
    for seed in range(6):
        (said,) = [line.partition(": 20×16, ")[2] for line in lines if line.startswith(f"p{seed}.png: ")]
        assert not Mixture.of_text(said).random
        low = Mixture.of_text(said).apply(photograph(seed), 4, "any")
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "inputs" / f"p{seed}.png")), low)
    assert lines[-2].startswith("Next: blackbox-conformal calibrate ")
    assert f"--degradation '{chain}'" in lines[-2] or f"--degradation {chain}" in lines[-2]
    assert lines[-1].startswith("Next: blackbox-conformal audit ")


def test_another_seed_draws_others_and_overwrites_nothing_unless_it_may(photographs, tmp_path, capsys):
    out = tmp_path / "inputs"
    noise = ["--degradation", "area:2+noise:5"]
    assert degraded(photographs, out, *noise) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert degraded(photographs, out, *noise) == 0
    assert degraded(photographs, out, *noise, "--seed", "1") == 2
    assert "exists with other content and is not overwritten; give --force or another --out" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert degraded(photographs, out, *noise, "--seed", "1", "--force") == 0
    assert all(path.read_bytes() != before[path.name] for path in out.iterdir())
    with Image.open(out / "p0.png") as picture:
        assert picture.size == (40, 32)


def test_photographs_of_one_name_are_refused_before_anything_is_written(photographs, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    Image.fromarray(photograph(9)).save(tmp_path / "more" / "p3.png")
    assert degraded(photographs, tmp_path / "inputs", str(tmp_path / "more")) == 2
    assert "expected photographs with different names; 2 are called p3. Rename one" in capsys.readouterr().err
    assert not (tmp_path / "inputs").exists()


def test_copies_of_one_photograph_are_refused_as_a_calibration_refuses_them(photographs, tmp_path, capsys):
    Image.fromarray(photograph(3)[:, ::-1]).save(photographs / "mirrored.png")
    assert degraded(photographs, tmp_path / "inputs") == 2
    assert "mirrored" in capsys.readouterr().err
