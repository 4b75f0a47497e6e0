"""Reading files of other tools with suspicion: sizes, nesting, numbers, and which picture of many is meant.

Each tool's own form is in its importer.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.images.names import printable

LARGEST_FILE = 64 * 2**20


@dataclass(frozen=True)
class Request:
    """What an importer is asked for.

    Attributes
    ----------
    source
        The tool's file or folder.
    names
        Names without folder and ending that the picture may have there; empty: the only picture of the source.
    size
        (height, width) of the delivered picture.
    level
        From a label to the level, 0 to 255, that its shapes get.
    """

    source: Path
    names: frozenset[str]
    size: tuple[int, int]
    level: Callable[[str], int]

    def file(self, ending: str) -> Path:
        """The source, or the one file of that folder that is called like the picture.

        Raises
        ------
        UsageError
            There is none, or there are several.
        """
        if not self.source.is_dir():
            return self.source
        found = [path for path in sorted(self.source.glob(f"*{ending}")) if not self.names or path.stem in self.names]
        if len(found) != 1:
            raise UsageError(
                f"expected one file {' or '.join(sorted(self.names)) or '*'}{ending} in {printable(self.source)}; "
                f"found {len(found)}. Name the file itself or give image"
            )
        return found[0]

    def means(self, name: str) -> bool:
        """Whether a picture that the tool calls `name` is the one asked for."""
        stem = stem_of(name)
        # Label Studio puts eight hexadecimal digits and a dash before the name of an uploaded file.
        return not self.names or stem in self.names or stem.partition("-")[2] in self.names

    def choose(self, pictures: Iterable[tuple[str, Any]]) -> Any:
        """The one picture that is meant, from pairs of name and content.

        Raises
        ------
        UsageError
            None or several are.
        """
        listed = list(pictures)
        found = [content for name, content in listed if self.means(name)]
        if len(found) != 1:
            shown = ", ".join(printable(name, 60) for name, _ in listed[:5]) or "no picture"
            raise UsageError(
                f"expected one picture {' or '.join(sorted(self.names)) or 'at all'} in {printable(self.source)}; "
                f"found {len(found)} among {len(listed)} ({shown}). Give image with the name that the file uses"
            )
        return found[0]

    def require_size(self, height: Any, width: Any) -> None:
        """Refuse a picture of another size than the delivered one.

        Raises
        ------
        FileFormatError
            It is, or it has no size.
        """
        arrived = (whole(height, "height"), whole(width, "width"))
        if arrived != self.size:
            raise FileFormatError(
                f"{printable(self.source)}: expected annotations of a picture of {self.size[1]}×{self.size[0]} pixels; "
                f"got {arrived[1]}×{arrived[0]}. Annotate the delivered picture at its full size"
            )


def stem_of(name: str) -> str:
    """The last part of a path or address, without its ending."""
    return PurePosixPath(name.replace("\\", "/").partition("?")[0]).stem


def read_bytes(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The bytes of a regular file of at most `largest` bytes.

    Raises
    ------
    FileFormatError
        It cannot be read or is larger.
    """
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
    """The document in a JSON file.

    Raises
    ------
    FileFormatError
        It is no UTF-8, no JSON, nested too deeply, or holds NaN or an infinity.
    """
    content = read_bytes(path, largest)
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else printable(str(error), 100)
        raise FileFormatError(f"{printable(path)}: expected a JSON document; {what}. Export it again") from None


def number(value: Any, what: str) -> float:
    """`value` as a finite number; text of a number will do.

    Raises
    ------
    FileFormatError
        It is none.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = float(value)
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise FileFormatError(f"expected a finite number as {what}; got {printable(repr(value), 40)}")
    return found


def whole(value: Any, what: str) -> int:
    """`value` as a whole number from 0 to 2^31.

    Raises
    ------
    FileFormatError
        It is none.
    """
    found = number(value, what)
    if found != int(found) or not 0 <= found <= 2**31:
        raise FileFormatError(f"expected a whole number >= 0 as {what}; got {printable(repr(value), 40)}")
    return int(found)


def entries(value: Any, what: str) -> list[Any]:
    """`value` if it is a list.

    Raises
    ------
    FileFormatError
        It is none.
    """
    if not isinstance(value, list):
        raise FileFormatError(f"expected a list of {what}; got {type(value).__name__}. Export it again")
    return value


def fields(value: Any, what: str) -> dict[str, Any]:
    """`value` if it is an object.

    Raises
    ------
    FileFormatError
        It is none.
    """
    if not isinstance(value, dict):
        raise FileFormatError(f"expected an object as {what}; got {type(value).__name__}. Export it again")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
