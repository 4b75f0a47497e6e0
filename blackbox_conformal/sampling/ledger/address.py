"""Addresses of ledgers that lie in a database, and which of them this process may connect to.

An address comes from the user: from an option or keyword, or from the environment variable `VARIABLE`. A run folder
notes the address of its ledger, and such a note alone makes nobody connect: a folder may come from a stranger, whose
database would be sent a password. Passwords are neither noted nor shown.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from blackbox_conformal.errors import LedgerError, UsageError
from blackbox_conformal.files import make_private, write_once
from blackbox_conformal.secrets import Secret

VARIABLE = "BLACKBOX_CONFORMAL_LEDGER"
_NOTE = "ledger.address"
_SCHEMES = ("postgresql", "postgres")
_HIDDEN = re.compile("password|passwd|secret", re.IGNORECASE)
_LONGEST = 2000

_named: dict[str, "Address"] = {}
_placed: dict[Path, "Address"] = {}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a PostgreSQL database is.

    Attributes
    ----------
    shown
        The address without its password.
    password
        The password that was written into it; None: libpq looks for one in ``PGPASSWORD`` and ``PGPASSFILE``.
    """

    shown: str
    password: Secret | None = None

    @classmethod
    def of_text(cls, text: str) -> "Address":
        """The address that a text such as ``postgresql://user@host:5432/name`` says.

        Raises
        ------
        UsageError
            It is of another kind, or holds a password among its parameters.
        """
        expected = "expected an address such as postgresql://user@host:5432/name"
        try:
            parts = urlsplit(text.strip())
            user, password, parameters = parts.username, parts.password, parse_qsl(parts.query)
        except ValueError:
            raise UsageError(f"{expected}; got something else. Write special characters percent-encoded") from None
        if parts.scheme not in _SCHEMES or len(text) > _LONGEST or not text.strip().isprintable():
            raise UsageError(f"{expected}; got another kind of address")
        if parts.fragment or any(_HIDDEN.search(name) for name, _ in parameters):
            raise UsageError(f"{expected}, without a password among its parameters: set PGPASSWORD, or PGPASSFILE")
        host = parts.netloc.rpartition("@")[2]
        place = f"{user}@{host}" if user else host
        shown = urlunsplit(("postgresql", place, parts.path, parts.query, ""))
        return cls(shown, None if password is None else Secret(unquote(password)))

    def __str__(self) -> str:
        return self.shown


def name_address(text: str) -> Address:
    """Let this process connect to an address that its user named; errors as `Address.of_text`."""
    address = Address.of_text(text)
    known = _named.get(address.shown)
    if known is None or address.password is not None:
        _named[address.shown] = address
    return _named[address.shown]


def of_environment() -> Address | None:
    """The address that the environment names; None where it names none. Errors as `Address.of_text`."""
    text = os.environ.get(VARIABLE, "").strip()
    return name_address(text) if text else None


def place_ledger(run: Path, text: str) -> Address:
    """Let a run folder have its ledger in the database at an address, which the user names.

    Nothing is written; `keep_note` notes it in the folder.

    Raises
    ------
    UsageError
        It is no address; or the folder has a ledger of its own, or one at another address.
    """
    address = name_address(text)
    if (run / "ledger.sqlite").exists():
        raise UsageError(
            f"{run} holds a ledger of its own (ledger.sqlite), which counts what was paid for in it; give another --run"
            f" to draw with the ledger {address}, or leave --ledger out"
        )
    noted = noted_address(run)
    if noted not in (None, address.shown):
        raise UsageError(f"the ledger of {run} is {noted}; got --ledger {address}. Give that, or another --run")
    _placed[run.resolve()] = address
    return address


def keep_note(run: Path, address: Address) -> None:
    """Note in a run folder where its ledger is, so that nothing is ever drawn into it with another one.

    Raises
    ------
    UsageError
        The folder cannot be written.
    """
    try:
        make_private(run)
        write_once(run / _NOTE, f"{address.shown}\n".encode())
    except OSError as error:
        raise UsageError(f"expected a run folder that can be written; {run}: {error.strerror}") from None


def is_placed(run: Path) -> bool:
    """Whether the ledger of a run folder is said to be in a database."""
    return run.resolve() in _placed or (run / _NOTE).is_file()


def noted_address(run: Path) -> str | None:
    """Where the ledger of a run folder is, as the folder notes it; None when it notes nothing.

    Raises
    ------
    LedgerError
        The note cannot be read.
    """
    try:
        with (run / _NOTE).open("rb") as file:
            return Address.of_text(file.read(_LONGEST + 2).decode("utf-8")).shown
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, UsageError):
        raise LedgerError(
            f"{run / _NOTE} does not say where the ledger of this folder is; write its address there, such as"
            " postgresql://user@host:5432/name"
        ) from None


def address_of(run: Path) -> Address | None:
    """The address of a run folder's ledger; None when its ledger is a file in the folder.

    Raises
    ------
    LedgerError
        The user of this process did not name that address.
    """
    shown = noted_address(run)
    if shown is None:
        return _placed.get(run.resolve())
    of_environment()
    if shown not in _named:
        raise LedgerError(
            f"the ledger of {run} is {shown}, and nobody connects to a database because a folder names it; if it is"
            f' yours, set {VARIABLE}="$(cat {run / _NOTE})"'
        )
    return _named[shown]
