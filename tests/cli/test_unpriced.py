"""What commands say of a price that is known, and not in US dollars."""

from pathlib import Path

import pytest
from support.command_line import ended
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run

HITPAW = "10 to 480 credits a draw (developer.hitpaw.com); give -p usd-per-unit=… with what one is worth"
CLIPDROP = "by output megapixels: 0.2 to 1 credits for each 1 (clipdrop.co/apis/docs/image-upscaling); give -p usd-per-"
OPENAI = "5 USD a million of text sent, 8 of pictures sent, 30 of what is made; the first draw tells how many; give -p "


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photographs(tmp_path / "photographs", range(4))
    monkeypatch.chdir(tmp_path)
    for name in ("HITPAW_API_KEY", "CLIPDROP_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "made-up")


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
    assert run(plan) == 0
    assert f"unknown in US dollars: {known}" in " ".join(capsys.readouterr().out.split()).replace("by tokens: ", "")
    assert run(["list", "adapters", adapter]) == 0
    assert known in " ".join(capsys.readouterr().out.split())
    assert run(["calibrate", *plan[1:], "--alpha", ".9", "--metric", "rgb-linf", "--max-cost", "1"]) in (2, 4)
    assert known in " ".join(capsys.readouterr().err.split())
    assert price in ended(capsys, [*plan, "-p", given]).out


def test_a_price_of_which_nothing_is_known_says_which_parameter_tells_it(capsys):
    assert run(["plan", "photographs", "--adapter", "kie", "--draws", "2"]) == 0
    assert "unknown: give -p price-usd=…" in capsys.readouterr().out
