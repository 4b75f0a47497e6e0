"""Faults of the network and of HTTP, N1 to N25, against real sockets."""

import os
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.draws import draw, ledger, limits, tasks

from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.testing.fault_server import FaultServer, Situation
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor


@contextmanager
def closed_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_n01_name_does_not_resolve_is_not_sent_and_names_the_host(tmp_path, monkeypatch):
    asked: list[Any] = []

    def refuse(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    drawn = draw(SynchronousVendor(url="https://vendor.invalid"), tmp_path / "run", tasks())
    assert drawn.ended == "VendorUnavailableError"
    assert "vendor.invalid" in drawn.text
    assert not {"stored", "ambiguous"} & set(drawn.states)
    assert asked


def test_n01_name_that_resolves_late_is_repeated(tmp_path, monkeypatch, vendor, server):
    resolve, failures = socket.getaddrinfo, [socket.gaierror(socket.EAI_AGAIN, "Temporary failure")] * 2

    def late(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return resolve(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", late)
    drawn = draw(vendor, tmp_path / "run", tasks())
    assert (drawn.states, server.account.paid) == (["stored"], 1)


def test_n02_connection_refused_is_not_sent(tmp_path):
    with closed_port() as port:
        drawn = draw(SynchronousVendor(url=f"http://127.0.0.1:{port}"), tmp_path / "run", tasks())
    assert drawn.ended == "VendorUnavailableError"
    assert "ambiguous" not in drawn.states
    assert "127.0.0.1" in drawn.text


def test_n02_swallowed_syn_ends_by_the_connect_timeout(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        patience = {"connect_timeout_s": 0.2, "attempt_timeout_s": 30.0, "max_attempts": 2}
        drawn = draw(SynchronousVendor(url=f"http://127.0.0.1:{port}"), tmp_path / "run", tasks(), **patience)
        for filler in fillers:
            filler.close()
    assert drawn.ended == "VendorUnavailableError"
    assert "ambiguous" not in drawn.states


def test_n03_wrong_certificate_stops_at_once_without_a_bad_tip(tmp_path):
    with FaultServer(certificate=Path(__file__).with_name("certificate.pem")) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path / "run", tasks(4), concurrency=1)
    assert drawn.error is not None
    assert "stored" not in drawn.states
    assert "certificate" in drawn.text.lower()
    assert "verify=False" not in drawn.text
    assert (server.account.requests("submit"), server.account.summary()["connections"]) == (0, 1)


def test_certificates_that_cannot_be_read_bill_nothing(tmp_path, monkeypatch):
    run = tmp_path / "run"
    with FaultServer(certificate=Path(__file__).with_name("certificate.pem")) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        drawn = draw(SynchronousVendor(url=server.url), run, tasks(4))
        assert drawn.ended == "VendorUnavailableError"
        assert "SSL_CERT_FILE" in drawn.text
        assert ledger_sum(run)["cost_usd"] == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(Path(__file__).with_name("certificate.pem")))
        assert "invalid" not in draw(SynchronousVendor(url=server.url), run, tasks(4)).states


def test_n04_credentials_of_a_proxy_are_never_shown(tmp_path, monkeypatch):
    with closed_port() as port:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://someone:pr0xyPassw0rd@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        drawn = draw(SynchronousVendor(url="http://vendor.invalid"), tmp_path / "run", tasks())
    assert drawn.ended == "VendorUnavailableError"
    assert "ambiguous" not in drawn.states
    assert "pr0xyPassw0rd" not in drawn.text


def test_n04_netrc_is_not_read(tmp_path, monkeypatch, server, jobs):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password netrcPassw0rd\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    draw(jobs, tmp_path / "run", tasks())
    assert server.account.paid == 1
    assert all("authorization" not in seen.headers for seen in server.account.recorded)


@pytest.mark.parametrize("fault", ["reset-before-body", "reset-while-body:after=1000"])
def test_n05_reset_while_the_body_is_sent_is_maybe_sent(tmp_path, fault, vendor, server):
    server.script = {"submit": fault}
    drawn = draw(vendor, tmp_path / "run", tasks(1, width=500, height=500))
    assert (drawn.states, server.account.requests("submit")) == (["ambiguous"], 1)


@pytest.mark.parametrize("fault", ["close-without-answer", "reset-after-body", "half-close", "half-head", "not-http"])
def test_n06_server_closes_without_an_answer_and_is_asked_only_once(tmp_path, either, fault, server):
    server.script = {"submit": [fault]}
    first = draw(either, tmp_path / "run", tasks())
    assert (first.states, server.account.paid, server.account.requests("submit")) == (["ambiguous"], 1, 1)
    again = draw(either, tmp_path / "run", tasks())
    assert "stored" not in again.states
    assert server.account.requests("submit") == 1
    allowed = draw(either, tmp_path / "run", tasks(), retry_ambiguous=True)
    assert (allowed.states, server.account.paid, server.account.requests("submit")) == (["stored"], 2, 2)


@pytest.mark.parametrize("fault", ["close-without-answer", "reset-after-body", "status:code=500,billed=yes"])
@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_n06_with_an_idempotency_key_the_same_key_is_sent_again(tmp_path, kind, fault):
    with FaultServer({"submit": [fault]}, idempotent=True) as server:
        drawn = draw(kind(url=server.url, idempotent=True), tmp_path / "run", tasks())
        keys = {seen.headers["idempotency-key"] for seen in server.account.recorded if seen.purpose == "submit"}
    assert drawn.states == ["stored"]
    assert (server.account.paid, server.account.requests("submit"), len(keys)) == (1, 2, 1)


@pytest.mark.parametrize("fault", ["close-after-answer", "reset-after-answer"])
def test_n07_keep_alive_closed_under_the_client_pays_nothing_twice(tmp_path, fault, vendor, server):
    server.script = {"submit": fault}
    drawn = draw(vendor, tmp_path / "run", tasks(8), concurrency=1)
    assert server.account.paid == server.account.distinct
    assert server.account.requests("submit") == server.account.paid
    assert drawn.states.count("stored") + drawn.states.count("ambiguous") == 8
    assert drawn.states.count("stored") >= 4


@pytest.mark.parametrize(
    "fault",
    [Fault("drip-body", {"interval": 0.05}), Fault("drip-headers", {"interval": 0.05}), Fault("endless-interim")],
)
def test_n09_dripping_answers_end_by_the_wall_clock(tmp_path, fault):
    with FaultServer({"download": [fault]}) as server:
        drawn = draw(JobVendor(url=server.url), tmp_path / "run", tasks(), attempt_timeout_s=0.6)
        assert drawn.states == ["stored"]
    with FaultServer({"submit": [fault]}) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path / "other", tasks(), attempt_timeout_s=0.6)
        assert (drawn.states, server.account.requests("submit")) == (["ambiguous"], 1)


CUTS = ["cut-length", "length-too-long", "cut-chunked", "unframed-body:share=0.5"]
POLLS = [["status:code=429", "status:code=429,retry-after=0"], ["status:code=500", "status:code=502"], ["cut-length"]]
POLLS += [["never-answers", "drip-body:interval=0.3"], ["reset-after-body", "close-without-answer"], ["captive-portal"]]
ONCE, JOBS, PATIENT = SynchronousVendor, JobVendor, {"attempt_timeout_s": 5.0}
STORED, NO_PICTURE = [["stored"]], [[], ["ambiguous"], ["invalid"], ["refused"], ["expired"]]
LOST, EXPIRED = (
    {"submit": ["close-without-answer"]},
    [Fault("expired-link", {"code": code}) for code in (403, 404, 410)],
)
UNBILLED = ["json-error", "captive-portal", *([one] for one in (*CUTS, "endless-body", "declared-huge"))]
# Of one draw: the plan of faults, how it may end, and how many requests of each kind are made, and paid.
ONE = [(JOBS, {"download": [cut]}, STORED, {"download": 2}, {}) for cut in (*CUTS, "length-too-short")]
ONE += [(JOBS, {"download": [expired]}, STORED, {}, {}) for expired in EXPIRED]
ONE += [(JOBS, {"poll": list(polls)}, STORED, {}, {"attempt_timeout_s": 0.4, "max_attempts": 5}) for polls in POLLS]
ONE += [(ONCE, {"submit": [one]}, NO_PICTURE[1:3], {}, PATIENT) for one in (*CUTS, "endless-body", "declared-huge")]
ONE += [(kind, {"submit": "captive-portal"}, NO_PICTURE, {}, {}) for kind in (ONCE, JOBS)]
ONE += [
    (JOBS, {"download": ["captive-portal"]}, STORED, {"download": 2}, {}),
    (JOBS, {"download": "stacked-encodings"}, NO_PICTURE, {}, {}),
    (JOBS, {"submit": Fault("mark", {"backwards": True})}, STORED, {}, {}),
    (partial(JOBS, lookup=True), LOST, STORED, {"lookup": 1}, {}),
    (ONCE, {"submit": ["never-answers"]}, [["ambiguous"]], {}, {"attempt_timeout_s": 0.4}),
    (ONCE, {"submit": "json-error"}, NO_PICTURE[1:4], {}, {}),
    (ONCE, {"submit": ["status:code=429", "status:code=429"]}, STORED, {"submit": 3}, {"max_attempts": 5}),
]


@pytest.mark.parametrize(("kind", "plan", "ends", "requests", "limits"), ONE)
def test_n06_n08_n10_n12_n13_n15_n19_n20_p03_p05_p07_one_draw_is_sent_and_paid_once(
    tmp_path, server, kind, plan, ends, requests, limits
):
    server.script = plan
    drawn = draw(kind(url=server.url), tmp_path, tasks(), **limits)
    assert drawn.states in ends
    made = {"submit": 1, **requests}
    assert {purpose: server.account.requests(purpose) for purpose in made} == made
    assert server.account.paid == 1 or plan["submit"] in UNBILLED
    assert "bill" in drawn.text or plan.get("submit") != ["never-answers"], "the vendor may work on it"


def downloads(tmp_path: Path, plan: list[Any], *, ranges: bool) -> list[dict[str, str]]:
    """Headers of the downloads of one draw, which must end with the right picture, paid once."""
    with FaultServer({"download": plan}, ranges=ranges) as server:
        (task,) = tasks()
        drawn = draw(JobVendor(url=server.url), tmp_path / "run", [task])
        assert drawn.states == ["stored"]
        assert drawn.pictures == {(task.upload.digest, 0): upscale(task.upload.png, 4, task.seed or 0)}
        assert (server.account.paid, server.account.requests("submit")) == (1, 1)
        return [dict(seen.headers) for seen in server.account.recorded if seen.purpose == "download"]


@pytest.mark.parametrize("fault", ["cut-length", "cut-length:share=0.01", "cut-chunked"])
def test_n10_cut_download_of_a_known_version_goes_on_where_it_was_cut(tmp_path, fault):
    first, second = downloads(tmp_path, [fault], ranges=True)
    assert "range" not in first
    assert int(second["range"].removeprefix("bytes=").removesuffix("-")) > 0
    assert second["if-match"].startswith('"')


def test_n10_download_that_is_cut_again_and_again_goes_on_each_time(tmp_path):
    _, *further = downloads(tmp_path, ["cut-length", "cut-length", "status:code=503,retry-after=0"], ranges=True)
    starts = [int(headers["range"].removeprefix("bytes=").removesuffix("-")) for headers in further]
    assert starts[0] < starts[1] == starts[2]


def test_n11_a_broken_download_without_a_version_starts_from_zero(tmp_path):
    first, second = downloads(tmp_path, ["cut-length"], ranges=False)
    assert "range" not in first
    assert "range" not in second


def test_n11_a_range_answered_by_the_whole_is_taken_as_the_whole(tmp_path):
    assert len(downloads(tmp_path, ["cut-length", "range-ignored"], ranges=True)) == 2


@pytest.mark.parametrize(
    "fault", ["range-of-another-version", "range-of-another-version:tag=none", "range-shifted", "version-gone"]
)
def test_n11_another_version_or_place_is_never_joined(tmp_path, fault):
    _, second, third = downloads(tmp_path, ["cut-length", fault], ranges=True)
    assert "range" in second
    assert "range" not in third


@pytest.mark.parametrize("fault", ["endless-body", "declared-huge", "endless-headers"])
def test_n12_endless_answers_stop_at_the_cap(tmp_path, fault, server, jobs):
    server.script = {"download": [fault]}
    tracemalloc.start()
    drawn = draw(jobs, tmp_path / "run", tasks(), attempt_timeout_s=5.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (server.account.paid, drawn.states) == (1, ["stored"])
    assert peak < 60_000_000


def test_n13_bomb_in_the_content_encoding_is_never_inflated(tmp_path, server, jobs):
    bomb = Fault("gzip-bomb", {"size": 256 * 1024 * 1024})
    server.script = {"download": [bomb]}
    tracemalloc.start()
    drawn = draw(jobs, tmp_path / "run", tasks(), attempt_timeout_s=10.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    encodings = {seen.headers.get("accept-encoding") for seen in server.account.recorded if seen.purpose == "download"}
    assert (drawn.states, server.account.paid, encodings) == (["stored"], 1, {"identity"})
    # The server itself holds a megabyte block and a 260 kB answer in this process.
    assert peak < 60_000_000


def test_n13_one_layer_that_nobody_asked_for_is_read_under_the_cap(tmp_path, server, jobs):
    server.script = {"download": ["stacked-encodings:times=1"]}
    drawn = draw(jobs, tmp_path / "run", tasks())
    assert (drawn.states, server.account.requests("download")) == (["stored"], 1)
    (task,) = tasks()
    assert list(drawn.pictures.values()) == [upscale(task.upload.png, 4, task.seed or 0)]


def test_n14_the_pool_survives_timeouts_under_contention(tmp_path):
    def script(situation: Situation) -> Fault | None:
        return Fault("slow-start", {"seconds": 0.5}) if situation.number % 3 else None

    work = tasks(4, 12)
    with FaultServer({}, idempotent=True) as server:
        server.script = lambda situation: script(situation) if situation.purpose == "submit" else None
        vendor = SynchronousVendor(url=server.url, idempotent=True)
        draw(vendor, tmp_path / "run", work, concurrency=12, attempt_timeout_s=0.2, max_attempts=2)
        server.script = lambda situation: None
        drawn = draw(vendor, tmp_path / "run", work, concurrency=12, retry_ambiguous=True)
    assert (drawn.states, server.account.paid) == (["stored"] * 48, 48)


def test_n15_a_conflict_is_waited_for_and_refuses_no_picture(tmp_path):
    with FaultServer({"submit": ["status:code=409", "status:code=409"]}) as server:
        drawn = draw(SynchronousVendor(url=server.url), tmp_path / "run", tasks(2), max_attempts=5, concurrency=1)
        assert (drawn.states, server.account.paid, server.account.requests("submit")) == (["stored"] * 2, 2, 4)
    with FaultServer({"submit": "status:code=409"}) as server:
        adapter = SynchronousVendor(url=server.url)
        never = draw(adapter, tmp_path / "never", tasks(2), max_attempts=2, concurrency=1)
        assert never.ended == "VendorUnavailableError"
        assert "HTTP 409" in never.text
        assert (never.states, server.account.paid) == ([], 0)


HARMLESS = ["0", "0.05", "-5", "soon", "nan", "inf", "-inf", "1e999", "", "0x10", "1, 2"]
HARMLESS += ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo 2015 99:99:99 GMT"]


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("value", HARMLESS)
def test_n16_a_harmless_retry_after_ends_in_a_picture(tmp_path, value, code, vendor, server):
    server.script = {"submit": [Fault("status", {"code": code, "retry_after": value})]}
    drawn = draw(vendor, tmp_path / "run", tasks(), max_attempts=5)
    assert (drawn.states, server.account.paid) == (["stored"], 1)


@pytest.mark.parametrize("value", ["86400", "9" * 400, "Fri, 01 Jan 100000 00:00:00 GMT"])
def test_n16_a_day_long_retry_after_stops_and_says_when_to_resume(tmp_path, value, vendor, server):
    server.script = {"submit": [Fault("status", {"code": 429, "retry_after": value})]}
    drawn = draw(vendor, tmp_path / "run", tasks(3), concurrency=1)
    assert (drawn.ended, server.account.requests("submit")) == ("VendorUnavailableError", 1)
    assert "86400" in drawn.text or "24" in drawn.text or "after" in drawn.text
    assert draw(vendor, tmp_path / "run", tasks(3)).states == ["stored"] * 3


def test_n16_nobody_who_draws_from_the_same_vendor_asks_again_before_a_day_is_over(tmp_path, vendor, server):
    """A gateway draws so: one vendor, and a set of draws for each request."""
    server.script = {"submit": [Fault("status", {"code": 429, "retry_after": "86400"})]}
    with Sampler(vendor, tmp_path / "run", limits()) as first:
        for task in tasks(3):
            each = Sampler(vendor, tmp_path / "run", limits(), shared=first.open())
            with each, pytest.raises(IncompleteError, match="resume after"):
                list(each.draw([task]))
    assert server.account.requests("submit") == 1
    # A command of its own may ask.
    assert draw(vendor, tmp_path / "run", tasks(1)).states == ["stored"]


def test_n17_a_storm_of_limits_meets_one_pause_for_all(tmp_path, vendor, server):
    first: list[float] = []

    def script(situation: Situation) -> Fault | None:
        if situation.purpose != "submit":
            return None
        first.append(time.monotonic())
        limited = time.monotonic() - first[0] < 1.5
        return Fault("status", {"code": 429, "retry_after": "0.5"}) if limited else None

    server.script = script
    drawn = draw(vendor, tmp_path / "run", tasks(8, 8), concurrency=32, max_attempts=8)
    assert (drawn.states, server.account.paid) == (["stored"] * 64, 64)
    # One volley of at most 32, then probes: 32 workers with a pause each would be well above a hundred.
    assert server.account.summary()["faults"]["status"] <= 32 + 12


@pytest.mark.parametrize("idempotent", [False, True])
def test_n18_when_everything_fails_the_circuit_opens_and_the_ledger_is_whole(tmp_path, idempotent):
    with FaultServer({"submit": "status:code=500"}, idempotent=idempotent) as server:
        drawn = draw(SynchronousVendor(url=server.url, idempotent=idempotent), tmp_path / "run", tasks(20, 5))
    assert drawn.ended == "VendorUnavailableError"
    assert server.account.requests("submit") < 60
    with ledger(tmp_path / "run") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_n21_a_redirected_submission_is_refused_and_shows_the_host_only(tmp_path, code, vendor, server):
    target = "http://other.example:81/secret/path?token=abcdef123"
    server.script = {"submit": Fault("redirect", {"location": target, "code": code})}
    drawn = draw(vendor, tmp_path / "run", tasks())
    assert "stored" not in drawn.states
    assert server.account.requests("submit") == 1
    assert "other.example" in drawn.text
    assert "secret/path" not in drawn.text
    assert "abcdef123" not in drawn.text


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_n21_a_redirected_submission_that_was_accepted_is_booked_and_not_paid_again(tmp_path, code, vendor, server):
    redirected = Fault("redirect", {"location": "/done", "code": code, "billed": True})
    server.script = {"submit": [redirected]}
    first = draw(vendor, tmp_path / "run", tasks(), max_calls=1)
    assert first.ended == "RedirectedError"
    assert (first.error.exit_code, ledger_sum(tmp_path / "run")["cost_usd"]) == (2, Decimal("0.01"))
    assert draw(vendor, tmp_path / "run", tasks(), max_calls=1).states == ["ambiguous"]
    refused = draw(vendor, tmp_path / "run", tasks(), max_calls=1, retry_ambiguous=True)
    assert (refused.ended, server.account.requests("submit"), server.account.paid) == ("BudgetError", 1, 1)


@pytest.mark.parametrize("code", [404, 405, 410])
def test_n26_an_unknown_address_stops_the_run_and_refuses_no_picture(tmp_path, code, vendor, server):
    server.script = {"submit": [f"status:code={code}"]}
    drawn = draw(vendor, tmp_path / "run", tasks(), concurrency=1)
    assert (drawn.ended, drawn.error.exit_code, drawn.states) == ("NotFoundError", 2, [])
    assert (server.account.requests("submit"), server.account.paid) == (1, 0)
    # Nothing of it is kept: once the address is right, the same draws are made.
    assert set(draw(vendor, tmp_path / "run", tasks(), concurrency=1).states) == {"stored"}


def test_n22_a_redirect_loop_on_the_result_ends(tmp_path, server, jobs):
    server.script = {"download": "redirect-loop"}
    drawn = draw(jobs, tmp_path / "run", tasks(), max_attempts=2)
    assert "stored" not in drawn.states
    assert server.account.paid == 1
    assert server.account.requests("download") <= 2 * 4 * 3


def test_n22_a_redirect_on_the_result_is_followed_without_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("FAULT_VENDOR_KEY", "sesame-open-4711")
    with FaultServer({"download": ["redirect-loop"]}, api_key="sesame-open-4711") as server:
        drawn = draw(JobVendor(url=server.url, keyed=True), tmp_path / "run", tasks())
        downloads = [seen for seen in server.account.recorded if seen.purpose == "download"]
    assert (drawn.states, len(downloads)) == (["stored"], 2)
    assert all("sesame" not in str(seen.headers) for seen in downloads)


def test_n23_empty_account_in_the_middle_stops_cleanly_and_resumes(tmp_path, vendor, server):
    work = tasks(4, 3)
    server.script = {"submit": [None] * 5 + ["status:code=402"]}
    drawn = draw(vendor, tmp_path / "run", work, concurrency=1)
    assert drawn.ended == "AccountRefusedError"
    assert (drawn.error.exit_code, server.account.requests("submit")) == (5, 6)
    again = draw(vendor, tmp_path / "run", work, concurrency=1)
    assert (again.states, server.account.paid, server.account.distinct) == (["stored"] * 12, 12, 12)


def test_n24_revoked_key_stops_all_workers_in_one_step(tmp_path, monkeypatch):
    monkeypatch.setenv("FAULT_VENDOR_KEY", "sesame-open-4711")

    def script(situation: Situation) -> str | None:
        return "status:code=401" if situation.purpose == "submit" and situation.number >= 10 else None

    with FaultServer(script, api_key="sesame-open-4711") as server:
        adapter = SynchronousVendor(url=server.url, keyed=True)
        drawn = draw(adapter, tmp_path / "run", tasks(20, 5), concurrency=8)
    assert drawn.ended == "AccountRefusedError"
    assert server.account.summary()["faults"]["status"] <= 8
    assert server.account.paid == 10
    assert "sesame" not in drawn.text


def test_n25_a_refused_signature_names_the_clock_when_the_clocks_differ(tmp_path, vendor, server):
    skewed = Fault("status", {"code": 403, "message": "signature refused", "date": "Wed, 21 Oct 2015 07:28:00 GMT"})
    server.script = {"submit": skewed}
    drawn = draw(vendor, tmp_path / "run", tasks())
    assert drawn.ended == "AccountRefusedError"
    assert "clock" in drawn.text


def test_the_environment_of_these_tests_has_no_proxy():
    assert not {"http_proxy", "https_proxy", "all_proxy"} & {name.lower() for name in os.environ}
