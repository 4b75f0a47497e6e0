"""Calibration on arrays of inputs, outputs and truths: the same as by files or by a function, and nothing is asked."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import called
from support.documentation import blocks
from support.synthetic import draw, photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.study.stages.certify import format_reason

CHOICES: dict[str, Any] = {"metric": "rgb-linf", "score": "bicubic-gap"}
TRUTHS = [photograph(seed) for seed in range(12)]
CAMERA = [np.roll(reduced(truth, 4), seed, axis=2) for seed, truth in enumerate(TRUTHS)]
"""Inputs that no degradation of ours makes: another camera, whose channels are mixed up."""
OUTPUTS = [draw(truth, seed) for seed, truth in enumerate(TRUTHS)]
NEW, NEW_OUTPUT = photograph(40), draw(photograph(40), 40)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def calibrated(**settings: Any) -> bc.Calibration:
    return bc.calibrate(**{"inputs": CAMERA, "outputs": OUTPUTS, "truths": TRUTHS, **CHOICES, **settings})


def made() -> list[np.ndarray]:
    return [each.pixels for each in bc.degrade({str(place): truth for place, truth in enumerate(TRUTHS)})]


def files(folder: str, pictures: list[np.ndarray]) -> list[Path]:
    Path(folder).mkdir()
    paths = [Path(folder, f"p{place}.png") for place in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        PillowImage.fromarray(picture).save(path)
    return paths


def test_inputs_that_degrade_made_calibrate_to_what_files_and_a_function_do():
    lows = made()
    arrays = calibrated(inputs=lows, degradation="bicubic", label="mine")
    files("outputs", OUTPUTS)
    folder = bc.load_adapter("folder", path="outputs", label="mine")
    from_files = bc.calibrate(folder, files("truths", TRUTHS), run="files", **CHOICES)
    answers = {low.tobytes(): output for low, output in zip(lows, OUTPUTS, strict=True)}
    function = bc.from_function("mine", lambda picture: answers[picture.tobytes()], test_side=0)
    by_function = bc.calibrate(function, {str(place): each for place, each in enumerate(TRUTHS)}, **CHOICES)
    expected = from_files.threshold(0.45)
    assert 0 < expected < np.inf
    assert arrays.threshold(0.45) == by_function.threshold(0.45) == expected
    assert calibrated(inputs=lows).threshold(0.45) == expected, "a score that asks nothing of how inputs are made"
    assert arrays.procedure == from_files.procedure
    paths = sorted(Path("truths").iterdir(), key=lambda path: int(path.stem[1:]))
    of_paths = calibrated(inputs=lows, degradation="bicubic", label="mine", truths=paths, run="paths")
    assert of_paths.digest == from_files.digest, "the same document to the last digit"


def test_camera_pairs_calibrate_as_they_are_and_a_further_pair_is_masked():
    calibration = calibrated()
    assert calibration.procedure.degradation == "given:factor=4"
    said = "Inputs came about like those of the calibration, which were given with their photographs."
    assert said in calibration.procedure.assumptions
    assert [image.height for image in calibration.images] == [64] * 12
    new = np.roll(reduced(NEW, 4), 1, axis=2)
    result = bc.mask(NEW_OUTPUT, new, calibration, alpha=0.45)
    np.testing.assert_array_equal(result.image, NEW_OUTPUT)
    np.testing.assert_array_equal(result.mask, result.score_map < calibration.threshold(0.45))
    assert 0 < result.mask.mean() < 1
    # Other inputs give other scores, so that the threshold is theirs.
    assert calibration.threshold(0.45) != calibrated(inputs=made(), run="other").threshold(0.45)


def test_several_draws_come_as_lists_or_as_one_array_of_each_picture_and_numbers_are_as_good_as_bytes():
    draws = [[draw(truth, 100 * k + seed) for k in range(3)] for seed, truth in enumerate(TRUTHS)]
    settings = {"score": "pixel-variance", "run": "run"}
    listed = calibrated(outputs=draws, **settings)
    assert listed.procedure.draws == 3
    stacked = calibrated(outputs=np.stack([np.stack(each) for each in draws]) / 255, **settings)
    assert stacked.digest == listed.digest
    new = np.roll(reduced(NEW, 4), 1, axis=2)
    several = [draw(NEW, seed) for seed in range(3)]
    assert bc.mask(several, new, listed, 0.9, run="run").image.shape == NEW.shape
    with pytest.raises(UsageError, match="as many draws of each picture, 3; the answer has 1"):
        bc.mask(several[0], new, listed, 0.9, run="run")


WRONG: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "a truth is missing": (lambda: {"truths": TRUTHS[1:]}, "12 inputs, 12 outputs, 11 truths. Give one of each"),
    "a folder": (lambda: {"truths": "truths"}, r"list of truths.*path truths\. Give sorted\(Path\('truths'\)"),
    "no inputs": (lambda: {"inputs": []}, "got no vendor and 0 inputs"),
    "too narrow": (lambda: {"outputs": [each[:, 1:] for each in OUTPUTS]}, r"expected outputs\[0\] 4 times .*79×64"),
    "another scale": (lambda: {"outputs": [*OUTPUTS[:-1], CAMERA[0]]}, r"outputs\[11\] 4 times as large .*got 20×16"),
    "another size": (lambda: {"truths": [each[:-4] for each in TRUTHS]}, r"truths\[0\] 4 times .*; got 80×60"),
    "integers": (lambda: {"inputs": [each.astype(int) for each in CAMERA]}, r"inputs\[0\]: expected .* uint8 pixels"),
    "0 to 255": (lambda: {"truths": [each * 1.0 for each in TRUTHS]}, r"truths\[0\]: .* from 0 to 1; got float64"),
    "grey": (lambda: {"truths": [each[..., 0] for each in TRUTHS]}, r"truths\[0\]: expected \(H, W, 3\)"),
    "one draw less": (
        lambda: {"outputs": [*([each] * 2 for each in OUTPUTS[1:]), OUTPUTS[0]]},
        r"2; outputs\[11\] has 1",
    ),
    "no draw": (lambda: {"outputs": [[] for _ in OUTPUTS]}, r"at least 1; outputs\[0\] has 0"),
    "too few": (lambda: {"alpha": 0.01}, "needs at least 99 calibration photographs .*; got 12, so 87 are missing"),
    "other inputs": (lambda: {"degradation": "area"}, "expected the input that area:4 makes of the photograph"),
    "both": (lambda: {"vendor": bc.load_adapter("embedded")}, "expected a vendor or outputs; got both"),
    "no file": (lambda: {"inputs": ["none.png"] * 12}, r"inputs\[0\]: none.png"),
}


@pytest.mark.parametrize(("settings", "said"), WRONG.values(), ids=WRONG)
def test_what_does_not_belong_together_is_refused_before_anything_is_written(settings, said):
    with pytest.raises(BlackboxConformalError, match=said):
        calibrated(**settings())
    assert not Path("runs").exists()


def test_an_answer_masks_only_by_a_calibration_on_given_answers():
    small = reduced(NEW, 4)
    lanczos = lambda low: np.asarray(PillowImage.fromarray(low).resize((4 * low.shape[1], 4 * low.shape[0])))  # noqa: E731
    other = bc.calibrate(bc.from_function("f", lanczos), dict(zip("abcdefgh", TRUTHS, strict=False)), **CHOICES)
    with pytest.raises(UsageError, match="expected the vendor that was calibrated"):
        bc.mask(NEW_OUTPUT, small, other, alpha=0.5)
    with pytest.raises(BlackboxConformalError, match=r"expected the answer 4 times as large .*; got 80×60"):
        bc.mask(NEW_OUTPUT[4:], small, calibrated(), alpha=0.5)


@pytest.mark.usual_promise
def test_the_commands_for_camera_pairs_run_as_the_page_offline_md_has_them(capsys):
    (commands,) = [block for block in blocks("sh") if block.page.name == "offline.md" and "inputs=inputs" in block.text]
    files("truths", TRUTHS[:9])
    for number, truth in enumerate(TRUTHS[9:]):
        Path("other-truths").mkdir(exist_ok=True)
        PillowImage.fromarray(truth).save(f"other-truths/p{number + 9}.png")
    files("inputs", CAMERA)
    files("outputs", OUTPUTS)
    PillowImage.fromarray(np.roll(reduced(NEW, 4), 1, axis=2)).save("inputs/new.png")
    PillowImage.fromarray(NEW_OUTPUT).save("outputs/new.png")
    for line in commands.text.splitlines():
        command, *words = shlex.split(line)[1:]
        assert run([command, *words]) == 0, (line, capsys.readouterr().err)
    assert "lossy" not in capsys.readouterr().err
    certificate = json.loads(Path("masked/new-certificate.json").read_text())
    said = "Inputs came about like those of the calibration, which were given with their photographs."
    assert said in certificate["assumptions"]


def test_the_command_line_reads_given_inputs_from_a_folder(tmp_path):
    files("outputs", OUTPUTS)
    files("inputs", CAMERA)
    files("truths", TRUTHS)
    words = ["calibrate", "truths", "--adapter", "folder", "-p", "path=outputs", "-p", "label=mine", "--run", "run"]
    words += ["--metric", CHOICES["metric"], "--score", CHOICES["score"]]
    told = called(*words, "-p", "inputs=inputs", folder=tmp_path)
    assert "given with them" in told.stdout
    found = bc.Calibration.load("run/calibration.json")
    assert found.threshold(0.45) == calibrated().threshold(0.45)
    Path("inputs", "p3.png").rename("inputs/q3.png")
    told = called(*words, "-p", "inputs=inputs", folder=tmp_path, code=2)
    assert "expected in 'inputs' one input 'p3' with .png or another ending; there are 0" in told.stderr
    told = called(*words, "--degradation", "given", folder=tmp_path, code=2)
    assert "expected the input itself, since the degradation `given` makes none" in told.stderr


def test_nothing_is_made_where_inputs_are_given():
    given = Mixture.of_text("given").at(4)
    assert (given.given, given.linear, given.adds_nothing) == (True, False, False)
    assert given.linear_part().apply(NEW, (16, 20)).shape == (16, 20, 3)
    with pytest.raises(UsageError, match="makes none"):
        given.apply(NEW, 4, 0)
    for text in ("given+jpeg:50", "50% given | 50% bicubic"):
        with pytest.raises(UsageError, match="expected `given` alone"):
            Mixture.of_text(text)
    procedure = calibrated().procedure
    assert format_reason(procedure, "JPEG") is None, "inputs that were given may have been JPEG files"
    assert format_reason(procedure.model_copy(update={"degradation": "bicubic"}), "JPEG") is not None
