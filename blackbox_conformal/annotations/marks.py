"""The marks of one person, saved again and again from several windows: a save that another one forestalled is refused.

A version is the digest of the stored PNG. Who saves says which version the marks were made from.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock

from blackbox_conformal.annotations.annotation_file import (
    PEOPLE,
    Levels,
    Origin,
    Pair,
    check_annotator,
    levels_of_png,
    read_sidecar,
    stored,
    write_levels,
)
from blackbox_conformal.annotations.foreign_files import read_bytes
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.method.images.encode import grey_png
from blackbox_conformal.method.images.read import ImageLimits
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import refusal
from blackbox_conformal.support.text import printable

SOURCE = "annotate"
"""What the JSON file names as the source of marks that were made here."""

COMBINED = re.compile(r"(mean|max) of \d+")
"""What it names as the source of marks that were combined from several people's."""

_PATIENCE_S = 10
_LOCK = ".lock"


class ForestalledError(UsageError):
    """Another window saved in between.

    Attributes
    ----------
    version
        What is stored now.
    """

    def __init__(self, version: str | None) -> None:
        super().__init__(
            "another window saved other marks of this picture in between, and they are kept. Take those, save yours as "
            "another person's, or replace them"
        )
        self.version = version


@dataclass(frozen=True)
class Marks:
    """The marks of one person in a folder of annotations.

    Attributes
    ----------
    folder
        That of the annotations; the person's own is below it.
    annotator
        Who marks.
    """

    folder: Path
    annotator: str

    def __post_init__(self) -> None:
        check_annotator(self.annotator)

    @property
    def own(self) -> Path:
        """This person's folder of annotations."""
        words = re.sub(r"[^a-z0-9]+", "-", self.annotator.lower()).strip("-")[:40]
        # Different names must never share a folder, nor differ only in what some disks do not tell apart.
        return self.folder / PEOPLE / f"{words or 'person'}-{digest_bytes(self.annotator.encode())[7:15]}"

    def load(self, pair: Pair, size: tuple[int, int]) -> tuple[Levels | None, str | None]:
        """The stored levels, (H, W) uint8, and their version; None where there are none.

        Raises
        ------
        FileFormatError
            They are damaged or of another size.
        """
        path = self.own / f"{pair.stem}.png"
        if not path.is_file():
            return None, None
        content = read_bytes(path, ImageLimits().max_bytes)
        levels, version = levels_of_png(content, size, printable(path)), digest_bytes(content)
        if not _is_whole(path.with_suffix(".json"), version):
            # Saving was cut off between the two files; the PNG is the newer one.
            version = self.save(pair, levels, version)
        return levels, version

    def save(
        self, pair: Pair, levels: Levels, version: str | None, *, replace: bool = False, picture: str | None = None
    ) -> str:
        """Store `levels`, made from `version`; returns their version. The same levels again are no change.

        What was combined from this pair's marks is removed, since it is no longer of these.

        Parameters
        ----------
        version
            What was loaded or saved last; None where there was nothing.
        replace
            Whatever is stored now.
        picture
            What the photograph is called, for `agreement`.

        Raises
        ------
        ForestalledError
            Another version is stored.
        UsageError, IncompleteError
            The folder cannot be written, or the disk is full.
        """
        mine = digest_bytes(grey_png(levels))
        with self.alone():
            now = self._version(pair)
            if not replace and now not in (version, mine):
                raise ForestalledError(now)
            combined = self.folder / f"{pair.stem}.json"
            if now != mine and is_combined(combined):
                combined.unlink()
                combined.with_suffix(".png").unlink(missing_ok=True)
            today = datetime.now(UTC).date().isoformat()
            write_levels(self.own, pair, levels, Origin(self.annotator, today, SOURCE, picture), force=True)
        return mine

    def marked(self) -> set[str]:
        """Stems of the pairs that this person saved."""
        return {path.stem for path in stored(self.own)}

    def _version(self, pair: Pair) -> str | None:
        path = self.own / f"{pair.stem}.png"
        return digest_bytes(read_bytes(path, ImageLimits().max_bytes)) if path.is_file() else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other window, and no other program, saves for this person."""
        lock = filelock.FileLock(self.own / _LOCK, timeout=_PATIENCE_S)
        try:
            self.own.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout:
            raise UsageError(f"{printable(self.own)} is being written by another program; save again") from None
        except OSError as error:
            raise refusal(self.own, error) from None
        try:
            yield
        finally:
            lock.release()

    @property
    def can_lock(self) -> bool:
        """Whether this process may take the lock; another user's folder it may be able to read alone."""
        lock = self.own / _LOCK
        return os.access(lock if lock.exists() else self.own, os.W_OK)


def is_combined(path: Path) -> bool:
    """Whether the JSON file is there and was made of people's marks; what is damaged may be somebody's import."""
    try:
        return COMBINED.fullmatch(read_sidecar(path).source) is not None
    except FileFormatError:
        return False


def _is_whole(path: Path, version: str) -> bool:
    """Whether the JSON file belongs to the PNG of this version."""
    try:
        return read_sidecar(path).mask == version
    except FileFormatError:
        return False
