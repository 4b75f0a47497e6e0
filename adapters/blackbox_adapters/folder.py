"""Draws that were made earlier, by any means: one folder per picture with one file per draw, or one file per
picture."""

import os
import shlex
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from blackbox_conformal.errors import NotSentError, UsageError
from blackbox_conformal.vendor.adapter import FREE, Adapter, Capabilities, Draw, Flow, Observed, Upload

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp", ".npy")
LARGEST_FILE = 512 * 2**20


class Folder(Adapter):
    """Reads draw k of picture NAME from ``path/NAME/``: the k-th file in the order of the stems, numbers first.

    Without such a folder, the file ``path/NAME.png``, ``.jpg`` and so on is the first and only draw. NAME is the stem
    of the photograph's or input's file, so stems must differ. The folder's place does not identify the procedure: name
    vendor, model and settings in `label`.
    """

    name = "folder"
    documentation = "https://docs.python.org/3/library/pathlib.html"
    evidence = "own-software"
    transient = frozenset({"path", "suffix", "inputs"})

    path: str = Field(description="Folder that holds one picture, or one folder of draws, for each photograph.")
    suffix: str = Field(
        default="",
        max_length=100,
        description="What stands between NAME and the dot where one picture each is there, such as `_x4`.",
    )
    label: str = Field(min_length=1, description="Vendor, model and settings that the draws came from, in your words.")
    scale: int = Field(default=4, ge=1, le=16, description="Magnification of the draws.")
    resample: bool = Field(default=False, description="Resample a draw that is not exactly scale times the input.")
    bands: str = Field(
        default="",
        max_length=60,
        description="What pictures that are no 8-bit sRGB hold: COUNT:LOW:HIGH, as 4:0:10000 for 4 bands of whole "
        "numbers from 0 to 10000, or 4:0:1:float for others. Files are .npy, PNG or TIFF.",
    )
    inputs: str = Field(
        default="",
        description="Folder of the input NAME.png of each photograph, where it came with it; else inputs are made.",
    )

    @field_validator("path", "inputs")
    @classmethod
    def _is_folder(cls, value: str) -> str:
        if "\0" in value or not Path(value).is_dir():
            raise ValueError("expected a folder that exists")
        return value

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scale_factors=(self.scale,),
            price=FREE,
            output_size="resample" if self.resample else "exact",
            local=True,
            degradation="given" if self.inputs else "bicubic",
        )

    @property
    def base_url(self) -> str:
        return ""

    def identity(self) -> dict[str, Any]:
        """Return the usual identity, without bands where there are none."""
        # Procedures older than bands keep their fingerprint.
        identity = super().identity()
        if not self.bands:
            del identity["parameters"]["bands"]
        return identity

    def given_input(self, name: str) -> Path | None:
        if not self.inputs:
            return None
        wanted = _composed(name)
        called = [file for file in Path(self.inputs).iterdir() if _composed(file.stem) == wanted and _is_draw(file)]
        if len(called) != 1:
            raise UsageError(
                f"expected in {self.inputs!r} one input {name!r} with .png or another ending; there are {len(called)}"
            )
        return called[0]

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield Observed(model=self.label)
        files = self._draws(upload.name)
        if draw.index >= len(files):
            raise self._missing(
                f"draw {draw.index + 1} of picture {upload.name!r}; its folder holds {len(files)}",
                "" if draw.index == 0 else "Add it, or lower --draws",
            )
        file = files[draw.index]
        try:
            # Checked before reading, so that a wrong file of many gigabytes does not fill the memory.
            if file.stat().st_size > LARGEST_FILE:
                raise self._missing(f"a draw of at most {LARGEST_FILE} bytes; {file.name!r} is larger")
            return file.read_bytes()
        except OSError as error:
            raise self._missing(f"a readable file; {file.name!r} cannot be read: {error.strerror}") from None

    def _draws(self, name: str) -> list[Path]:
        # Compared with the existing names and never joined to the path, so that no name leads outside the folder.
        wanted = _composed(name)
        try:
            there = [*os.scandir(self.path)]
            folders = [Path(entry) for entry in there if _composed(entry.name) == wanted and entry.is_dir()]
            files = [file for file in (folders[0].iterdir() if folders else map(Path, there)) if _is_draw(file)]
        except OSError as error:
            raise self._missing(f"a readable folder; it cannot be listed: {error.strerror}") from None
        if not folders:
            return [self._only_draw(wanted, files)]
        files.sort(key=_order)
        for first, second in pairwise(files):
            # Equal stems stand side by side after the sort; the user must say which of the two is the draw.
            if first.stem == second.stem:
                raise self._missing(f"one file a draw; {first.name!r} and {second.name!r} in {name!r} are both one")
        return files

    def _only_draw(self, name: str, pictures: list[Path]) -> Path:
        called = [file for file in pictures if _composed(file.stem) == name + _composed(self.suffix)]
        if len(called) > 1:
            raise self._missing(f"one file a draw; {called[0].name!r} and {called[1].name!r} are both one")
        if called:
            return called[0]
        expected = (
            f"the answer {name + self.suffix + '.png'!r}, with this or another ending, or a folder {name!r} of draws"
        )
        stems = [_composed(file.stem) for file in pictures]
        further = [stem.removeprefix(name) for stem in stems if stem.startswith(name)]
        # A suffix that every file shares is very likely the user's, so the message can offer it.
        suffix = next((one for one in further if all(stem.endswith(one) for stem in stems)), None)
        if suffix is None:
            raise self._missing(f"{expected}; there is neither")
        found = f"{len(stems)} picture{'' if len(stems) == 1 else 's'} whose names end in {suffix!r}"
        raise self._missing(f"{expected}; there is neither, but {found}", f"Add -p {shlex.quote(f'suffix={suffix}')}")

    def _missing(self, expected: str, cure: str = "") -> NotSentError:
        return NotSentError(f"expected in {self.path!r} {expected}{cure and f'. {cure}'}", permanent=True)


def _composed(name: str) -> str:
    # macOS and Linux may spell one accented name with different code points.
    return unicodedata.normalize("NFC", name)


def _is_draw(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _order(file: Path) -> tuple[bool, int, str, str]:
    stem = file.stem
    # `isdigit` alone also holds for signs such as ², which `int` refuses.
    numeric = stem.isascii() and stem.isdigit()
    return (not numeric, int(stem) if numeric and len(stem) < 100 else 0, stem, file.name)


ADAPTER = Folder
