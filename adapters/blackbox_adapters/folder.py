"""Draws that were made earlier, by any means: one folder a picture, one file a draw."""

import os
import unicodedata
from itertools import pairwise
from pathlib import Path

from pydantic import Field, field_validator

from blackbox_conformal.adapter import FREE, Adapter, Capabilities, Draw, Flow, Observed, Upload
from blackbox_conformal.errors import NotSentError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
LARGEST_FILE = 512 * 2**20


class Folder(Adapter):
    """Reads draw k of picture NAME from ``path/NAME/``: the k-th file in the order of the stems, numbers first.

    NAME is the stem of the photograph's or input's file; stems must be different, since they are all there is to go
    by. The folder's place does not identify the procedure: name vendor, model and settings in `label`.
    """

    name = "folder"
    documentation = "https://docs.python.org/3/library/pathlib.html"
    evidence = "own-software"
    transient = frozenset({"path"})

    path: str = Field(description="Folder that holds one folder of draws for each picture.")
    label: str = Field(min_length=1, description="Vendor, model and settings that the draws came from, in your words.")
    scale: int = Field(default=4, ge=1, le=16, description="Magnification of the draws.")
    resample: bool = Field(default=False, description="Resample a draw that is not exactly scale times the input.")

    @field_validator("path")
    @classmethod
    def _is_folder(cls, value: str) -> str:
        if "\0" in value or not Path(value).is_dir():
            raise ValueError("expected a folder that exists")
        return value

    @property
    def capabilities(self) -> Capabilities:
        """Local and free; draws take no seed, they are there or not."""
        return Capabilities(
            scale_factors=(self.scale,),
            price=FREE,
            output_size="resample" if self.resample else "exact",
            local=True,
        )

    @property
    def base_url(self) -> str:
        """None: nothing is sent."""
        return ""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """Read the file of this draw."""
        yield Observed(model=self.label)
        files = self._draws(upload.name)
        if draw.index >= len(files):
            raise self._missing(f"draw {draw.index + 1} of picture {upload.name!r}; its folder holds {len(files)}")
        file = files[draw.index]
        try:
            if file.stat().st_size > LARGEST_FILE:
                raise self._missing(f"a draw of at most {LARGEST_FILE} bytes; {file.name!r} is larger")
            return file.read_bytes()
        except OSError as error:
            raise self._missing(f"a readable file; {file.name!r} cannot be read: {error.strerror}") from None

    def _draws(self, name: str) -> list[Path]:
        """Files of the draws of picture `name`, in draw order."""
        # Compared with what is there and never joined to the path, so that no name leads outside the folder.
        wanted = unicodedata.normalize("NFC", name)
        try:
            folders = [entry.path for entry in os.scandir(self.path) if entry.is_dir() and _stem(entry.name) == wanted]
        except OSError as error:
            raise self._missing(f"a readable folder; it cannot be listed: {error.strerror}") from None
        if not folders:
            raise self._missing(f"a folder of draws for picture {name!r}; there is none")
        files = [file for file in Path(folders[0]).iterdir() if _is_draw(file)]
        files.sort(key=_order)
        for first, second in pairwise(files):
            if first.stem == second.stem:
                raise self._missing(f"one file a draw; {first.name!r} and {second.name!r} in {name!r} are both one")
        return files

    def _missing(self, expected: str) -> NotSentError:
        return NotSentError(f"expected in {self.path!r} {expected}. Draw it, or lower --draws", permanent=True)


def _stem(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_draw(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _order(file: Path) -> tuple[bool, int, str, str]:
    stem = file.stem
    numeric = stem.isascii() and stem.isdigit()
    return (not numeric, int(stem) if numeric and len(stem) < 100 else 0, stem, file.name)


ADAPTER = Folder
