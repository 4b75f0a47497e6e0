"""Files of other tools, read with checks of size, nesting, kinds of values and numbers."""

import json
import math
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.support.text import printable

LARGEST_FILE = 64 * 2**20


def read_bytes(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The bytes of a regular file of at most `largest` bytes."""
    try:
        if not path.is_file():
            raise FileFormatError(f"expected a file; {printable(path)} is none")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise FileFormatError(f"{printable(path)} cannot be read: {error.strerror}") from None
    if len(content) > largest:
        raise FileFormatError(f"{printable(path)}: expected at most {largest} bytes; it has more")
    return content


def read_json(path: Path, largest: int = LARGEST_FILE) -> Any:
    """The document in a JSON file."""
    content = read_bytes(path, largest)
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else printable(str(error), 100)
        raise FileFormatError(f"{printable(path)}: expected a JSON document; {what}. Export it again") from None


def number(value: Any, what: str) -> float:
    """`value`, a number or text that holds one, as a finite number."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        converted = float(value)
    except (ValueError, OverflowError):
        converted = math.nan
    if not math.isfinite(converted):
        raise FileFormatError(f"expected a finite number as {what}; got {printable(repr(value), 40)}")
    return converted


def whole(value: Any, what: str) -> int:
    """`value` as a whole number from 0 to 2^31."""
    converted = number(value, what)
    if converted != int(converted) or not 0 <= converted <= 2**31:
        raise FileFormatError(f"expected a whole number >= 0 as {what}; got {printable(repr(value), 40)}")
    return int(converted)


def entries(value: Any, what: str) -> list[Any]:
    """`value` if it is a list."""
    if not isinstance(value, list):
        raise FileFormatError(f"expected a list of {what}; got {type(value).__name__}. Export it again")
    return value


def fields(value: Any, what: str) -> dict[str, Any]:
    """`value` if it is an object."""
    if not isinstance(value, dict):
        raise FileFormatError(f"expected an object as {what}; got {type(value).__name__}. Export it again")
    return value


def objects(value: Any, what: str, each: str) -> list[dict[str, Any]]:
    """`value` if it is a list of objects; `each` is what one of them is called."""
    return [fields(entry, each) for entry in entries(value, what)]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
