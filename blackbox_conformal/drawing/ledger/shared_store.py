"""The samples of a run folder that are kept elsewhere, too: a working copy of a store that all machines reach."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.receipts import Receipt, Unknown
from blackbox_conformal.drawing.ledger.sample_store import Arrival, InboxFile, Store, sniff_extension
from blackbox_conformal.errors import PayloadError
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_once

_AT_ONCE = 8


class AnswerStore(Protocol):
    """Contents by their digests (``sha256:…``), reached from every machine; asked from any thread."""

    def prepare(self) -> None:
        """Look whether it can be relied on, before anything is drawn."""

    def put(self, digest: str, content: bytes) -> None:
        """Keep a content; nothing happens where it is kept already."""

    def get(self, digest: str) -> bytes | None:
        """A content; None when there is none."""

    def among(self, digests: Collection[str]) -> set[str]:
        """Those of `digests` whose contents are kept."""

    def keep_receipt(self, receipt: Receipt) -> None:
        """Keep how an attempt ended, unless that is kept already."""

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        """Receipts of which a ledger knows nothing, in parts; each is to be recorded before the next one."""

    def close(self) -> None:
        """Give up what reaches it."""


class SharedStore(Store):
    """Keeps every answer in the folder and in `answers`, before the ledger says that it is stored."""

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
        """A content of `answers`; None when there is none, or another one."""
        content = self._answers.get(digest)
        return content if content is not None and digest_bytes(content) == digest else None

    def close(self) -> None:
        super().close()
        self._answers.close()
