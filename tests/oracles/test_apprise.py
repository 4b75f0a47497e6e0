"""Notices through the real library apprise, to a web server on this machine."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.watching.concluding import Conclusion, conclude
from blackbox_conformal.watching.records import Canary, Finding
from blackbox_conformal.watching.watch_command import apprise_channel, deliver
from blackbox_conformal.watching.watch_file import WatchFile

CALIBRATION = "sha256:" + "0" * 64
TOKEN = "token-that-nobody-may-see"


class Receiver:
    """A web server that answers with each of `statuses` in turn, then with 200, and keeps what it was sent."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as receiver:
        yield receiver


@pytest.fixture
def file(tmp_path: Path) -> Iterator[WatchFile]:
    """A watch that raised an alarm."""
    with WatchFile(tmp_path / "calibration.watch.sqlite") as opened:
        canary = Canary("one", "sha256:" + "1" * 64, b"png", 20, 16, None)
        watch = opened.begin(CALIBRATION, 0.01, [canary], calibrated=False)
        found = Finding("identity", "changed", "the model is v2")
        conclude(opened, watch, opened.plan(watch, []), Conclusion([], [found]))
        yield opened


def told(file: WatchFile, address: str) -> list[str]:
    channels = {"apprise": apprise_channel(Secret(address))}
    return deliver(file, CALIBRATION, "calibration.json", channels, sleep=lambda _: None)


def notices(file: WatchFile) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file.path)) as connection:
        return connection.execute("SELECT channel, tries, delivered_at IS NOT NULL, error FROM notice").fetchall()


def test_title_and_text_arrive_once(file: WatchFile, receiver: Receiver) -> None:
    receiver.statuses = [503, 503]
    address = f"json://127.0.0.1:{receiver.server.server_port}/{TOKEN}"
    assert told(file, address) == []
    assert [(body["title"], "identity: the model is v2" in body["message"]) for body in receiver.bodies] == [
        ("calibration suspended: calibration.json", True)
    ] * 3
    assert notices(file) == [("apprise", 1, 1, None)]
    assert told(file, address) == []
    assert len(receiver.bodies) == 3


def test_what_is_not_taken_is_kept_and_no_address_is_shown(
    file: WatchFile, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses = [500] * 3
    address = f"json://user:{TOKEN}@127.0.0.1:{receiver.server.server_port}/{TOKEN}?+X-Key={TOKEN}"
    [trouble] = told(file, address)
    assert "the notice to the apprise was not delivered and is kept for the next visit" in trouble
    assert notices(file) == [("apprise", 1, 0, "apprise could not send it")]
    assert told(file, address) == []
    assert notices(file) == [("apprise", 2, 1, None)]
    assert TOKEN.encode() not in file.path.read_bytes()
    out, err = capfd.readouterr()
    assert TOKEN not in out + err + trouble


@pytest.mark.parametrize("address", [f"nonsense://{TOKEN}@host", f"slack://{TOKEN}", f"{TOKEN}"])
def test_an_address_that_apprise_does_not_know_is_told_as_that(
    file: WatchFile, address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    [trouble] = told(file, address)
    assert "apprise knows no such address" in trouble
    out, err = capfd.readouterr()
    assert TOKEN not in out + err + trouble
