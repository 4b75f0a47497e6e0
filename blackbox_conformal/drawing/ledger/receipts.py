"""Keeps how each attempt ended beside the answers, for a ledger that is restored from an older copy.

A receipt is a line of JSON after its checksum, in one file of the run folder. An answer's receipt is durable before the
ledger says that the answer is stored.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from blackbox_conformal.drawing.ledger.attempts import AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.states import AttemptState
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.support.files import SharedSync

TOGETHER = 1000  # Receipts that are compared with the ledger at once.
_CHECKSUM_LETTERS = 16
_TAIL_BYTES = 2**20


class Key(NamedTuple):
    """The end of an attempt: the draw's key (see `task.task_key`), its generation, the state."""

    task: str
    generation: int
    state: AttemptState


TOLD = ("job", "digest", "size", "error_class", "error", "code")  # Names that a receipt and a row of the ledger share.
# Returns the keys that a ledger does not know (see `AnyLedger.unknown`).
Unknown = Callable[[Sequence[Key]], Collection[Key]]


@dataclass(frozen=True, slots=True)
class Receipt:
    """How an attempt ended, with everything that the ledger records."""

    spec: AttemptSpec
    state: AttemptState
    at: float  # Seconds since 1970 at its end, by this machine's clock.
    price_nanousd: int  # The reserved price, booked if `report` tells no cost.
    report: VendorReport
    job: str | None = None
    digest: str | None = None
    size: int | None = None
    error_class: str | None = None
    error: str | None = None
    code: str | None = None

    @property
    def key(self) -> Key:
        return Key(self.spec.task, self.spec.generation, self.state)

    @property
    def cost_nanousd(self) -> int:
        return self.price_nanousd if self.report.cost_nanousd is None else self.report.cost_nanousd

    def to_line(self) -> bytes:
        content = _form().dump_json(self, exclude_none=True)
        return b"%b %b\n" % (_checksum(content), content)

    @classmethod
    def from_line(cls, line: bytes) -> "Receipt | None":
        """Read a line; return None if it is damaged anywhere but at its end."""
        checksum, _, content = line.partition(b" ")
        content = content[: content.rfind(b"}") + 1]
        if checksum != _checksum(content):
            return None
        try:
            return _form().validate_json(content)
        except ValidationError:
            return None


@cache
def _form() -> TypeAdapter[Receipt]:
    return TypeAdapter(Receipt)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:_CHECKSUM_LETTERS].encode()


class ReceiptFile:
    """The receipts of one run folder, oldest first; only the folder's owner writes, from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._shared = SharedSync()

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt, durable on return."""
        line = memoryview(receipt.to_line())
        with self._lock:
            descriptor = self._open()
            end = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                while line:
                    line = line[os.write(descriptor, line) :]
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        self._shared.sync(descriptor)

    def begin(self) -> None:
        """Make the file, unless it exists."""
        with self._lock:
            self._open()

    def _open(self) -> int:
        # After the last whole line: the rest was left by a process that died.
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self._path, flags, 0o644)
            start = max(0, os.fstat(self._descriptor).st_size - _TAIL_BYTES)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            tail = os.read(self._descriptor, _TAIL_BYTES)
            whole = tail.rfind(b"\n") + 1
            if Receipt.from_line(tail[whole:]) is None:
                os.ftruncate(self._descriptor, start + whole)
            else:  # Only its end was lost.
                os.ftruncate(self._descriptor, start + tail.rfind(b"}") + 1)
                os.write(self._descriptor, b"\n")
        return self._descriptor

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        """Yield receipts that a ledger does not know, oldest first; record each part before the next."""
        # A restored ledger lacks the newest receipts, so a look at the end usually suffices.
        if not any(None in receipts or _of(receipts, unknown) for _, receipts in self.parts(_TAIL_BYTES)):
            return
        numbers = (first + part.index(None) for first, part in self.parts() if None in part)
        if (number := next(numbers, None)) is not None:
            raise LedgerError(
                f"line {number} of {self._path} is damaged, and what it says was paid for would be paid again where the"
                " ledger does not know it. Restore the newest copies of both, or remove that line to go on"
            )
        for _, part in self.parts():
            if found := _of(part, unknown):
                yield found

    def parts(self, last_bytes: int | None = None) -> Iterator[tuple[int, list[Receipt | None]]]:
        """Yield the line number of a first receipt and receipts (None: damaged); all, or in the `last_bytes`.

        A last line that is not whole was being written when the process died, and is left out.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            if last_bytes is not None and self._path.stat().st_size > last_bytes:
                file.seek(-last_bytes, os.SEEK_END)
                file.readline()
            lines, number = (line for line in file if line.endswith(b"\n")), 1
            while part := [Receipt.from_line(line) for line in islice(lines, TOGETHER)]:
                yield number, part
                number += len(part)


def _of(receipts: Sequence[Receipt | None], unknown: Unknown) -> list[Receipt]:
    found = unknown([receipt.key for receipt in receipts if receipt is not None])
    return [receipt for receipt in receipts if receipt is not None and receipt.key in found]
