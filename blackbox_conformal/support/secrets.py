"""Secrets: values that never show themselves, where keys are read, and a filter for all text that leaves the process.

Keys come from the environment or from the file that `<variable>_FILE` names, never from a configuration file or a
command line, and are never written anywhere.
"""

import base64
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from blackbox_conformal.errors import CredentialMissingError

_lock = threading.Lock()
_secrets: set[str] = set()
_passing: OrderedDict[str, None] = OrderedDict()  # Secrets that are made anew for each request, the last used last.
_shapes: OrderedDict[str, re.Pattern[str]] = OrderedDict()  # Keys, the last used last → all ways of writing one.
_MOST_SHAPED = 64
_MOST_PASSING = 1024  # More than the requests ever under way; each redaction searches for all.
_LONG_ENOUGH = 8  # Characters that a secret's shape needs, so that no part of a common word is taken for a secret.

# A stranger's text may be long, so no pattern looks at a letter more often than a fixed number of times: a lookahead
# and a possessive quantifier do not go back, and a search ends where the next one may begin.
_SIGNED = re.compile(
    r"([?&](?=[\w.-]*?(?:sig|token|key|credential|expires|policy|auth|secret))[\w.-]++=)[^&\s\"'<>]+", re.I
)
_USERINFO = re.compile(
    r"(?<!postgresql://)(?<!postgres://)(?<=://)[^/@\s]++@|(postgres(?:ql)?://[^/@\s:]*+:)\S{0,500}@", re.I
)
"""An address may hold a key in place of its user.

In a database's address only the password is secret; it may hold any letter that was not percent-encoded.
"""


class Secret:
    """A text that prints as ``***`` and is removed from every redacted text; `reveal` returns it.

    `lasting`: a key, searched for in every way of writing it. A text made anew for each request, such as a signature,
    is searched for as it stands.
    """

    __slots__ = ("_lasting", "_value")

    def __init__(self, value: str, *, lasting: bool = True) -> None:
        self._value, self._lasting = value, lasting
        self._search_for()

    def _search_for(self) -> None:
        # The last ones used stay longest.
        value = self._value
        # Three letters or fewer occur in any text: removing them would garble messages and protect little.
        if len(value) < 4:
            return
        with _lock:
            if self._lasting:
                _secrets.add(value)
                if value not in _shapes:
                    written = sorted(_written(value), key=len, reverse=True)
                    _shapes[value] = re.compile("|".join(map(re.escape, written)))
                # A key is wrapped again at each use, so keys in use stay.
                _shapes.move_to_end(value)
            else:
                _passing[value] = None
                _passing.move_to_end(value)
            # Every redaction tries all secrets, so a process that makes many keeps a bounded number.
            for kept, most in ((_shapes, _MOST_SHAPED), (_passing, _MOST_PASSING)):
                if len(kept) > most:
                    kept.popitem(last=False)

    def reveal(self) -> str:
        """Return the text itself; only the transport calls this."""
        if not self._lasting:
            self._search_for()
        return self._value

    def prefixed(self, prefix: str) -> "Secret":
        """Return a secret with `prefix` before it, such as ``Bearer ``."""
        return Secret(prefix + self.reveal(), lasting=False)

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    # A pickle would carry the key in clear to another process or a file.
    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled; read the key again where it is needed")


def revealed(value: Any) -> Any:
    """Return `value` with the text of every secret in its lists and tables; only for sending or signing it."""
    return _replaced(value, Secret.reveal)


def masked(value: Any) -> Any:
    """Return `value` with ``***`` in place of every secret in its lists and tables."""
    return _replaced(value, str)


def holds_secret(value: Any) -> bool:
    """Tell whether `value`, or its lists and tables, hold a secret."""
    if isinstance(value, Mapping):
        return any(map(holds_secret, value.values()))
    return any(map(holds_secret, value)) if isinstance(value, list) else isinstance(value, Secret)


def _replaced(value: Any, text: Callable[[Secret], str]) -> Any:
    if isinstance(value, Secret):
        return text(value)
    if isinstance(value, Mapping):
        return {name: _replaced(inner, text) for name, inner in value.items()}
    return [_replaced(inner, text) for inner in value] if isinstance(value, list) else value


def read_credential(variable: str, owner: str) -> Secret:
    """Read the key in `variable`, without white space around it."""
    value = os.environ.get(variable, "")
    file_name = os.environ.get(f"{variable}_FILE", "")
    if not value and file_name:
        try:
            value = Path(file_name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialMissingError(
                f"expected a readable key file in {variable}_FILE; {type(error).__name__} while reading it"
            ) from None
    value = value.strip()
    if not value:
        raise CredentialMissingError(
            f"adapter {owner} expects its key in {variable} (or a file named by {variable}_FILE); neither is set. "
            f"Run: export {variable}=…"
        )
    return checked_secret(value, f"the key in {variable}")


def checked_secret(value: str, place: str) -> Secret:
    """Return `value` as a key; `place` says in messages where it was found."""
    secret = Secret(value)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise CredentialMissingError(f"{place} holds white space or non-ASCII characters; copy it again")
    return secret


def redact(text: str) -> str:
    """Remove every secret, signed-link parameter and user name in a URL from `text`; PostgreSQL user names stay.

    Secrets are found plain, percent-encoded, in base64 (also within longer texts), in hexadecimal and with JSON's
    escapes.
    """
    with _lock:
        # The longest first: a key within a longer secret, as after `Bearer `, would else leave the rest in sight.
        secrets, patterns = sorted({*_secrets, *_passing}, key=len, reverse=True), list(_shapes.values())
    for secret in secrets:
        text = text.replace(secret, "***")
    for pattern in patterns:
        text = pattern.sub("***", text)
    # A signed link opens without a key, so its signature is a secret, though no `Secret` holds it.
    text = _SIGNED.sub(r"\1***", text)
    return _USERINFO.sub(lambda found: f"{found[1] or ''}***@", text)


def _written(secret: str) -> Iterator[str]:
    data = secret.encode("utf-8", "surrogateescape")
    shapes = {quote(data, safe=""), quote(data), quote_plus(data), secret.replace("/", "\\/")}
    shapes.add("".join(f"%{byte:02X}" for byte in data))
    # RFC 3986 lets a percent-escape have small letters, too.
    shapes |= {re.sub("%..", lambda escape: escape[0].lower(), shape) for shape in shapes}
    shapes |= {data.hex(), data.hex().upper()}
    for before in range(3):
        # Within a longer text a secret begins at the first, second or third byte of a group; letters of base64 that
        # hold bits of its neighbours are left out.
        coded = base64.b64encode(bytes(before) + data).decode()
        inner = coded[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        shapes |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    yield from (shape for shape in shapes if len(shape) >= _LONG_ENOUGH)
