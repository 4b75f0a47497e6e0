"""Answers as an object store keeps them: each content once, under its digest: ``samples/ab/abcdef…``."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.errors import IncompleteError, LedgerError, UsageError
from blackbox_conformal.object_store import Store, refuse_unconditional
from blackbox_conformal.sampling.ledger.shared_store import AnswerStore

Result = TypeVar("Result")

_FOLDER = "samples"
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

    def __init__(self, store: Store, earlier: AnswerStore | None = None) -> None:
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
