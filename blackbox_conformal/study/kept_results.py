"""Finished files of a run in its store: calibration, masks with their certificates, reports."""

from collections.abc import Callable, Iterable
from pathlib import Path

from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.credentials import without_credentials
from blackbox_conformal.drawing.ledger.addresses import STORES
from blackbox_conformal.drawing.object_store import BlobStore, refuse_unconditional, store_at
from blackbox_conformal.errors import CheckFailedError, FileFormatError, UsageError
from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.study.earlier_results import comparable

_FOLDER = "results"


def _are_of_same_mask(*contents: bytes) -> bool:
    if contents[0].startswith(PNG_SIGNATURE):
        return len(set(map(without_credentials, contents))) == 1
    try:
        first, second = (comparable(Certificate.from_json(content.decode())) for content in contents)
    except (CheckFailedError, FileFormatError, ValueError):
        return False
    return first == second


class KeptResults:
    """Puts finished files into the store of a run, ``results/<folder>/<file>``; nothing of others is overwritten."""

    def __init__(self, store: BlobStore) -> None:
        refuse_unconditional(store)
        self._store = store

    @classmethod
    def of(cls, run: Path) -> "KeptResults | None":
        """The results of a run; None where it has no store."""
        place = STORES.of(run)
        return None if place is None else cls(store_at(place))

    def keep(
        self,
        files: Iterable[Path],
        folder: str = "",
        *,
        force: bool = False,
        replaceable: Callable[[bytes, bytes], bool] = _are_of_same_mask,
    ) -> None:
        """Put files into the store, the last one last.

        Parameters
        ----------
        replaceable
            Whether a content that is there may be replaced by another one also without `force`; by default a
            certificate by one of the same mask, which may have more to say, and a picture by the same one with other
            Content Credentials.
        """
        for path in files:
            content = path.read_bytes()
            name = "/".join(filter(None, (_FOLDER, folder, path.name)))
            if self._store.put_if_absent(name, content):
                continue
            there = self._store.get(name) or b""
            if there == content:
                continue
            if not force and not replaceable(there, content):
                raise UsageError(
                    f"{self._store.shown}/{name} exists with other content and is not overwritten; give --force, "
                    "another --out or another --store"
                )
            self._store.replace(name, content)
