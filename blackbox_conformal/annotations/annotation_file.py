"""The stored annotation: an 8-bit grey PNG of the delivered picture's size, and a JSON file about its pictures."""

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from blackbox_conformal.documents.stored import Stored
from blackbox_conformal.errors import CalibrationError, FileFormatError, ImageError, UsageError
from blackbox_conformal.method.images.encode import grey_png
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import ImageLimits, read_image
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_together
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image

LARGEST_FILE = 64 * 2**20


def read_bytes(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """Read a regular file of at most `largest` bytes."""
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


def read_json(path: Path) -> Any:
    content = read_bytes(path)
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else printable(str(error), 100)
        raise FileFormatError(f"{printable(path)}: expected a JSON document; {what}. Export it again") from None


def number(value: Any, what: str) -> float:
    """Return `value`, a number or text, as a finite number."""
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
    """Return `value` as a whole number from 0 to 2^31."""
    converted = number(value, what)
    if converted != int(converted) or not 0 <= converted <= 2**31:
        raise FileFormatError(f"expected a whole number >= 0 as {what}; got {printable(repr(value), 40)}")
    return int(converted)


def entries(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise FileFormatError(f"expected a list of {what}; got {type(value).__name__}. Export it again")
    return value


def fields(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FileFormatError(f"expected an object as {what}; got {type(value).__name__}. Export it again")
    return value


def objects(value: Any, what: str, each: str) -> list[dict[str, Any]]:
    """Return `value` if it is a list of objects; `each` names one in messages."""
    return [fields(entry, each) for entry in entries(value, what)]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


Levels = NDArray[np.uint8]  # (H, W) uint8: 0 where the meaning is the same, 255 where it differs, grades between.
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
PEOPLE = "people"
"""Folder within an annotations folder: one annotations folder for each person whose marks are combined."""

LONGEST_ANNOTATOR = 200
_STEM = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")


class Sidecar(BaseModel):
    """The record of one annotation of a picture of `height` × `width` pixels.

    `reference`, `output`: digests of the true and the delivered pixels. `mask`: digest of the PNG's bytes. `annotator`:
    the person. `date`: YYYY-MM-DD. `source`: the imported format. `picture`: the photograph's name, if known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reference: Digest
    output: Digest
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    mask: Digest
    annotator: str = Field(min_length=1, max_length=LONGEST_ANNOTATOR)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    source: str = Field(max_length=40)
    picture: str | None = None

    @property
    def stem(self) -> str:
        """Return the name of the two files without their endings."""
        return Pair(self.reference, self.output).stem

    def content(self) -> bytes:
        # Annotations from before photographs had names keep their bytes.
        content = _SIDECARS.content(self)
        return _SIDECARS.text({name: value for name, value in content.items() if value is not None}).encode()


_SIDECARS = Stored(Sidecar, "annotation", 1, anew="Import the annotation again", limit=64 * 1024)


class Pair(NamedTuple):
    """Digests of the pixels of a true and of a delivered picture."""

    reference: str
    output: str

    @classmethod
    def of(cls, truth: Image, delivered: Image) -> "Pair":
        """Return the pair of these pictures, (H, W, 3) uint8 each."""
        return cls(pixels_digest(truth), pixels_digest(delivered))

    @property
    def stem(self) -> str:
        """Return the name of the annotation's two files without their endings."""
        return f"{_short(self.reference)}-{_short(self.output)}"


def check_annotator(name: str) -> None:
    """Refuse a name that cannot be an annotator's."""
    if not 1 <= len(name.strip()) <= LONGEST_ANNOTATOR or not name.isprintable():
        raise UsageError(
            f"expected the name of who marks in 1 to {LONGEST_ANNOTATOR} printable characters; got "
            f"{printable(name, 40)!r}"
        )


class Origin(NamedTuple):
    """The source of an annotation: person, day (YYYY-MM-DD) and imported format."""

    annotator: str
    date: str
    source: str


def write_annotation(
    folder: Path, truth: Image, delivered: Image, levels: Levels, origin: Origin, *, force: bool = False
) -> Path:
    """Store `levels`, the annotation of `delivered` against `truth` (equal sizes); return the JSON file."""
    return write_levels(folder, Pair.of(truth, delivered), levels, origin, force=force)


def write_levels(folder: Path, pair: Pair, levels: Levels, origin: Origin, *, force: bool = False) -> Path:
    """Store levels as `write_annotation` does, for a pair known by its digests."""
    mask = grey_png(levels)
    height, width = levels.shape
    sidecar = Sidecar(**pair._asdict(), height=height, width=width, mask=digest_bytes(mask), **origin._asdict())
    # The JSON file makes the annotation count, so it comes last.
    write_together(
        {folder / f"{sidecar.stem}.png": mask, folder / f"{sidecar.stem}.json": sidecar.content()}, force=force
    )
    return folder / f"{sidecar.stem}.json"


def read_annotation(folder: Path, truth: Image, delivered: Image) -> Levels:
    """Read the annotation in `folder` of `delivered` against `truth`, both (H, W, 3) uint8: (H, W) uint8."""
    pair = Pair.of(truth, delivered)
    if not folder.is_dir():
        raise UsageError(f"expected a folder of annotations; {printable(folder)} is none. Import annotations into it")
    path = folder / f"{pair.stem}.json"
    if not path.is_file():
        raise _missing(folder, pair)
    return read_levels(path, pair, truth.shape[:2])[1]


def read_levels(path: Path, pair: Pair | None = None, size: tuple[int, int] | None = None) -> tuple[Sidecar, Levels]:
    """Read the JSON file `path` and the levels beside it, (H, W) uint8, and check them against `pair` and `size`."""
    sidecar = read_sidecar(path)
    shown = printable(path)
    if pair is not None and (sidecar.reference, sidecar.output) != pair:
        raise FileFormatError(
            f"{shown}: expected the annotation of output {pair.output}; it says output {sidecar.output} of reference "
            f"{sidecar.reference}. It belongs to another picture: import the right one"
        )
    height, width = size or (sidecar.height, sidecar.width)
    if (sidecar.height, sidecar.width) != (height, width):
        raise FileFormatError(
            f"{shown}: expected an annotation of {width}×{height} pixels; got {sidecar.width}×{sidecar.height}. "
            "Annotate the delivered picture at its full size"
        )
    content = read_bytes(path.with_suffix(".png"), ImageLimits().max_bytes)
    if digest_bytes(content) != sidecar.mask:
        raise FileFormatError(f"{shown}: expected the mask {sidecar.mask}; the PNG was changed. Import it again")
    return sidecar, levels_of_png(content, (height, width), printable(path.with_suffix(".png")))


def read_sidecar(path: Path) -> Sidecar:
    return _SIDECARS.read(path)


def stored(folder: Path) -> list[Path]:
    """List the JSON files of the annotations in `folder` by name."""
    return [path for path in sorted(folder.glob("*.json")) if _STEM.fullmatch(path.stem)]


def levels_of_png(content: bytes, size: tuple[int, int], name: str) -> Levels:
    """Read the levels of an 8-bit grey PNG of `size` = (height, width)."""
    height, width = size
    try:
        picture = read_image(content, limits=ImageLimits(max_pixels=height * width), name=name)
    except ImageError as error:
        raise FileFormatError(f"{error}. Expected an 8-bit grey PNG of {width}×{height} pixels") from None
    changed = [note for note in picture.conversions if "palette" in note or "ICC" in note or "YCbCr" in note]
    if picture.format != "PNG" or changed:
        raise FileFormatError(
            f"{name}: expected an 8-bit grey PNG; got {changed[0] if changed else picture.format}, whose levels are no "
            "grades. Save it as 8-bit grey, 255 where the meaning differs"
        )
    if picture.size != size:
        raise FileFormatError(
            f"{name}: expected {width}×{height} pixels; got {picture.size[1]}×{picture.size[0]}. Annotate the "
            "delivered picture at its full size"
        )
    red = picture.pixels[:, :, 0]
    if (picture.pixels != red[:, :, None]).any():
        raise FileFormatError(f"{name}: expected a grey PNG; got a coloured one, whose colours are no grades")
    return np.ascontiguousarray(red)


def _missing(folder: Path, pair: Pair) -> CalibrationError:
    others = len(list(folder.glob(f"{_short(pair.reference)}-*.json")))
    if others:
        return CalibrationError(
            f"expected an annotation of output {pair.output} in {printable(folder)}; this photograph is annotated "
            f"there for {others} other output(s) only. Give --run, --delivery and all else as for the calibration that "
            "was annotated; a vendor's new answer needs a new annotation"
        )
    if any((folder / PEOPLE).glob(f"*/{pair.stem}.json")):
        return CalibrationError(
            f"expected one annotation of the photograph {pair.reference} in {printable(folder)}; people marked it, and "
            f"their marks are not combined. Run `blackbox-conformal annotate combine {printable(folder)}`"
        )
    return CalibrationError(
        f"expected an annotation of the photograph {pair.reference} in {printable(folder)}; there is none. "
        "Mark it, and import the marks with `blackbox-conformal annotate import`"
    )


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:16]
