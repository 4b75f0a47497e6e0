"""Tell the errors of several pictures at once, so that one bad file hides no other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from blackbox_conformal.errors import BlackboxConformalError, PicturesError
from blackbox_conformal.support.text import printable

NAMED = 10  # Names in a message; the others are counted.


def refuse_together(
    failures: Sequence[tuple[str, BlackboxConformalError]], of: int, what: str = "pictures", advice: str = ""
) -> None:
    """Refuse all pictures that cannot be used, if any, before anything is sent.

    `failures`: Name of each such picture and its error.
    `of`: How many pictures were looked at.
    `advice`: What to do; a single failure without advice is raised as it is.
    """
    if not failures:
        return
    if len(failures) == 1 and not advice:
        raise failures[0][1]
    # Two files that contradict each other have one error.
    lines = list(dict.fromkeys(f"\n  {str(error).removesuffix('.')}" for _, error in failures))
    more = f"\n  and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
    raise PicturesError(
        f"{len(failures)} of {of} {what} cannot be used, so nothing was sent:{''.join(lines[:NAMED])}{more}"
        + (f"\n{advice}" if advice else ""),
        failures,
    )


Read = TypeVar("Read")


def read_each(
    paths: Sequence[Path], read: Callable[[Path], Read], what: str, progress: Callable[[str, int, int], object]
) -> list[Read]:
    """Read each picture, and raise all errors together."""
    found: list[Read] = []
    failures: list[tuple[str, BlackboxConformalError]] = []
    for done, path in enumerate(paths):
        progress(what, done, len(paths))
        try:
            found.append(read(path))
        except BlackboxConformalError as error:
            failures.append((path.name, error))
    refuse_together(failures, len(paths))
    progress(what, len(paths), len(paths))
    return found


def names(all_of_them: Sequence[str]) -> str:
    """Return names for people, each once: the first ten, and the number of others."""
    shown = list(dict.fromkeys(map(printable, all_of_them)))
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    return ", ".join(shown[:NAMED]) + more
