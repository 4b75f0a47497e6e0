"""`audit` stops buying on the command line, says so, and the report shows the running bound."""

import json
import signal

import pytest
from support.command_line import called, ended
from support.shop import Shop
from support.synthetic import write_photographs

from blackbox_conformal.study.audit.auditing import Stopping
from blackbox_conformal.testing.fault_server import FaultServer


@pytest.fixture
def shop(tmp_path):
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def test_an_audit_stops_says_why_and_the_report_shows_the_running_bound(shop):
    write_photographs(shop.folder / "unseen", range(30, 42))
    before = shop.paid
    command = ["audit", "unseen", "--calibration", shop.calibration, "--alpha", "0.95", "--concurrency", "1"]
    told = shop.run(*command, "--json")
    assert told.returncode == 0, told.stderr
    document = json.loads(told.stdout)
    stop = document["stop"]
    assert (stop["given"], stop["reason"], document["verdict"]) == (12, "confirmed", "confirmed")
    assert shop.paid - before == 2 * stop["looked"] < 2 * 12
    assert " ".join(stop["meaning"].split()[:5]) in " ".join(told.stderr.decode().split())
    page = shop.folder / "page.html"
    called("report", "--run", str(shop.folder / "run"), "--out", str(page), "--calibration", shop.calibration, code=0)
    words = page.read_text()
    assert stop["meaning"] in words
    assert "The running bound" in words
    assert shop.run(*command, "--no-stop", "--json").returncode == 0
    assert shop.paid - before == 2 * 12


def test_an_audit_that_is_interrupted_between_two_batches_resumes_and_pays_nothing_twice(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop.folder)
    write_photographs(shop.folder / "unseen", range(30, 42))
    before, looks = shop.paid, []
    command = ["audit", "unseen", "--calibration", shop.calibration, "--alpha", "0.6", "--concurrency", "1"]
    look = Stopping.look

    def look_and_interrupt(stopping, audited):
        """No call is under way: the batch is measured, and the next one is not begun."""
        look(stopping, audited)
        looks.append(len(audited))
        if len(looks) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Stopping, "look", look_and_interrupt)
    said = ended(capsys, [*command, *shop.common], 6).err
    assert "stopped before the next draw; what is paid is kept, and the same command resumes" in said
    assert "before anything was drawn" not in said
    assert looks == looks[:1]
    assert shop.paid - before == 2 * looks[0] < 2 * 12
    stop = json.loads(ended(capsys, [*command, *shop.common, "--json"]).out)["stop"]
    assert stop["looked"] > looks[0]
    assert shop.paid - before == 2 * stop["looked"]
