"""`calibrate` with several levels: they hold together with high-probability, and are refused with other guarantees."""

import json
import re

import pytest
from support.command_line import ended
from support.synthetic import write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run

VENDOR = ["--adapter", "folder", "-p", "label=synthetic", "--draws", "3"]
SETTINGS = ["--score", "smoothed-variance:sigma=2", "--metric", "rgb-linf:kernel=gaussian,sigma=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("together")
    write_draws(path / "outputs", range(32), 3)
    write_photographs(path / "known", range(24))
    write_photographs(path / "unseen", range(24, 32))
    return path


def calibrate(folder, *more):
    where = ["--run", str(folder / "run"), "--force", "--json"]
    return run(
        ["calibrate", str(folder / "known"), *VENDOR, "-p", f"path={folder / 'outputs'}", *SETTINGS, *where, *more]
    )


def test_levels_hold_together_and_certificates_and_audits_know_it(folder, capsys):
    assert calibrate(folder, "--guarantee", "high-probability", "--alpha", "0.2", "--alpha", "0.4") == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)["thresholds"]) == ["0.2", "0.4"]
    assert "These levels hold together" in told.err
    calibration = folder / "run" / "calibration.json"
    assert json.loads(calibration.read_text())["guarantee"]["together"] == [0.2, 0.4]
    given = [str(folder / "unseen"), "-p", f"path={folder / 'outputs'}", "--calibration", str(calibration)]
    assert run(["audit", *given, "--run", str(folder / "run"), "--json"]) == 0
    assert [level["alpha"] for level in json.loads(capsys.readouterr().out)["levels"]] == [0.2, 0.4]


def test_levels_of_a_guarantee_that_holds_at_one_are_refused_with_one_that_can(folder, capsys):
    assert calibrate(folder, "--alpha", "0.2", "--alpha", "0.4") == 2
    assert "expected one --alpha, since expected holds at one level" in capsys.readouterr().err


def test_a_level_of_the_list_that_so_few_photographs_cannot_reach_is_refused(folder, capsys):
    assert calibrate(folder, "--guarantee", "high-probability", "--alpha", "0.02", "--alpha", "0.4") != 0
    assert "alpha=0.02 needs at least" in capsys.readouterr().err


def test_the_screen_says_that_single_levels_do_not_hold_together_and_how_they_would(folder, capsys):
    assert calibrate(folder, "--alpha", "0.3", "-v") == 0
    told = capsys.readouterr().err
    assert "choosing the share you like voids the guarantee, since the 6 levels do not hold together" in told
    assert "For levels that do: --guarantee high-probability --alpha 0.15 --alpha 0.2 --alpha 0.3" in told


@pytest.mark.parametrize("rule", ["false-trust:tolerance=0.3", "false-trust", "per-image:of=false-trust,tolerance=0.3"])
def test_levels_that_would_hold_together_are_those_of_the_loss_that_was_calibrated(folder, capsys, rule):
    # The largest error of this metric is 1.9576; a share is at most 1.
    assert calibrate(folder, "--metric", "lab-l1:kernel=gaussian,sigma=2", "--guarantee", rule, "-v") == 0
    told = capsys.readouterr().err
    tolerance = "0.3" if "0.3" in rule else "0.1"
    typed = f"--guarantee high-probability:of=false-trust,tolerance={tolerance} --alpha 0.15 --alpha 0.2 --alpha 0.3"
    assert f"For levels that do: {typed}" in told
    calibration = bc.Calibration.load(folder / "run" / "calibration.json")
    for named, wrong in (("false-trust", "0.1"), (rule, tolerance)):
        assert f"exceeds {wrong}" in calibration.rule(named).statement(0.2, 24)


def test_levels_of_a_share_of_clear_detail_reach_the_half_that_its_headline_names(folder, capsys):
    rule = "clear-share:ceiling=9"
    assert calibrate(folder, "--metric", "lab-l1:kernel=gaussian,sigma=2", "--guarantee", rule, "-v") == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)["thresholds"]) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]
    assert "Choose alpha by the invention you accept" in told.err
    assert "--guarantee high-probability:of=clear-share,ceiling=9 --alpha" in told.err


def test_the_screen_shows_the_row_of_the_level_that_was_given_and_no_other(folder, capsys):
    assert calibrate(folder, "--alpha", "0.3") == 0
    told = capsys.readouterr().err
    rows = [line.split()[0] for line in told.partition("Thresholds")[2].splitlines()[3:] if line[:1].isdigit()]
    assert rows == ["0.3"]
    assert "do not hold together" not in told
    assert told.splitlines()[-1].startswith("Next: blackbox-conformal mask small.png ")


def test_without_a_level_the_screen_shows_sizes_of_errors_and_no_share(folder, capsys):
    assert calibrate(folder) == 0
    told = capsys.readouterr().err
    assert "Which alpha? Take the error you can live with, not the share you like" in told
    assert re.search(r"^  0\.1:\s+grey 128 that came back as \d+$", told, re.MULTILINE)
    assert "0.02:" not in told, "so few photographs do not reach it"
    shown = told.partition("loss bound")[2].partition("Next:")[0]
    assert "%" not in shown
    assert "Thresholds" not in shown
    assert calibrate(folder, "-v") == 0
    assert "trusted share of the calibration pictures" in capsys.readouterr().err


def test_the_level_and_the_bound_that_tune_was_given_and_chose_go_into_the_next_command(folder, capsys):
    given = [
        str(folder / "known"),
        *VENDOR,
        "-p",
        f"path={folder / 'outputs'}",
        *SETTINGS[2:],
        "--candidate",
        "texture",
    ]
    promise = ["--alpha", "0.4", "--guarantee", "high-probability", "--only-choose", "--run", str(folder / "tuned")]
    told = ended(capsys, ["tune", *given, *promise, "--json"])
    chosen = json.loads(told.out)["guarantee"]
    step = next(line for line in told.err.splitlines() if line.startswith("Next:"))
    assert chosen.startswith("high-probability")
    assert f"--guarantee {chosen}" in step
    assert step.count("--guarantee") == 1
    assert "--alpha 0.4" in step


def test_of_a_metric_without_greys_the_possible_levels_are_shown_all_the_same(folder, capsys):
    assert calibrate(folder, "--metric", "ssim", "--guarantee", "expected", "--nothing-chosen") == 0
    told = capsys.readouterr().err
    assert re.search(r"^  0\.1: +possible$", told, re.MULTILINE)
    assert "0.02:" not in told
    assert "missing" not in told
