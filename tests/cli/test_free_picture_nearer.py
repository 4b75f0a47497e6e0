"""A vendor whose pictures are farther from the originals than plain enlargement: calibrate, mask and audit say so."""

import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.synthetic import photograph, reduced, write_photographs

from blackbox_conformal.cli.main import run

ALPHA = ["--alpha", "0.3"]
SENTENCE = "At 0.3 use the plain enlargement: in the clear part it is nearer to the originals on "


def over_sharpened(seed):
    large = Image.fromarray(reduced(photograph(seed), 4)).resize((80, 64), Image.Resampling.BICUBIC)
    return large.filter(ImageFilter.UnsharpMask(2, 250, 0))


def half_right(seed):
    large = np.asarray(Image.fromarray(reduced(photograph(seed), 4)).resize((80, 64), Image.Resampling.BICUBIC))
    return Image.fromarray(((photograph(seed).astype(int) + large) // 2).astype(np.uint8))


@pytest.mark.parametrize(("answer", "named"), [(over_sharpened, True), (half_right, False)])
def test_every_screen_names_the_picture_to_use_and_none_does_for_a_good_vendor(
    answer, named, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    known, unseen = tmp_path / "known", tmp_path / "unseen"
    write_photographs(known, range(20))
    write_photographs(unseen, range(20, 40))
    for seed in range(41):
        (tmp_path / "outputs" / f"p{seed}").mkdir(parents=True)
        answer(seed).save(tmp_path / "outputs" / f"p{seed}" / "0.png")
    Image.fromarray(np.asarray(reduced(photograph(40), 4))).save(tmp_path / "p40.png")
    vendor = ["-p", f"path={tmp_path / 'outputs'}", "--run", str(tmp_path / "run")]
    calibration = ["--calibration", str(tmp_path / "run" / "calibration.json")]
    fresh = ["--adapter", "folder", "-p", "label=synthetic", "--draws", "1"]
    commands = (
        ["calibrate", str(known), *fresh, *vendor, *ALPHA],
        ["mask", str(tmp_path / "p40.png"), *calibration, *vendor, *ALPHA, "--out", str(tmp_path / "out")],
        ["audit", str(unseen), *calibration, *vendor, *ALPHA],
    )
    for command in commands:
        assert run(command) == 0
        told = capsys.readouterr()
        assert (SENTENCE in " ".join(told.out.split())) is named, command[0]
        calibrates = command[0] == "calibrate"
        nexts = [shlex.split(line)[2:] for line in told.out.splitlines() if line.startswith("Next:")]
        compares = [words for words in nexts if words[0] == "compare"]
        assert bool(compares) is (named and calibrates)
        for words in compares:
            assert words[-3:] == ["folder:delivery=consistent,label=consistent", "--alpha", "0.3"]
            assert run([str(unseen) if word == "other-photographs" else word for word in words]) == 0
            assert "consistent: trust mask" in capsys.readouterr().out
        assert ("In the clear part at 0.3 of" in told.out) is calibrates
        assert ("warning: on these calibration photographs" in told.err) is (named and calibrates)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        assert run([*command, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["advice"].startswith(SENTENCE) if named else said["advice"] is None
        if calibrates:
            worth = said["worth"]
            assert (worth["warning"] is not None) is (min(worth["decibels"].values()) < 0) is named
