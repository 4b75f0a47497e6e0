"""Addresses of ledgers that lie in a database. Passwords are neither noted nor shown."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from blackbox_conformal.drawing.ledger.noted_addresses import NotedAddresses
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.files import make_private
from blackbox_conformal.support.secrets import Secret

VARIABLE = "BLACKBOX_CONFORMAL_LEDGER"
_SCHEMES = ("postgresql", "postgres")
_HIDDEN = re.compile("password|passwd|secret", re.IGNORECASE)
_LONGEST = 2000


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
        """The address that a text such as ``postgresql://user@host:5432/name`` says."""
        expected = "expected an address such as postgresql://user@host:5432/name"
        try:
            parts = urlsplit(text.strip())
            user, password, parameters = parts.username, parts.password, parse_qsl(parts.query)
        except ValueError:
            raise UsageError(f"{expected}; got something else. Write special characters percent-encoded") from None
        if parts.scheme not in _SCHEMES or len(text) > _LONGEST or not text.strip().isprintable():
            raise UsageError(f"{expected}; got another kind of address")
        if "@" in parts.path + parts.query + parts.fragment:
            # The password was cut at one of these letters, and is not shown as the rest of an address.
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
    """Addresses of ledgers, with what holds for them alone."""

    def name(self, text: str) -> Address:
        """As its base; a password that was named stays when the address is named again without one."""
        address = Address.of_text(text)
        # The password is kept in memory and never in the note of the folder.
        known = self._named.get(address.shown)
        return super().name(text) if known is None or address.password is not None else known

    def place(self, run: Path, text: str) -> Address:
        """As its base; and a `UsageError` where the folder has a ledger of its own."""
        if (run / "ledger.sqlite").exists():
            raise UsageError(
                f"{run} holds a ledger of its own (ledger.sqlite), which counts what was paid for in it; give another "
                f"--run to draw with the ledger {Address.of_text(text)}, or leave --ledger out"
            )
        return super().place(run, text)

    def keep(self, run: Path, place: Address) -> None:
        """Note in a run folder where its ledger is, so that nothing is ever drawn into it with another one."""
        # The folder is made private before it says where money is counted.
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
