"""Photographs in the files and folders that a user names, and the package's own photographs.

Files are listed, not opened.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import name_of, printable

# What is looked at inside a folder; a file that is named itself is taken whatever it is called.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp", ".npy"})
_MOST_KINDS = 5  # Kinds of files that a note names.
# The package's own photographs; their authors and licences stand in the README beside them.
_PACKAGED = Path(__file__).parents[2] / "photographs"


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph on disk; `name` is its file's stem, for people."""

    path: Path
    name: str


def find_photographs(sources: Iterable[str | Path]) -> list[Photograph]:
    """Photographs in `sources`, files and folders with all below them, each once, sorted by path."""
    photographs: dict[Path, Photograph] = {}
    named = [Path(source) for source in sources]
    for source in named:
        try:
            paths = [source]
            if source.is_dir():
                paths = [path for path in _visible(source) if path.suffix.lower() in SUFFIXES]
            missing = not source.exists()
        except (OSError, ValueError):
            missing, paths = True, []
        if missing:
            raise UsageError(f"expected a picture or a folder of pictures; {printable(source)} does not exist")
        for path in paths:
            photographs.setdefault(path.resolve(), Photograph(path, name_of(path)))
    if not photographs:
        places = ", ".join(printable(source) for source in named[:3]) or "nothing"
        raise UsageError(
            f"expected pictures ({', '.join(sorted(SUFFIXES))}); found none in {places}. Name a folder "
            "that holds some, or convert others (for example `magick in.gif out.png`)"
        )
    return [photographs[path] for path in sorted(photographs)]


def left_out(sources: Iterable[str | Path]) -> str | None:
    """How many files of which kinds `find_photographs` leaves out of folders among `sources`; None: it takes all."""
    named = list(map(Path, sources))
    everything = {path.resolve() for folder in named if folder.is_dir() for path in _visible(folder)}
    everything -= {path.resolve() for path in named}
    kinds = Counter(path.suffix.lower() for path in everything if path.suffix.lower() not in SUFFIXES)
    if not kinds:
        return None
    counted = [
        f"{count} {printable(kind, 20) or 'without an ending'}" for kind, count in kinds.most_common(_MOST_KINDS)
    ]
    counted += ["others"] if len(kinds) > _MOST_KINDS else []
    files = f"{kinds.total()} file{'' if kinds.total() == 1 else 's'}"
    return f"{files} left out: {', '.join(counted)}; what is read is {', '.join(sorted(SUFFIXES))}"


def demo_photographs() -> list[Photograph]:
    """The colour photographs that come with the package, sorted by name."""
    return find_photographs([_PACKAGED])


def _visible(folder: Path) -> Iterator[Path]:
    """Files below `folder`; names that start with a dot are skipped."""
    for path in folder.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file():
            yield path
