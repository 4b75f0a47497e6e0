"""Prices on the command line: billed, quoted, in other units than US dollars, or unknown."""

import json
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image
from support.command_line import VENDOR, called, ended
from support.draws import limits, tasks
from support.synthetic import write_photographs

from blackbox_conformal.cli.consent import Consent, SpendingOptions
from blackbox_conformal.cli.console import Screen, bill, spent
from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import Estimate
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    write_photographs(tmp_path / "photographs", range(4))
    write_photographs(tmp_path / "others", range(20, 22))
    return tmp_path


def calibrate(folder: Path, server: FaultServer, *more: str, **how: Any) -> subprocess.CompletedProcess[str]:
    choices = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf", "--run", "run"]
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}"]
    return called(more[0], "photographs", *vendor, *choices, *more[1:], folder=folder, **how)


def test_a_limit_ends_a_dear_vendor_after_one_draw_and_says_why(folder):
    with FaultServer(reported_price="0.10") as server:
        found = calibrate(folder, server, "calibrate", "--max-cost", "0.12", "--concurrency", "32", "-q", code=4)
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
        assert "8 calls to make, 4 draws stored; price $0.40" in calibrate(folder, server, "calibrate", code=4).stderr
        small = calibrate(folder, server, "calibrate", "--max-cost", "0.59")
        assert (small.returncode, server.account.paid) == (4, 4), small.stderr
        assert "the next 8 draws cost at least 0.4 USD" in small.stderr
        enough = calibrate(folder, server, "calibrate", "--max-cost", "0.6")
        assert (enough.returncode, server.account.paid) == (0, 12), enough.stderr


def test_a_price_that_calibrate_was_given_need_not_be_given_again(server, folder):
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


def test_yes_counts_what_the_tools_own_advice_buys(server, folder):
    assert calibrate(folder, server, "calibrate", "--yes").returncode == 0
    (sample, *_) = ledger_ls(folder / "run")
    assert sample.digest is not None
    (file,) = (folder / "run" / "samples").glob(f"??/{sample.digest.removeprefix('sha256:')}*")
    file.unlink()
    lost = calibrate(folder, server, "calibrate", "--yes", "--force", code=6)
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


def test_a_plan_and_a_list_tell_the_price_of_an_adapter_by_size(tmp_path, monkeypatch):
    monkeypatch.setenv("TOPAZ_API_KEY", "made-up-key")
    write_photographs(tmp_path / "photographs", range(2))
    Image.new("RGB", (1600, 1400)).save(tmp_path / "photographs" / "large.png")
    command = ["plan", "photographs", "--adapter", "topaz", "-p", "model=Bloom 2", "-p", "url=http://127.0.0.1:9"]
    shown = called(*command, "--draws", "3", folder=tmp_path, code=0)
    assert "$0.30 to $0.60, by output megapixels: a credit of 0.10 USD for every 2 that are begun" in shown.stdout
    plan = json.loads(called(*command, "--draws", "3", "--json", folder=tmp_path).stdout)
    assert plan["usd_a_photograph"] == [0.3, 0.6]
    assert plan["cost_usd"] == [1.2, 1.2]
    shown = called("list", "adapters", "topaz", folder=tmp_path)
    assert "$0.10 to $2.20, by output megapixels: a credit of 0.10 USD for every 24 that are begun" in " ".join(
        shown.stdout.split()
    )


def test_one_call_is_one_call_and_unknown_only_where_calls_were_made(capsys):
    for calls, said in ((1, "1 call to make,"), (2, "2 calls to make,")):
        consent = Consent(
            Screen(as_json=False, quiet=False, verbose=0), cast(SpendingOptions, SimpleNamespace(yes=True))
        )
        consent.confirm(Estimate(calls, 0, None, None, None))
        assert said in capsys.readouterr().err
    unknown, known = (SynchronousVendor(url="http://127.0.0.1:1", price_usd=price) for price in (None, "0.1"))
    assert spent(bill(Decimal(0), 3, unknown, None)) == "spent: unknown, as the vendor's price is"
    assert spent(bill(Decimal(0), 0, unknown, None)) == "$0.00 spent"
    assert spent(bill(Decimal("0.3"), 3, unknown)) == "$0.30 spent"
    assert spent(bill(Decimal(0), 3, known)) == "$0.00 spent"


def bought(run: Path, price: str | None, told: str | None) -> None:
    with FaultServer(reported_price=told) as server:
        adapter = SynchronousVendor(url=server.url, price_usd=price)
        with Sampler(adapter, run, limits(), check=lambda data, task: None) as sampler:
            assert len(list(sampler.draw(tasks(1, 4)))) == 4


def ledger(folder: Path, *words: str) -> str:
    return called("ledger", *words, folder=folder, code=0).stdout


def summed(folder: Path, *words: str) -> str:
    return ledger(folder, "sum", *words)


def test_unknown_prices_make_sums_unknown_and_known_ones_are_summed(tmp_path):
    bought(tmp_path / "runs" / "a", None, None)
    assert ledger_sum(tmp_path / "runs" / "a")["unpriced"] == 4
    assert "unknown: 4 calls were made at an unknown price; nothing is known" in " ".join(summed(tmp_path).split())
    bought(tmp_path / "runs" / "b", "0.25", None)
    assert "4 calls were made at an unknown price; $1.00 for the others" in " ".join(summed(tmp_path).split())
    found = json.loads(summed(tmp_path, "--json"))
    assert (found["cost_usd"], found["unpriced"]) == (None, 4)
    for name, price, told, cost in (("a", "0", None, 0), ("b", None, "0", 0), ("c", None, "0.05", "0.2")):
        bought(tmp_path / name, price, told)
        sums = ledger_sum(tmp_path / name)
        assert (sums["unpriced"], sums["cost_usd"]) == (0, Decimal(cost))


def test_calls_at_an_unknown_price_are_listed_as_unknown(tmp_path):
    bought(tmp_path / "runs" / "a", None, None)
    lines = [line for line in ledger(tmp_path, "ls").splitlines() if "validated" in line]
    assert [line.split()[-1] for line in lines] == ["unknown"] * 4
    assert [row["cost_usd"] for row in json.loads(ledger(tmp_path, "ls", "--json"))] == [None] * 4
    bought(tmp_path / "runs" / "b", None, "0.25")
    bought(tmp_path / "runs" / "c", "0", None)
    for name, cost in (("b", "0.25"), ("c", "0")):
        assert f"${cost}" in ledger(tmp_path, "ls", "--run", f"runs/{name}")
        rows = json.loads(ledger(tmp_path, "ls", "--run", f"runs/{name}", "--json"))
        assert [row["cost_usd"] for row in rows] == [cost] * 4


Plan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plan:
    write_photographs(tmp_path / "photographs", range(2))
    monkeypatch.chdir(tmp_path)

    def planned(server: FaultServer, *more: str) -> tuple[int, str, str]:
        command = ["plan", "photographs", "--adapter", VENDOR, "-p", f"url={server.url}", "--draws", "3", "--json"]
        code = run([*command, *more])
        said = capsys.readouterr()
        return code, said.out, said.err

    return planned


def test_what_the_vendor_asks_goes_before_its_price_list(plan):
    with FaultServer({"quote": ["status:code=429,retry-after=0"]}, price_usd="0.07") as server:
        code, listed, _ = plan(server)
        assert (code, len(server.account.recorded)) == (0, 0)
        code, quoted, said = plan(server, "--quote")
        assert code == 0, said
        assert (server.account.requests("quote"), server.account.paid) == (2, 0)
    assert json.loads(listed)["cost_usd"] == [0.06, 0.06]
    assert json.loads(quoted)["cost_usd"] == [0.42, 0.42]
    assert json.loads(quoted)["price_source"] == "quoted by the vendor"
    assert "$0.42 (quoted by the vendor)" in said


def test_without_its_key_nobody_is_asked_and_a_refused_one_ends_the_plan(server, plan, monkeypatch):
    monkeypatch.delenv("FAULT_VENDOR_KEY", raising=False)
    code, _, said = plan(server, "-p", "keyed=true", "--quote")
    assert len(server.account.recorded) == 0
    assert code == 2
    assert "FAULT_VENDOR_KEY" in said
    with FaultServer({"quote": "status:code=401"}) as server:
        code, _, said = plan(server, "--quote")
    assert code == 5
    assert "refused this key" in said


HITPAW = "10 to 480 credits a draw (developer.hitpaw.com); give -p usd-per-unit=… with what one is worth"
CLIPDROP = "by output megapixels: 0.2 to 1 credits for each 1 (clipdrop.co/apis/docs/image-upscaling); give -p usd-per-"
OPENAI = "5 USD a million of text sent, 8 of pictures sent, 30 of what is made; the first draw tells how many; give -p "


@pytest.fixture
def _keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("HITPAW_API_KEY", "CLIPDROP_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "made-up")


@pytest.mark.usefixtures("_keys")
@pytest.mark.parametrize(
    ("adapter", "draws", "known", "given", "price"),
    [
        ("hitpaw", "2", HITPAW, "usd-per-unit=.01", "$0.80 to $38.40"),
        ("clipdrop", "1", CLIPDROP, "usd-per-unit=.5", "to $2.00 ("),
        ("openai", "2", OPENAI, "price-usd=.25", "$2"),
    ],
)
def test_a_plan_a_list_and_a_limit_tell_what_is_known(adapter, draws, known, given, price, capsys):
    plan = ["plan", "photographs", "--adapter", adapter, "--draws", draws]
    assert f"unknown in US dollars: {known}" in " ".join(ended(capsys, plan).out.split()).replace("by tokens: ", "")
    assert known in " ".join(ended(capsys, ["list", "adapters", adapter]).out.split())
    assert run(["calibrate", *plan[1:], "--alpha", ".9", "--metric", "rgb-linf", "--max-cost", "1"]) in (2, 4)
    assert known in " ".join(capsys.readouterr().err.split())
    assert price in ended(capsys, [*plan, "-p", given]).out


@pytest.mark.usefixtures("_keys")
def test_a_price_of_which_nothing_is_known_says_which_parameter_tells_it(capsys):
    assert run(["plan", "photographs", "--adapter", "kie", "--draws", "2"]) == 0
    assert "unknown: give -p price-usd=…" in capsys.readouterr().out
