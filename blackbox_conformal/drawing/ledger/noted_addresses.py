"""Addresses that run folders note, and which of them this process may use.

An address comes from the user: from an option or keyword, or from an environment variable. A run folder notes it, and
such a note alone makes no connection: a folder may come from a stranger, whose server would be sent a key or a
password.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from blackbox_conformal.errors import LedgerError, UsageError
from blackbox_conformal.support.files import write_once

Place = TypeVar("Place")
_LONGEST = 4096


class NotedAddresses(Generic[Place]):
    """Addresses of one kind, as run folders note them and as the user of this process named them.

    Parameters
    ----------
    kind
        The option that takes such an address, without its dashes; the note's name is ``<kind>.address``.
    variable
        The environment variable that takes such an address.
    parse
        The address that a text says; its `str` is what is shown and noted. Raises `UsageError` for other texts.
    unreadable, refused
        What errors say of a note that cannot be read, and of the `place` that only the folder `run` names.
    """

    def __init__(
        self, kind: str, variable: str, parse: Callable[[str], Place], *, unreadable: str, refused: str
    ) -> None:
        self._kind, self._variable, self._parse = kind, variable, parse
        self._unreadable, self._refused = unreadable, refused
        self._named: dict[str, Place] = {}
        self._placed: dict[Path, Place] = {}

    def name(self, text: str) -> Place:
        """Let this process use an address that its user named; errors as `parse`."""
        place = self._parse(text)
        self._named[str(place)] = place
        return place

    def of_environment(self) -> Place | None:
        """The address that the environment names; None where it names none. Errors as `parse`."""
        text = os.environ.get(self._variable, "").strip()
        return self.name(text) if text else None

    def place(self, run: Path, text: str) -> Place:
        """Let a run folder have the address that the user names; nothing is written until `keep`."""
        # A folder keeps its place: its draws are counted there.
        place, noted = self._parse(text), self.noted(run)
        if noted not in (None, str(place)):
            raise UsageError(
                f"the {self._kind} of {run} is {noted}; got --{self._kind} {place}. Give that, or another --run"
            )
        self._placed[run.resolve()] = place = self.name(text)
        return place

    def keep(self, run: Path, place: Place) -> None:
        """Note in a run folder what its address is; errors are an `OSError`."""
        write_once(self._note(run), f"{place}\n".encode())

    def is_placed(self, run: Path) -> bool:
        """Whether a run folder has such an address."""
        return run.resolve() in self._placed or self._note(run).is_file()

    def noted(self, run: Path) -> str | None:
        """The address that a run folder notes; None when it notes none."""
        try:
            with self._note(run).open("rb") as file:
                # Limited, since the folder may come from a stranger.
                return str(self._parse(file.read(_LONGEST).decode().strip("\n")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError, UsageError):
            raise LedgerError(f"{self._note(run)} does not say {self._unreadable}") from None

    def of(self, run: Path) -> Place | None:
        """The address of a run folder; None when it has none."""
        noted = self.noted(run)
        if noted is None:
            return self._placed.get(run.resolve())
        # The environment may have changed since; what it names is the user's word.
        self.of_environment()
        # The folder alone is not believed: its note could lead a password to somebody else's server.
        if noted not in self._named:
            refused = self._refused.format(run=run, place=noted)
            raise LedgerError(f'{refused}, set {self._variable}="$(cat {self._note(run)})"')
        return self._named[noted]

    def _note(self, run: Path) -> Path:
        return run / f"{self._kind}.address"
