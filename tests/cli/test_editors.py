"""A calibration with an editor on loopback: its pictures are of its own scale, and what it costs is booked."""

from decimal import Decimal

from support.scripted_vendor import ScriptedGemini
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.queries import ledger_sum


def test_pictures_of_an_editors_own_scale_are_calibrated_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-made-up")
    write_photographs(tmp_path / "photographs", range(12))
    choices = ["--score", "pixel-variance", "--metric", "rgb-linf", "--draws", "2", "--run", "run", "--yes"]
    with ScriptedGemini("NO_IMAGE") as server:
        vendor = ["--adapter", "gemini", "-p", f"url={server.url}", "--max-cost", "5", "--max-resample", "2"]
        code = run(["calibrate", "photographs", *vendor, *choices])
    assert code == 0, capsys.readouterr().err
    assert server.submissions == 25
    assert ledger_sum(tmp_path / "run")["cost_usd"] == server.billed == Decimal("1.6303")
