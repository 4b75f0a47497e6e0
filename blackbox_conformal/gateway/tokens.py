"""Bearer tokens and their holders. A token is shown once, when made; only its hash is kept."""

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import filelock

from blackbox_conformal.drawing.ledger.money import to_nano, to_usd
from blackbox_conformal.errors import BudgetError, FileFormatError, UsageError
from blackbox_conformal.support.files import make_private, write_new
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.support.text import dollars

TOKENS_FILE = "tokens.json"
_SCHEMES = ("bearer", "token", "key")  # Words that clients of different services write before a token.


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a token, with rights."""

    name: str
    max_cost_usd: Decimal | None = None  # Most that the holder's requests may cost in all; None: no limit of their own.
    pay_again: bool = False  # Whether the holder may have an unusable draw bought once more, which may be billed twice.


class Tokens:
    """The tokens in a file, which is read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._holders: dict[str, Holder] = {}
        self._refresh()

    @property
    def required(self) -> bool:
        """Whether every request needs a token: there is a file, even an empty one, or there was."""
        self._refresh()
        return self._read_at is not None

    def owner(self, authorization: str) -> str | None:
        """Return the owner of the token in a header ``Authorization``; None: no owner."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() not in _SCHEMES:
            return None
        # A token has 256 random bits, so its hash tells nothing and needs no salt.
        found = self._refresh().get(_hash(token.strip()))
        return None if found is None else found.name

    def holder(self, name: str) -> Holder:
        """Return an owner's rights; all rights if no token is needed."""
        found = (holder for holder in self._refresh().values() if holder.name == name)
        return next(found, Holder(name, pay_again=not self.required))

    def require_room(self, name: str, nanousd: int) -> None:
        """Refuse if an owner's requests may not cost this many nano-dollars in all; see `AnyLedger.check_payer`."""
        limit = self.holder(name).max_cost_usd
        if limit is not None and nanousd > to_nano(limit):
            raise BudgetError(
                f"the picture does not fit into what is left of {dollars(limit)}, the limit of this token"
            )

    def new(self, name: str, max_cost_usd: Decimal | None = None, *, pay_again: bool = False) -> Secret:
        """Make a token; parameters as of `Holder`."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise UsageError(f"expected a name of letters, digits, dots and dashes; got {name!r}")
        token = "bbc_" + secrets.token_urlsafe(32)
        with self._changing() as holders:
            if name in (holder.name for holder in holders.values()):
                raise UsageError(f"there is a token of {name}; revoke it first, or choose another name")
            holders[_hash(token)] = Holder(name, max_cost_usd, pay_again)
        return Secret(token)

    def holders(self) -> list[Holder]:
        """Return the holders of tokens, by name."""
        return sorted(self._refresh().values(), key=lambda holder: holder.name)

    def names(self) -> list[str]:
        return [holder.name for holder in self.holders()]

    def revoke(self, name: str) -> None:
        """Revoke a token; a running gateway notices."""
        with self._changing() as holders:
            found = [digest for digest, holder in holders.items() if holder.name == name]
            if not found:
                raise UsageError(f"there is no token of {name}; there are: {', '.join(self.names()) or 'none'}")
            for digest in found:
                del holders[digest]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Holder]]:
        # No other process changes the holders during the ``with`` block.
        make_private(self._path.parent)
        with filelock.FileLock(self._path.with_name(f".{self._path.name}.lock")):
            holders = _read(self._path) if self._path.exists() else {}
            yield holders
            entries: dict[str, str | dict[str, object]] = {}
            for digest, holder in holders.items():
                limit = None if holder.max_cost_usd is None else str(holder.max_cost_usd)
                rights: dict[str, object] = {"name": holder.name, "max_cost_usd": limit, "pay_again": holder.pay_again}
                # The name alone, if the holder has no rights or limits.
                entries[digest] = holder.name if holder == Holder(holder.name) else rights
            content = {"tokens": entries}
            write_new(self._path, json.dumps(content, indent=1).encode(), force=True)
            self._path.chmod(0o600)

    def _refresh(self) -> dict[str, Holder]:
        with self._lock:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self._holders = {}
                return self._holders
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._read_at:
                self._holders, self._read_at = _read(self._path), seen
            return self._holders


def _read(path: Path) -> dict[str, Holder]:
    try:
        content: Any = json.loads(path.read_bytes())["tokens"]
        holders = {}
        for digest, entry in content.items():
            if isinstance(entry, str):
                entry = {"name": entry, "max_cost_usd": None, "pay_again": False}
            limit, pay_again = entry["max_cost_usd"], entry["pay_again"]
            if not isinstance(pay_again, bool):
                raise ValueError
            most = None if limit is None else to_usd(to_nano(Decimal(limit)))
            holders[str(digest)] = Holder(str(entry["name"]), most, pay_again)
        return holders
    except (ValueError, ArithmeticError, KeyError, TypeError, AttributeError, OSError):
        raise FileFormatError(
            f"expected tokens at {path}, as `blackbox-conformal serve token new` writes them"
        ) from None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
