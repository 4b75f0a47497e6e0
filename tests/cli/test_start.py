"""Six questions, at a terminal or by options, and the settings file that other commands then read."""

import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.command_line import called
from support.synthetic import write_photographs

from blackbox_conformal.cli.start import MADE
from blackbox_conformal.testing.fault_server import FaultServer

ANSWERS = {
    "--adapter": "embedded",
    "--photographs": "photographs",
    "--made": "phone",
    "--guarantee": "marked",
    "--alpha": "0.2",
}
FILE = "blackbox-conformal.toml"
KEY = "canary-0b1dd2"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_photographs(tmp_path / "photographs", range(9))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path


def start(folder: Path, code: int = 0, *more: str, without: str = "", **answers: str) -> Any:
    given = {**ANSWERS, **{f"--{name.replace('_', '-')}": value for name, value in answers.items()}}
    words = [word for pair in given.items() if pair[0] != without for word in pair]
    return called("start", "--originals", *words, *more, folder=folder, code=code)


def settings(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / FILE).read_text())


@pytest.mark.parametrize("option", ANSWERS)
def test_without_a_terminal_what_is_missing_is_named(desk, option):
    assert f"expected {option} " in start(desk, 2, without=option).stderr
    assert not (desk / FILE).exists()


@pytest.mark.parametrize("made", MADE)
def test_plan_reads_how_inputs_are_made(desk, made):
    assert start(desk, made=made).stdout.splitlines()[-1] == "Next: blackbox-conformal calibrate photographs"
    kept = settings(desk)
    assert kept["degradation"] == MADE[made][1].format(usual="bicubic")
    assert kept["calibrate"] == kept["plan"] == {"guarantee": "marked"}
    shown = json.loads(called("config", "show", "plan", "--json", folder=desk, code=0).stdout)
    wanted = {"adapter": "embedded", "alpha": "0.2", "degradation": kept["degradation"], "guarantee": "marked"}
    assert {name: shown[name] for name in wanted} == wanted
    assert json.loads(called("plan", "photographs", "--json", folder=desk, code=0).stdout)["calls"] == 9


def test_calibrate_does_with_the_file_what_it_does_with_typed_options(desk):
    start(desk)
    by_file = json.loads(called("calibrate", "photographs", "--run", "a", "--json", folder=desk, code=0).stdout)
    (desk / FILE).unlink()
    typed = ["--adapter", "embedded", "--degradation", "phone", "--guarantee", "marked", "--alpha", "0.2"]
    by_words = json.loads(called("calibrate", "photographs", *typed, "--run", "b", "--json", folder=desk).stdout)
    assert by_file["fingerprint"] == by_words["fingerprint"]
    assert by_file["thresholds"] == by_words["thresholds"]


def test_at_a_terminal_a_wrong_answer_is_asked_for_again_and_the_file_is_that_of_the_options(desk):
    start(desk)
    by_options = (desk / FILE).read_text()
    typed = ["maybe", "yes", "embeded", "embedded", "nowhere", "photographs", "phoen", "phone", "markd", "marked"]
    found = typing(desk, [*typed, "0.001", ""], "--force")
    assert found.returncode == 0, found.stderr
    for said in ("did you mean embedded?", "nowhere does not exist", "got 'markd'", "expected 999 photographs"):
        assert said in found.stderr
    assert (desk / FILE).read_text() == by_options


def typing(folder: Path, answers: list[str], *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    terminal, other_end = pty.openpty()
    try:
        os.write(terminal, "".join(f"{answer}\n" for answer in answers).encode())
        command = [sys.executable, "-m", "blackbox_conformal", "start", *more]
        return subprocess.run(
            command,
            stdin=other_end,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=folder,
            env={**os.environ, **environment},
        )
    finally:
        os.close(terminal)
        os.close(other_end)


def test_a_paid_service_is_asked_about_and_sent_nothing_and_its_key_is_nowhere(desk):
    with FaultServer() as server:
        url, key = f"{server.url}/v1/upscale", {"HTTP_VENDOR_KEY": KEY}
        given = ["-p", f"url={url}", "-p", "key-header=Authorization"]
        answers = ["yes", "http", "0.25", "photographs", "jpeg", "clear-share", "0.6", "1", "", ""]
        found = typing(desk, answers, *given, **key)
        assert server.account.paid == server.account.distinct == 0
    assert found.returncode == 0, found.stderr
    assert "expected a budget of $2.25 or more" in found.stderr
    assert found.stdout.splitlines()[-1] == "Next: blackbox-conformal calibrate photographs --max-cost 3"
    kept = settings(desk)
    assert kept["p"] == {"url": url, "key-header": "Authorization", "price-usd": "0.25"}
    assert kept["calibrate"] == {"guarantee": "clear-share", "max-cost": "3"}
    assert "HTTP_VENDOR_KEY is set" in found.stdout
    assert KEY not in found.stdout + found.stderr + (desk / FILE).read_text()
    shown = json.loads(called("config", "show", "calibrate", "--json", folder=desk, code=0).stdout)
    assert (shown["adapter"], shown["max-cost"], shown["guarantee"]) == ("http", "3", "clear-share")


def test_a_budget_below_the_price_and_a_secret_are_refused(desk):
    vendor = ["-p", "url=http://127.0.0.1:9/v1", "-p", "price-usd=0.25"]
    said = start(desk, 2, *vendor, adapter="http", max_cost="2").stderr
    assert "expected a budget of $2.25 or more for 9 photographs; got 2. Give --max-cost 3" in said
    assert "expected --max-cost 3, since there is no terminal" in start(desk, 2, *vendor, adapter="http").stderr
    assert not (desk / FILE).exists()


def test_without_originals_nothing_is_promised_or_written(desk):
    said = called("start", "--no-originals", folder=desk, code=0).stdout
    assert "A promise needs originals" in said
    assert not (desk / FILE).exists()


def test_a_file_that_is_there_is_kept(desk):
    (desk / FILE).write_text("draws = 1\n")
    assert "add --force to write it anew" in start(desk, 2).stderr
    assert settings(desk) == {"draws": 1}
