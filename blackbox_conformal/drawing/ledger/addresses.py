"""Addresses of ledgers: noted by run folders, used only if this process's user named them.

A note in a run folder alone makes no connection: a folder from a stranger could send a password to the stranger's
server.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from blackbox_conformal.errors import LedgerError, UsageError
from blackbox_conformal.support.files import make_private, write_once
from blackbox_conformal.support.secrets import Secret

VARIABLE = "BLACKBOX_CONFORMAL_LEDGER"
_SCHEMES = ("postgresql", "postgres")
_HIDDEN = re.compile("password|passwd|secret", re.IGNORECASE)
_LONGEST = 2000
_LONGEST_NOTE = 4096


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a PostgreSQL database."""

    shown: str  # The address without its password.
    password: Secret | None = None  # The password in it; None: libpq looks in ``PGPASSWORD`` and ``PGPASSFILE``.

    @classmethod
    def of_text(cls, text: str) -> "Address":
        """Parse a text such as ``postgresql://user@host:5432/name``."""
        expected = "expected an address such as postgresql://user@host:5432/name"
        try:
            parts = urlsplit(text.strip())
            user, password, parameters = parts.username, parts.password, parse_qsl(parts.query)
        except ValueError:
            raise UsageError(f"{expected}; got something else. Write special characters percent-encoded") from None
        if parts.scheme not in _SCHEMES or len(text) > _LONGEST or not text.strip().isprintable():
            raise UsageError(f"{expected}; got another kind of address")
        if "@" in parts.path + parts.query + parts.fragment:
            # One of these letters cut the password, whose rest must not be shown as an address.
            raise UsageError(
                f"{expected}; got one with an @ after its host. Write / ? # @ of a password as %2F %3F %23 %40"
            )
        if parts.fragment or any(_HIDDEN.search(name) for name, _ in parameters):
            raise UsageError(f"{expected}, without a password among its parameters: set PGPASSWORD, or PGPASSFILE")
        host = parts.netloc.rpartition("@")[2]
        place = f"{user}@{host}" if user else host
        shown = urlunsplit(("postgresql", place, parts.path, parts.query, ""))
        return cls(shown, None if password is None else Secret(unquote(password)))

    def __str__(self) -> str:
        return self.shown


class _Ledgers:
    """Addresses of ledgers, as run folders note them and as the user named them."""

    def __init__(self) -> None:
        self._named: dict[str, Address] = {}
        self._placed: dict[Path, Address] = {}

    def name(self, text: str) -> Address:
        """Let this process use an address that its user named; without a password it keeps an earlier one."""
        address = Address.of_text(text)
        if address.password is not None or address.shown not in self._named:
            self._named[address.shown] = address
        return self._named[address.shown]

    def of_environment(self) -> Address | None:
        text = os.environ.get(VARIABLE, "").strip()
        return self.name(text) if text else None

    def place(self, run: Path, text: str) -> Address:
        """Check the user's address for a run folder; nothing is written until `keep`."""
        address = Address.of_text(text)
        if (run / "ledger.sqlite").exists():
            raise UsageError(
                f"{run} holds a ledger of its own (ledger.sqlite), which counts what was paid for in it; give another "
                f"--run to draw with the ledger {address}, or leave --ledger out"
            )
        noted = self.noted(run)
        if noted not in (None, address.shown):
            raise UsageError(f"the ledger of {run} is {noted}; got --ledger {address}. Give that, or another --run")
        self._placed[run.resolve()] = address = self.name(text)
        return address

    def keep(self, run: Path, address: Address) -> None:
        """Note the ledger's address in a run folder, so that nothing is drawn into it with another ledger."""
        try:
            make_private(run)
            write_once(_note(run), f"{address}\n".encode())
        except OSError as error:
            raise UsageError(f"expected a run folder that can be written; {run}: {error.strerror}") from None

    def is_placed(self, run: Path) -> bool:
        return run.resolve() in self._placed or _note(run).is_file()

    def noted(self, run: Path) -> str | None:
        """Return the address that a run folder notes, or None."""
        try:
            with _note(run).open("rb") as file:
                # Limited, since the folder may come from a stranger.
                return Address.of_text(file.read(_LONGEST_NOTE).decode().strip("\n")).shown
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError, UsageError):
            raise LedgerError(
                f"{_note(run)} does not say where the ledger of this folder is; write its address there, such as "
                "postgresql://user@host:5432/name"
            ) from None

    def of(self, run: Path) -> Address | None:
        """Return a run folder's address, or None."""
        if (store := run / "store.address").is_file():
            raise LedgerError(
                f"answers of {run} may lie only in the place that {store} names, which is not read any more; copy "
                f"samples/ from there into {run / 'samples'}, so that nothing is bought again, then delete {store}"
            )
        noted = self.noted(run)
        if noted is None:
            return self._placed.get(run.resolve())
        self.of_environment()
        # The folder alone is not believed: its note could lead a password to a stranger's server.
        if noted not in self._named:
            raise LedgerError(
                f"the ledger of {run} is {noted}, and a folder that names a database makes no connection to it; if it "
                f'is yours, set {VARIABLE}="$(cat {_note(run)})"'
            )
        return self._named[noted]


def _note(run: Path) -> Path:
    return run / "ledger.address"


LEDGERS = _Ledgers()
