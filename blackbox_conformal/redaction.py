"""Secrets: values that never show themselves, and a filter for every text that leaves the process.

Nothing here reads the environment; whoever reads a key wraps it in `Secret` at once.
"""

import re
import threading

_lock = threading.Lock()
_known: set[str] = set()
_SIGNED = re.compile(
    r"([?&](?:[\w.-]*(?:sig|signature|token|key|credential|expires|policy|auth|secret)[\w.-]*)=)[^&\s\"'<>]+",
    re.I,
)
_USERINFO = re.compile(r"(\w+://)[^/@\s]+@")


class Secret:
    """A text that prints as ``***`` and is removed from every redacted text; `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= 4:
            with _lock:
                _known.add(value)

    def reveal(self) -> str:
        """The text itself; only the transport calls this."""
        return self._value

    def prefixed(self, prefix: str) -> "Secret":
        """A secret with `prefix` before it, such as ``Bearer ``."""
        return Secret(prefix + self._value)

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
    """`text` without any known secret, signed-link parameter or user name in a URL."""
    with _lock:
        secrets = sorted(_known, key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _SIGNED.sub(r"\1***", text)
    return _USERINFO.sub(r"\1***@", text)
