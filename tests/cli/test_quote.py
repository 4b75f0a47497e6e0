"""`plan --quote` on the command line: the vendor's own price, asked once a size, free, and never without its key."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import VENDOR
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer

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


def test_without_its_key_nobody_is_asked(plan, monkeypatch):
    monkeypatch.delenv("FAULT_VENDOR_KEY", raising=False)
    with FaultServer() as server:
        code, _, said = plan(server, "-p", "keyed=true", "--quote")
        assert len(server.account.recorded) == 0
    assert code == 2
    assert "FAULT_VENDOR_KEY" in said


def test_a_refused_key_ends_the_plan(plan):
    with FaultServer({"quote": "status:code=401"}) as server:
        code, _, said = plan(server, "--quote")
    assert code == 5
    assert "refused this key" in said
