"""Answers as an object store keeps them: each content once, under its digest: ``samples/ab/abcdef…``.

A receipt is named after the draw's key, the generation and the state: ``receipts/ab/abcdef…-0-stored``.
"""

import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar, cast

from blackbox_conformal.drawing.ledger.receipts import TOGETHER, Key, Receipt, Unknown
from blackbox_conformal.drawing.ledger.shared_store import AnswerStore
from blackbox_conformal.drawing.ledger.states import STATES, AttemptState
from blackbox_conformal.drawing.object_store import BlobStore, refuse_unconditional
from blackbox_conformal.errors import IncompleteError, LedgerError, UsageError
from blackbox_conformal.support.canonical import digest_bytes

Result = TypeVar("Result")

_FOLDER = "samples"
_RECEIPTS = "receipts"
_RECEIPT_NAME = re.compile(rf"{_RECEIPTS}/\w\w/([0-9a-f]{{64}})-(\d{{1,9}})-({'|'.join(STATES)})")
_LISTED_FROM = 200
"""So many contents are looked for in a listing, fewer one by one."""

_AT_ONCE = 16


class ObjectAnswers:
    """The contents in a store (see `shared_store.AnswerStore`); errors are a `LedgerError`.

    Parameters
    ----------
    earlier
        Where contents were kept before there was this store; it is looked into, too.
    """

    def __init__(self, store: BlobStore, earlier: AnswerStore | None = None) -> None:
        self._store, self._earlier = store, earlier

    def prepare(self) -> None:
        """Refuse a store that overwrites what is there, or gives back other bytes; errors as `refuse_unconditional`."""
        refuse_unconditional(self._store)

    def put(self, digest: str, content: bytes) -> None:
        """Keep a content; what lies there damaged is replaced."""
        name = _name(digest)

        def keep() -> None:
            if not self._store.put_if_absent(name, content) and self._store.get(name) != content:
                self._store.replace(name, content)

        self._asked(keep)

    def get(self, digest: str) -> bytes | None:
        """A content; None when there is none, or another one."""
        content = self._asked(lambda: self._store.get(_name(digest)))
        if content is not None and digest_bytes(content) == digest:
            return content
        return None if self._earlier is None else self._earlier.get(digest)

    def among(self, digests: Collection[str]) -> set[str]:
        """Those of `digests` whose contents are kept."""
        wanted = {_name(digest): digest for digest in digests}
        found = self._asked(lambda: self._listed(wanted))
        if self._earlier is not None:
            found |= self._earlier.among([digest for digest in digests if digest not in found])
        return found

    def _listed(self, wanted: dict[str, str]) -> set[str]:
        if len(wanted) >= _LISTED_FROM:
            return {wanted[found.name] for found in self._store.names(_FOLDER) if found.name in wanted}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="head") as pool:
            return {wanted[found.name] for found in pool.map(self._store.head, wanted) if found is not None}

    def keep_receipt(self, receipt: Receipt) -> None:
        """Keep how an attempt ended, unless that is kept already."""
        task, generation, state = receipt.key
        value = task.removeprefix("sha256:")
        name = f"{_RECEIPTS}/{value[:2]}/{value}-{generation}-{state}"
        self._asked(lambda: self._store.put_if_absent(name, receipt.to_line()))

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        """Receipts of which a ledger knows nothing, in parts; each is to be recorded before the next one."""
        found = self._asked(lambda: self._store.names(_RECEIPTS))
        while part := self._asked(lambda: [one.name for one in islice(found, TOGETHER)]):
            named = {name: match for name in part if (match := _RECEIPT_NAME.fullmatch(name))}
            names = {
                Key(f"sha256:{one[1]}", int(one[2]), cast(AttemptState, one[3])): name for name, one in named.items()
            }
            wanted = sorted(unknown([*names]))
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="receipt") as pool:
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
        """Give up what reaches it."""
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
