"""A calibration whose vendor runs out of the user's credit and says so as if it refused the picture."""

import json
from pathlib import Path

import pytest
from support.command_line import ended
from support.scripted_vendor import ScriptedBalance, answer
from support.synthetic import write_photographs

from blackbox_adapters._recipe_reading import SHIPPED
from blackbox_conformal.drawing.ledger.queries import ledger_ls

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
