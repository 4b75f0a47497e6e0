"""`plan` with a budget, a level, a wanted share or a pilot: rows of promise, level, price and expected share."""

import json
import shlex
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from support.command_line import COMMAND, VENDOR, called
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.plan.frontier import Frontier, Wish
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.settings import member
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
PILOT = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", range(16))
    return tmp_path


def test_what_is_to_be_wanted_less_is_named_where_no_row_can_be_reached(folder, server):
    assert Wish(alpha=0.01).less == "raise --alpha"
    assert Wish(share=0.5, usd=Decimal(1)).less == "want a smaller share or raise --max-cost"
    (note,) = Frontier(rows=(), source="one vendor", less="raise --alpha").blocks(20)
    assert note.text.endswith("by one vendor. To go on, raise --alpha")
    said = plan(folder, server, "--alpha", "0.02", "--guarantee", "all-but:share=0.01").stdout
    calibrate = shlex.split(said.partition("Next: blackbox-conformal ")[2].splitlines()[0])
    assert calibrate[:3] == ["calibrate", "photographs", "more-photographs"]


def plan(folder: Path, server: FaultServer, *more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--run", "run"]
    return called("plan", "photographs", *vendor, *more, folder=folder, code=code)


def rows(folder: Path, server: FaultServer, *more: str) -> list[dict]:
    found = json.loads(plan(folder, server, *more, "--json").stdout)["frontier"]
    assert found
    return found


def beaten(one: dict, other: dict) -> bool:
    """Whether `other` makes the same promise for less or at a lower level, and trusts no less."""
    weighed = [(row["alpha"], row["cost_usd"][1], -round(row["expected_share"], 3)) for row in (other, one)]
    return (
        one["promise"] == other["promise"]
        and weighed[0] != weighed[1]
        and all(better <= worse for better, worse in zip(*weighed, strict=True))
    )


def paid(server: FaultServer) -> int:
    return server.account.paid


@pytest.mark.parametrize(
    "wish",
    [
        ["--max-cost", "0.5"],
        ["--alpha", "0.1"],
        ["--want-share", "0.4"],
        ["--alpha", "0.12", "--want-share", "0.3"],
        ["--alpha", "0.1", "--max-cost", "0.7"],
    ],
)
def test_every_row_keeps_the_wish_and_no_row_beats_another(folder, server, wish):
    found = rows(folder, server, *wish)
    wanted = dict(zip(wish[::2], map(float, wish[1::2]), strict=True))
    for row in found:
        assert row["cost_usd"][1] <= wanted.get("--max-cost", 1e9) + 1e-9
        assert row["alpha"] == wanted.get("--alpha", row["alpha"])
        assert row["expected_share"] >= wanted.get("--want-share", 0)
        assert 0 < row["expected_share"] <= 1
        assert row["error"] > 0 or row["expected_share"] > 0.99
        assert row["calls"] == row["n"] * row["draws"]
        assert row["cost_usd"] == pytest.approx([0.01 * row["calls"]] * 2)
        assert not any(beaten(row, other) for other in found)
    assert {row["promise"] for row in found} >= {"expected", "all-but 1 %", "per-image 90 %"}
    assert len(found) <= 24
    assert paid(server) == 0


def test_the_table_has_eighty_columns_and_a_row_of_the_default_promise(folder, server):
    told = plan(folder, server, "--max-cost", "0.5")
    at_hand = [row for row in rows(folder, server, "--max-cost", "0.5") if row["n"] == 16]
    assert {row["promise"] for row in at_hand} >= {"expected"}
    change, line = told.stdout.splitlines()[-2:]
    assert "--guarantee" not in line
    assert line.endswith("--delivery consistent --alpha 0.2")
    assert "--delivery consistent (the delivered picture is made consistent with its input)" in change
    assert "The next command is" not in plan(folder, server, "--max-cost", "0.5", "--delivery", "first").stdout
    said = plan(folder, server, "--want-share", "0.4").stdout
    table = said.partition("Expected trusted shares")[2].partition("From ")[0]
    lines = table.splitlines()
    assert any("expected, cap 0.5" in line and " % (0 to " in line for line in lines)
    assert all(len(line) <= 80 for line in lines if "--" not in line), "options to paste stay on one line"
    assert "--guarantee all-but:share=0.01" in table
    assert "--delivery consistent" in table
    capped = next(line for line in lines if "--metric" in line).partition("--metric ")[2]
    assert member("metrics", capped) == member("metrics", f"{DEFAULT_METRIC},cap=0.5")


def test_what_is_out_of_reach_is_marked_and_the_next_command_follows_what_is_not(folder, server):
    for extra in range(12, 16):
        (folder / "photographs" / f"p{extra}.png").unlink()
    said = plan(folder, server, "--alpha", "0.1").stdout
    table = said.partition("Expected trusted shares")[2].partition("  expected: ")[0]
    numbers = [line.split("0.1", 1)[1].split() for line in table.splitlines() if " % (" in line]
    assert {words[0] for words in numbers} >= {"10", "20"}
    for words in numbers:
        assert words[1].startswith("+") == (int(words[0]) > 12)
        assert not words[1].startswith("+") or words[1] == f"+{int(words[0]) - 12}"
    assert "alpha=0.1 is out of reach of the guarantee expected: 7 photographs are missing" in said
    for line in table.splitlines():
        assert not line.startswith("expected  ") or int(line.split("0.1", 1)[1].split()[0]) >= 19, "nothing is reached"
    calibrate = shlex.split(said.partition("Next: blackbox-conformal ")[2].splitlines()[0])
    assert calibrate[:2] == ["calibrate", "photographs"]
    assert "cap=0.5" in calibrate[calibrate.index("--metric") + 1]
    assert calibrate.count("--alpha") == 1
    called(*calibrate, "--yes", folder=folder)
    assert Calibration.load(folder / "run" / "calibration.json").threshold(0.1) > float("-inf")


def test_what_was_typed_is_not_varied_and_what_was_not_measured_is_said(folder, server):
    found = rows(folder, server, "--alpha", "0.1", "--draws", "8", "--delivery", "first", "--guarantee", "per-image")
    assert {(row["draws"], row["delivery"], row["promise"]) for row in found} == {(8, "first", "per-image 90 %")}
    capped = "lab-l1:kernel=gaussian,sigma=4,cap=0.5"
    assert {row["promise"] for row in rows(folder, server, "--alpha", "0.1", "--metric", capped)} == {
        "expected, cap 0.5"
    }
    told = plan(folder, server, "--alpha", "0.1", "--metric", "rgb-linf")
    assert "Expected trusted shares: nothing was measured" in told.stdout
    assert "--pilot 20" in told.stdout
    told = plan(folder, server, "--alpha", "0.1", "--guarantee", "false-trust", "--json")
    assert json.loads(told.stdout)["frontier"] == []
    assert "frontier" not in json.loads(plan(folder, server, "--json").stdout), "nobody asked"


def test_a_pilot_is_paid_once_and_does_not_calibrate(folder, server):
    asked = plan(folder, server, *CHOICES, "--pilot", str(PILOT), code=4)
    assert "cannot ask for confirmation" in asked.stderr
    assert paid(server) == 0
    told = plan(folder, server, *CHOICES, "--pilot", str(PILOT), "--max-cost", "1", "--json")
    found = json.loads(told.stdout)
    assert paid(server) == 2 * PILOT
    assert found["pilot"] == {
        "photographs": PILOT,
        "calls": 2 * PILOT,
        "cached": 0,
        "cost_usd": 0.02 * PILOT,
        "stand_in": None,
    }
    assert (found["n"], found["calls"]) == (16 - PILOT, 2 * (16 - PILOT))
    assert found["frontier"]
    assert all(row["cost_usd"][1] <= 1 - 0.02 * PILOT for row in found["frontier"]), "what is left of the money"

    again = plan(folder, server, *CHOICES, "--pilot", str(PILOT), "--max-cost", "1")
    assert paid(server) == 2 * PILOT
    assert f"0 calls made, {2 * PILOT} draws were stored" in again.stdout
    line = next(line for line in again.stdout.splitlines() if line.startswith("Next: "))
    words = shlex.split(line.partition("blackbox-conformal ")[2])
    assert words[words.index("--tuning") + 1] == "run/tuning.json"
    done = called(*words, folder=folder, code=0)
    assert f"{PILOT} of 16 photographs were looked at before and do not calibrate" in done.stderr
    assert paid(server) == 2 * 16, "each photograph once, the pilot's in the pilot"
    calibration = Calibration.load(folder / "run" / "calibration.json")
    kept = {one["truth"] for one in json.loads((folder / "run" / "tuning.json").read_text())["photographs"]}
    assert (calibration.n, len(kept)) == (16 - PILOT, PILOT)
    assert {one.truth for one in calibration.tuning} == kept
    assert not kept & {image.truth for image in calibration.images}


@pytest.mark.slow
def test_a_stand_in_draws_the_pilot_for_nothing(folder, server):
    alone = plan(folder, server, "--stand-in", code=2)
    assert "Add --pilot 20" in alone.stderr
    other = plan(folder, server, "--pilot", "6", "--stand-in", "--metric", "rgb-linf", code=2)
    assert "expected the usual score, metric, scale and degradation beside --stand-in" in other.stderr
    given = ["--pilot", "6"]
    found = json.loads(plan(folder, server, *given, "--stand-in", "--alpha", "0.2", "--json").stdout)
    assert paid(server) == 0
    assert (found["pilot"]["stand_in"], found["pilot"]["calls"], found["pilot"]["cost_usd"]) == ("embedded", 6, 0)
    assert found["calls"] == 10, "the other photographs, from the vendor that is planned for"
    assert len(json.loads((folder / "run" / "tuning.json").read_text())["photographs"]) == 6
    assert "in place of yours" in found["frontier_source"]
    assert {row["score"] for row in found["frontier"] if row["draws"] == 1} == {"learned"}, "the score that will run"
    compared = {"expected", "all-but 1 %, cap 0.5", "local, cap 0.5", "expected, bound from the input"}
    assert {row["promise"] for row in found["frontier"]} >= compared
    said = plan(folder, server, *given, "--stand-in", "--alpha", "0.2").stdout
    words = shlex.split(said.partition("Next: blackbox-conformal ")[2].splitlines()[0])
    (delivery,), (alpha,) = (words[words.index(name) + 1 :][:1] for name in ("--delivery", "--alpha"))
    assert any(
        (row["promise"], row["delivery"].partition(":")[0], row["alpha"]) == ("expected", delivery, float(alpha))
        for row in found["frontier"]
        if row["n"] <= 10
    ), "the next command is that of a row"
    plan(folder, server, *given, "--alpha", "0.2", "--yes", "-q")
    assert paid(server) == 6, "draws of a stand-in are not those of the vendor"


def test_a_choice_that_leads_to_another_folder_leaves_them_out_as_well(folder, server):
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--draws", "1", "--yes"]
    called("plan", "photographs", *vendor, "--pilot", "6", "--stand-in", "-q", folder=folder, code=0)
    (record,) = (folder / "runs").glob("*/tuning.json")
    chosen = ["calibrate", "photographs", *vendor, "--metric", "lab-l1:kernel=gaussian,sigma=4,cap=0.5"]
    refused = called(*chosen, folder=folder, code=2).stderr
    assert "6 of these photographs were looked at by `tune`, `compare` or `plan --pilot` (runs/" in refused
    assert f"--tuning {record.relative_to(folder)}" in refused
    assert paid(server) == 0
    done = json.loads(called(*chosen, "--tuning", str(record), "--json", folder=folder, code=0).stdout)
    assert (done["n"], done["n_tuning"]) == (10, 6)
    assert paid(server) == 10


def test_a_pilot_measures_any_promise_of_a_mean_or_of_single_pictures_that_is_named(folder, server):
    asked = [*CHOICES, "--pilot", str(PILOT), "--max-cost", "1", "--alpha", "0.3"]
    for text in (
        "local:side=16",
        "per-image:of=all-but,delta=0.3",
        "false-trust:tolerance=0.3",
        "high-probability:of=false-trust,tolerance=0.3,delta=0.4",
    ):
        found = json.loads(plan(folder, server, *asked, "--guarantee", text, "--json").stdout)["frontier"]
        name, (*parameters,) = text.partition(":")[0], text.partition(":")[2].split(",")
        assert found
        for row in found:
            assert row["guarantee"].startswith(f"{name}:")
            assert all(parameter in row["guarantee"] for parameter in parameters)
    refused = plan(folder, server, *asked, "--guarantee", "high-probability:method=binomial", code=2)
    assert "a pilot does not measure high-probability:method=binomial" in refused.stderr
    said = plan(folder, server, "--alpha", "0.3", "--guarantee", "high-probability:method=binomial").stdout
    assert "Leave --guarantee out to see those that are" in said
    assert "--pilot 20" not in said


def test_a_pilot_of_one_draw_foretells_the_paid_calls_of_an_audit(folder, server):
    usual = ["--score", "texture", "--metric", "rgb-linf", "--guarantee", "expected", "--alpha", "0.4", "-p", "scale=4"]
    told = plan(folder, server, *usual, "--pilot", "12", "--max-cost", "1", "--json")
    found = json.loads(told.stdout)["paid"]
    assert paid(server) == 12, "free pictures are beside the pilot for nothing"
    assert 8 <= found["paid"] <= found["alone"]
    said = f"about {found['paid']} paid calls instead of {found['alone']}, "
    assert (
        said if found["paid"] < found["alone"] else "By the pilot's losses free pictures save an audit no call"
    ) in told.stderr
    several = plan(folder, server, *CHOICES, "-p", "scale=4", "--pilot", "12", "--max-cost", "1", "--json")
    assert json.loads(several.stdout)["paid"] is None, "free pictures do not vary"


def test_a_pilot_foretells_the_paid_calls_of_a_claim(folder, server):
    write_photographs(folder / "photographs", range(24))
    usual = ["--metric", "rgb-linf", "--alpha", "0.4", "-p", "scale=4", "-p", "price-usd=0.02", "--max-cost", "1"]
    claim = "invented:at_most=0.2"
    for wrong, says in (
        ([], "Add --pilot 20"),
        (["--pilot", "12"], "at least 20 pictures of the vendor that makes it; got 12"),
        (["--pilot", "20", "--stand-in"], "got --stand-in"),
    ):
        assert says in plan(folder, server, *usual, *wrong, "--claim", claim, code=2).stderr
    assert paid(server) == 0
    told = plan(folder, server, *usual, "--pilot", "20", "--claim", claim, "--json")
    assert paid(server) == 20, "the pilot is paid once for both"
    found = json.loads(told.stdout)["claim"]
    assert found["claim"] == claim
    assert f"`audit --claim {claim}` takes about {found['about']} paid calls, $" in told.stderr
    given = ["--adapter", VENDOR, "-p", f"url={server.url}", "-p", "scale=4", "--claim", claim, "--run", "audited"]
    audited = json.loads(called("audit", "photographs", *given, "--yes", "--json", folder=folder).stdout)
    assert audited["verdict"] == found["likely"] == "contradicted"
    assert audited["n"] <= found["most"] + 3, "four are drawn at once"


def test_a_larger_pilot_contains_the_smaller_one(folder, server):
    for count in (5, 8):
        plan(folder, server, *CHOICES, "--pilot", str(count), "--yes", "-q")
        assert paid(server) == 2 * count
    assert len(json.loads((folder / "run" / "tuning.json").read_text())["photographs"]) == 8


def test_a_pilot_that_is_killed_resumes_without_paying_twice(folder):
    vendor = "blackbox_conformal.testing.reference_adapters:JobVendor"
    # The eighth job is paid and has begun when the program dies.
    with FaultServer({"poll": ["ok"] * 7 + ["never-answers:billed=false"]}) as server:
        given = ["--adapter", vendor, "-p", f"url={server.url}", "--run", "run", *CHOICES, "--concurrency", "1"]
        command = ["plan", "photographs", *given, "--pilot", "10", "--yes", "--json"]
        process = subprocess.Popen([*COMMAND, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while server.account.requests("poll") < 8:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert 0 < paid(server) < 20
        assert not (folder / "run" / "tuning.json").exists(), "nobody has looked at anything"
        found = json.loads(called(*command, folder=folder, code=0).stdout)
        assert paid(server) == 20
        assert found["pilot"]["photographs"] == 10


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--pilot", "16"], "fewer than the 16 photographs"),
        (["--pilot", "4"], "expected a whole number of at least 5; got '4'"),
        (["--pilot", "6", "--guarantee", "high-probability:method=binomial"], "does not measure high-probability"),
        (["--pilot", "6", "--quote"], "without --inputs and --quote"),
        (["--want-share", "1.5"], "expected a number above 0 and below 1; got '1.5'"),
    ],
)
def test_what_cannot_be_piloted_costs_nothing(folder, server, wrong, says):
    assert says in plan(folder, server, *wrong, "--yes", code=2).stderr
    assert paid(server) == 0


def test_python_has_the_same(folder, server, monkeypatch):
    monkeypatch.chdir(folder)
    vendor = bc.load_adapter(VENDOR, url=server.url)
    planned = bc.plan(vendor, 100, alpha=0.1, want_share=0.3)
    assert planned.frontier is not None
    assert planned.frontier.pilot is None
    assert all(row.alpha == 0.1 and row.prospect.share >= 0.3 for row in planned.frontier.rows)
    assert bc.plan(vendor, 100).frontier is None
    choices = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf", "run": "run"}
    piloted = bc.plan(vendor, "photographs", pilot=PILOT, max_cost=1, **choices)
    assert piloted.frontier is not None
    assert piloted.frontier.pilot is not None
    assert (piloted.frontier.pilot.calls, paid(server)) == (2 * PILOT, 2 * PILOT)
    assert piloted.n == 16 - PILOT
    for more in ({"pilot": PILOT}, {"claim": "invented:at_most=0.2"}):
        with pytest.raises(UsageError, match=f"photographs beside {next(iter(more))}"):
            bc.plan(vendor, 100, **more)


def test_tune_chooses_the_smallest_level_for_a_wanted_share(folder, server):
    given = ["--adapter", VENDOR, "-p", f"url={server.url}", "--draws", "2", "--metric", "rgb-linf", "--run", "run"]
    candidates = ["--candidate", "pixel-variance@2", "--candidate", "bicubic-gap@1", "--yes"]
    tune = ["tune", "photographs", *given, *candidates, "--tuning-share", "0.4"]
    both = called(*tune, "--alpha", "0.5", "--want-share", "0.5", folder=folder, code=2)
    assert "expected one of --alpha and --want-share" in both.stderr
    assert "got neither" in called(*tune, folder=folder, code=2).stderr
    levels = []
    for share in ("0.2", "0.8"):
        told = called(*tune, "--want-share", share, "--only-choose", folder=folder, code=0)
        found = json.loads(called(*tune, "--want-share", share, "--only-choose", "--json", folder=folder).stdout)
        assert [one["alpha"] for one in found["candidates"]] == sorted(one["alpha"] for one in found["candidates"])
        assert found["alpha"] == found["candidates"][0]["alpha"]
        assert all(one["trusted_share"] >= float(share) for one in found["candidates"])
        assert all(one["error"] is not None for one in found["candidates"])
        line = next(line for line in told.stdout.splitlines() if line.startswith("Next: "))
        words = shlex.split(line)
        assert words[words.index("--alpha") + 1] == f"{found['alpha']:g}"
        levels.append(found["alpha"])
    assert levels[0] < levels[1]
    assert np.isclose(json.loads((folder / "run" / "tuning.json").read_text())["alpha"], levels[1])
    whole = called(*tune, "--want-share", "0.8", folder=folder, code=0)
    assert "chosen on the tuning photographs" in whole.stdout
    assert f"--alpha {levels[1]:g}" in whole.stdout
