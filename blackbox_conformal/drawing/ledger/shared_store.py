"""Keeps the samples of a run folder also in a store that all machines reach."""

import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar, cast

from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.receipts import TOGETHER, Key, Receipt, Unknown
from blackbox_conformal.drawing.ledger.sample_store import Arrival, InboxFile, Store, sniff_extension
from blackbox_conformal.drawing.ledger.states import STATES, AttemptState
from blackbox_conformal.drawing.object_store import BlobStore, refuse_unconditional
from blackbox_conformal.errors import IncompleteError, LedgerError, PayloadError, UsageError
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_once

_AT_ONCE = 8


class AnswerStore(Protocol):
    """Contents by their digests (``sha256:…``), reached from every machine; any thread may call."""

    def prepare(self) -> None:
        """Check whether the store can be relied on, before anything is drawn."""

    def put(self, digest: str, content: bytes) -> None:
        """Keep a content, unless it is kept already."""

    def get(self, digest: str) -> bytes | None:
        """Return a content, or None."""

    def among(self, digests: Collection[str]) -> set[str]:
        """Return the `digests` whose contents are kept."""

    def keep_receipt(self, receipt: Receipt) -> None:
        """Keep how an attempt ended, unless that is kept already."""

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        """Yield receipts that a ledger does not know; record each part before the next."""

    def close(self) -> None:
        """Give the store up."""


class SharedStore(Store):
    """A store that keeps every answer in the folder and in `answers`, before the ledger calls it stored."""

    def __init__(self, run: Path, answers: AnswerStore) -> None:
        super().__init__(run)
        self._answers = answers

    def prepare(self) -> None:
        super().prepare()
        self._answers.prepare()

    def share(self, digests: Collection[str] | None = None) -> None:
        def put(found: tuple[str, Path]) -> None:
            digest, content = found[0], found[1].read_bytes()
            if digest_bytes(content) == digest:
                self._answers.put(digest, content)

        here = self.files()
        if digests is not None:
            found = {digest: super(SharedStore, self).locate(digest) for digest in digests}
            there = self._answers.among(digests)
            here = ((digest, path) for digest, path in found.items() if path is not None and digest not in there)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="share") as pool:
            list(pool.map(put, here))
            if digests is None:
                for _, receipts in self._receipts.parts():
                    list(pool.map(self._answers.keep_receipt, filter(None, receipts)))

    def keep_receipt(self, receipt: Receipt) -> None:
        super().keep_receipt(receipt)
        self._answers.keep_receipt(receipt)

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        yield from super().unknown_to(unknown)
        yield from self._answers.unknown_to(unknown)

    def receive(
        self,
        attempt: int,
        data: bytes,
        report: VendorReport = VendorReport(),  # noqa: B008 - frozen
        place: InboxFile | None = None,
    ) -> Arrival:
        arrival = super().receive(attempt, data, report, place)
        self._answers.put(arrival.digest, data)
        return arrival

    def arrivals(self, may_adopt: Callable[[int], bool] = lambda _: True) -> Iterator[Arrival]:
        for arrival in super().arrivals(may_adopt):
            self._answers.put(arrival.digest, Path(arrival.path).read_bytes())
            yield arrival

    def among(self, digests: Collection[str]) -> frozenset[str]:
        here = {digest for digest in digests if super(SharedStore, self).locate(digest) is not None}
        return frozenset(here | self._answers.among([digest for digest in digests if digest not in here]))

    def locate(self, digest: str) -> Path | None:
        found = super().locate(digest)
        if found is not None:
            return found
        content = self._kept(digest)
        if content is None:
            return None
        value = digest.removeprefix("sha256:")
        path = self._samples / value[:2] / f"{value}{sniff_extension(content)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, content)
        return path

    def check(self, digest: str) -> None:
        if super().locate(digest) is not None:
            self.examine(digest)
        if self._kept(digest) is None:
            raise PayloadError(f"expected the stored sample {digest} where answers are kept; it is gone, or damaged")

    def _kept(self, digest: str) -> bytes | None:
        # A damaged content counts as missing.
        content = self._answers.get(digest)
        return content if content is not None and digest_bytes(content) == digest else None

    def close(self) -> None:
        super().close()
        self._answers.close()


Result = TypeVar("Result")

_FOLDER = "samples"
_RECEIPTS = "receipts"
_RECEIPT_NAME = re.compile(rf"{_RECEIPTS}/\w\w/([0-9a-f]{{64}})-(\d{{1,9}})-({'|'.join(STATES)})")
_LISTED_FROM = 200
"""From this many contents on, one listing replaces single looks."""

_REQUESTS_AT_ONCE = 16


class ObjectAnswers:
    """Contents in an object store, under ``samples/ab/abcdef…`` (see `AnswerStore`); errors are a `LedgerError`.

    `earlier`: the place of contents before this store existed; it is read, too.
    """

    def __init__(self, store: BlobStore, earlier: AnswerStore | None = None) -> None:
        self._store, self._earlier = store, earlier

    def prepare(self) -> None:
        """Refuse a store that overwrites existing contents, or returns other bytes."""
        refuse_unconditional(self._store)

    def put(self, digest: str, content: bytes) -> None:
        """Keep a content; replace a damaged one."""
        name = _name(digest)

        def keep() -> None:
            if not self._store.put_if_absent(name, content) and self._store.get(name) != content:
                self._store.replace(name, content)

        self._asked(keep)

    def get(self, digest: str) -> bytes | None:
        content = self._asked(lambda: self._store.get(_name(digest)))
        if content is not None and digest_bytes(content) == digest:
            return content
        return None if self._earlier is None else self._earlier.get(digest)

    def among(self, digests: Collection[str]) -> set[str]:
        wanted = {_name(digest): digest for digest in digests}
        found = self._asked(lambda: self._listed(wanted))
        if self._earlier is not None:
            found |= self._earlier.among([digest for digest in digests if digest not in found])
        return found

    def _listed(self, wanted: dict[str, str]) -> set[str]:
        if len(wanted) >= _LISTED_FROM:
            return {wanted[found.name] for found in self._store.names(_FOLDER) if found.name in wanted}
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="head") as pool:
            return {wanted[found.name] for found in pool.map(self._store.head, wanted) if found is not None}

    def keep_receipt(self, receipt: Receipt) -> None:
        task, generation, state = receipt.key
        value = task.removeprefix("sha256:")
        name = f"{_RECEIPTS}/{value[:2]}/{value}-{generation}-{state}"
        self._asked(lambda: self._store.put_if_absent(name, receipt.to_line()))

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        found = self._asked(lambda: self._store.names(_RECEIPTS))
        while part := self._asked(lambda: [one.name for one in islice(found, TOGETHER)]):
            named = {name: match for name in part if (match := _RECEIPT_NAME.fullmatch(name))}
            names = {
                Key(f"sha256:{one[1]}", int(one[2]), cast(AttemptState, one[3])): name for name, one in named.items()
            }
            wanted = sorted(unknown([*names]))
            with ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="receipt") as pool:
                receipts = list(pool.map(self._receipt, wanted, map(names.__getitem__, wanted)))
            if receipts:
                yield receipts

    def _receipt(self, key: Key, name: str) -> Receipt:
        receipt = Receipt.from_line(self._asked(lambda: self._store.get(name)) or b"")
        if receipt is None or receipt.key != key:
            raise LedgerError(
                f"the object {name} in {self._store.shown} is damaged: it says what was paid for, of which the ledger"
                " knows nothing. Restore that object or the newest ledger, or remove the object to go on without it"
            )
        return receipt

    def close(self) -> None:
        if self._earlier is not None:
            self._earlier.close()

    def _asked(self, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except (IncompleteError, UsageError) as error:
            raise LedgerError(f"{error}; an answer that was under way is in inbox/, and is put there then") from None


def _name(digest: str) -> str:
    value = digest.removeprefix("sha256:")
    return f"{_FOLDER}/{value[:2]}/{value}"
