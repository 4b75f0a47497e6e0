"""With --json stdout carries one document and nothing else, whatever becomes of the command."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
from support.command_line import COMMAND, VENDOR, called
from support.forked import Forked
from support.synthetic import write_photographs

from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return Forked([*COMMAND, *arguments], **pipes, text=True, cwd=cwd, start_new_session=True)


def failed(*arguments: str, cwd: Path, **environment: str) -> tuple[int, dict]:
    """Exit code and the one document's error."""
    ended = called(*arguments, folder=cwd, **environment)
    document = json.loads(ended.stdout)
    assert set(document) == {"error"}
    assert document["error"]["exit_code"] == ended.returncode
    assert document["error"]["message"] in ended.stderr, "people are told the same"
    return ended.returncode, document["error"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    write_photographs(folder / "photographs", range(3))
    return folder


def calibrate(url: str, *more: str) -> list[str]:
    return ["calibrate", "photographs", "--adapter", VENDOR, "-p", f"url={url}", *CHOICES, "--json", *more]


def test_usage(desk):
    assert failed("calibrat", "--json", cwd=desk)[1]["kind"] == "UsageError"
    assert failed("calibrate", "--json", cwd=desk)[0] == 2
    assert failed("calibrate", "photographs", "--json", "--adapter", "none", cwd=desk)[0] == 2
    code, error = failed("doctor", "--runn", "x", cwd=desk, BLACKBOX_CONFORMAL_JSON="1")
    assert (code, error["kind"]) == (2, "UsageError")


def test_money_keys_and_what_is_left_over(desk):
    with FaultServer() as server:
        assert failed(*calibrate(server.url), cwd=desk)[1]["kind"] == "BudgetError"
    with FaultServer({"submit": ["status:code=401"] * 50}) as server:
        code, error = failed(*calibrate(server.url, "--yes", "--run", "refused"), cwd=desk)
        assert (code, error["kind"]) == (5, "AccountRefusedError")
    with FaultServer({"submit": ["captive-portal"] * 50}) as server:
        assert failed(*calibrate(server.url, "--yes", "--run", "left"), cwd=desk)[0] == 6


def test_a_bug(desk, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("never seen")

    monkeypatch.setattr("blackbox_conformal.study.pictures_in_memory.find_photographs", broken)
    code, error = failed(*calibrate("http://127.0.0.1:1"), cwd=desk)
    assert (code, error["kind"]) == (1, "RuntimeError")
    assert "never seen" in error["message"]


@pytest.mark.parametrize(("times", "codes"), [(1, {6}), (2, {130})])
def test_an_interrupt(desk, times, codes):
    with (
        FaultServer({"submit": ["slow-start:seconds=2"] * 50}) as server,
        start(*calibrate(server.url, "--yes", "-v", "--run", f"stopped-{times}"), cwd=desk) as process,
    ):
        assert process.stderr is not None
        while '"submitted"' not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        if times == 2:
            while "stopping" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode in codes
    assert json.loads(out)["error"]["exit_code"] == process.returncode


def test_a_document_that_was_written_stands_alone(desk):
    (desk / "doctored" / "runs" / "x").mkdir(parents=True)
    (desk / "doctored" / "runs" / "x" / "ledger.sqlite").write_bytes(b"no database, " * 400)
    ended = called("ledger", "verify", "--run", "doctored/runs/x", "--json", folder=desk)
    assert ended.returncode != 0
    json.loads(ended.stdout)


def test_without_json_stdout_stays_empty(desk):
    assert called("calibrate", "photographs", "--adapter", "none", folder=desk, code=2).stdout == ""
