"""Prices on the command line: what the vendor billed counts more than what its table says."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from PIL import Image
from support.command_line import VENDOR, called
from support.synthetic import write_photographs

from blackbox_conformal.cli.consent import Consent, SpendingOptions
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.drawing.ledger.queries import ledger_ls
from blackbox_conformal.drawing.spending.estimate import Estimate
from blackbox_conformal.testing.fault_server import FaultServer


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    write_photographs(tmp_path / "photographs", range(4))
    write_photographs(tmp_path / "others", range(20, 22))
    return tmp_path


def calibrate(folder: Path, server: FaultServer, *more: str) -> subprocess.CompletedProcess[str]:
    choices = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf", "--run", "run"]
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}"]
    return called(more[0], "photographs", *vendor, *choices, *more[1:], folder=folder)


def test_a_limit_ends_a_dear_vendor_after_one_draw_and_says_why(folder):
    with FaultServer(reported_price="0.10") as server:
        found = calibrate(folder, server, "calibrate", "--max-cost", "0.12", "--concurrency", "32", "-q")
        assert found.returncode == 4
        assert server.account.paid == 1
    assert "0.1 spent and 0 reserved of 0.12 allowed" in found.stderr
    assert "the vendor billed 0.1 USD for a draw, more than the 0.01 USD of the price table" in found.stderr


def test_what_the_ledger_has_seen_is_planned_with_and_asked_for(folder):
    with FaultServer(reported_price="0.05") as server:
        first = calibrate(folder, server, "calibrate", "--max-cost", "0.2", "--concurrency", "1")
        assert (first.returncode, server.account.paid) == (4, 4), first.stderr
        plan = json.loads(calibrate(folder, server, "plan", "--json").stdout)
        assert (plan["calls"], plan["cost_usd"]) == (8, [0.4, 0.4])
        assert plan["price_source"] == "as earlier draws were booked"
        asked = calibrate(folder, server, "calibrate")
        assert asked.returncode == 4
        assert "8 calls to make, 4 draws stored; price $0.40" in asked.stderr
        small = calibrate(folder, server, "calibrate", "--max-cost", "0.59")
        assert (small.returncode, server.account.paid) == (4, 4), small.stderr
        assert "the next 8 draws cost at least 0.4 USD" in small.stderr
        enough = calibrate(folder, server, "calibrate", "--max-cost", "0.6")
        assert (enough.returncode, server.account.paid) == (0, 12), enough.stderr


def test_a_price_that_calibrate_was_given_need_not_be_given_again(folder):
    with FaultServer() as server:
        vendor = ["-p", f"url={server.url}/v1/upscale"]
        choices = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]
        command = ["calibrate", "photographs", "--adapter", "http", *vendor, "-p", "label=acme", *choices]
        unknown = called(*command, "--max-cost", "1", folder=folder)
        assert (unknown.returncode, server.account.paid) == (4, 0)
        assert "needs the price of one call, and none is known for http: add -p price-usd=0.02 with" in unknown.stderr
        assert called(*command, "-p", "price-usd=0.02", "--max-cost", "1", folder=folder).returncode == 0
        (calibration,) = (folder / "runs").glob("*/calibration.json")
        use = ["--calibration", str(calibration), "--alpha", "0.5", *vendor]
        for limit, code, paid in (("0.05", 4, 12), ("0.06", 0, 18)):
            found = called("audit", "others", *use, "--max-cost", limit, folder=folder)
            assert (found.returncode, server.account.paid) == (code, paid), found.stderr


def test_yes_counts_what_the_tools_own_advice_buys(folder):
    with FaultServer() as server:
        assert calibrate(folder, server, "calibrate", "--yes").returncode == 0
        (sample, *_) = ledger_ls(folder / "run")
        assert sample.digest is not None
        (file,) = (folder / "run" / "samples").glob(f"??/{sample.digest.removeprefix('sha256:')}*")
        file.unlink()
        lost = calibrate(folder, server, "calibrate", "--yes", "--force")
        assert lost.returncode == 6
        assert "the same command with --max-resample 1 pays for them again" in lost.stderr
        again = calibrate(folder, server, "calibrate", "--yes", "--force", "--max-resample", "1")
        assert (again.returncode, server.account.paid) == (0, 13), again.stderr


@pytest.mark.parametrize(
    ("fault", "option"),
    [("picture:kind=truncated", ("--max-resample", "1")), ("close-without-answer", ("--retry-ambiguous",))],
)
def test_yes_counts_what_may_have_to_be_bought_again(folder, fault, option):
    with FaultServer({"submit": [fault]}) as server:
        found = calibrate(folder, server, "calibrate", "--yes", *option)
        assert (found.returncode, server.account.paid) == (0, 13), found.stderr
    assert "more for answers that are asked for again" in found.stderr


def test_a_plan_tells_the_price_of_its_cheapest_and_of_its_dearest_photograph(tmp_path, monkeypatch):
    monkeypatch.setenv("TOPAZ_API_KEY", "made-up-key")
    write_photographs(tmp_path / "photographs", range(2))
    Image.new("RGB", (1600, 1400)).save(tmp_path / "photographs" / "large.png")
    command = ["plan", "photographs", "--adapter", "topaz", "-p", "model=Bloom 2", "-p", "url=http://127.0.0.1:9"]
    shown = called(*command, "--draws", "3", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "$0.30 to $0.60, by output megapixels: a credit of 0.10 USD for every 2 that are begun" in shown.stdout
    plan = json.loads(called(*command, "--draws", "3", "--json", folder=tmp_path).stdout)
    assert plan["usd_a_photograph"] == [0.3, 0.6]
    assert plan["cost_usd"] == [1.2, 1.2]


def test_an_adapter_is_shown_with_the_rule_of_its_price(tmp_path):
    shown = called("list", "adapters", "topaz", folder=tmp_path)
    assert "$0.10 to $2.20, by output megapixels: a credit of 0.10 USD for every 24 that are begun" in " ".join(
        shown.stdout.split()
    )


def test_one_call_is_one_call(capsys):
    for calls, said in ((1, "1 call to make,"), (2, "2 calls to make,")):
        consent = Consent(
            Screen(as_json=False, quiet=False, verbose=0), cast(SpendingOptions, SimpleNamespace(yes=True))
        )
        consent.confirm(Estimate(calls, 0, None, None, None))
        assert said in capsys.readouterr().err
