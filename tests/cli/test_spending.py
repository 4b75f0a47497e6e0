"""Money on the command line: no consent, no call; budgets stop; refusals stop; the same command resumes."""

import json
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from support.command_line import COMMAND, VENDOR, called
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", range(4))
    return tmp_path / "photographs"


def arguments(server: FaultServer, photographs: Path, *more: str) -> list[str]:
    command = ["calibrate", str(photographs), "--adapter", VENDOR]
    return [*command, "-p", f"url={server.url}", *CHOICES, "--run", str(photographs.parent / "run"), "--json", *more]


def run(server: FaultServer, photographs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return called(*arguments(server, photographs, *more))


def paid(server: FaultServer) -> int:
    return server.account.paid


def test_without_consent_and_without_a_terminal_nothing_is_sent(server, photographs):
    found = run(server, photographs)
    assert found.returncode == 4
    assert "cannot ask for confirmation here" in found.stderr
    assert "The estimate is $0.12: add --max-cost 0.12, or --yes" in found.stderr
    assert "12 calls" in found.stderr
    assert paid(server) == 0


@pytest.mark.parametrize("umask", [0o022, 0o002])
def test_a_run_folder_is_the_users_alone_and_what_was_asked_for_follows_the_umask(server, photographs, umask):
    out = photographs.parent / "out" / "calibration.json"
    before = os.umask(umask)
    try:
        called(*arguments(server, photographs, "--yes", "--out", str(out)), code=0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((photographs.parent / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE(out.parent.stat().st_mode) == 0o777 & ~umask


def test_a_dry_run_plans_and_sends_nothing(server, photographs):
    found = run(server, photographs, "--dry-run")
    assert found.returncode == 0, found.stderr
    plan = json.loads(found.stdout)
    assert (plan["n"], plan["draws"], plan["calls"], plan["cached"]) == (4, 3, 12, 0)
    assert plan["cost_usd"] == [0.12, 0.12]
    assert plan["reachable_alpha"] == pytest.approx(1 / 5)
    assert plan["needed_n"]["0.1"] == 9
    assert plan["usd_a_photograph"] == [0.03, 0.03]
    assert "$0.15" in found.stderr
    assert paid(server) == 0


def test_a_budget_stops_before_it_is_exceeded_and_the_same_command_resumes(photographs):
    with FaultServer(reported_price="0.02") as server:
        # The table says 0.01 a draw, so that 12 seem to fit.
        first = run(server, photographs, "--max-cost", "0.15", "--concurrency", "1")
        assert first.returncode == 4, first.stderr
        assert "0.14 spent and 0 reserved of 0.15 allowed" in first.stderr
        assert paid(server) == 7
        again = run(server, photographs, "--max-cost", "0.24")
        assert again.returncode == 0, again.stderr
        assert paid(server) == 12
        document = json.loads(again.stdout)
        assert (document["calls"], document["cached"], document["n"]) == (5, 7, 4)
        once_more = run(server, photographs, "--yes")
        assert json.loads(once_more.stdout)["calls"] == 0
        assert paid(server) == 12


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (("--max-cost", "0.11"), "the next 12 draws cost at least 0.12 USD, with 0 spent and 0 reserved of 0.11"),
        (("--max-calls", "11", "--yes"), "0 calls of 11 allowed are made, and 12 more are needed; raise --max-calls"),
    ],
)
def test_a_limit_that_is_known_to_be_too_small_spends_nothing(server, photographs, limit, said):
    found = run(server, photographs, *limit)
    assert found.returncode == 4
    assert said in found.stderr
    assert paid(server) == 0


def test_a_limit_is_for_one_job_however_often_it_is_repeated(server, photographs):
    assert run(server, photographs, "--max-cost", "0.12").returncode == 0
    calibration = str(photographs.parent / "run" / "calibration.json")
    write_photographs(photographs.parent / "others", range(20, 22))
    common = ["-p", f"url={server.url}", "--run", str(photographs.parent / "run"), "--calibration", calibration]
    audit = ["audit", str(photographs.parent / "others"), "--alpha", "0.9", "--adapter", VENDOR, *common]
    for limit, code, calls in (("0.05", 4, 12), ("0.06", 0, 18), ("0.06", 0, 18), ("0.05", 0, 18)):
        found = called(*audit, "--max-cost", limit)
        assert found.returncode == code, found.stderr
        assert paid(server) == calls
    more = run(server, photographs, "--draws", "4", "--max-cost", "0.15", "--force")
    assert "cost at least 0.04 USD, with 0.12 spent and 0 reserved of 0.15 allowed" in more.stderr
    assert (more.returncode, paid(server)) == (4, 18)
    assert run(server, photographs, "--draws", "4", "--max-cost", "0.16", "--force").returncode == 0
    assert paid(server) == 22


def test_a_comparison_has_one_limit_for_all_its_vendors(server, photographs):
    vendors = [f"{VENDOR}:url={server.url},seedable={one},label=seedable-{one}" for one in ("true", "false")]
    command = ["compare", str(photographs), "--vendor", vendors[0], "--vendor", vendors[1], *CHOICES, "--alpha", "0.9"]
    for limit, said in (
        (("--max-cost", "0.23"), "cost at least 0.24 USD"),
        (("--max-calls", "23", "--yes"), "24 more are needed"),
    ):
        found = called(*command, *limit, folder=photographs.parent)
        assert (found.returncode, paid(server)) == (4, 0)
        assert said in found.stderr
    found = called(*command, "--max-cost", "0.24", folder=photographs.parent)
    assert (found.returncode, paid(server)) == (0, 24), found.stderr
    # A finished one buys nothing, whatever the limit.
    found = called(*command, "--max-calls", "1", folder=photographs.parent)
    assert (found.returncode, paid(server)) == (0, 24), found.stderr
    write_photographs(photographs.parent / "others", range(20, 24))
    command[1] = str(photographs.parent / "others")
    found = called(*command, "--max-cost", "0.24", folder=photographs.parent)
    assert (found.returncode, paid(server)) == (0, 48), found.stderr


def test_yes_is_a_yes_to_the_plan_and_to_no_more(server, photographs):
    found = run(server, photographs, "--yes")
    assert found.returncode == 0, found.stderr
    assert paid(server) == 12
    document = json.loads(found.stdout)
    assert document["cost_usd"] == pytest.approx(0.12)
    assert set(document) >= {
        "calibration",
        "fingerprint",
        "n",
        "draws",
        "bound",
        "calls",
        "cached",
        "failed",
        "thresholds",
    }
    assert document["thresholds"]["0.1"] is None


def test_a_vendor_that_refuses_the_key_stops_the_run(photographs):
    with FaultServer(api_key="right") as server:
        keyed = arguments(server, photographs, "--yes", "-p", "keyed=true")
        found = called(*keyed, FAULT_VENDOR_KEY="canary-wrong-key")
        assert found.returncode == 5, found.stderr
        assert "canary-wrong-key" not in found.stderr + found.stdout
        assert "Check the key" in found.stderr
        assert "run the same command again" in found.stderr
        assert paid(server) == 0
        again = called(*keyed, FAULT_VENDOR_KEY="right")
        assert again.returncode == 0, again.stderr
        assert paid(server) == 12


def test_one_interrupt_finishes_what_is_in_flight_and_the_run_resumes(photographs):
    with FaultServer({"submit": "slow-start:seconds=0.4"}) as server:
        process = subprocess.Popen(
            [*COMMAND, *arguments(server, photographs, "--yes", "--concurrency", "1")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while paid(server) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 6, errors
        bought = paid(server)
        assert 2 <= bought < 12
        again = run(server, photographs, "--yes")
        assert again.returncode == 0, again.stderr
        assert paid(server) == 12
        assert json.loads(again.stdout)["cached"] == bought


def test_an_audit_says_beforehand_what_it_can_find(server, photographs):
    assert run(server, photographs, "--yes").returncode == 0
    calibration = str(photographs.parent / "run" / "calibration.json")
    write_photographs(photographs.parent / "others", range(20, 22))
    audit = ["audit", str(photographs.parent / "others"), "--adapter", VENDOR, "-p", f"url={server.url}"]
    audit += ["--run", str(photographs.parent / "run"), "--calibration", calibration, "--yes"]
    hopeless = called(*audit, "--alpha", "0.1")
    assert hopeless.returncode == 2
    assert "every mask would be empty at every level, so there is nothing to audit" in hopeless.stderr
    assert paid(server) == 12
    told = called(*audit, "--alpha", "0.4")
    assert told.returncode == 0, told.stderr
    assert "2 photographs can reveal that alpha=0.4 does not hold, but not confirm it. To confirm it " in told.stderr
    assert re.search(
        r"takes \d+ if none of them shows an error, about \d+ if they err as the calibration's", told.stderr
    )


def test_draws_that_lie_elsewhere_are_not_bought_again_unless_the_folder_is_named(server, photographs, tmp_path):
    command = ["calibrate", str(photographs), "--adapter", VENDOR, "-p", f"url={server.url}", *CHOICES, "--yes"]
    there = tmp_path / "work"
    there.mkdir()

    def again(*more: str) -> subprocess.CompletedProcess[str]:
        return called(*command, *more, folder=there)

    assert again().returncode == 0
    other = again("--metric", "rgb-l1")
    assert other.returncode == 4
    assert "12 of these 12 draws are stored in runs/" in other.stderr
    assert paid(server) == 12
    (folder,) = (there / "runs").iterdir()
    out = str(there / "other.json")
    assert again("--metric", "rgb-l1", "--run", str(folder), "--out", out).returncode == 0
    assert paid(server) == 12
    assert again("--metric", "rgb-l1", "--run", "new").returncode == 0
    assert paid(server) == 24
    summed = called("ledger", "sum", "--json", folder=there)
    assert json.loads(summed.stdout)["attempts"] == 12


def test_one_sum_over_all_run_folders(tmp_path, server, photographs):
    for name in ("a", "b"):
        folder = ["--run", str(tmp_path / "runs" / name)]
        assert called(*arguments(server, photographs, "--yes"), *folder).returncode == 0
    summed = called("ledger", "sum", "--json", folder=tmp_path)
    assert json.loads(summed.stdout)["cost_usd"] == pytest.approx(0.24)
    assert "of 2 run folders: runs/a, runs/b" in summed.stderr


def test_from_python_each_call_has_its_own_limit(server, photographs):
    vendor = bc.load_adapter(VENDOR, url=server.url)
    run_folder = photographs.parent / "run"
    choices = {"draws": 3, "score": "pixel-variance", "metric": "rgb-linf", "run": run_folder}
    calibration = bc.calibrate(vendor, photographs, max_cost=0.12, **choices)
    write_photographs(photographs.parent / "others", [20])
    (other,) = (photographs.parent / "others").iterdir()
    with pytest.raises(BudgetError, match=r"cost at least 0\.03 USD, with .* reserved of 0\.02 allowed"):
        bc.mask(vendor, other, calibration, alpha=0.9, max_cost=0.02, run=run_folder)
    assert bc.mask(vendor, other, calibration, alpha=0.9, max_cost=0.03, run=run_folder).mask.any()
    assert paid(server) == 15
