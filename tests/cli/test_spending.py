"""Money on the command line: no consent, no call; budgets stop; refusals stop; the same command resumes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic import write_photographs

from blackbox_conformal.testing.fault_server import FaultServer

VENDOR = "blackbox_conformal.testing.adapters:SynchronousVendor"
CHOICES = ["--draws", "3", "--indecision", "pixel-variance", "--fidelity", "rgb-linf"]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", range(4))
    return tmp_path / "photographs"


def arguments(server: FaultServer, photographs: Path, *more: str) -> list[str]:
    command = [sys.executable, "-m", "blackbox_conformal", "calibrate", str(photographs), "--adapter", VENDOR]
    return [*command, "-p", f"url={server.url}", *CHOICES, "--run", str(photographs.parent / "run"), "--json", *more]


def run(server: FaultServer, photographs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(server, photographs, *more),
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def paid(server: FaultServer) -> int:
    return server.account.paid


def test_without_consent_and_without_a_terminal_nothing_is_sent(server: FaultServer, photographs: Path) -> None:
    found = run(server, photographs)
    assert found.returncode == 4
    assert "--yes or --max-cost" in found.stderr
    assert "12 calls" in found.stderr
    assert paid(server) == 0


def test_a_dry_run_plans_and_sends_nothing(server: FaultServer, photographs: Path) -> None:
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


def test_a_budget_stops_before_it_is_exceeded_and_the_same_command_resumes(
    server: FaultServer, photographs: Path
) -> None:
    first = run(server, photographs, "--max-cost", "0.05")
    assert first.returncode == 4, first.stderr
    assert paid(server) == 5
    again = run(server, photographs, "--max-cost", "0.12")
    assert again.returncode == 0, again.stderr
    assert paid(server) == 12
    document = json.loads(again.stdout)
    assert (document["calls"], document["cached"], document["n"]) == (7, 5, 4)
    once_more = run(server, photographs, "--yes")
    assert json.loads(once_more.stdout)["calls"] == 0
    assert paid(server) == 12


def test_yes_is_a_yes_to_the_plan_and_to_no_more(server: FaultServer, photographs: Path) -> None:
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


def test_a_vendor_that_refuses_the_key_stops_the_run(photographs: Path) -> None:
    with FaultServer(api_key="right") as server:
        found = subprocess.run(
            arguments(server, photographs, "--yes", "-p", "keyed=true"),
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "FAULT_VENDOR_KEY": "canary-wrong-key"},
            check=False,
        )
        assert found.returncode == 5, found.stderr
        assert "canary-wrong-key" not in found.stderr + found.stdout
        assert "Check the key" in found.stderr
        assert "run the same command again" in found.stderr
        assert paid(server) == 0
        again = subprocess.run(
            arguments(server, photographs, "--yes", "-p", "keyed=true"),
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "FAULT_VENDOR_KEY": "right"},
            check=False,
        )
        assert again.returncode == 0, again.stderr
        assert paid(server) == 12


def test_one_interrupt_finishes_what_is_in_flight_and_the_run_resumes(photographs: Path) -> None:
    with FaultServer({"submit": "slow-start:seconds=0.4"}) as server:
        process = subprocess.Popen(
            arguments(server, photographs, "--yes", "--concurrency", "1"),
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
