"""Photographs in the files and folders that a user names, and in packages that carry some.

Files are listed, not opened.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.errors import UsageError
from blackbox_conformal.text import name_of, printable

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
"""What is looked at inside a folder; a file that is named itself is taken whatever it is called."""

_PACKAGED = (
    (
        "skimage",
        "scikit-image",
        "data",
        (
            "astronaut.png",
            "chelsea.png",
            "coffee.png",
            "hubble_deep_field.jpg",
            "ihc.png",
            "motorcycle_left.png",
            "retina.jpg",
            "rocket.jpg",
        ),
    ),
    ("sklearn", "scikit-learn", "datasets/images", ("china.jpg", "flower.jpg")),
    ("matplotlib", "matplotlib", "mpl-data/sample_data", ("grace_hopper.jpg",)),
)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph on disk; `name` is its file's stem, for people."""

    path: Path
    name: str


def find_photographs(sources: Iterable[str | Path]) -> list[Photograph]:
    """Photographs in `sources`, files and folders with all below them, each once, sorted by path.

    Raises
    ------
    UsageError
        A source does not exist, or nothing was found.
    """
    photographs: dict[Path, Photograph] = {}
    named = [Path(source) for source in sources]
    for source in named:
        try:
            paths = _below(source) if source.is_dir() else [source]
            missing = not source.exists()
        except (OSError, ValueError):
            missing, paths = True, []
        if missing:
            raise UsageError(f"expected a picture or a folder of pictures; {printable(source)} does not exist")
        for path in paths:
            photographs.setdefault(path.resolve(), Photograph(path, name_of(path)))
    if not photographs:
        places = ", ".join(printable(source) for source in named[:3]) or "nothing"
        raise UsageError(f"expected pictures ({', '.join(sorted(SUFFIXES))}); found none in {places}")
    return [photographs[path] for path in sorted(photographs)]


def demo_photographs() -> list[Photograph]:
    """Colour photographs that come with scikit-image, scikit-learn and matplotlib; none of them is imported.

    Raises
    ------
    UsageError
        A package is missing.
    """
    photographs: list[Photograph] = []
    missing: list[str] = []
    for package, distribution, folder, names in _PACKAGED:
        specification = importlib.util.find_spec(package)
        if specification is None or not specification.submodule_search_locations:
            missing.append(distribution)
            continue
        place = Path(next(iter(specification.submodule_search_locations))) / folder
        photographs.extend(Photograph(place / name, name_of(name)) for name in names if (place / name).is_file())
    if missing:
        raise UsageError(
            f"expected the photographs that come with {', '.join(missing)}; not installed. "
            "Run `pip install 'blackbox-conformal[demo]'`, or give photographs of your own"
        )
    return photographs


def _below(folder: Path) -> list[Path]:
    """Pictures below `folder`; names that start with a dot are skipped."""
    return [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
