"""Bytes on disk, and what a vendor told with them: durable before they are recorded, checked when read."""

import os
import shutil
from decimal import Decimal
from pathlib import Path
from unittest.mock import Mock

import pytest
from support.descriptors import no_descriptors
from support.draws import draw, killed, limits, tasks

from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_verify
from blackbox_conformal.drawing.ledger.sample_store import (
    Store,
    from_job_file,
    report_from_name,
    report_to_name,
    sniff_extension,
)
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import LedgerError, PayloadError
from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

PNG = b"\x89PNG\r\n\x1a\n rest"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.prepare()
    return made


def kept(store: Store, data: bytes, attempt: int = 1) -> str:
    arrival = store.receive(attempt, data)
    store.settle(arrival)
    store.flush()
    return arrival.digest


def noted_syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


def test_a_sample_lies_under_its_digest_and_nothing_stays_in_the_inbox(store, tmp_path):
    digest = kept(store, PNG)
    value = digest.removeprefix("sha256:")
    assert (digest, (tmp_path / "samples" / value[:2] / f"{value}.png").read_bytes()) == (digest_bytes(PNG), PNG)
    assert (os.listdir(tmp_path / "inbox"), store.read(digest)) == ([], PNG)
    assert list(store.files()) == [(digest, tmp_path / "samples" / value[:2] / f"{value}.png")]


def test_equal_answers_share_a_file(store):
    assert (kept(store, PNG, 1), len(list(store.files()))) == (kept(store, PNG, 2), 1)


def test_extension_tells_the_first_bytes():
    known = {PNG: ".png", b"\xff\xd8\xff\xe0": ".jpg", b"RIFF\0\0\0\0WEBPVP8L": ".webp"}
    for data, extension in (known | dict.fromkeys((b"RIFF\0\0\0\0WAVE", b"<html>", b""), ".bin")).items():
        assert sniff_extension(data) == extension


def test_an_answer_in_the_inbox_can_be_read_found_by_the_next_process_and_settled_twice(store, tmp_path):
    arrival = store.receive(7, PNG)
    assert store.read(arrival.digest) == PNG
    (found,) = Store(tmp_path).arrivals()
    assert (found.attempt, found.digest, found.size) == (7, digest_bytes(PNG), len(PNG))
    for _ in range(2):
        store.settle(arrival)
    assert store.read(arrival.digest) == PNG


def test_a_half_written_answer_is_put_aside(store, tmp_path):
    arrival = store.receive(7, PNG)
    Path(arrival.path).write_bytes(PNG[:5])
    assert list(Store(tmp_path).arrivals()) == []
    assert [path.read_bytes() for path in store.quarantined()] == [PNG[:5]]


def test_a_damaged_sample_is_moved_and_never_deleted(store, tmp_path):
    digest = kept(store, PNG)
    path = store.locate(digest)
    path.write_bytes(b"edited")
    with pytest.raises(PayloadError, match="altered or damaged"):
        store.examine(digest)
    assert path.exists()
    with pytest.raises(PayloadError, match="quarantine"):
        store.read(digest)
    assert not path.exists()
    assert [kept.read_bytes() for kept in store.quarantined()] == [b"edited"]
    with pytest.raises(PayloadError, match="gone"):
        store.read(digest)
    kept(store, PNG, 2)
    assert store.read(digest) == PNG


@pytest.mark.parametrize("settled", [True, False])
def test_a_damaged_file_in_place_is_replaced_by_a_good_one_and_gives_way_to_one_in_the_inbox(store, settled):
    digest = kept(store, PNG)
    store.locate(digest).write_bytes(b"edited")
    kept(store, PNG, 2) if settled else store.receive(2, PNG)
    assert store.read(digest) == PNG
    assert settled or [kept.read_bytes() for kept in store.quarantined()] == [b"edited"]


def test_an_answer_is_read_while_it_moves_from_the_inbox_to_its_place(store, monkeypatch):
    arrival = store.receive(1, PNG)
    read = Path.read_bytes

    def moved_before_read(path: Path) -> bytes:
        store.settle(arrival)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", moved_before_read)
    assert store.read(arrival.digest) == PNG


def test_a_full_disk_leaves_no_half_file(store, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        store.receive(1, PNG)
    assert os.listdir(tmp_path / "inbox") == []


def test_a_whole_answer_of_a_process_that_died_is_made_durable_before_it_is_handed_out(store, tmp_path, monkeypatch):
    """That process may have died between writing the bytes and making them and their name durable."""
    arrival = store.receive(7, PNG)
    synced = noted_syncs(monkeypatch)
    next(Store(tmp_path).arrivals())
    assert {os.stat(arrival.path).st_ino, os.stat(tmp_path / "inbox").st_ino} <= set(synced)


def test_the_folders_for_paid_answers_are_durable_before_anything_is_bought(tmp_path, monkeypatch):
    seen: list[tuple[int, list[str]]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        seen.append((os.fstat(descriptor).st_ino, sorted(os.listdir(tmp_path))))

    monkeypatch.setattr(os, "fsync", fsync)
    Store(tmp_path).prepare()
    assert (tmp_path.stat().st_ino, ["inbox", "receipts.jsonl", "samples"]) in seen


def test_an_answer_that_cannot_be_moved_stays_readable_and_keeps_no_other_from_its_place(store, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "mkdir", Mock(side_effect=OSError(28, "No space left on device")))
    first, second = store.receive(1, PNG), store.receive(2, PNG + b"2")
    for arrival in (first, second):
        with pytest.raises(OSError, match="No space"):
            store.settle(arrival)
    store.flush()
    monkeypatch.undo()
    assert [store.read(one.digest) for one in (first, second)] == [PNG, PNG + b"2"]
    assert [found.attempt for found in Store(tmp_path).arrivals()] == [1, 2]


def test_an_answer_and_its_name_are_durable_when_it_is_received(store, tmp_path, monkeypatch):
    synced = noted_syncs(monkeypatch)
    arrival = store.receive(7, PNG)
    assert synced == [os.stat(arrival.path).st_ino, os.stat(tmp_path / "inbox").st_ino]


def test_an_answer_needs_no_descriptor_and_no_room_once_its_place_is_reserved(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    place = store.reserve("key")
    assert place is not None
    (reserved,) = (tmp_path / "inbox").iterdir()
    assert reserved.stat().st_blocks * 512 >= 2**20
    with no_descriptors():
        arrival = store.receive(7, PNG, place=place)
        store.release(place)
    assert (Path(arrival.path).read_bytes(), [one.digest for one in store.arrivals()]) == (PNG, [arrival.digest])
    store.close()


def test_places_that_a_dead_process_reserved_are_cleared(tmp_path):
    first, second = Store(tmp_path), Store(tmp_path)
    first.prepare()
    first.reserve("key")
    second.prepare()
    assert os.listdir(tmp_path / "inbox") == []


EVERYTHING = VendorReport(50_000_000, "acme/enhance:v2", "req_0123456789abcdef", 4_294_967_295)
TOLD = [VendorReport(), VendorReport(0), EVERYTHING, VendorReport(None, "modèle ü 模型", None, -1)]


@pytest.mark.parametrize("seen", TOLD)
def test_what_was_told_survives_in_a_name_and_in_a_file(seen, tmp_path):
    assert report_from_name(report_to_name(seen)) == seen
    Store(tmp_path).prepare()
    Store(tmp_path).receive(7, PNG_SIGNATURE, seen)
    assert [one.report for one in Store(tmp_path).arrivals()] == [seen]
    Store(tmp_path).keep_job(8, "job/2", seen)
    assert list(Store(tmp_path).jobs()) == [(8, "job/2", seen)]


def test_what_is_too_long_for_a_name_leaves_the_price():
    told = report_to_name(VendorReport(7, "m" * 300, "r" * 300))
    assert len(told) < 100
    assert report_from_name(told) == VendorReport(7)
    assert report_from_name(report_to_name(VendorReport(7, "m", "r" * 300))) == VendorReport(7, "m")


@pytest.mark.parametrize(
    "text", ["", "=", "AAAA", "W10", "eyJhIjoxfQ", "WzEsMl0", "WzEsMiwzLDRd" * 3, "é", "\\", "W" * 999]
)
def test_names_that_nobody_wrote_tell_nothing(text):
    assert report_from_name(text) == VendorReport()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b"[]", b'["", []]', b"[1, []]", b"[" * 9999, b'"job"'])
def test_job_files_that_nobody_wrote_are_put_aside(content, tmp_path):
    assert from_job_file(content) is None
    store = Store(tmp_path)
    store.prepare()
    (tmp_path / "inbox" / "3.job").write_bytes(content)
    assert (list(store.jobs()), [path.name for path in store.quarantined()]) == ([], ["3.job"])


def test_a_price_of_the_wrong_kind_is_not_booked():
    assert from_job_file(b'["job-1", [-5, 7, ["x"], true]]') == ("job-1", VendorReport())


def test_price_and_model_of_an_answer_that_a_kill_kept_from_the_ledger_are_booked(tmp_path):
    run = tmp_path / "run"
    with FaultServer(reported_price="0.05") as server:
        killed(server.url, run, "once", "received", 3)
        with Sampler(SynchronousVendor(url=server.url), run, limits(), check=lambda data, task: None) as sampler:
            assert [one.state for one in sampler.draw(tasks(1, 4))] == ["stored"] * 4
    assert [(one.model, one.cost_usd) for one in ledger_ls(run)] == [("fault-vendor-1", Decimal("0.05"))] * 4


def test_a_folder_whose_answers_may_lie_in_a_bucket_alone_is_refused_until_they_are_copied_back(tmp_path):
    run, bucket, note = tmp_path / "run", tmp_path / "bucket", tmp_path / "run" / "store.address"
    with FaultServer(polls=0) as server:
        vendor = SynchronousVendor(url=server.url)
        draw(vendor, run, tasks(1, 3))
        shutil.move(run / "samples", bucket)
        for path in bucket.rglob("*.*"):
            path.rename(path.with_suffix(""))
        note.write_text("s3://bucket/runs\n")
        said = (
            rf"only in the place that {note} names.*copy samples/ from there into {run / 'samples'}.*then delete {note}"
        )
        for use in (lambda: draw(vendor, run, tasks(1, 3)), lambda: ledger_verify(run)):
            with pytest.raises(LedgerError, match=said):
                use()
        shutil.copytree(bucket, run / "samples")
        note.unlink()
        assert (draw(vendor, run, tasks(1, 3)).states, server.account.paid) == (["stored"] * 3, 3)
    assert not ledger_verify(run).problems
