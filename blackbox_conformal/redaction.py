"""Secrets: values that never show themselves, and a filter for every text that leaves the process.

Nothing here reads the environment; whoever reads a key wraps it in `Secret` at once.
"""

import base64
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

_lock = threading.Lock()
_known: set[str] = set()
_shapes: OrderedDict[str, re.Pattern[str]] = OrderedDict()
"""Keys, the last used last → all ways of writing one."""

_MOST_SHAPED = 64
_LONG_ENOUGH = 8
"""Characters that the shape of a secret needs, so that no part of a common word is taken for one."""

_SIGNED = re.compile(
    r"([?&](?:[\w.-]*(?:sig|signature|token|key|credential|expires|policy|auth|secret)[\w.-]*)=)[^&\s\"'<>]+",
    re.I,
)
_USERINFO = re.compile(r"(\w+://)[^/@\s]+@")


class Secret:
    """A text that prints as ``***`` and is removed from every redacted text; `reveal` returns it.

    Parameters
    ----------
    value
        The text.
    lasting
        Whether it is a key, which is searched for in every way of writing it. What is made anew for each request, as
        a signature is, is searched for as it stands.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, *, lasting: bool = True) -> None:
        self._value = value
        if len(value) >= 4:
            with _lock:
                _known.add(value)
                if lasting and value not in _shapes:
                    written = sorted(_written(value), key=len, reverse=True)
                    _shapes[value] = re.compile("|".join(map(re.escape, written)))
                if lasting:
                    # A key is wrapped again at each use, so those in use stay.
                    _shapes.move_to_end(value)
                if len(_shapes) > _MOST_SHAPED:
                    _shapes.popitem(last=False)

    def reveal(self) -> str:
        """The text itself; only the transport calls this."""
        return self._value

    def prefixed(self, prefix: str) -> "Secret":
        """A secret with `prefix` before it, such as ``Bearer ``."""
        return Secret(prefix + self._value, lasting=False)

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled; read the key again where it is needed")


def redact(text: str) -> str:
    """`text` without any known secret, signed-link parameter or user name in a URL.

    A secret is found as it is and as others write it: percent-encoded, in base64 alone or within a longer text, in
    hexadecimal digits, and with the escapes of JSON.
    """
    with _lock:
        secrets, patterns = sorted(_known, key=len, reverse=True), list(_shapes.values())
    for secret in secrets:
        text = text.replace(secret, "***")
    for pattern in patterns:
        text = pattern.sub("***", text)
    text = _SIGNED.sub(r"\1***", text)
    return _USERINFO.sub(r"\1***@", text)


def _written(secret: str) -> Iterator[str]:
    """The ways in which `secret` may be written in a text."""
    data = secret.encode("utf-8", "surrogateescape")
    shapes = {quote(data, safe=""), quote(data), quote_plus(data), secret.replace("/", "\\/")}
    shapes.add("".join(f"%{byte:02X}" for byte in data))
    shapes |= {re.sub("%..", lambda found: found[0].lower(), one) for one in shapes}
    shapes |= {data.hex(), data.hex().upper()}
    for before in range(3):
        # Within a longer text a secret begins at the first, second or third byte of a group; the letters of base64
        # that hold bits of its neighbours are left out.
        coded = base64.b64encode(bytes(before) + data).decode()
        inner = coded[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        shapes |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    yield from (one for one in shapes if len(one) >= _LONG_ENOUGH)
