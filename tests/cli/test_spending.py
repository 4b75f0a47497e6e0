"""Money on the command line: no consent, no call; budgets, refusals and failures stop; the same command resumes."""

import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.command_line import COMMAND, VENDOR, called, ended
from support.scripted_vendor import ScriptedBalance, ScriptedReplicate, answer
from support.shop import Shop
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_adapters._recipe_reading import SHIPPED
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.study.audit.auditing import Stopping
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault

THREE_DRAWS = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", range(4))
    return tmp_path / "photographs"


def arguments(server: FaultServer, photographs: Path, *more: str) -> list[str]:
    command = ["calibrate", str(photographs), "--adapter", VENDOR]
    return [
        *command,
        "-p",
        f"url={server.url}",
        *THREE_DRAWS,
        "--run",
        str(photographs.parent / "run"),
        "--json",
        *more,
    ]


def calibrated(server: FaultServer, photographs: Path, *more: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return called(*arguments(server, photographs, *more), **how)


def paid(server: FaultServer) -> int:
    return server.account.paid


def test_a_dry_run_and_no_consent_send_nothing(server, photographs):
    found = calibrated(server, photographs, code=4)
    assert "cannot ask for confirmation here" in found.stderr
    assert "The estimate is $0.12: add --max-cost 0.12, or --yes" in found.stderr
    assert "12 calls" in found.stderr
    assert paid(server) == 0
    found = calibrated(server, photographs, "--dry-run", code=0)
    plan = json.loads(found.stdout)
    assert (plan["n"], plan["draws"], plan["calls"], plan["cached"]) == (4, 3, 12, 0)
    assert plan["cost_usd"] == [0.12, 0.12]
    assert plan["reachable_alpha"] == pytest.approx(1 / 5)
    assert plan["needed_n"]["0.1"] == 9
    assert plan["usd_a_photograph"] == [0.03, 0.03]
    assert "$0.15" in found.stderr
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


def test_a_budget_stops_before_it_is_exceeded_and_the_same_command_resumes(photographs):
    with FaultServer(reported_price="0.02") as server:
        # The table says 0.01 a draw, so that 12 seem to fit.
        first = calibrated(server, photographs, "--max-cost", "0.15", "--concurrency", "1", code=4)
        assert "0.14 spent and 0 reserved of 0.15 allowed" in first.stderr
        assert paid(server) == 7
        again = calibrated(server, photographs, "--max-cost", "0.24", code=0)
        assert paid(server) == 12
        document = json.loads(again.stdout)
        assert (document["calls"], document["cached"], document["n"]) == (5, 7, 4)
        once_more = calibrated(server, photographs, "--yes")
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
    assert said in calibrated(server, photographs, *limit, code=4).stderr
    assert paid(server) == 0


def test_a_limit_is_for_one_job_however_often_it_is_repeated(server, photographs):
    assert calibrated(server, photographs, "--max-cost", "0.12").returncode == 0
    calibration = str(photographs.parent / "run" / "calibration.json")
    write_photographs(photographs.parent / "others", range(20, 22))
    common = ["-p", f"url={server.url}", "--run", str(photographs.parent / "run"), "--calibration", calibration]
    audit = ["audit", str(photographs.parent / "others"), "--alpha", "0.9", "--adapter", VENDOR, *common]
    for limit, code, calls in (("0.05", 4, 12), ("0.06", 0, 18), ("0.06", 0, 18), ("0.05", 0, 18)):
        found = called(*audit, "--max-cost", limit)
        assert found.returncode == code, found.stderr
        assert paid(server) == calls
    more = calibrated(server, photographs, "--draws", "4", "--max-cost", "0.15", "--force")
    assert "cost at least 0.04 USD, with 0.12 spent and 0 reserved of 0.15 allowed" in more.stderr
    assert (more.returncode, paid(server)) == (4, 18)
    assert calibrated(server, photographs, "--draws", "4", "--max-cost", "0.16", "--force").returncode == 0
    assert paid(server) == 22


def test_a_comparison_has_one_limit_for_all_its_vendors(server, photographs):
    vendors = [f"{VENDOR}:url={server.url},seedable={one},label=seedable-{one}" for one in ("true", "false")]
    command = ["compare", str(photographs), "--vendor", vendors[0]]
    command += ["--vendor", vendors[1], *THREE_DRAWS, "--alpha", "0.9"]
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
    found = calibrated(server, photographs, "--yes", code=0)
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
        found = called(*keyed, FAULT_VENDOR_KEY="canary-wrong-key", code=5)
        assert "canary-wrong-key" not in found.stderr + found.stdout
        assert "Check the key" in found.stderr
        assert "run the same command again" in found.stderr
        assert paid(server) == 0
        called(*keyed, FAULT_VENDOR_KEY="right", code=0)
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
        again = calibrated(server, photographs, "--yes", code=0)
        assert paid(server) == 12
        assert json.loads(again.stdout)["cached"] == bought


def test_an_audit_says_beforehand_what_it_can_find(server, photographs):
    assert calibrated(server, photographs, "--yes").returncode == 0
    calibration = str(photographs.parent / "run" / "calibration.json")
    write_photographs(photographs.parent / "others", range(20, 22))
    audit = ["audit", str(photographs.parent / "others"), "--adapter", VENDOR, "-p", f"url={server.url}"]
    audit += ["--run", str(photographs.parent / "run"), "--calibration", calibration, "--yes"]
    hopeless = called(*audit, "--alpha", "0.1", code=2)
    assert "every mask would be empty at every level, so there is nothing to audit" in hopeless.stderr
    assert paid(server) == 12
    seen = ["audit", str(photographs), *audit[2:], "--alpha", "0.4"]
    assert called(*seen, code=2).stderr.startswith("error: expected photographs that calibration has not seen")
    told = called(*audit, "--alpha", "0.4", code=0)
    assert "2 photographs can reveal that alpha=0.4 does not hold, but not confirm it. To confirm it " in told.stderr
    assert re.search(
        r"takes \d+ if none of them shows an error, about \d+ if they err as the calibration's", told.stderr
    )


def test_draws_that_lie_elsewhere_are_not_bought_again_unless_the_folder_is_named(server, photographs, tmp_path):
    command = ["calibrate", str(photographs), "--adapter", VENDOR, "-p", f"url={server.url}", *THREE_DRAWS, "--yes"]
    there = tmp_path / "work"
    there.mkdir()

    def again(*more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return called(*command, *more, folder=there, code=code)

    again()
    other = again("--metric", "rgb-l1", code=4)
    assert "12 of these 12 draws are stored in runs/" in other.stderr
    assert paid(server) == 12
    (folder,) = (there / "runs").iterdir()
    out = str(there / "other.json")
    again("--metric", "rgb-l1", "--run", str(folder), "--out", out)
    assert paid(server) == 12
    again("--metric", "rgb-l1", "--run", "new")
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


WORDS = {
    "novita": (answer({"code": 400, "reason": "BILLING_BALANCE_NOT_ENOUGH", "message": "not enough balance"}, 400), 4),
    "leonardo": (answer({"error": "not enough api tokens", "path": "$", "code": "unexpected"}, 400), 2),
    "segmind": (answer({"error": "Insufficient credits: 0.1 left, 0.5 needed"}, 406), 4),
}


@pytest.mark.parametrize("vendor", WORDS)
def test_credit_that_is_used_up_refuses_no_photograph(tmp_path, monkeypatch, capsys, vendor):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{vendor.upper()}_API_KEY", "made-up-for-this-test")
    write_photographs(tmp_path / "photographs", range(24))
    refused, scale = WORDS[vendor]
    # The recipe as a file of the user's: one whose vendor has retired is not asked.
    text = (SHIPPED / f"{vendor}.toml").read_text(encoding="utf-8")
    Path("own.toml").write_text("".join(line for line in text.splitlines(True) if not line.startswith("retired")))
    with ScriptedBalance(vendor, 15, refused) as server:
        given = ["calibrate", "photographs", "--adapter", "recipe", "-p", "recipe=own.toml", "-p", "label=own"]
        given += ["-p", f"url={server.url}", "--scale", str(scale)]
        given += ["-p", "price-usd=0.05", "--draws", "1", "--run", "run", "--yes", "--json"]
        given += [] if vendor == "segmind" else ["-p", "poll-seconds=0.1"]
        assert "of money or of the key" in ended(capsys, given, 5).err
        assert ledger_ls(Path("run"), ("refused",)) == []
        # The balance is topped up: the same command buys what is missing.
        server.left = 24
        document = json.loads(ended(capsys, given).out)
    assert (document["n"], document["failed"], server.left) == (24, 0, 15)


INTERRUPTED = {"status": "failed", "error": "Prediction interrupted; please retry (code: PA)", "started_at": None}
CRASHED = {
    "status": "failed",
    "error": "Director: unexpected error handling prediction (E9828)",
    "started_at": "2026-01-01T00:00:00Z",
    "metrics": {"predict_time": 2.5},
}


def one_in_twenty(state: Mapping[str, Any]) -> Callable[[int], Mapping[str, Any] | None]:
    return lambda number: state if number % 20 == 7 else None


def calibrate_replicate(folder: Path, server: ScriptedReplicate, *more: str, code: int) -> dict[str, Any]:
    vendor = ["--adapter", "replicate", "-p", "model=philz1337x/clarity-upscaler", "-p", f"url={server.url}"]
    more = ("-p", "price-usd=0.02", "-p", "poll-seconds=0.5", "--draws", "4", "--alpha", "0.1", *more)
    run = ["--run", "run", "--yes", "--json", "--concurrency", "16"]
    found = called(
        "calibrate", "photographs", *vendor, *more, *run, folder=folder, code=code, REPLICATE_API_TOKEN="r8_made_up"
    )
    document: dict[str, Any] = json.loads(found.stdout)
    return document


@pytest.mark.parametrize(
    ("state", "limit", "more", "cost"),
    [
        (INTERRUPTED, ("--max-cost", "2.10"), (), "1.92"),
        (INTERRUPTED, (), (), "1.92"),
        (CRASHED, ("--max-cost", "2.10"), ("--max-resample", "2"), "2.02"),
    ],
    ids=["interrupted", "interrupted, by consent alone", "crashed"],
)
def test_failures_of_the_vendor_cost_no_guarantee(tmp_path, state, limit, more, cost):
    write_photographs(tmp_path / "photographs", range(24))
    with ScriptedReplicate("0.02", one_in_twenty(state)) as server:
        found = calibrate_replicate(tmp_path, server, *limit, *more, code=0)
    assert (found["n"], found["failed"], server.submissions) == (24, 0, 101)
    assert found["thresholds"]["0.1"] is not None
    assert found["cost_usd"] == float(cost)
    books = ledger_sum(tmp_path / "run")
    assert books["cost_usd"] == server.billed == Decimal(cost)


REFERENCE = "blackbox_conformal.testing.reference_adapters"
CHOICES = ["--draws", "4", "--score", "pixel-variance", "--metric", "rgb-linf", "--run", "run", "--yes"]
JOBS = ["--adapter", f"{REFERENCE}:JobVendor", "-p", "cancels=true", "-p", "poll_seconds=0.1", "--job-timeout", "1"]


def test_submissions_come_no_faster_than_the_rate(tmp_path):
    """Without the rate, which is the control, they come faster."""
    write_photographs(tmp_path / "photographs", range(2))
    spans = []
    for run, rate in [("free", []), ("kept", ["--rate", "2/second submit"])]:
        with FaultServer() as server:
            vendor = ["--adapter", f"{REFERENCE}:SynchronousVendor", "-p", f"url={server.url}"]
            called("calibrate", "photographs", *vendor, *CHOICES, "--run", run, *rate, folder=tmp_path, code=0)
            assert server.account.paid == 8
            times = [request.at for request in server.account.recorded if request.purpose == "submit"]
            spans.append(max(times) - min(times))
    free, kept = spans
    # The last one is sent three seconds after the first one, which may arrive late.
    assert kept > 2
    assert kept > free


def test_an_overdue_job_is_cancelled_once_while_the_others_are_drawn(tmp_path):
    write_photographs(tmp_path / "photographs", range(2))
    with FaultServer({"submit": [Fault("mark", {"stuck": True})]}) as server:
        account = server.account
        given = ["calibrate", "photographs", *JOBS, "-p", f"url={server.url}", *CHOICES]
        first = called(*given, folder=tmp_path, code=6)
        assert "is cancelled; --retry-ambiguous buys the draw again, and --job-timeout allows it more" in first.stderr
        assert (account.paid, account.requests("submit"), account.requests("cancel")) == (8, 8, 1)
        polls = account.requests("poll")
        assert called(*given, folder=tmp_path, code=6).stderr
        assert (account.paid, account.requests("poll"), account.requests("cancel")) == (8, polls, 1)
        called(*given, "--retry-ambiguous", folder=tmp_path, code=0)
        assert (account.paid, account.requests("cancel")) == (9, 1)


def test_a_job_that_the_vendor_does_not_cancel_is_fetched_by_the_same_command(tmp_path):
    write_photographs(tmp_path / "photographs", range(2))
    late = Fault("mark", {"word": "warming", "times": 25})
    with FaultServer({"submit": [late], "cancel": "status:code=409"}) as server:
        account = server.account
        given = ["calibrate", "photographs", *JOBS, "-p", f"url={server.url}", *CHOICES]
        called(*given, folder=tmp_path, code=6)
        assert (account.paid, account.requests("cancel")) == (8, 1)
        called(*given[:-1], "--job-timeout", "60", "--yes", folder=tmp_path, code=0)
        assert (account.paid, account.requests("submit"), account.requests("cancel")) == (8, 8, 1)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def test_mask_refuses_to_pay_for_empty_masks_and_names_the_way_out(shop):
    before = shop.paid
    refused = shop.mask("--alpha", "0.05")
    said = refused.stderr.decode()
    assert (refused.returncode, shop.paid) == (2, before), said
    assert "every mask would be empty, so nothing was sent: nothing can be trusted at 0.05: 8 calibration" in said
    assert "--empty-masks" in said
    (level,) = re.findall(r"give --alpha ([\d.]+), the lowest level", said)
    forced = shop.mask("--alpha", "0.05", "--empty-masks", "--out", "forced")
    assert (forced.returncode, shop.paid) == (0, before + 2), forced.stderr
    hint = next(line for line in forced.stdout.decode().splitlines() if "What helps" in line)
    assert hint.startswith("A mask trusts nothing.")
    assert f"--alpha {level} on" in hint
    assert "more calibration photographs (at least" in hint
    assert "plan PHOTOGRAPHS --alpha 0.05" in hint
    # All is stored now: nothing is paid, so nothing is refused.
    again = shop.mask("--alpha", "0.05", "--out", "again", "--json")
    assert (again.returncode, shop.paid) == (0, before + 2), again.stderr
    assert b"warning: every mask will be empty" in again.stderr
    assert json.loads(again.stdout)["pictures"][0]["trusted_share"] == 0
    # The level that is named is the lowest of two digits at which something can be trusted.
    calibration = bc.Calibration.load(shop.calibration)
    assert calibration.threshold(float(level)) > float("-inf")
    assert calibration.threshold(float(level) - 0.01) == float("-inf")


def test_from_python_too(shop):
    vendor = bc.load_adapter(VENDOR, url=shop.server.url)
    before = shop.paid
    choices = {"alpha": 0.05, "max_calls": 2, "run": shop.folder / "run"}
    with pytest.raises(UsageError, match=r"empty_masks=True in Python"):
        bc.mask(vendor, shop.folder / "small.png", shop.calibration, **choices)
    assert shop.paid == before
    result = bc.mask(vendor, shop.folder / "small.png", shop.calibration, empty_masks=True, **choices)
    assert (result.mask.any(), shop.paid) == (False, before + 2)
    with pytest.warns(UserWarning, match="every mask is empty: "):
        assert not bc.mask(vendor, shop.folder / "small.png", shop.calibration, **choices).mask.any()


@pytest.fixture
def small_shop(tmp_path):
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def test_an_audit_stops_says_why_and_the_report_shows_the_running_bound(small_shop):
    write_photographs(small_shop.folder / "unseen", range(30, 42))
    before = small_shop.paid
    command = ["audit", "unseen", "--calibration", small_shop.calibration, "--alpha", "0.95", "--concurrency", "1"]
    told = small_shop.run(*command, "--json", code=0)
    document = json.loads(told.stdout)
    stop = document["stop"]
    assert (stop["given"], stop["reason"], document["verdict"]) == (12, "confirmed", "confirmed")
    assert small_shop.paid - before == 2 * stop["looked"] < 2 * 12
    assert " ".join(stop["meaning"].split()[:5]) in " ".join(told.stderr.decode().split())
    page = small_shop.folder / "page.html"
    called(
        "report",
        "--run",
        str(small_shop.folder / "run"),
        "--out",
        str(page),
        "--calibration",
        small_shop.calibration,
        code=0,
    )
    words = page.read_text()
    assert stop["meaning"] in words
    assert "The running bound" in words
    assert small_shop.run(*command, "--no-stop", "--json").returncode == 0
    assert small_shop.paid - before == 2 * 12


def test_an_audit_that_is_interrupted_between_two_batches_resumes_and_pays_nothing_twice(
    small_shop, monkeypatch, capsys
):
    monkeypatch.chdir(small_shop.folder)
    write_photographs(small_shop.folder / "unseen", range(30, 42))
    before, looks = small_shop.paid, []
    command = ["audit", "unseen", "--calibration", small_shop.calibration, "--alpha", "0.6", "--concurrency", "1"]
    look = Stopping.look

    def look_and_interrupt(stopping, audited):
        """No call is under way: the batch is measured, and the next one is not begun."""
        look(stopping, audited)
        looks.append(len(audited))
        if len(looks) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Stopping, "look", look_and_interrupt)
    said = ended(capsys, [*command, *small_shop.common], 6).err
    assert "stopped before the next draw; what is paid is kept, and the same command resumes" in said
    assert "before anything was drawn" not in said
    assert looks == looks[:1]
    assert small_shop.paid - before == 2 * looks[0] < 2 * 12
    stop = json.loads(ended(capsys, [*command, *small_shop.common, "--json"]).out)["stop"]
    assert stop["looked"] > looks[0]
    assert small_shop.paid - before == 2 * stop["looked"]
