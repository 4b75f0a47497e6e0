"""Text for display and storage: foreign names and messages, names as stems of files, counts, money."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from blackbox_conformal.errors import BlackboxConformalError, VendorError
from blackbox_conformal.support.secrets import redact

LONGEST_NAME = 160
LONGEST_MESSAGE = 500
LONGEST_STEM = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.I)

_LONGEST_STEM_BYTES = 200  # In bytes of UTF-8: file systems take 255, and written files add to the name.
_LETTERS = frozenset({"Ll", "Lu", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

Failure = TypeVar("Failure", bound=BlackboxConformalError)


def printable(name: str | os.PathLike[str], longest: int = LONGEST_NAME) -> str:
    """Write `name` on one line; control, format (bidirectional, zero-width) and unassigned characters as ``\\u202e``.

    A name above `longest` characters keeps its two ends, with ``…`` between.
    """
    text = os.fspath(name)
    # Cut before escaping, too, so that a hostile name of megabytes costs nothing.
    shown = "".join(map(_escaped, _ends(text, longest)))
    return _ends(shown, longest)


def visible(text: str) -> str:
    """Return `text` with every hidden character (see `printable`) escaped, except line ends."""
    if text.isprintable():
        return text
    return "".join(letter if letter == "\n" else _escaped(letter) for letter in text)


def clean(message: str) -> str:
    """Return `message` without secrets, on one printable line, at most `LONGEST_MESSAGE` characters."""
    return printable(redact(message), LONGEST_MESSAGE)


def cleaned(error: Failure) -> Failure:
    """Return `error` with clean texts and without the exceptions behind it, which may quote addresses and keys."""
    error.args = tuple(clean(part) if isinstance(part, str) else part for part in error.args)
    error.__cause__ = error.__context__ = None
    if isinstance(error, VendorError):
        error.request_id = None if error.request_id is None else clean(error.request_id)
        error.code = None if error.code is None else clean(error.code)
    return error


def name_of(path: str | os.PathLike[str]) -> str:
    """Return a picture's name, its file's stem; bytes that are no UTF-8, which no document can hold, as ``\\xff``."""
    return os.fsencode(Path(path).stem).decode("utf-8", "backslashreplace")


def file_stem(name: str) -> str:
    """Make `name` the stem of a file: one component, safe on every system, at most `LONGEST_STEM` characters.

    Letters of any script, digits, ``. _ -`` and spaces stay, unless the name is too long, reserved (``CON``), or starts
    or ends with a dot, dash or space. Other names get dashes and a digest that keeps them different.
    """
    # Composed, because some file systems write two spellings of a name as one file.
    composed = unicodedata.normalize("NFC", name)
    # Letters, marks on letters, digits and four signs stay.
    kept = [one if one in "._ -" or unicodedata.category(one) in _LETTERS else "\0" for one in composed]
    safe = re.sub("\0+", "-", "".join(kept)).strip(".- ")
    reserved = bool(_RESERVED.fullmatch(safe))
    if (
        safe
        and safe == name
        and len(safe) <= LONGEST_STEM
        and len(safe.encode()) <= _LONGEST_STEM_BYTES
        and not reserved
    ):
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    start = safe[: LONGEST_STEM - 13].encode()[: _LONGEST_STEM_BYTES - 13].decode(errors="ignore").rstrip(".- ")
    return f"{'picture' if reserved or not start else start}-{digest}"


def _ends(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def _escaped(character: str) -> str:
    category = unicodedata.category(character)
    if category not in _HIDDEN and (category != "Zs" or character == " "):
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def counted(number: int, thing: str) -> str:
    """Write ``1 draw``, ``2 draws``: `thing` in the singular, with an s for other numbers."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def dollars(amount: Decimal | float | str, digits: int | None = None) -> str:
    """Write US dollars exactly: ``$0.00``, ``$1.20``, ``$0.0679``; `digits` rounds an estimate."""
    exact = Decimal(str(amount))
    if digits is not None:
        exact = Decimal(f"{exact:.{digits}g}")
    exponent = exact.normalize().as_tuple().exponent
    return f"${exact:.{max(2, -exponent) if isinstance(exponent, int) else 2}f}"


def money(low: Decimal, high: Decimal) -> str:
    """Write a price range for people."""
    return " to ".join(dollars(usd) for usd in dict.fromkeys((low, high)))


def mebibytes(count: int | None) -> str:
    """Write a number of bytes for people."""
    return "unknown" if count is None else f"{count / 2**20:.0f} MiB"


def vendor_title(identity: Mapping[str, Any]) -> str:
    """Return the user's name for a vendor's identity: label, model, recipe or adapter; a cascade's whole list."""
    parameters, adapter = identity.get("parameters") or {}, identity.get("adapter")
    if isinstance(members := parameters.get("vendors"), list):
        return f"the cascade {' → '.join(vendor_title(member) for member in members)}"
    names = [parameters.get(key) for key in ("label", "model", "recipe")]
    return printable(next((str(name) for name in names if name), f"the {adapter or 'unnamed'} vendor"))
