"""What is read from one annotation tool's files and written to them: the contract of a format."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.annotations.annotation_file import Levels, whole
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.support.catalog import Plugin
from blackbox_conformal.support.text import printable


@dataclass(frozen=True)
class ImportRequest:
    """What an importer is asked for in `source`, the tool's file or folder.

    `names`: what the picture may be called there, without folder and ending; empty for the only picture. `size`:
    (height, width) delivered. `level` maps a label to its shapes' level, 0 to 255.
    """

    source: Path
    names: frozenset[str]
    size: tuple[int, int]
    level: Callable[[str], int]

    @property
    def _called(self) -> str:
        return " or ".join(map(printable, sorted(self.names)))

    def file(self, ending: str) -> Path:
        """Return the source, or the one file in that folder that is called like the picture. Raises UsageError if there
        is not one.
        """
        if not self.source.is_dir():
            return self.source
        paths = [path for path in sorted(self.source.glob(f"*{ending}")) if not self.names or path.stem in self.names]
        if len(paths) != 1:
            raise UsageError(
                f"expected one file {self._called or '*'}{ending} in {printable(self.source)}; found {len(paths)}. "
                "Name the file itself or give image"
            )
        return paths[0]

    def means(self, name: str) -> bool:
        """Tell whether the tool's `name` means the picture asked for."""
        stem = stem_of(name)
        # Label Studio puts eight hexadecimal digits and a dash before the name of an uploaded file.
        return not self.names or stem in self.names or stem.partition("-")[2] in self.names

    def choose(self, pictures: Iterable[tuple[str, Any]]) -> Any:
        """Return the content of the one picture that is meant, from (name, content). Raises UsageError if there is not
        one.
        """
        listed = list(pictures)
        chosen = [content for name, content in listed if self.means(name)]
        if len(chosen) != 1:
            shown = ", ".join(printable(name, 60) for name, _ in listed[:5]) or "no picture"
            raise UsageError(
                f"expected one picture {self._called or 'at all'} in {printable(self.source)}; found {len(chosen)} "
                f"among {len(listed)} ({shown}). Give image with the name that the file uses"
            )
        return chosen[0]

    def require_size(self, height: Any, width: Any) -> None:
        """Refuse a picture of another size than the delivered one with FileFormatError."""
        arrived = (whole(height, "height"), whole(width, "width"))
        if arrived != self.size:
            raise FileFormatError(
                f"{printable(self.source)}: expected annotations of a picture of {self.size[1]}×{self.size[0]} pixels; "
                f"got {arrived[1]}×{arrived[0]}. Annotate the delivered picture at its full size"
            )


@dataclass(frozen=True)
class Marked:
    """A picture to export: its file's `name` with ending, and its annotation `levels`, (H, W) uint8."""

    name: str
    levels: Levels

    @property
    def stem(self) -> str:
        return stem_of(self.name)

    def by_label(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield each level above 0 as its label, with where it is: (H, W) bool."""
        for level in np.flatnonzero(np.bincount(self.levels.reshape(-1), minlength=256)).tolist():
            if level:
                yield label_of(level), self.levels == level


class Format(Plugin):
    """One tool's files; a file `annotations/formats/NAME.py`, or one of another package, defines one, called PLUGIN."""

    def read(self, request: ImportRequest) -> Levels:
        """The levels of the picture that `request` asks for: (H, W) uint8.

        Raises `FileFormatError`: The file is damaged, hostile, of another size, or holds a shape without an area.
        Raises `UsageError`: The source does not hold the picture.
        """
        raise NotImplementedError(f"{type(self).__name__} must define read(request)")

    def write(self, pictures: Sequence[Marked]) -> Mapping[str, bytes]:
        """The tool's files with the annotations of `pictures`, by name; `read` gives back every pixel.

        Raises `UsageError`: The format cannot hold them, or is read only.
        """
        raise UsageError(f"expected a format that is written; {self.plugin_name()} is only read. Export another one")


_LEVEL = re.compile(r"level-([0-9]{1,3})")


def label_of(level: int) -> str:
    """Return the label that stands for one level, 1 to 255, in formats without grades."""
    return f"level-{level}"


def level_named(label: str) -> int | None:
    """Return the level that `label` stands for; None for every other label."""
    found = _LEVEL.fullmatch(label)
    return int(found[1]) if found and 1 <= int(found[1]) <= 255 else None


def stem_of(name: str) -> str:
    """Return the last part of a path or address, without its ending."""
    return PurePosixPath(name.replace("\\", "/").partition("?")[0]).stem
