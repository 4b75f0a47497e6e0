"""Foreign and failing text made fit to be shown and stored: no key, no control characters, no end.

No error is classed here; see `classify`.
"""

from typing import TypeVar

from blackbox_conformal.errors import BlackboxConformalError, VendorError
from blackbox_conformal.images.names import printable
from blackbox_conformal.redaction import redact

LONGEST = 500

Failure = TypeVar("Failure", bound=BlackboxConformalError)


def clean(text: str) -> str:
    """`text` redacted, on one printable line, at most `LONGEST` characters."""
    return printable(redact(text), LONGEST)


def cleaned(error: Failure) -> Failure:
    """`error` with its texts cleaned and without the exceptions behind it, which may quote addresses and keys."""
    error.args = tuple(clean(part) if isinstance(part, str) else part for part in error.args)
    error.__cause__ = error.__context__ = None
    if isinstance(error, VendorError):
        error.request_id = None if error.request_id is None else clean(error.request_id)
        error.code = None if error.code is None else clean(error.code)
    return error
