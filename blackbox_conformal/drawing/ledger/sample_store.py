"""Stores the vendor's bytes as received, one file a content: ``samples/ab/abcdef….png``.

An answer is on disk before the ledger says so: it arrives in ``inbox/`` under its attempt's number and digest, and
moves to ``samples/`` once the ledger's row is committed. Both places are read.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.receipts import Receipt, ReceiptFile, Unknown
from blackbox_conformal.errors import LedgerError, PayloadError
from blackbox_conformal.support.files import FULL_DISK, SharedSync

_MOST_LETTERS = 150


# A vendor's report lies beside its answer or job as JSON, four values in order, until the ledger holds it.
def report_to_name(report: VendorReport) -> str:
    """Pack a report into at most 150 letters, digits, - and _ for a file's name; leave out what does not fit."""
    for left_out in ((), ("request_id",), ("request_id", "model")):
        values = astuple(replace(report, **dict.fromkeys(left_out)))
        if values == (None,) * 4:
            return ""
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        packed = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        if len(packed) <= _MOST_LETTERS:
            return packed
    return ""


def report_from_name(packed: str) -> VendorReport:
    """Unpack a report from `report_to_name`; return an empty one if the text makes no sense."""
    try:
        return _report_of(json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))))
    except (ValueError, RecursionError):
        return VendorReport()


def from_job_file(content: bytes) -> tuple[str, VendorReport] | None:
    """Return the job and its report, as `Store.keep_job` wrote them; None if the content makes no sense."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or len(values) != 2 or not isinstance(values[0], str) or not values[0]:
        return None
    return values[0], _report_of(values[1])


def _report_of(values: object) -> VendorReport:
    if not isinstance(values, list) or len(values) != 4:
        return VendorReport()
    cost, model, request, seed = values
    return VendorReport(
        cost if _is_number(cost) and 0 <= cost < 2**62 else None,
        model if isinstance(model, str) else None,
        request if isinstance(request, str) else None,
        seed if _is_number(seed) else None,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_INBOX_NAME = re.compile(r"(\d{1,18})-([0-9a-f]{64})(?:-([\w-]*))?(\.\w+)", re.ASCII)
_JOB_NAME = re.compile(r"(\d{1,18})\.job", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SAMPLE_NAME = re.compile(r"([0-9a-f]{64})(\.\w+)?")
_EXTENSIONS = (".png", ".jpg", ".webp", ".bin", "")
_FIRST_ANSWER_BYTES = 2**20


def sniff_extension(data: bytes) -> str:
    """Return the file extension by the first bytes; ``.bin`` for unknown pictures."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    if data.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return ".bin"


def sync(path: str | Path) -> None:
    """Make the names in a folder, or the bytes of a file, durable."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _removed(folder: Path) -> LedgerError:
    return LedgerError(
        f"{folder} was removed while a run was using it, so nothing more is sent. It held what was paid for: put it"
        " back, and run again"
    )


def _sync_folder(folder: Path) -> None:
    try:
        sync(folder)
    except FileNotFoundError:
        raise _removed(folder) from None


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _write_durably(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        _write_whole(descriptor, data)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    os.close(descriptor)


@dataclass(slots=True)
class InboxFile:
    """An open file in the inbox with room on the disk for an answer that is to be paid for."""

    path: str
    descriptor: int

    def write(self, path: str, data: bytes) -> None:
        """Put an answer into the file, durable but for the file's name; may be tried again.

        The file gets its last name first, so that a readable file remains if the process dies in between.
        """
        os.rename(self.path, path)
        self.path = path
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.ftruncate(self.descriptor, min(len(data), os.fstat(self.descriptor).st_size))
        _write_whole(self.descriptor, data)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes in the inbox: the attempt, their digest, size and file, and the vendor's report."""

    attempt: int
    digest: str
    size: int
    path: str
    report: VendorReport


class Store:
    def __init__(self, run: Path) -> None:
        self._samples = run / "samples"
        self._inbox = run / "inbox"
        self._quarantine = run / "quarantine"
        self._receipts = ReceiptFile(run / "receipts.jsonl")
        self._moved: set[str] = set()
        self._lock = threading.Lock()
        self._inbox_removed = False
        self._inbox_folder: int | None = None
        self._inbox_names = SharedSync()
        self.largest_answer = 0
        """Bytes of the largest received answer."""

    def prepare(self) -> None:
        """Make the folders; reading needs none."""
        for folder in (self._samples, self._inbox):
            folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._inbox.glob("*.place"):
            leftover.unlink()
        if os.name != "nt":
            self._inbox_folder = os.open(self._inbox, os.O_RDONLY)
        self._receipts.begin()
        sync(self._samples.parent)

    def reserve(self, name: str) -> InboxFile | None:
        """Make room for an answer under a name of its own; return None if open files cannot be renamed here."""
        if os.name == "nt":
            return None
        path = f"{self._inbox}/{name}.place"
        place = InboxFile(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(place.descriptor, 0, self.largest_answer or _FIRST_ANSWER_BYTES)
            except OSError as error:
                if error.errno in FULL_DISK:  # Other errors mean that this disk promises no room.
                    self.release(place)
                    raise
        return place

    def release(self, place: InboxFile) -> None:
        """Give a place up; bytes that were written there stay."""
        os.close(place.descriptor)
        if place.path.endswith(".place"):
            with contextlib.suppress(OSError):
                os.unlink(place.path)

    def receive(
        self,
        attempt: int,
        data: bytes,
        report: VendorReport = VendorReport(),  # noqa: B008 - frozen
        place: InboxFile | None = None,
    ) -> Arrival:
        """Put an answer into the inbox, or into `place`, durable on return, with the vendor's report in its name."""
        value = hashlib.sha256(data).hexdigest()
        path = f"{self._inbox}/{attempt}-{value}-{report_to_name(report)}{sniff_extension(data)}"
        self._put(path, data, place)
        self.largest_answer = max(self.largest_answer, len(data))
        return Arrival(attempt, f"sha256:{value}", len(data), path, report)

    def _put(self, path: str, data: bytes, place: InboxFile | None = None) -> None:
        try:
            if place is None:
                _write_durably(path, data)
            else:
                place.write(path, data)
        except FileNotFoundError:
            # The inbox was removed during the run: this answer is kept, and `require_folders` reports it.
            self._inbox_removed = True
            os.makedirs(self._inbox, exist_ok=True)
            _write_durably(path, data)
        if self._inbox_removed or self._inbox_folder is None:
            sync(self._inbox)
        else:
            self._inbox_names.sync(self._inbox_folder)

    def keep_job(self, attempt: int, job: str, report: VendorReport) -> None:
        """Write down a job that the vendor accepted, until the ledger holds it and `forget_job` is called."""
        self._put(f"{self._inbox}/{attempt}.job", json.dumps([job, astuple(report)]).encode())

    def forget_job(self, attempt: int) -> None:
        """Remove the file of a job that the ledger holds; a remaining file does no harm."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self._inbox}/{attempt}.job")

    def jobs(self, may_adopt: Callable[[int], bool] = lambda _: True) -> Iterator[tuple[int, str, VendorReport]]:
        """Yield attempt, job and report of jobs that a process could not record; put other files aside.

        `may_adopt` tells whether no other process works on an attempt.
        """
        for path in sorted(self._inbox.glob("*.job")):
            named = _JOB_NAME.fullmatch(path.name)
            if named is not None and not may_adopt(int(named[1])):
                continue
            job = from_job_file(path.read_bytes())
            if named is None or job is None:
                self._move_to_quarantine(path)
            else:
                yield int(named[1]), *job

    def require_folders(self) -> None:
        """Refuse to go on if the folders were removed."""
        if self._inbox_removed or not self._inbox.is_dir():
            raise _removed(self._inbox)
        if not self._samples.is_dir():
            raise _removed(self._samples)

    def settle(self, arrival: Arrival) -> None:
        """Move an arrival among the samples, once the ledger holds its digest; replace an existing file."""
        value = arrival.digest.removeprefix("sha256:")
        folder = f"{self._samples}/{value[:2]}"
        target = f"{folder}/{value}{os.path.splitext(arrival.path)[1]}"
        try:
            os.replace(arrival.path, target)
        except FileNotFoundError:
            if not os.path.exists(arrival.path):
                return
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder)
                sync(self._samples)
                os.replace(arrival.path, target)
            except FileNotFoundError:
                raise _removed(self._samples) from None
        with self._lock:
            self._moved.add(folder)

    def flush(self) -> None:
        """Make every name so far durable; until then a power loss leaves a file in either place, and both are read."""
        with self._lock:
            moved, self._moved = self._moved, set()
        for folder in moved:
            _sync_folder(Path(folder))
        if moved:
            _sync_folder(self._inbox)

    def arrivals(self, may_adopt: Callable[[int], bool] = lambda _: True) -> Iterator[Arrival]:
        """Yield whole answers that a dead process left in the inbox, made durable; quarantine half-written ones.

        `may_adopt` as for `jobs`.
        """
        _sync_folder(self._inbox)
        for path, named in self._waiting():
            if not may_adopt(int(named[1])):
                continue
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == named[2]:
                sync(path)
                yield Arrival(
                    int(named[1]), f"sha256:{named[2]}", len(data), str(path), report_from_name(named[3] or "")
                )
            else:
                self._move_to_quarantine(path)

    def locate(self, digest: str) -> Path | None:
        """Return the file that should hold the bytes of `digest`, or None."""
        value = digest.removeprefix("sha256:")
        if not _DIGEST.fullmatch(value):  # Damage to the ledger, or a stranger, may have written anything.
            return None
        # Once more at the end: another thread may have moved the file from the inbox after the first look.
        return self._sample(value) or next(self._inbox.glob(f"*-{value}[-.]*"), None) or self._sample(value)

    def among(self, digests: Collection[str]) -> frozenset[str]:
        """Return the `digests` whose bytes are there."""
        return frozenset(digest for digest in digests if self.locate(digest) is not None)

    def check(self, digest: str) -> None:
        """Hash the bytes of `digest` again."""
        self.examine(digest)

    def keep_receipt(self, receipt: Receipt) -> None:
        """Keep how an attempt ended, durable on return."""
        self._receipts.add(receipt)

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        """Yield receipts that a ledger does not know, in parts."""
        return self._receipts.unknown_to(unknown)

    def share(self, digests: Collection[str]) -> None:
        """Put these contents into the database beside the folder, if they are missing there."""

    def close(self) -> None:
        self._receipts.close()
        folder, self._inbox_folder = self._inbox_folder, None
        if folder is not None:
            os.close(folder)

    def _sample(self, value: str) -> Path | None:
        for extension in _EXTENSIONS:
            path = self._samples / value[:2] / f"{value}{extension}"
            if path.is_file():
                return path
        return None

    def examine(self, digest: str) -> Path:
        """Return the file of `digest`, hashed again; nothing is moved."""
        path = self.locate(digest)
        if path is None:
            raise PayloadError(f"expected the stored sample {digest} in {self._samples}; the file is gone")
        with path.open("rb") as file:
            value = hashlib.file_digest(file, "sha256").hexdigest()
        if "sha256:" + value != digest:
            raise PayloadError(f"the stored sample {digest} in {path} was altered or damaged on disk")
        return path

    def read(self, digest: str) -> bytes:
        """Return the bytes of `digest`, hashed again."""
        moved: Path | None = None
        while (path := self.locate(digest)) is not None:
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue  # Moved from the inbox to its place meanwhile.
            if "sha256:" + hashlib.sha256(data).hexdigest() == digest:
                return data
            moved = self._move_to_quarantine(path)
        if moved is None:
            raise PayloadError(f"expected the stored sample {digest} in {self._samples}; the file is gone")
        raise PayloadError(f"the stored sample {digest} was altered or damaged on disk; moved to {moved}")

    def _move_to_quarantine(self, path: Path) -> Path:
        self._quarantine.mkdir(exist_ok=True)
        target = self._quarantine / path.name
        number = 1
        while target.exists():
            target = self._quarantine / f"{path.stem}.{number}{path.suffix}"
            number += 1
        os.replace(path, target)
        sync(self._quarantine)
        return target

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield digest and file of every sample, inbox included."""
        for path in sorted(self._samples.glob("??/*")):
            named = _SAMPLE_NAME.fullmatch(path.name)
            if named is not None:
                yield f"sha256:{named[1]}", path
        for path, named in self._waiting():
            yield f"sha256:{named[2]}", path

    def _waiting(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in sorted(self._inbox.glob("*")):
            named = _INBOX_NAME.fullmatch(path.name)
            if named is not None:
                yield path, named

    def quarantined(self) -> list[Path]:
        return sorted(path for path in self._quarantine.glob("*") if path.is_file())

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._samples.parent).free
