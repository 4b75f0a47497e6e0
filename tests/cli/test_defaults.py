"""One draw is the default everywhere; several draws, and a preset, bring what goes with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, ended
from support.restoring_vendor import RestoringVendor
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.study.from_keywords import read, setup_of
from blackbox_conformal.study.settings_table import PlanSettings, described
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE, DETAIL_SCORE, PRESETS, default_score
from blackbox_conformal.study.stages.settings import member, set_up
from blackbox_conformal.testing.fault_server import FaultServer

pytestmark = pytest.mark.usual_promise

WEIGHTED = "weighted:first=bicubic-gap,second=smoothed-variance,weight=0.5,sigma=4"
PAPER_SCORE = {"name": "patch-variance", "kernel": "box", "size": 31, "clip_quantile": 0.95, "smooth": 64.0}
PAPER_METRIC = {"name": "lab-l1", "kernel": "gaussian", "sigma": 64.0}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FaultServer) -> list[str]:
    """A working folder with six photographs and an input; returned is how the vendor is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    write_photographs(tmp_path / "photographs", range(6))
    PillowImage.fromarray(reduced(photograph(20), 4)).save(tmp_path / "small.png")
    return ["--adapter", VENDOR, "-p", f"url={server.url}"]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    return json.loads(ended(capsys, [*words, "--json"]).out)


def holds(specification: dict[str, Any], expected: dict[str, Any]) -> bool:
    return {key: specification.get(key) for key in expected} == expected


def test_one_draw_is_the_default_everywhere(desk, vendor, capsys):
    assert bc.plan(vendor, 7).calls == 7
    assert bc.plan(vendor, "photographs").draws == 1
    planned = printed(capsys, "plan", "photographs", *desk)
    assert (planned["draws"], planned["calls"]) == (1, 6)
    shown = printed(capsys, "config", "show")
    assert shown["draws"] == 1
    said = ended(capsys, ["config", "show"]).out
    assert DETAIL_SCORE in said
    assert DETAIL_GUARANTEE in said
    assert set_up(vendor).procedure == set_up(vendor, draws=1, score=DETAIL_SCORE).procedure


def test_a_mask_makes_the_one_call_of_its_picture(desk, server):
    assert run(["calibrate", "photographs", *desk, "--run", "run", "--yes", "-q"]) == 0
    assert server.account.paid == 6
    given = ["--calibration", "run/calibration.json", "-p", f"url={server.url}"]
    assert run(["mask", "small.png", *given, "--adapter", VENDOR, "--alpha", "0.9", "--yes", "-q"]) == 0
    assert server.account.paid == 7
    certificate = bc.Certificate.from_json(Path("masked/small-certificate.json").read_text())
    assert certificate.procedure["draws"] == 1
    assert certificate.procedure["score"]["name"] == DETAIL_SCORE
    for promised in ("of the detail that the vendor invented or removed is hatched", "is at most 0.3"):
        assert promised in certificate.stated


def test_several_draws_or_another_scale_bring_the_score_for_them(vendor, server):
    for draws in (2, 8):
        assert set_up(vendor, draws=draws).procedure == set_up(vendor, draws=draws, score=WEIGHTED).procedure
    assert default_score(1, 4) == "learned"
    assert {default_score(1, scale) for scale in (2, 3, 8)} == {"tie-broken:first=bicubic-gap,second=texture,sigma=8"}
    assert default_score(1, 4, of_detail=True) == "predicted-invention"
    assert {default_score(1, scale, of_detail=True) for scale in (2, 3, 8)} == {"unsupported"}
    assert set_up(RestoringVendor(url=server.url), degradation="blur:2").procedure.score["name"] == "texture"


@pytest.mark.parametrize(
    "choices",
    [
        {"guarantee": "expected"},
        {"draws": 8},
        {"score": "texture"},
        {"metric": "ssim"},
        {"metric": "lab-l1:sigma=8"},
        {"metric": "in-holes:of=lab-l1,sigma=4", "degradation": "bicubic:4+holes:0.2"},
        {"preset": "paper"},
    ],
)
def test_what_is_not_about_detail_keeps_the_promise_about_errors(vendor, choices):
    setup = setup_of(vendor, read(choices, described(PlanSettings)))
    named = choices.get("guarantee")
    assert setup.promised(named).plugin_name() == "expected"
    assert not setup.score.is_share
    assert default_score(1, 4, of_detail=False) == "learned"


def test_the_default_promises_detail_and_colours_and_errors_where_that_is_asked(vendor, desk):
    for choices in ({}, {"score": "unsupported"}, {"degradation": "bicubic:4+noise:5"}, {"delivery": "consistent"}):
        rule = setup_of(vendor, choices).promised(None)
        assert rule == member("guarantees", DETAIL_GUARANTEE)
        assert rule.beside == (member("guarantees", "expected"), 0.3)
    before = set_up(vendor, guarantee="expected")
    assert before.procedure == set_up(vendor, guarantee="expected", score="learned").procedure
    calibration = bc.calibrate(vendor, "photographs", guarantee="expected", run="run", max_calls=9)
    assert (calibration.procedure, calibration.guarantee["name"]) == (before.procedure, "expected")


def test_too_few_photographs_for_the_default_are_refused_before_anything_is_paid(desk, server, capsys):
    next(Path("photographs").iterdir()).unlink()
    calibrate = ["calibrate", "photographs", *desk, "--run", "run", "--yes", "-q"]
    assert run(calibrate) == 2
    said = "largest_error=0.3 of marked needs at least 6 calibration photographs; got 5. Add 1, or promise less: "
    assert said + "--guarantee marked" in capsys.readouterr().err
    assert server.account.paid == 0
    assert run([*calibrate, "--guarantee", "marked"]) == 0
    assert server.account.paid == 5


def test_a_group_too_small_for_the_promise_beside_trusts_nothing_and_says_so(desk, tmp_path, capsys):
    names = sorted(path.stem for path in Path("photographs").iterdir())
    lines = [f"{name},{'few' if number < 2 else 'more'}" for number, name in enumerate(names)]
    (tmp_path / "groups.csv").write_text("\n".join(["photograph,group", *lines, ""]))
    grouped = ["calibrate", "photographs", *desk, "--run", "run", "--yes", "--groups", "groups.csv", "-v"]
    assert "nothing: 4 photographs missing" in ended(capsys, grouped).out


def test_plain_enlargement_is_not_one_tie():
    low = reduced(photograph(0), 4)
    enlarged = bicubic_up(low, 4)
    context = Context(enlarged, low, 4)
    assert not np.any(accumulated_map(member("scores", "bicubic-gap:sigma=8"), [enlarged], context))
    found = accumulated_map(member("scores", default_score(1, 4)), [enlarged], context)
    assert np.unique(found).size > found.size / 100


def test_a_score_that_compares_draws_asks_for_them(desk, vendor, capsys):
    with pytest.raises(UsageError, match=r"at least 2 draws; got 1\. Add --draws 8"):
        bc.plan(vendor, 7, score="smoothed-variance")
    wanted = ["tune", "photographs", *desk, "--alpha", "0.9", "--candidate", "smoothed-variance", "--yes"]
    assert "Add --draws 8" in ended(capsys, wanted, 2).err


def test_tuning_compares_scores_of_its_draws_and_for_a_share_promises_errors(desk, capsys):
    write_photographs(Path("photographs"), range(9))
    tuned = printed(capsys, "tune", "photographs", *desk, "--alpha", "0.9", "--run", "tuned", "--yes")
    labels = {candidate["score"] for candidate in tuned["candidates"]}
    assert labels == {f"{DETAIL_SCORE}@1", "unsupported@1"}
    assert all(label.endswith("@1") for label in labels)
    assert tuned["calls"] == 9
    assert all(0 <= candidate["kept"] <= candidate["trusted_share"] for candidate in tuned["candidates"])
    assert bc.Calibration.load(tuned["calibration"]).guarantee["name"] == "marked"
    for choices in (["--want-share", "0.01"], ["--alpha", "0.9", "--candidate", "texture"]):
        tune = ["tune", "photographs", *desk, *choices, "--run", choices[0].strip("-"), "--yes"]
        tuned = printed(capsys, *tune)
        assert bc.Calibration.load(tuned["calibration"]).guarantee["name"] == "expected"


def test_the_preset_paper_is_the_recipe_of_the_paper(desk, vendor, server, capsys, tmp_path):
    calibration = bc.calibrate(vendor, "photographs", preset="paper", run="run", max_calls=60)
    procedure = calibration.procedure
    assert holds(procedure.score, PAPER_SCORE)
    assert holds(procedure.metric, PAPER_METRIC)
    assert (procedure.draws, procedure.delivery, calibration.guarantee["name"]) == (10, "first", "expected")
    assert server.account.paid == 60
    made = printed(capsys, "calibrate", "photographs", *desk, "--preset", "paper", "--run", "run", "--yes")
    assert (made["fingerprint"], made["calls"]) == (procedure.fingerprint, 0)
    assert bc.plan(vendor, 7, preset="paper", draws=2).calls == 14
    assert printed(capsys, "plan", "photographs", *desk, "--preset", "paper", "--draws", "2")["calls"] == 12
    (tmp_path / "blackbox-conformal.toml").write_text("draws = 3\n[plan]\npreset = 'paper'\n")
    assert printed(capsys, "plan", "photographs", *desk)["calls"] == 18


def test_config_says_what_comes_from_a_preset(desk, tmp_path, monkeypatch, capsys):
    (tmp_path / "blackbox-conformal.toml").write_text("draws = 3\n")
    shown = printed(capsys, "config", "show", "--origin", "--preset", "paper")
    assert shown["preset"] == {"value": "paper", "origin": "--preset"}
    assert shown["score"] == {"value": PRESETS["paper"]["score"], "origin": "preset paper"}
    assert shown["draws"] == {"value": 3, "origin": f"draws in {tmp_path / 'blackbox-conformal.toml'}"}
    assert shown["scale"] == {"value": None, "origin": "default"}
    monkeypatch.setenv("BLACKBOX_CONFORMAL_PRESET", "paper")
    assert printed(capsys, "config", "show", "plan", "--origin")["guarantee"]["origin"] == "preset paper"
    assert printed(capsys, "config", "show", "mask", "--origin")["guarantee"]["origin"] == "default"


def test_an_unknown_preset_is_told(desk, vendor, monkeypatch, capsys):
    with pytest.raises(UsageError, match="to be paper; got 'papre'"):
        bc.plan(vendor, 7, preset="papre")
    with pytest.raises(UsageError, match="to be paper; got 'papre'"):
        bc.compare({"one": vendor, "other": (vendor, {"preset": "papre"})}, "photographs", max_calls=0)
    monkeypatch.setenv("BLACKBOX_CONFORMAL_PRESET", "papre")
    assert run(["plan", "photographs", *desk]) == 2
    assert ended(capsys, ["config", "show"], 2).err.count("papre") == 2


def test_a_calibration_made_with_eight_draws_says_so_itself(desk, server, capsys):
    calibrate = ["calibrate", "photographs", *desk, "--run", "run", "--yes", "-q"]
    assert run([*calibrate, "--draws", "8"]) == 0
    assert server.account.paid == 48
    given = ["--calibration", "run/calibration.json", *desk]
    assert run(["mask", "small.png", *given, "--alpha", "0.9", "--yes", "-q"]) == 0
    assert server.account.paid == 56
    assert "is a calibration of another procedure (draws: 8 → 1; score." in ended(capsys, calibrate, 2).err
    assert run([*calibrate, "--draws", "8"]) == 0
    assert run([*calibrate, "--out", "one.json"]) == 0
    assert server.account.paid == 56


def test_a_plan_without_a_pilot_tells_what_the_default_clears_by_number_of_photographs(desk, server, capsys):
    write_photographs(Path("photographs"), range(12))
    found = printed(capsys, "plan", "photographs", *desk, "--alpha", "0.2", "--delivery", "first")["frontier"]
    assert {(row["promise"], row["alpha"], row["score"]) for row in found} == {("marked", 0.2, DETAIL_SCORE)}
    numbers, shares = ([row[name] for row in found] for name in ("n", "expected_share"))
    assert (numbers, shares) == (sorted(numbers), sorted(shares))
    assert len(found) > 2
    assert all(0 < share < 1 for share in shares)
    assert min(numbers) >= 6, "what is promised of colours beside takes six photographs"
    # Six photographs reach one row, and the next command is that row's.
    said = ended(capsys, ["plan", "photographs", *desk, "--max-cost", "5"]).out
    assert "  marked: the default" in said
    assert "  clear-share: --guarantee clear-share:largest_error=0.3" in said
    assert "  expected: --guarantee expected" in said
    assert "First add --pilot 6 --stand-in: at no cost" in said
    rows = printed(capsys, "plan", "photographs", *desk, "--max-cost", "5")["frontier"]
    assert {row["alpha"] for row in rows if row["promise"] == "clear-share"} == {0.25, 0.5}
    words = said.partition("Next: blackbox-conformal ")[2].split()
    assert "--guarantee" not in words
    delivery = words[words.index("--delivery") + 1] if "--delivery" in words else "first"
    assert any(
        (row["promise"], row["alpha"], row["delivery"].partition(":")[0]) == ("marked", float(words[-1]), delivery)
        for row in rows
        if row["n"] <= 12
    )
    for kind, rule in (("clear-share", "clear-share:largest_error=0.3"), ("marked, 90", "per-image:of=marked")):
        given = rule if "largest" in rule else f"{rule},largest_error=0.3,delta=0.1"
        named = printed(capsys, "plan", "photographs", *desk, "--guarantee", given, "--alpha", "0.5")["frontier"]
        assert all(row["promise"].startswith(kind) for row in named)
        assert named
    assert server.account.paid == 0


def test_a_plan_tells_promises_about_errors_from_the_default(desk, server, capsys):
    write_photographs(Path("photographs"), range(12))
    pilot = ["plan", "photographs", *desk, "--run", "run", "--pilot", "6", "--max-cost", "1"]
    free = printed(capsys, *pilot, "--alpha", "0.5", "--stand-in")
    assert free["pilot"]["stand_in"] == "embedded"
    assert {row["promise"] for row in free["frontier"]} <= {"marked"}
    assert server.account.paid == 0
    piloted = printed(capsys, *pilot, "--alpha", "0.9")
    assert {row["promise"] for row in piloted["frontier"]} <= {"marked"}
    found = printed(capsys, *pilot)
    scores = {(row["promise"], row["score"]) for row in found["frontier"]}
    of_detail = {"marked", "clear-share", "marked, 90 % of pictures", "marked, confidence 0.9"}
    assert {score for promise, score in scores if promise in of_detail} <= {DETAIL_SCORE}
    assert {score for promise, score in scores if promise not in of_detail} <= {"learned"}
    assert scores
