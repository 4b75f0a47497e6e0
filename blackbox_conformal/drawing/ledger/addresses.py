"""Addresses of ledgers and stores: noted by run folders, used only if this process's user named them.

A note in a run folder alone makes no connection: a folder from a stranger could send a key or a password to the
stranger's server.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from blackbox_conformal.drawing.object_store import BucketAddress, is_bucket
from blackbox_conformal.errors import LedgerError, UsageError
from blackbox_conformal.support.files import make_private, write_once
from blackbox_conformal.support.secrets import Secret, redact

Place = TypeVar("Place")
_LONGEST_NOTE = 4096


class NotedAddresses(Generic[Place]):
    """Addresses of one kind, as run folders note them and as the user named them.

    Parameters
    ----------
    kind
        The option without its dashes; the note is ``<kind>.address``.
    variable
        The environment variable.
    parse
        Reads an address, whose `str` is shown and noted; raises `UsageError`.
    unreadable, refused
        Error texts for an unreadable note, and for a `place` that only the folder `run` names.
    """

    def __init__(
        self, kind: str, variable: str, parse: Callable[[str], Place], *, unreadable: str, refused: str
    ) -> None:
        self._kind, self._variable, self._parse = kind, variable, parse
        self._unreadable, self._refused = unreadable, refused
        self._named: dict[str, Place] = {}
        self._placed: dict[Path, Place] = {}

    def name(self, text: str) -> Place:
        """Let this process use an address that its user named."""
        place = self._parse(text)
        self._named[str(place)] = place
        return place

    def of_environment(self) -> Place | None:
        """Return the address that the environment names, or None."""
        text = os.environ.get(self._variable, "").strip()
        return self.name(text) if text else None

    def place(self, run: Path, text: str) -> Place:
        """Check the user's address for a run folder; nothing is written until `keep`."""
        place, noted = self._parse(text), self.noted(run)
        if noted not in (None, str(place)):
            raise UsageError(
                f"the {self._kind} of {run} is {noted}; got --{self._kind} {place}. Give that, or another --run"
            )
        self._placed[run.resolve()] = place = self.name(text)
        return place

    def keep(self, run: Path, place: Place) -> None:
        """Note a run folder's address; raises `OSError`."""
        write_once(self._note(run), f"{place}\n".encode())

    def is_placed(self, run: Path) -> bool:
        """Tell whether a run folder has such an address."""
        return run.resolve() in self._placed or self._note(run).is_file()

    def noted(self, run: Path) -> str | None:
        """Return the address that a run folder notes, or None."""
        try:
            with self._note(run).open("rb") as file:
                # Limited, since the folder may come from a stranger.
                return str(self._parse(file.read(_LONGEST_NOTE).decode().strip("\n")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError, UsageError):
            raise LedgerError(f"{self._note(run)} does not say {self._unreadable}") from None

    def of(self, run: Path) -> Place | None:
        """Return a run folder's address, or None."""
        noted = self.noted(run)
        if noted is None:
            return self._placed.get(run.resolve())
        self.of_environment()
        # The folder alone is not believed: its note could lead a password to a stranger's server.
        if noted not in self._named:
            refused = self._refused.format(run=run, place=noted)
            raise LedgerError(f'{refused}, set {self._variable}="$(cat {self._note(run)})"')
        return self._named[noted]

    def _note(self, run: Path) -> Path:
        return run / f"{self._kind}.address"


def normal(text: str) -> str:
    """Return a bucket's address, or a folder's absolute path, in the form of a note."""
    if is_bucket(text):
        return str(BucketAddress.of_text(text))
    if "://" in text or not text.strip() or not text.isprintable():
        raise UsageError(f"expected a folder, or an address such as s3://bucket/runs; got {redact(text)[:100]!r}")
    return os.path.abspath(text)


STORES = NotedAddresses(
    "store",
    "BLACKBOX_CONFORMAL_STORE",
    normal,
    unreadable="where the answers of this folder are kept; write that there, such as s3://bucket/runs",
    refused="the answers of {run} are kept in {place}, and a folder alone makes no connection; if that place is yours",
)


VARIABLE = "BLACKBOX_CONFORMAL_LEDGER"
_SCHEMES = ("postgresql", "postgres")
_HIDDEN = re.compile("password|passwd|secret", re.IGNORECASE)
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a PostgreSQL database.

    Attributes
    ----------
    shown
        The address without its password.
    password
        The password in it; None: libpq looks in ``PGPASSWORD`` and ``PGPASSFILE``.
    """

    shown: str
    password: Secret | None = None

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


class _Ledgers(NotedAddresses[Address]):
    def name(self, text: str) -> Address:
        """Let this process use an address; without a password it keeps an earlier one."""
        address = Address.of_text(text)
        known = self._named.get(address.shown)
        return super().name(text) if known is None or address.password is not None else known

    def place(self, run: Path, text: str) -> Address:
        """Refuse a folder that has a ledger of its own."""
        if (run / "ledger.sqlite").exists():
            raise UsageError(
                f"{run} holds a ledger of its own (ledger.sqlite), which counts what was paid for in it; give another "
                f"--run to draw with the ledger {Address.of_text(text)}, or leave --ledger out"
            )
        return super().place(run, text)

    def keep(self, run: Path, place: Address) -> None:
        """Note the ledger's address in a run folder, so that nothing is drawn into it with another ledger."""
        try:
            make_private(run)
            super().keep(run, place)
        except OSError as error:
            raise UsageError(f"expected a run folder that can be written; {run}: {error.strerror}") from None


LEDGERS = _Ledgers(
    "ledger",
    VARIABLE,
    Address.of_text,
    unreadable="where the ledger of this folder is; write its address there, such as postgresql://user@host:5432/name",
    refused="the ledger of {run} is {place}, and a folder that names a database makes no connection to it; if it is "
    "yours",
)
