"""A terminal that is closed, or a connection that breaks, stops a run as Ctrl-C does; and two first starts at once."""

import contextlib
import fcntl
import importlib
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import forked
from support.command_line import VENDOR
from support.forked import Forked
from support.synthetic import write_photographs

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import interruptible
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.testing.fault_server import FaultServer

SLOW = {"submit": "slow-start:seconds=0.4"}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", range(4))
    return tmp_path / "photographs"


def command(server: FaultServer, photographs: Path) -> list[str]:
    choices = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf", "--yes"]
    run = ["--run", str(photographs.parent / "run"), "--concurrency", "2"]
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}"]
    return [sys.executable, "-m", "blackbox_conformal", "calibrate", str(photographs), *vendor, *choices, *run]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def nothing_is_lost(server: FaultServer, photographs: Path, bought: int) -> None:
    sums = ledger_sum(photographs.parent / "run")
    assert (sums["stored"], sums["ambiguous"], sums["reserved_usd"]) == (bought, 0, 0)
    assert 2 <= bought < 12
    again = forked.run(command(server, photographs), text=True)
    assert again.returncode == 0, again.stderr
    assert (server.account.paid, server.account.distinct) == (12, 12)


def test_a_hang_up_finishes_what_is_in_flight_however_often_it_comes(photographs):
    with FaultServer(SLOW) as server:
        with Forked(
            command(server, photographs), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            until(lambda: server.account.paid >= 2)
            process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
            process.send_signal(signal.SIGHUP)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 6, said
        nothing_is_lost(server, photographs, server.account.paid)


def test_a_run_whose_terminal_is_closed_finishes_what_is_in_flight(photographs):
    def own_terminal() -> None:
        # Also where these tests run under nohup.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with FaultServer(SLOW) as server:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            command(server, photographs), stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal
        )
        os.close(slave)
        os.set_blocking(master, False)

        def paid_two() -> bool:
            with contextlib.suppress(BlockingIOError):
                os.read(master, 65536)
            return server.account.paid >= 2

        until(paid_two)
        os.close(master)
        assert process.wait(60) == 6
        nothing_is_lost(server, photographs, server.account.paid)


@pytest.mark.slow
def test_under_nohup_a_hang_up_changes_nothing(photographs):
    with FaultServer(SLOW) as server:
        with subprocess.Popen(
            ["nohup", *command(server, photographs)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            until(lambda: server.account.paid >= 2)
            process.send_signal(signal.SIGHUP)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert server.account.paid == 12


def test_of_two_first_starts_one_is_told_who_uses_the_folder(photographs):
    with FaultServer(SLOW) as server:
        both = [
            Forked(command(server, photographs), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [process.communicate(timeout=120)[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 2], said
        refused = said[0] if both[0].returncode else said[1]
        assert "in use by process" in " ".join(refused.split())
        assert (server.account.paid, server.account.distinct) == (12, 12)


def test_an_interrupt_within_an_import_comes_once_the_import_is_done(tmp_path, monkeypatch):
    module = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(1000): pass\nWHOLE = True\n"
    (tmp_path / "interrupted_import.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)

    def wait_in_the_run() -> None:
        with interruptible(Screen(as_json=False, quiet=True, verbose=0)):
            importlib.import_module("interrupted_import")
            time.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        wait_in_the_run()
    assert sys.modules.pop("interrupted_import").WHOLE


def test_an_interrupt_while_a_text_is_redacted_stops_and_says_so():
    # In a process of its own: one lock taken twice would hang the tests.
    script = """
import signal, threading
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import interruptible
from blackbox_conformal.support import secrets
class Sampler:
    def stop(self): print("stopped", flush=True)
class Told(Screen):
    def note(self, text):
        super().note(text)
        told.set()
told = threading.Event()
with interruptible(Told(as_json=False, quiet=False, verbose=0)) as on_sampler:
    on_sampler(Sampler())
    with secrets._lock:
        signal.raise_signal(signal.SIGINT)
    told.wait(30)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert "stopping: no new calls" in done.stderr


def test_an_interrupt_while_an_object_is_deleted_is_not_lost(capfd):
    class Deleted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def wait_in_the_run() -> None:
        with interruptible(Screen(as_json=False, quiet=True, verbose=0)):
            Deleted()
            time.sleep(30)

    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        wait_in_the_run()
    assert sys.unraisablehook is hook
    assert "Traceback" not in capfd.readouterr().err


class Recorded:
    """A sampler that says when it is stopped."""

    def __init__(self) -> None:
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def test_an_interrupt_stops_the_vendor_that_is_being_asked_and_not_the_first_one_alone():
    first, second = Recorded(), Recorded()
    with interruptible(Screen(as_json=False, quiet=True, verbose=0)) as on_sampler:
        on_sampler(first)
        on_sampler(second)
        signal.raise_signal(signal.SIGINT)
        assert second.stopped == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
