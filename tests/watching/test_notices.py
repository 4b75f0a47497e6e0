"""Notices: sent when the state changes, kept until they are delivered, with no shell and no secret shown."""

import contextlib
import json
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.recording_server import RecordingServer

from blackbox_conformal.drawing.http import posting as http_posting
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.watching.concluding import Conclusion, accept, conclude
from blackbox_conformal.watching.records import Canary, Finding
from blackbox_conformal.watching.watch_command import apprise_channel, command_channel, deliver, webhook_channel
from blackbox_conformal.watching.watch_file import WatchFile

CALIBRATION = "sha256:" + "0" * 64
CANARY = Canary("one", "sha256:" + "1" * 64, b"png", 20, 16, None)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[WatchFile]:
    with WatchFile(tmp_path / "calibration.watch.sqlite") as opened:
        yield opened


def alarm(file: WatchFile, layer: str = "identity", verdict: str = "changed") -> None:
    watch = file.current(CALIBRATION) or file.begin(CALIBRATION, 0.01, [CANARY], calibrated=False)
    conclude(file, watch, file.plan(watch, []), Conclusion([], [Finding(layer, verdict, "the model is v2")]))  # type: ignore[arg-type]


class Hook(RecordingServer):
    """A web address that answers with each of these statuses in turn."""

    def __init__(self, *statuses: int) -> None:
        turns = iter(statuses)
        super().__init__(lambda head: Response(next(turns), {"Location": f"{self.url}/elsewhere"}))

    @property
    def bodies(self) -> list[dict[str, str]]:
        return [json.loads(request.body) for request in self.asked]


def test_a_change_is_told_once(file, tmp_path):
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    told = tmp_path / "told; touch harm"
    channels = {"command": command_channel([sys.executable, "-c", script, str(told)])}
    assert deliver(file, CALIBRATION, "c.json", channels) == []
    assert not told.exists(), "nothing happened yet"
    alarm(file)
    for _ in range(3):
        assert deliver(file, CALIBRATION, "c.json", channels) == []
    accept(file, CALIBRATION, "looked at")
    assert deliver(file, CALIBRATION, "c.json", channels) == []
    notices = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    assert [notice["state"] for notice in notices] == ["suspended", "accepted"]
    assert notices[0]["reason"] == "identity: the model is v2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calibration.watch.sqlite", "told; touch harm"]


def test_a_webhook_is_tried_again_and_what_it_did_not_take_is_kept_for_the_next_visit(file):
    with Hook(503, 503, 503, 503, 200) as hook:
        channels = {"webhook": webhook_channel(Secret(f"{hook.url}/T0/token-that-nobody-may-see"))}
        pauses: list[float] = []
        alarm(file)
        [trouble] = deliver(file, CALIBRATION, "c.json", channels, sleep=pauses.append)
        assert "was not delivered and is kept for the next visit: HTTP 503" in trouble
        assert len(hook.bodies) == len(pauses) == 3
        assert (deliver(file, CALIBRATION, "c.json", channels, sleep=pauses.append), len(hook.bodies)) == ([], 5)
        assert all(body["state"] == "suspended" for body in hook.bodies)
        assert (deliver(file, CALIBRATION, "c.json", channels), len(hook.bodies)) == ([], 5)
    assert b"token-that-nobody-may-see" not in file.path.read_bytes()
    assert "token" not in trouble


def test_a_socket_that_hangs_up_twice_gets_the_notice_at_the_third_try(file):
    """No answer at all, over a bare socket; the file says what became of it."""
    requests: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        for number in range(3):
            connection, _ = listening.accept()
            with connection:
                received = b""
                while b'"suspended"' not in received:
                    received += connection.recv(65536)
                requests.append(received)
                if number == 2:
                    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    alarm(file)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        channels = {"webhook": webhook_channel(Secret(f"http://127.0.0.1:{listening.getsockname()[1]}/hook"))}
        pauses: list[float] = []
        assert deliver(file, CALIBRATION, "c.json", channels, sleep=pauses.append) == []
        thread.join(timeout=30)
    assert len(requests) == 3
    assert len({request.partition(b"\r\n\r\n")[2] for request in requests}) == 1, "the same notice each time"
    assert (pauses, recorded(file)) == ([1.0, 3.0], [("webhook", 1, 1, None)])
    assert deliver(file, CALIBRATION, "c.json", channels) == []


def test_what_failed_at_a_visit_is_recorded_until_it_is_delivered(file):
    alarm(file)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
    channels = {"webhook": webhook_channel(Secret(address))}
    for tries in (1, 2):
        [trouble] = deliver(file, CALIBRATION, "c.json", channels, sleep=lambda _: None)
        assert "kept for the next visit" in trouble
        assert [row[:3] for row in recorded(file)] == [("webhook", tries, 0)]
    with Hook(200) as hook:
        channels = {"webhook": webhook_channel(Secret(hook.url))}
        assert deliver(file, CALIBRATION, "c.json", channels) == []
        assert [body["state"] for body in hook.bodies] == ["suspended"]
    assert recorded(file) == [("webhook", 3, 1, None)]


def recorded(file: WatchFile) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file.path)) as connection:
        return connection.execute("SELECT channel, tries, delivered_at IS NOT NULL, error FROM notice").fetchall()


def test_a_redirect_is_not_followed(file):
    with Hook(307, 307, 307) as hook:
        alarm(file)
        [trouble] = deliver(
            file, CALIBRATION, "c.json", {"webhook": webhook_channel(Secret(hook.url))}, sleep=lambda _: None
        )
        assert "HTTP 307" in trouble
        assert len(hook.bodies) == 3


def test_a_channel_that_is_new_is_told_the_present_state_and_no_history(file):
    alarm(file)
    accept(file, CALIBRATION, "looked at")
    with Hook(200) as hook:
        deliver(file, CALIBRATION, "c.json", {"webhook": webhook_channel(Secret(hook.url))})
        assert [body["state"] for body in hook.bodies] == ["accepted"]


def test_a_program_that_fails_or_is_missing_ends_no_visit(file):
    alarm(file)
    fails = command_channel([sys.executable, "-c", "import sys; sys.exit('no such room')"])
    [trouble] = deliver(file, CALIBRATION, "c.json", {"command": fails}, sleep=lambda _: None)
    assert "no such room" in trouble
    [trouble] = deliver(
        file, CALIBRATION, "c.json", {"command": command_channel(["/no/such/program"])}, sleep=lambda _: None
    )
    assert "FileNotFoundError" in trouble


def test_apprise_gets_title_and_text(file, monkeypatch):
    sent: list[tuple[str, str, str]] = []

    class Apprise:
        def add(self, address: str) -> bool:
            self.address = address
            return True

        def notify(self, title: str, body: str) -> bool:
            sent.append((self.address, title, body))
            return True

    channels = {"apprise": apprise_channel(Secret("ntfy://room"))}
    alarm(file, "harm", "above")
    monkeypatch.setitem(sys.modules, "apprise", None)
    [trouble] = deliver(file, CALIBRATION, "c.json", channels, sleep=lambda _: None)
    assert "pip install 'blackbox-conformal[apprise]'" in trouble
    monkeypatch.setitem(sys.modules, "apprise", SimpleNamespace(Apprise=Apprise))
    assert deliver(file, CALIBRATION, "c.json", channels) == []
    [(address, title, text)] = sent
    assert (address, title) == ("ntfy://room", "calibration void: c.json")
    assert "harm: the model is v2" in text


def test_a_receiver_that_answers_a_byte_at_a_time_is_left_at_the_deadline(monkeypatch):
    monkeypatch.setattr(http_posting, "DEADLINE_S", 0.3)
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer, contextlib.suppress(OSError):
            while not ended.wait(0.05):
                peer.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, args=(listening,))
        dripping.start()
        posting = threading.Thread(target=refused, args=(f"http://127.0.0.1:{listening.getsockname()[1]}/",))
        posting.start()
        posting.join(15)
        alive = posting.is_alive()
        ended.set()
        dripping.join()
        posting.join()
    assert not alive


def refused(address: str) -> None:
    with pytest.raises(http_posting.UndeliveredError):
        http_posting.post(address, b"{}", {})
