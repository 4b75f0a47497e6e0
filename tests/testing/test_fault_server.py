"""The fault server, seen from a bare socket: each fault does what its name says, and the books are right."""

import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib

import numpy as np
import pytest
from PIL import Image
from support.raw_client import Raw, png, talk

from blackbox_conformal.errors import UsageError
from blackbox_conformal.testing.__main__ import main
from blackbox_conformal.testing.fault_server import FaultServer, Situation, chances, fault_names
from blackbox_conformal.testing.faults import FAULTS, Fault
from blackbox_conformal.testing.pictures import WRONG_PICTURES, bomb, upscale
from blackbox_conformal.testing.raw_http import Head


def meet(fault: Fault | str, **options: object) -> tuple[Raw, FaultServer]:
    with FaultServer({"submit": fault}) as server:
        raw = talk(server, **options)
    return raw, server


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.array(opened)


def test_a_submission_is_answered_by_an_upscaled_picture_and_billed_once():
    raw, server = meet("ok")
    assert (raw.status, raw.headers["content-type"], pixels(raw.body).shape) == (200, "image/png", (48, 64, 3))
    assert (server.account.paid, server.account.distinct) == (1, 1)


def test_equal_seeds_give_equal_bytes_and_different_seeds_different_pictures():
    with FaultServer() as server:
        first, again, other = (talk(server, target=f"/v1/upscale?seed={seed}").body for seed in (1, 1, 2))
    assert first == again
    assert not np.array_equal(pixels(first), pixels(other))
    assert (server.account.paid, server.account.distinct) == (3, 2)


def test_draws_without_a_seed_differ():
    with FaultServer() as server:
        first, second = (talk(server, target="/v1/upscale").body for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("name", "end", "paid"),
    [
        ("reset-before-body", "rst", 0),
        ("reset-while-body", "rst", 0),
        ("reset-after-body", "rst", 1),
        ("reset-after-body:billed=no", "rst", 0),
        ("close-without-answer", "fin", 1),
        ("half-close", "fin", 1),
        ("never-answers", "silence", 1),
        ("never-answers:billed=no", "silence", 0),
    ],
)
def test_connection_faults_send_nothing_and_bill_as_told(name, end, paid):
    raw, server = meet(name, timeout=0.6 if end == "silence" else 20.0)
    assert (raw.data, raw.end, server.account.paid) == (b"", end, paid)


def test_kept_alive_connection_is_closed_under_the_client():
    raw, server = meet("close-after-answer", close=False)
    assert raw.status == 200
    assert "connection" not in raw.headers
    assert (raw.end, server.account.paid) == ("fin", 1)


def test_kept_alive_connection_serves_the_next_request():
    with FaultServer() as server, socket.create_connection(("127.0.0.1", server.port), timeout=2) as sock:
        for _ in range(3):
            sock.sendall(b"GET /account HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        summary = server.account.summary()
    assert (summary["connections"], summary["requests"]) == (1, {"other": 3})


def test_slow_faults_deliver_the_right_bytes_in_the_end():
    good = upscale(png(4, 3), 4, 5)
    for fault in (Fault("slow-start", {"seconds": 0.2}), Fault("drip-body", {"interval": 0.001, "size": 200})):
        raw, _ = meet(fault, body=png(4, 3))
        assert raw.body == good
    raw, _ = meet(Fault("drip-headers", {"interval": 0.001}), body=png(4, 3))
    assert raw.body == good


@pytest.mark.parametrize(("name", "start"), [("half-head", b"HTTP/1.1 20"), ("not-http", b"220 mail")])
def test_broken_heads(name, start):
    raw, _ = meet(name)
    assert raw.data.startswith(start)
    assert b"\r\n\r\n" not in raw.data


def test_endless_heads_do_not_end():
    assert meet("endless-interim", at_most=100_000)[0].data.count(b"102 Processing") > 1000
    raw, _ = meet("endless-headers", at_most=2_000_000)
    assert len(raw.data) >= 2_000_000
    assert b"\r\n\r\n" not in raw.data


@pytest.mark.parametrize(
    ("name", "relation"),
    [
        ("cut-length", "less"),
        ("length-too-long", "less"),
        ("length-too-short", "more"),
        ("declared-huge:length=1000000000", "less"),
    ],
)
def test_lengths_that_lie(name, relation):
    raw, _ = meet(name)
    declared = int(raw.headers["content-length"])
    assert (len(raw.body) < declared) if relation == "less" else (len(raw.body) > declared)


def test_chunked_bodies_are_whole_or_cut():
    good = upscale(png(), 4, 5)
    whole, _ = meet("chunked:size=1000")
    assert whole.body.endswith(b"0\r\n\r\n")
    assert whole.body.count(b"3e8\r\n") == len(good) // 1000
    cut, _ = meet("cut-chunked")
    assert not cut.body.endswith(b"0\r\n\r\n")
    endless, _ = meet("endless-body", at_most=2_000_000)
    assert len(endless.data) >= 2_000_000


def test_encodings_explode():
    raw, _ = meet("gzip-bomb:size=8388608")
    assert raw.headers["content-encoding"] == "gzip"
    assert len(raw.body) < 20_000
    assert len(gzip.decompress(raw.body)) == 8 * 1024 * 1024
    raw, _ = meet("stacked-encodings:times=3")
    assert raw.headers["content-encoding"] == "gzip, gzip, gzip"
    assert gzip.decompress(gzip.decompress(gzip.decompress(raw.body))) == upscale(png(), 4, 5)


def test_statuses_carry_what_they_are_told():
    raw, server = meet(Fault("status", {"code": 429, "retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    assert (raw.status, raw.headers["retry-after"]) == (429, "Wed, 21 Oct 2026 07:28:00 GMT")
    assert server.account.paid == 0
    raw, server = meet("status:code=500,billed=yes")
    assert (raw.status, server.account.paid) == (500, 1)


def test_texts_in_place_of_pictures():
    assert b"\x1b[2J" in json.loads(meet("hostile-message")[0].body)["error"]["message"].encode()
    raw, _ = meet("json-error")
    assert (raw.status, "error" in json.loads(raw.body)) == (200, True)
    assert meet("captive-portal")[0].headers["content-type"].startswith("text/html")


def test_redirects():
    raw, server = meet(Fault("redirect", {"location": "http://127.0.0.1:{port}/elsewhere", "code": 307}))
    assert (raw.status, raw.headers["location"]) == (307, f"http://127.0.0.1:{server.port}/elsewhere")
    assert meet("redirect-loop")[0].headers["location"] == "/v1/upscale?seed=5"


@pytest.mark.parametrize("kind", sorted(WRONG_PICTURES))
def test_wrong_pictures_are_served_and_differ_from_the_right_one(kind):
    raw, _ = meet(Fault("picture", {"kind": kind}))
    assert raw.status == 200
    assert raw.body != upscale(png(), 4, 5)


def test_bomb_is_a_well_formed_png():
    data = bomb(1200)
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.size, np.array(opened).max()) == ((1200, 1200), 0)
    assert len(data) < 1200 * 1200 * 3 / 100
    assert zlib.crc32(data[-8:-4]) == int.from_bytes(data[-4:], "big")


def submit(server: FaultServer, **options: object) -> str:
    form = {"scale": "4", "seed": "3", "reference": "r-1", **options}
    parts = "".join(
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form.items()
    )
    image = b'--B\r\nContent-Disposition: form-data; name="image"; filename="i.png"\r\n\r\n' + png() + b"\r\n--B--\r\n"
    kind = "Content-Type: multipart/form-data; boundary=B\r\n"
    return str(json.loads(talk(server, "POST", "/v1/jobs", parts.encode() + image, kind).body)["id"])


def read(server: FaultServer, job: str) -> dict[str, object]:
    state: dict[str, object] = json.loads(talk(server, "GET", f"/v1/jobs/{job}").body)
    return state


def test_jobs_go_from_queued_to_a_link_that_serves_the_picture():
    with FaultServer(polls=2) as server:
        job = submit(server)
        states = [read(server, job) for _ in range(3)]
        assert [state["status"] for state in states] == ["queued", "processing", "succeeded"]
        assert json.loads(talk(server, "GET", "/v1/jobs?reference=r-1").body) == {"jobs": [{"id": job}]}
        target = str(states[-1]["output"]).removeprefix(server.url)
        assert talk(server, "GET", target).body == upscale(png(), 4, 3)
    assert server.account.paid == 1


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({"stuck": True}, ["queued", "processing", "processing", "processing"]),
        ({"word": "aborted"}, ["queued", "aborted", "aborted", "aborted"]),
        ({"word": "aborted", "times": 1}, ["queued", "aborted", "succeeded", "succeeded"]),
        ({"backwards": True}, ["succeeded", "queued", "processing", "succeeded"]),
        ({"failed": "no"}, ["queued", "failed", "failed", "failed"]),
    ],
)
def test_marks_spoil_a_job(marks, expected):
    with FaultServer({"submit": Fault("mark", marks)}) as server:
        job = submit(server)
        assert [read(server, job)["status"] for _ in range(4)] == expected


def test_a_dead_link_is_replaced_when_the_job_is_read_again():
    with FaultServer({"download": ["expired-link:code=410"]}, polls=0, separate_results=True) as server:
        job = submit(server)
        first = str(read(server, job)["output"])
        assert f":{server.result_port}/" in first
        target = first.partition(f":{server.result_port}")[2]
        assert [talk(server, "GET", target).status for _ in range(2)] == [410, 403]
        assert read(server, job)["output"] != first


def test_idempotency_keys_are_honoured_only_when_asked_for():
    for idempotent, paid in ((True, 1), (False, 2)):
        with FaultServer(idempotent=idempotent) as server:
            first, second = (talk(server, headers="Idempotency-Key: k\r\n") for _ in range(2))
        assert (first.body, server.account.paid) == (second.body, paid)
        assert second.headers.get("idempotent-replayed") == ("true" if idempotent else None)


def test_a_replayed_error_stays_with_its_key():
    with FaultServer({"submit": ["replayed-error"]}, idempotent=True) as server:
        states = [talk(server, headers=f"Idempotency-Key: {key}\r\n").status for key in "aab"]
    assert states == [500, 500, 200]


def test_the_key_is_checked_and_never_billed_without():
    with FaultServer(api_key="sesame") as server:
        assert (talk(server).status, talk(server, headers="Authorization: Bearer sesame\r\n").status) == (401, 200)
    assert server.account.paid == 1


def test_the_model_changes_for_good():
    with FaultServer({"submit": [None, "model:name=next"]}) as server:
        assert [talk(server).headers["x-model"] for _ in range(3)] == ["fault-vendor-1", "next", "next"]


def test_a_request_may_choose_its_own_fault():
    with FaultServer() as server:
        assert talk(server, headers="X-Fault: status:code=503\r\n").status == 503


def test_connections_may_be_reset_or_ignored_before_any_request():
    with FaultServer(connections=["reset", "silent", None]) as server:
        assert [talk(server, timeout=1.0).end for _ in range(3)] == ["rst", "silence", "fin"]


def test_an_unknown_fault_names_those_there_are():
    server = FaultServer({"submit": "no-such-fault"}).start()
    talk(server)
    with pytest.raises(UsageError, match=r"close-without-answer.*no-such-fault"):
        server.stop()
    assert set(fault_names()) == set(FAULTS)


def test_chances_are_repeatable_and_near_their_shares():
    script = chances(7, {"submit": {"ok": 0.2, "redirect-loop": 0.3}})
    drawn = [script(Situation("submit", number, Head("POST", "/", {}))) for number in range(2000)]
    assert drawn == [script(Situation("submit", number, Head("POST", "/", {}))) for number in range(2000)]
    assert abs(drawn.count("ok") / 2000 - 0.2) < 0.03
    assert abs(drawn.count("redirect-loop") / 2000 - 0.3) < 0.03


def test_stopping_ends_every_thread_even_under_silent_faults():
    before = threading.active_count()
    with FaultServer({"submit": "never-answers"}) as server:
        talk(server, timeout=0.1)
    assert threading.active_count() == before


def test_it_runs_as_a_process_of_its_own(tmp_path):
    key = tmp_path / "key"
    key.write_text("sesame\n")
    words = ["--while-stdin", "--script", '{"submit": ["status:code=503"]}', "--api-key-file", str(key)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-m", "blackbox_conformal.testing", *words]
    with subprocess.Popen(command, text=True, **pipes) as process:
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/account") as answer:
            assert json.load(answer)["paid"] == 0
        _, said = process.communicate()
    assert process.returncode == 0
    assert f"--adapter http -p url={url}/v1/upscale -p label=test-vendor -p price-usd=0.01" in said
    assert "-p key-header=authorization -p 'key-prefix=Bearer '" in said
    assert f"export HTTP_VENDOR_KEY_FILE={key}\n" in said
    assert "sesame" not in said


@pytest.mark.parametrize("content", [None, " \n"], ids=["missing", "empty"])
def test_a_key_file_without_a_key_is_refused(content, tmp_path, capsys):
    file = tmp_path / "key.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit):
        main(["--api-key-file", str(file)])
    assert f"expected --api-key-file to name a file with a key; {file}: " in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused(capsys):
    with FaultServer() as server, pytest.raises(SystemExit):
        main(["--port", str(server.port)])
    assert f"expected a free port; --port {server.port}: " in capsys.readouterr().err


def test_the_process_ends_on_sigterm():
    command = [sys.executable, "-m", "blackbox_conformal.testing"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('{"submit": ', "Expecting value"),
        ('["ok"]', "expected an object with keys among"),
        ('{"sbumit": ["ok"]}', "poll, quote, submit; got"),
        ('{"submit": ["ok", "nonsense"]}', "got 'nonsense'"),
        ('{"submit": "status:503"}', "503"),
        ('{"submit": "status"}', "expected status:code=…"),
        ('{"submit": {"status:cod=503": 0.5}}', "expected status:code=…"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused_before_the_server_starts(script, said, capsys):
    with pytest.raises(SystemExit):
        main(["--script", script])
    captured = capsys.readouterr()
    assert said in captured.err
    assert not captured.out


@pytest.mark.parametrize("path", ["/v1/upscale", "/v1/jobs"])
def test_what_is_no_png_is_refused_and_not_billed(path):
    with FaultServer() as server:
        request = urllib.request.Request(f"{server.url}{path}", data=b'{"image": "iVBOR"}', method="POST")
        request.add_header("Content-Type", "application/json")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 415
        assert "expected a PNG" in json.loads(refused.value.read())["error"]["message"]
        assert server.account.paid == 0


def test_the_help_tells_every_address(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for address in ("POST /v1/upscale", "POST /v1/jobs", "GET  /v1/price", "GET  /account"):
        assert address in said
    assert all(name in said for name in fault_names())
