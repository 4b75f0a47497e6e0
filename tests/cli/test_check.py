"""`check`: pairs of files and folders, what is said, the exit code, the overlay and the pairs of one's own."""

import json

import numpy as np
import pytest
from PIL import Image

from blackbox_conformal.cli.main import run
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image


@pytest.fixture
def folders(tmp_path):
    """Three inputs; answers lie as NAME.png, NAME_x4.png and NAME/0.png, and the last is greyscale."""
    inputs, answers = tmp_path / "inputs", tmp_path / "answers"
    inputs.mkdir()
    (answers / "c").mkdir(parents=True)
    files = {"a": "a.png", "b": "b_x4.png", "c": "c/0.png"}
    for photograph, (name, file) in zip(demo_photographs(), files.items(), strict=False):
        truth = Image.fromarray(read_image(photograph.path).pixels[100:356, 100:356])
        small = np.asarray(truth.resize((64, 64), Image.Resampling.BICUBIC))
        big = bicubic_up(small, 4)
        if name == "c":
            big = np.repeat(big.mean(2, keepdims=True), 3, 2).astype(np.uint8)
        Image.fromarray(small).save(inputs / f"{name}.png")
        Image.fromarray(big).save(answers / file)
    return inputs, answers


def test_folders_are_paired_and_a_fact_ends_with_three(folders, tmp_path, capsys):
    assert run(["check", *map(str, folders), "--out", str(tmp_path / "marked")]) == 3
    out, err = capsys.readouterr()
    assert "a: nothing beyond what is usual" in out
    assert "b: nothing beyond what is usual" in out
    assert "colour: differs from the input by " in out
    assert "as greyscale does" in out
    assert "To differ is not to be wrong" in out
    assert "1 of 3 answers differ from their inputs by more than is usual" in err
    marked = read_image(tmp_path / "marked" / "c-facts.png").pixels
    assert marked.shape[0] > 256
    assert (marked[:256] == (230, 159, 0)).all(2).sum() > 100
    assert read_image(tmp_path / "marked" / "a-facts.png").pixels.shape == (256, 256, 3)


def test_two_files_without_a_fact_end_with_zero(folders, capsys):
    inputs, answers = folders
    assert run(["check", str(inputs / "a.png"), str(answers / "a.png"), "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["facts"] == []
    (pair,) = found["pairs"]
    assert pair["pair"] == "a.png"
    assert 0.01 < pair["p_value"] <= 1
    assert pair["measures"]["colour.brightness"] == pytest.approx(0, abs=1)


def test_pairs_that_were_checked_before_are_what_is_usual(folders, tmp_path, capsys):
    inputs, answers = folders
    (inputs / "c.png").unlink()
    pixels = read_image(demo_photographs()[2].path).pixels
    for place in range(21):
        top, left = 40 * (place // 5), 60 * (place % 5)
        truth = Image.fromarray(pixels[top : top + 256, left : left + 256])
        small = np.asarray(truth.resize((64, 64), Image.Resampling.BICUBIC))
        Image.fromarray(small).save(inputs / f"u{place}.png")
        Image.fromarray(bicubic_up(small, 4)).save(answers / f"u{place}.png")
    assert run(["check", *map(str, folders), "--json", "-q"]) == 0
    earlier = tmp_path / "earlier.json"
    earlier.write_text(capsys.readouterr().out)
    tinted = np.asarray(Image.open(answers / "u3.png")) + np.array([6, 0, 0])
    Image.fromarray(np.clip(tinted, 0, 255).astype(np.uint8)).save(tmp_path / "t.png")
    pair = [str(inputs / "u3.png"), str(tmp_path / "t.png")]
    assert run(["check", *pair, "--usual", str(earlier)]) == 3
    assert "the 23 pairs of earlier.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda inputs, answers: (answers / "a.png").unlink(), "one answer to the input a in"),
        (lambda inputs, answers: (answers / "b_x2.png").write_bytes(b""), "got b_x2.png, b_x4.png. Call it b.png"),
        (lambda inputs, answers: (answers / "a.png").write_bytes(b"no"), "a.png"),
    ],
)
def test_what_cannot_be_checked_is_said(folders, change, words, capsys):
    change(*folders)
    assert run(["check", *map(str, folders)]) == 2
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_document_of_check_is_refused(folders, tmp_path, capsys):
    (tmp_path / "no.json").write_text("{}")
    assert run(["check", *map(str, folders), "--usual", str(tmp_path / "no.json")]) == 2
    assert "expected what `check --json` wrote of other pairs; got" in capsys.readouterr().err


def test_a_folder_beside_a_file_is_refused(folders, capsys):
    inputs, answers = folders
    assert run(["check", str(inputs), str(answers / "a.png")]) == 2
    assert "expected a folder of answers" in capsys.readouterr().err


def test_an_input_and_an_answer_that_are_swapped_are_told(folders, capsys):
    inputs, answers = folders
    assert run(["check", str(answers / "a.png"), str(inputs / "a.png")]) == 3
    told = " ".join(capsys.readouterr().out.split())
    assert "pixels, where the input is 256×256 (if the two are swapped, name the input first)" in told


def test_deliveries_that_mend_what_was_found_are_named(tmp_path, capsys):
    truth = Image.fromarray(read_image(demo_photographs()[0].path).pixels[100:356, 100:356])
    small = np.asarray(truth.resize((64, 64), Image.Resampling.BICUBIC))
    good = bicubic_up(small, 4)
    tinted = np.clip(good * np.array([0.8, 1, 1.1]), 0, 255).astype(np.uint8)
    answers = {
        "good": (good, {}),
        "tinted": (tinted, {"consistent": "the input's colours"}),
        "moved": (np.roll(good, (-5, 7), (0, 1)), {"aligned": "moves it by 7 pixels to the left and 5 pixels down"}),
        "far": (np.roll(good, (0, 24), (0, 1)), {}),
        "swapped": (
            np.roll(good[..., ::-1], (8, 0), (0, 1)),
            {"aligned": "moves it by 8 pixels up", "consistent": "colours"},
        ),
    }
    Image.fromarray(small).save(tmp_path / "input.png")
    for name, (answer, expected) in answers.items():
        Image.fromarray(answer).save(tmp_path / f"{name}.png")
        pair = ["check", str(tmp_path / "input.png"), str(tmp_path / f"{name}.png")]
        assert run(pair) == (3 if name != "good" else 0)
        out = " ".join(capsys.readouterr().out.split())
        run([*pair, "--json", "-q"])
        (found,) = json.loads(capsys.readouterr().out)["pairs"]
        assert out.count("mended by --delivery") == len(expected), name
        for delivery, does in expected.items():
            assert f"mended by --delivery {delivery}" in out
            assert does in out
        assert found["mended_by"] == list(expected)
