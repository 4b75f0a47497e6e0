"""The files of requests, each under the digest of its content, so that equal ones are kept once.

Where gateways share a book, the folder is a working copy of what lies where the answers of the ledger lie.
"""

import threading
from pathlib import Path

from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.files import refusal, write_once
from blackbox_conformal.sampling.ledger.sample_store import sync
from blackbox_conformal.sampling.ledger.shared_store import AnswerStore


class FileStore:
    """Files in a folder; from any thread. What is kept is on disk when `keep` returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._folder / name[:2] / name

    def locate(self, digest: str) -> Path:
        """Where the file of a digest lies."""
        return self._path(digest)

    def keep(self, content: bytes) -> str:
        """Keep a file; its digest.

        Raises
        ------
        IncompleteError, UsageError
            It cannot be written.
        """
        digest = digest_bytes(content)
        path = self._path(digest)
        try:
            with self._lock:
                path.parent.mkdir(mode=0o700, exist_ok=True)
            if write_once(path, content):
                sync(path.parent)
        except OSError as error:
            # Where the gateway keeps files is not the client's business.
            raise type(refusal(path, error))(f"the gateway cannot keep a file: {error.strerror}") from None
        return digest

    def read(self, digest: str) -> bytes:
        """The content of a file.

        Raises
        ------
        IncompleteError
            It is gone or damaged.
        """
        try:
            content = self.locate(digest).read_bytes()
        except OSError as error:
            raise IncompleteError(f"a file of the request cannot be read: {error.strerror}") from None
        if digest_bytes(content) != digest:
            raise IncompleteError("a file of the request was damaged on disk; ask for the picture again")
        return content

    def close(self) -> None:
        """Give up what reaches the files."""


class SharedFileStore(FileStore):
    """Keeps every file in the folder and in `answers`; errors of `answers` are a `LedgerError`."""

    def __init__(self, folder: Path, answers: AnswerStore) -> None:
        super().__init__(folder)
        self._answers = answers

    def keep(self, content: bytes) -> str:
        digest = super().keep(content)
        self._answers.put(digest, content)
        return digest

    def locate(self, digest: str) -> Path:
        path = super().locate(digest)
        if not path.exists():
            content = self._answers.get(digest)
            if content is not None:
                super().keep(content)
        return path

    def close(self) -> None:
        self._answers.close()
