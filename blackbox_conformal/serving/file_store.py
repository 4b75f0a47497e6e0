"""The files of requests, each under the digest of its content, so that equal ones are kept once."""

import threading
from pathlib import Path

from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.files import refusal, write_once
from blackbox_conformal.sampling.ledger.sample_store import sync


class FileStore:
    """Files in a folder; from any thread. What is kept is on disk when `keep` returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()

    def path(self, digest: str) -> Path:
        """Where the file of a digest lies."""
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name

    def keep(self, content: bytes) -> str:
        """Keep a file; its digest.

        Raises
        ------
        IncompleteError, UsageError
            It cannot be written.
        """
        digest = digest_bytes(content)
        path = self.path(digest)
        try:
            with self._lock:
                path.parent.mkdir(mode=0o700, exist_ok=True)
            if write_once(path, content):
                sync(path.parent)
        except OSError as error:
            raise refusal(path, error) from None
        return digest

    def read(self, digest: str) -> bytes:
        """The content of a file.

        Raises
        ------
        IncompleteError
            It is gone or damaged.
        """
        try:
            content = self.path(digest).read_bytes()
        except OSError as error:
            raise IncompleteError(f"a file of the request cannot be read: {error.strerror}") from None
        if digest_bytes(content) != digest:
            raise IncompleteError("a file of the request was damaged on disk; ask for the picture again")
        return content
