"""The line of a TOML file on which a key stands, so that an error can point at it.

The standard library's parser keeps no positions; this looks for headers and keys and settles for the nearest one.
"""

import re
from collections import Counter
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def line_of(text: str, location: Sequence[str | int]) -> int:
    """Line, counted from 1, of the key at `location`, or of the table nearest to it; 1 where nothing fits."""
    best_length, best_line = 0, 1
    table: list[str | int] = []
    counts: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        key = None if header else _KEY.match(line)
        if header:
            table = _parts(header.group(2))
            if header.group(1) == "[[":
                name = header.group(2)
                table = [*table, counts[name]]
                counts[name] += 1
            elif table and counts[str(table[0])]:
                # A table below the latest element of an array of tables belongs to that element.
                table = [table[0], counts[str(table[0])] - 1, *table[1:]]
            path = table
        elif key:
            path = [*table, *_parts(key.group(1))]
        else:
            continue
        if len(path) > best_length and list(location[: len(path)]) == path:
            best_length, best_line = len(path), number
    return best_line


def _parts(dotted: str) -> list[str | int]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
