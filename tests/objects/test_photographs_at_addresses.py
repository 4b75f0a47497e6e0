"""Photographs in buckets and on web servers calibrate as their files do; lists name no more than they may."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, called, called_in_new_process
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.object_store import Bucket, store_at
from blackbox_conformal.errors import IncompleteError, UsageError
from blackbox_conformal.study import photographs_at_addresses
from blackbox_conformal.study.photographs_at_addresses import address_of, fetch_photographs
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES: dict[str, Any] = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}
OPTIONS = ("--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf", "--max-cost", "1")


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    PillowImage.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def command(*words: str) -> None:
    """`blackbox-conformal WORDS` in this process, which has to end well."""
    assert run([*words]) == 0


def upload(folder: Path, bucket: str, prefix: str = "photographs") -> None:
    store = store_at(bucket)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put_if_absent(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@contextmanager
def web(files: dict[str, bytes | Callable[[], int]]) -> Iterator[tuple[str, list[str]]]:
    """A web server of these files, or statuses; its address, and what it was asked for with which headers."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {dict(self.headers)}")
            found = files.get(self.path.partition("?")[0])
            content = found if isinstance(found, bytes) else b""
            status = 200 if isinstance(found, bytes) else found() if found else 404
            self.send_response(status)
            if status in (301, 302):
                self.send_header("location", content.decode())
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_bucket_calibrates_as_its_files_do_and_pays_nothing_again(desk: Path, bucket: str) -> None:
    write_photographs(desk / "photographs", range(6))
    (desk / "photographs" / "notes.md").write_text("no picture")
    (desk / "photographs" / ".hidden.png").write_bytes(b"no picture")
    upload(desk / "photographs", bucket)
    with FaultServer() as server:
        vendor = bc.load_adapter(VENDOR, url=server.url)
        of_files = bc.calibrate(vendor, "photographs", run="files", max_cost=1, **CHOICES)
        paid = server.account.paid
        in_bucket = bc.calibrate(vendor, f"{bucket}/photographs/", run="files", max_cost=1, **CHOICES)
        assert in_bucket.digest == of_files.digest
        assert server.account.paid == paid
        store_at(bucket).put_if_absent("small.png", png(reduced(photograph(9), 4)))
        result = bc.mask(vendor, f"{bucket}/small.png", of_files, alpha=0.9, run="files", max_cost=1)
        assert result.name == "small"
    for folder in ("temporary", "of-this-process"):
        assert list((desk / folder).rglob("*.png")) == [], "what was fetched for a command outlives it"


@pytest.mark.parametrize("s3_url", ["moto"], indirect=True)
def test_commands_take_addresses(desk: Path, bucket: str, capfd: pytest.CaptureFixture[str]) -> None:
    write_photographs(desk / "photographs", range(6))
    upload(desk / "photographs", bucket)
    for seed in (9, 10):
        store_at(bucket).put_if_absent(f"inputs/i{seed}.png", png(reduced(photograph(seed), 4)))
    with FaultServer() as server:
        vendor = ("--adapter", VENDOR, "-p", f"url={server.url}")
        command("calibrate", "photographs", *vendor, *OPTIONS, "--run", "run", "--out", "files.json")
        paid = server.account.paid
        command("calibrate", f"{bucket}/photographs", *vendor, *OPTIONS, "--run", "run")
        assert server.account.paid == paid
        assert (desk / "run" / "calibration.json").read_bytes() == (desk / "files.json").read_bytes()
        capfd.readouterr()
        command(
            *("mask", f"{bucket}/inputs", *vendor, "--calibration", "files.json", "--alpha", "0.9", "--max-cost", "1"),
            "--json",
        )
        pictures = json.loads(capfd.readouterr().out)["pictures"]
        assert [entry["input"] for entry in pictures] == [f"{bucket}/inputs/i{seed}.png" for seed in (10, 9)]
        assert run(["inputs", f"{bucket}/inputs", "--calibration", "files.json"]) in (0, 3)
    command("degrade", f"{bucket}/photographs", "--out", "degraded")
    assert len(list((desk / "degraded").glob("*.png"))) == 6
    assert "s3cr3t" not in "".join(capfd.readouterr())


def test_one_photograph_a_list_and_an_odd_name_are_taken(desk: Path, bucket: str) -> None:
    store = store_at(bucket)
    for name in ("a.png", "deep/b.PNG", "deep/odd.dat", "deep/notes.md"):
        store.put_if_absent(f"x/{name}", png(photograph(len(name))))
    store.put_if_absent(
        "x/list.txt", "﻿a.png\n\n# a remark\n/x/deep/odd.dat\n".encode() + f"{bucket}/x/deep/b.PNG".encode()
    )

    def names(address: str) -> list[str]:
        return [path.name for path in fetch_photographs(address)]

    assert names(f"{bucket}/x") == ["a.png", "b.PNG"]
    assert names(f"{bucket}/x/a.png") == ["a.png"]
    assert names(f"{bucket}/x/deep/odd.dat") == ["odd.dat"]
    assert names(f"{bucket}/x/list.txt") == ["a.png", "b.PNG", "odd.dat"]
    (path,) = fetch_photographs(f"{bucket}/x/a.png")
    assert address_of(path) == f"{bucket}/x/a.png"
    with pytest.raises(UsageError, match="found none at s3:"):
        names(f"{bucket}/none")


@pytest.mark.parametrize(
    "line", ["s3://another-bucket/a.png", "file:///etc/passwd", "gs://b/a.png", "../../a.png", "a//b"]
)
@pytest.mark.parametrize("s3_url", ["moto"], indirect=True)
def test_a_list_in_a_bucket_names_its_own_bucket_and_the_web_alone(bucket: str, line: str) -> None:
    store_at(bucket).put_if_absent("x/list.txt", line.encode())
    with pytest.raises(UsageError, match="expected"):
        fetch_photographs(f"{bucket}/x/list.txt")


@pytest.mark.parametrize("s3_url", ["moto"], indirect=True)
def test_a_list_in_a_bucket_leads_to_no_machine_of_the_private_network(bucket: str) -> None:
    with web({"/a.png": png(photograph(1))}) as (url, asked):
        for line in (f"{url}/a.png", "https://localhost/a.png", "https://10.0.0.1/a.png", "https://169.254.169.254/x"):
            store_at(bucket).replace("x/list.txt", line.encode())
            with pytest.raises(UsageError, match="cannot be read"):
                fetch_photographs(f"{bucket}/x/list.txt")
        assert asked == []


def test_a_list_on_the_web_is_read_and_no_query_is_shown(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_photographs(desk / "photographs", range(6))
    files: dict[str, Any] = {f"/d/{path.name}": path.read_bytes() for path in (desk / "photographs").glob("*")}
    files["/d/list.txt"] = "\n".join(
        f"{name.removeprefix('/d/')}?ticket=TICKET-OF-{name[3:5]}" for name in files
    ).encode()
    files["/d/bad.txt"] = b"missing.png?ticket=TICKET-OF-p9"
    with FaultServer() as server, web(files) as (url, asked):
        vendor = ("--adapter", VENDOR, "-p", f"url={server.url}")
        command("calibrate", "photographs", *vendor, *OPTIONS, "--run", "run", "--out", "files.json")
        listed = f"{url}/d/list.txt?ticket=TICKET-OF-ALL"
        made = called_in_new_process("calibrate", listed, *vendor, *OPTIONS, "--run", "run", "-vv", code=0)
        assert list((desk / "temporary").iterdir()) == [], "what was fetched outlives the command"
        capfd.readouterr()
        command("degrade", listed, "--out", "degraded", "--json")
        assert run(["degrade", f"{url}/d/bad.txt?ticket=TICKET-OF-ALL", "--out", "degraded"]) == 2
        degraded = capfd.readouterr()
        assert f"{url}/d/missing.png cannot be read: the server answered 404" in degraded.err
        assert "TICKET-OF-p0" in "".join(asked)
        assert "AKIA" not in "".join(asked)
    assert (desk / "run" / "calibration.json").read_bytes() == (desk / "files.json").read_bytes()
    texts = [made.stdout, made.stderr, *degraded]
    texts += [path.read_bytes().decode("latin-1") for path in desk.rglob("*") if path.is_file()]
    assert "TICKET-OF" not in "".join(texts)


@pytest.mark.parametrize(
    "line", ["file:///etc/passwd", "s3://bucket/a.png", "gs://b/a.png", "data:image/png;base64,iVBO"]
)
def test_a_list_on_the_web_names_the_web_alone(line: str) -> None:
    with (
        web({"/list.txt": line.encode()}) as (url, _),
        pytest.raises(UsageError, match=r"line 1: expected addresses that start with https://"),
    ):
        fetch_photographs(f"{url}/list.txt")


def test_busy_servers_are_asked_again_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs_at_addresses.time, "sleep", lambda _: None)
    with web({"/busy.png": lambda: 503, "/gone.png": lambda: 410, "/a.txt": b"\xff\xfe", "/u.png": b"x"}) as (
        url,
        asked,
    ):
        with pytest.raises(IncompleteError, match="the server answered 503"):
            fetch_photographs(f"{url}/busy.png")
        assert len(asked) == 5
        with pytest.raises(UsageError, match="the server answered 410"):
            fetch_photographs(f"{url}/gone.png")
        assert len(asked) == 6
        with pytest.raises(UsageError, match="a list of pictures"):
            fetch_photographs(f"{url}/a.txt")
        with pytest.raises(UsageError, match="without a user name") as caught:
            fetch_photographs(url.replace("http://", "http://me:pass@") + "/u.png")
        assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("s3_url", ["moto"], indirect=True)
def test_a_photograph_that_is_changed_or_removed_after_it_was_listed_is_noticed(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(bucket)
    store.put_if_absent("x/a.png", b"listed")
    listing = Bucket.names

    def changing(bucket: Bucket, below: str = "") -> Any:
        found = list(listing(bucket, below))
        store.replace("x/a.png", b"changed")
        return found

    monkeypatch.setattr(Bucket, "names", changing)
    with pytest.raises(IncompleteError, match="was changed while it was being read"):
        fetch_photographs(f"{bucket}/x")


@pytest.mark.parametrize("s3_url", ["moto"], indirect=True)
def test_pictures_that_do_not_fit_on_the_disk_are_refused_before_one_is_fetched(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_at(bucket).put_if_absent("x/a.png", bytes(5_000_000))
    usage = photographs_at_addresses.shutil._ntuple_diskusage(10**9, 10**9, 10**6)
    monkeypatch.setattr(photographs_at_addresses.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(Bucket, "get", lambda *_: pytest.fail("fetched"))
    with pytest.raises(UsageError, match="Set TMPDIR"):
        fetch_photographs(f"{bucket}/x")


def test_a_project_s_settings_name_no_address_of_pictures(desk: Path) -> None:
    (desk / "blackbox-conformal.toml").write_text('[plan]\ninputs = "https://stranger.example/list.txt"\n')
    (desk / "photographs").mkdir()
    done = called("plan", "photographs", "--adapter", "embedded", folder=desk, code=2)
    assert "sets [plan] inputs, which a project's settings file may not" in done.stderr
