"""The files of requests, stored by digest, so that equal ones are kept once.

A vendor's file without a mark is a copy of the stored answer, so damage to one leaves the other. If gateways share a
book, the folder is a working copy of the ledger's store.
"""

import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.drawing.ledger.sample_store import Store, sync
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import refusal, write_once

if TYPE_CHECKING:
    from blackbox_conformal.drawing.ledger.postgres.shared_store import PostgresAnswers

_UNNAMED_S = 3600.0  # A younger file without a row may belong to a request that is just being accepted.


class FileStore:
    """Files in a folder, for any thread. `keep` returns once a file is on disk.

    `samples`: The stored answers.
    """

    def __init__(self, folder: Path, samples: Store) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._samples = folder, samples
        self._lock = threading.Lock()

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name

    def _copy(self, digest: str) -> bytes | None:
        """Read a second copy of this digest; None: there is none."""
        stored = self._samples.locate(digest)
        return None if stored is None else _content(stored)

    def keep(self, content: bytes) -> str:
        """Keep a file, and return its digest; a damaged one is made again."""
        digest = digest_bytes(content)
        path = self._path(digest)
        try:
            with self._lock:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                there = _content(path)
                if there == content:
                    os.utime(path)  # From now on it is new for `forget_all_but`.
                    return digest
                if there is not None:
                    # Damaged: it is written anew under the same name.
                    path.unlink()
            write_once(path, content)
            sync(path.parent)
        except OSError as error:
            # The client must not learn where the gateway keeps files.
            raise type(refusal(path, error))(f"the gateway cannot keep a file: {error.strerror}") from None
        return digest

    def read(self, digest: str) -> bytes:
        """Read a file; a missing or damaged one is restored from its second copy."""
        try:
            content = _content(self._path(digest))
            if content is None or digest_bytes(content) != digest:
                content = self._copy(digest)
                if content is None or digest_bytes(content) != digest:
                    raise IncompleteError("a file of the request is gone or damaged; ask for the picture again")
                FileStore.keep(self, content)
        except OSError as error:
            raise IncompleteError(f"a file of the request cannot be read: {error.strerror}") from None
        return content

    def forget_all_but(self, digests: Collection[str]) -> int:
        """Delete files with other digests, except new ones; return how many."""
        kept, before, deleted = {digest.removeprefix("sha256:") for digest in digests}, time.time() - _UNNAMED_S, 0
        for path in self._folder.glob("??/*"):
            with self._lock:
                if path.name not in kept and path.stat(follow_symlinks=False).st_ctime < before:
                    path.unlink()
                    deleted += 1
        return deleted

    def close(self) -> None:
        """Close the store."""


class SharedFileStore(FileStore):
    """A store with every file in the folder and in `answers`, whose errors are a `LedgerError`."""

    def __init__(self, folder: Path, samples: Store, answers: "PostgresAnswers") -> None:
        super().__init__(folder, samples)
        self._answers = answers

    def keep(self, content: bytes) -> str:
        digest = super().keep(content)
        # After the folder, which can be read even while the database is away.
        self._answers.put(digest, content)
        return digest

    def _copy(self, digest: str) -> bytes | None:
        return self._answers.get(digest)

    def close(self) -> None:
        self._answers.close()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
