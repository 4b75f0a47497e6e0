"""Bearer tokens: whose they are. Only a hash of each is kept, and a token is shown once, when it is made."""

import hashlib
import json
import re
import secrets
import threading
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.files import make_private, write_new
from blackbox_conformal.secrets import Secret

TOKENS_FILE = "tokens.json"
_SCHEMES = ("bearer", "token", "key")
"""What clients of different services write before a token."""


class Tokens:
    """The tokens in a file, which is read again whenever it changes.

    Raises
    ------
    FileFormatError
        The file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._owners: dict[str, str] = {}
        self._refresh()

    @property
    def required(self) -> bool:
        """Whether every request has to show one: there is a file of tokens, or there was, be it empty."""
        self._refresh()
        return self._read_at is not None

    def owner(self, authorization: str) -> str | None:
        """Who has the token in a header ``Authorization``; None: nobody."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() not in _SCHEMES:
            return None
        # A token has 256 random bits, so that its hash tells nothing and needs no salt.
        return self._refresh().get(_hash(token.strip()))

    def new(self, name: str) -> Secret:
        """Make a token for somebody.

        Raises
        ------
        UsageError
            There is one of that name.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise UsageError(f"expected a name of letters, digits, dots and dashes; got {name!r}")
        if name in self.names():
            raise UsageError(f"there is a token of {name}; revoke it first, or choose another name")
        token = "bbc_" + secrets.token_urlsafe(32)
        self._write({**self._refresh(), _hash(token): name})
        return Secret(token)

    def names(self) -> list[str]:
        """Who has a token."""
        return sorted(self._refresh().values())

    def revoke(self, name: str) -> None:
        """Take somebody's token away; a gateway that runs notices it.

        Raises
        ------
        UsageError
            There is none.
        """
        kept = {digest: owner for digest, owner in self._refresh().items() if owner != name}
        if len(kept) == len(self._owners):
            raise UsageError(f"there is no token of {name}; there are: {', '.join(self.names()) or 'none'}")
        self._write(kept)

    def _write(self, owners: dict[str, str]) -> None:
        make_private(self._path.parent)
        write_new(self._path, json.dumps({"tokens": owners}, indent=1).encode(), force=True)
        self._path.chmod(0o600)

    def _refresh(self) -> dict[str, str]:
        with self._lock:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self._owners = {}
                return self._owners
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._read_at:
                self._owners, self._read_at = _read(self._path), seen
            return self._owners


def _read(path: Path) -> dict[str, str]:
    try:
        content: Any = json.loads(path.read_bytes())["tokens"]
        return {str(digest): str(name) for digest, name in content.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        raise FileFormatError(
            f"expected tokens at {path}, as `blackbox-conformal serve-token new` writes them"
        ) from None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
