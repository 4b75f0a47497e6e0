"""Faults of security, S1 to S10, as far as the sampler and adapters meet them."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from support.draws import draw, tasks

from blackbox_conformal.drawing.ledger.queries import csv_cell, ledger_export
from blackbox_conformal.errors import VendorError
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.testing.fault_server import FaultServer, planned
from blackbox_conformal.testing.faults import HOSTILE_TEXT, Fault
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.adapter import Accepted, Draw, Flow, Part, Send, Upload

CANARY = "canary-7f3a9c-key"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FAULT_VENDOR_KEY", CANARY)
    return CANARY


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"submit": f"status:code=422,message=your key {CANARY} is odd"},
        {"submit": Fault("status", {"code": 401, "message": f"bad key {CANARY}"})},
        {"submit": "close-without-answer"},
        {"submit": "not-http"},
        {"submit": Fault("redirect", {"location": f"http://other.example/?api_key={CANARY}"})},
        {"submit": Fault("status", {"code": 429, "retry_after": "86400", "message": CANARY})},
        {"poll": "captive-portal"},
        {"download": "redirect-loop"},
    ],
)
@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_s01_key_appears_in_no_artifact_log_or_message(
    tmp_path, key, kind, plan, caplog,
    capfd,
):  # fmt: skip
    events: list[Any] = []
    caplog.set_level(logging.DEBUG)
    with FaultServer(plan, api_key=key) as server:
        given = {"listener": events.append, "job_deadline_s": 1.0, "max_attempts": 2}
        drawn = draw(kind(url=server.url, keyed=True), tmp_path / "run", tasks(1, 2), **given)
        signatures = {
            seen.target.partition("signature=")[2] for seen in server.account.recorded if "signature=" in seen.target
        }
    shown = [drawn.text, repr(drawn.outcomes), repr(events), caplog.text, *capfd.readouterr()]
    for error in drawn.errors:
        while error is not None:
            shown += [repr(error), repr(getattr(error, "args", ()))]
            error = error.__cause__ or error.__context__
    for secret in {key, *signatures}:
        assert all(secret not in text for text in shown)
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@contextmanager
def trap() -> Iterator[tuple[int, list[Any]]]:
    """A port that must not be connected to, and the connections that came all the same."""
    came: list[Any] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    done = threading.Event()

    def accept() -> None:
        while not done.is_set():
            try:
                sock, address = listener.accept()
            except TimeoutError:
                continue
            came.append(address)
            sock.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1], came
    finally:
        done.set()
        thread.join()
        listener.close()


TARGETS = """
http://169.254.169.254/latest/meta-data/ https://169.254.169.254/latest/meta-data/ https://[fd00:ec2::254]/
https://10.0.0.1/x.png https://192.168.1.1/x.png https://100.64.0.1/x.png https://0.0.0.0/x.png
http://127.0.0.1:{trap}/x.png https://127.0.0.1:{trap}/x.png http://localhost:{trap}/x.png https://localhost/x.png
http://[::1]:{trap}/x.png https://[::ffff:127.0.0.1]/x.png https://[::ffff:169.254.169.254]/x.png
https://[64:ff9b::7f00:1]/x.png http://2130706433:{trap}/x.png https://2130706433/x.png https://0x7f.1/x.png
http://vendor.example:{trap}/x.png https://vendor.example:{trap}/x.png https://inside.example/x.png
https://vendor.example@inside.example/x.png http://other.example:{trap}/x.png http://other.example:{own}/x.png
file:///etc/passwd ftp://127.0.0.1:{trap}/x.png gopher://127.0.0.1:{trap}/x //127.0.0.1:{trap}/x.png
javascript:alert(1) https:// https://[::1
"""
TARGETS = [*TARGETS.split(), "https://a b/x.png", "https://127.0.0.1\r\nX-Evil: 1/x.png"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name means this machine, so that a vendor which is not called so can be played here."""
    resolve = socket.getaddrinfo

    def here(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if str(name).endswith(".example") else host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("redirected", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_s02_links_and_redirects_to_forbidden_places_are_never_followed(tmp_path, target, redirected, server):
    """A vendor at a public name sends the client there: nobody is connected to."""
    with trap() as (port, came):
        link = target.replace("{trap}", str(port)).replace("{own}", str(server.port))
        own = f"http://vendor.example:{server.port}"
        server.script = {"submit": Fault("mark", {"url": link})}
        if redirected:
            first = Fault("mark", {"url": f"{own}/results/x"})
            server.script = {"submit": first, "download": Fault("redirect", {"location": link})}
        drawn = draw(JobVendor(url=own), tmp_path / "run", tasks(), job_deadline_s=0.3, max_attempts=1)
        assert (came, server.account.requests("submit")) == ([], 1)
        assert server.account.requests("download") == 0 or redirected
    assert "stored" not in drawn.states
    assert "root:" not in drawn.text
    assert all(letter.isprintable() for letter in drawn.text)


@pytest.mark.usefixtures("names")
def test_s02_a_link_to_the_vendors_own_place_is_opened(tmp_path, server):
    own = f"http://vendor.example:{server.port}"
    server.script = planned({"submit": Fault("mark", {"url": f"{own}/results/x"})})
    draw(JobVendor(url=own), tmp_path / "run", tasks(), job_deadline_s=0.3, max_attempts=1)
    assert server.account.requests("download") >= 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_s03_key_is_not_sent_with_a_download_or_after_a_redirect(tmp_path, key, code):
    plan = {
        "poll": ["redirect-loop"],
        "download": [Fault("redirect", {"location": "/results/elsewhere", "code": code})],
    }
    with FaultServer(plan, api_key=key) as server:
        draw(JobVendor(url=server.url, keyed=True), tmp_path / "run", tasks(), job_deadline_s=2.0, max_attempts=2)
        downloads = [seen for seen in server.account.recorded if seen.purpose in ("download", "other")]
    assert downloads
    assert all(key not in str(dict(seen.headers)) and key not in seen.target for seen in downloads)


class Careless(JobVendor):
    """Sends its key with downloads, as a private link or as a public one."""

    public: bool = False

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        flow = super().resume(upload, draw, job)
        step = next(flow)
        while True:
            if isinstance(step, Send) and step.purpose == "download":
                step = replace(step, headers=self._headers(), public=self.public)
            answer = yield step
            try:
                step = flow.send(answer)
            except StopIteration as end:
                return end.value


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("public", [False, True])
def test_s03_key_of_a_careless_adapter_reaches_the_vendors_own_place_only(tmp_path, key, separate, public):
    plan = {"download": ["redirect-loop"]}
    with FaultServer(plan, api_key=key, separate_results=separate) as server:
        drawn = draw(Careless(url=server.url, keyed=True, public=public), tmp_path / "run", tasks())
        downloads = [seen for seen in server.account.recorded if seen.purpose == "download"]
    assert (drawn.states, len(downloads)) == (["stored"], 2)
    first, redirected = (key in str(dict(seen.headers)) for seen in downloads)
    assert first == (not public and not separate)
    assert not redirected


class Traversing(JobVendor):
    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield Send("POST", f"{self.url}/v1/jobs", purpose="submit", form=self._fields(draw), files=self._files(upload))
        yield Accepted("../../escape/job-0")
        return (yield from self.resume(upload, draw, "job-0"))

    def _files(self, upload: Upload) -> tuple[Part, ...]:
        return (Part("image", "../../escape.png", upload.png),)


def test_s05_job_ids_and_names_never_become_paths(tmp_path, server):
    drawn = draw(Traversing(url=server.url), tmp_path / "run", tasks())
    assert (drawn.states, sorted(path.name for path in tmp_path.iterdir())) == (["stored"], ["run"])
    assert all("escape" not in str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("code", [400, 413, 415, 422, 401])
def test_s06_s07_vendor_texts_reach_the_terminal_without_control_characters(tmp_path, code, vendor, server):
    server.script = {"submit": Fault("hostile-message", {"code": code})}
    drawn = draw(vendor, tmp_path / "run", tasks())
    assert isinstance(drawn.error, VendorError) or drawn.states == ["refused"]
    assert all(letter.isprintable() for letter in drawn.text)
    assert "\u202e" in HOSTILE_TEXT
    assert "\u202e" not in drawn.text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_s08_no_cell_of_an_export_begins_like_a_formula(tmp_path, start, vendor):
    (task,) = tasks()
    hostile = replace(task, upload=replace(task.upload, name=f"{start}cmd|'/c calc'!A1"))
    draw(vendor, tmp_path / "run", [hostile])
    (row,) = ledger_export(tmp_path / "run")
    cells = [csv_cell(value) for value in row.values() if isinstance(value, str)]
    assert any("calc" in cell for cell in cells)
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)
    assert csv_cell(-3) == "-3"


def test_signed_links_are_redacted_wherever_they_are_shown():
    shown = redact("GET https://cdn.example/x.png?X-Amz-Signature=abc&token=def&width=4 failed")
    assert "abc" not in shown
    assert "def" not in shown
    assert "width=4" in shown
