"""Where the answers of a run are kept besides its folder, and which of these places this process may use.

As with a ledger in a database (see `address`): the user names the place, by an option, a keyword or the environment
variable `VARIABLE`. A run folder notes it, and such a note alone makes nobody connect.
"""

import os
from pathlib import Path

from blackbox_conformal.errors import LedgerError, UsageError
from blackbox_conformal.files import write_once
from blackbox_conformal.object_store import BucketAddress, is_bucket
from blackbox_conformal.secrets import redact

VARIABLE = "BLACKBOX_CONFORMAL_STORE"
_NOTE = "store.address"
_LONGEST = 4096

_named: set[str] = set()
_placed: dict[Path, str] = {}


def normal(text: str) -> str:
    """A bucket's address, or the absolute path of a folder, as it is noted.

    Raises
    ------
    UsageError
        It is an address of another kind.
    """
    if is_bucket(text):
        return str(BucketAddress.of_text(text))
    if "://" in text or not text.strip() or not text.isprintable():
        raise UsageError(f"expected a folder, or an address such as s3://bucket/runs; got {redact(text)[:100]!r}")
    return os.path.abspath(text)


def of_environment() -> str | None:
    """The place that the environment names; None where it names none. Errors as `normal`."""
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    _named.add(place := normal(text))
    return place


def place_store(run: Path, text: str) -> None:
    """Let the answers of a run folder be kept at a place, which the user names; nothing is written.

    Raises
    ------
    UsageError
        It is no such place, or the folder has another one.
    """
    place = normal(text)
    noted = noted_store(run)
    if noted not in (None, place):
        raise UsageError(f"the store of {run} is {noted}; got --store {place}. Give that, or another --run")
    _named.add(place)
    _placed[run.resolve()] = place


def noted_store(run: Path) -> str | None:
    """The place that a run folder notes; None when it notes none.

    Raises
    ------
    LedgerError
        The note cannot be read.
    """
    try:
        with (run / _NOTE).open("rb") as file:
            return normal(file.read(_LONGEST).decode().strip("\n"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError, UsageError):
        raise LedgerError(
            f"{run / _NOTE} does not say where the answers of this folder are kept; write that there, such as "
            "s3://bucket/runs"
        ) from None


def keep_store_note(run: Path, place: str) -> None:
    """Note in a run folder where its answers are kept; errors are an `OSError`."""
    write_once(run / _NOTE, f"{place}\n".encode())


def store_address_of(run: Path) -> str | None:
    """Where the answers of a run folder are kept besides it; None: nowhere.

    Raises
    ------
    LedgerError
        The user of this process did not name the place that the folder notes.
    """
    noted = noted_store(run)
    if noted is None:
        return _placed.get(run.resolve())
    of_environment()
    if noted not in _named:
        raise LedgerError(
            f"the answers of {run} are kept in {noted}, and nobody connects because a folder says so; if that place is "
            f'yours, set {VARIABLE}="$(cat {run / _NOTE})"'
        )
    return noted
