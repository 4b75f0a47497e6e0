"""The stored annotation: an 8-bit grey PNG of the delivered picture's size, and a JSON file that says whose it is."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackbox_conformal.annotations.foreign_files import read_bytes, read_json
from blackbox_conformal.canonical import digest_bytes, digest_json
from blackbox_conformal.errors import CalibrationError, FileFormatError, ImageError, UsageError
from blackbox_conformal.files import write_new
from blackbox_conformal.images.encode import grey_png
from blackbox_conformal.images.picture import pixels_digest
from blackbox_conformal.images.read import ImageLimits, read_image
from blackbox_conformal.text import printable
from blackbox_conformal.types import Image

Levels = NDArray[np.uint8]
"""(H, W) uint8: 0 where the meaning is the same, 255 where it differs, grades between."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
LARGEST_SIDECAR = 64 * 1024
LONGEST_ANNOTATOR = 200
_STEM = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")


class Sidecar(BaseModel):
    """What is stored about one annotation.

    Attributes
    ----------
    reference, output
        Digests of the pixels of the true and of the delivered picture.
    height, width
        Of both, in pixels.
    mask
        Digest of the bytes of the PNG.
    annotator
        Who marked it.
    date
        When, as YYYY-MM-DD.
    source
        The form it was imported from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["blackbox-conformal annotation"] = "blackbox-conformal annotation"
    version: Literal[1] = 1
    reference: Digest
    output: Digest
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    mask: Digest
    annotator: str = Field(min_length=1, max_length=LONGEST_ANNOTATOR)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    source: str = Field(max_length=40)

    @property
    def stem(self) -> str:
        """Name of the two files without their endings."""
        return f"{_short(self.reference)}-{_short(self.output)}"

    def content(self) -> bytes:
        """The JSON file."""
        return json.dumps(self.model_dump(), indent=1, ensure_ascii=False).encode() + b"\n"


class Origin(NamedTuple):
    """Who marked an annotation, when (YYYY-MM-DD), and the format it was imported from."""

    annotator: str
    date: str
    source: str


def write_annotation(
    folder: Path, truth: Image, delivered: Image, levels: Levels, origin: Origin, *, force: bool = False
) -> Path:
    """Store `levels`, the annotation of `delivered` against `truth` (equal sizes); returns the JSON file.

    Raises
    ------
    UsageError
        The pair has another annotation and `force` is not set.
    """
    mask = grey_png(levels)
    height, width = levels.shape
    sidecar = Sidecar(
        reference=pixels_digest(truth),
        output=pixels_digest(delivered),
        height=height,
        width=width,
        mask=digest_bytes(mask),
        **origin._asdict(),
    )
    # The JSON file makes the annotation count, so it comes last.
    write_new(folder / f"{sidecar.stem}.png", mask, force=force)
    return write_new(folder / f"{sidecar.stem}.json", sidecar.content(), force=force)


def read_annotation(folder: Path, truth: Image, delivered: Image) -> Levels:
    """The annotation in `folder` of `delivered` against `truth`, both (H, W, 3) uint8: (H, W) uint8.

    Raises
    ------
    UsageError
        There is no such folder.
    CalibrationError
        The folder has no annotation of this pair; the message says when there is one of another output.
    FileFormatError
        The annotation is damaged, of another size, or its contents are of another picture.
    """
    reference, output = pixels_digest(truth), pixels_digest(delivered)
    if not folder.is_dir():
        raise UsageError(f"expected a folder of annotations; {printable(folder)} is none. Import annotations into it")
    path = folder / f"{_short(reference)}-{_short(output)}.json"
    if not path.is_file():
        raise _missing(folder, reference, output)
    sidecar = read_sidecar(path)
    shown = printable(path)
    if (sidecar.reference, sidecar.output) != (reference, output):
        raise FileFormatError(
            f"{shown}: expected the annotation of output {output}; it says output {sidecar.output} of reference "
            f"{sidecar.reference}. It belongs to another picture: import the right one"
        )
    height, width = truth.shape[:2]
    if (sidecar.height, sidecar.width) != (height, width):
        raise FileFormatError(
            f"{shown}: expected an annotation of {width}×{height} pixels; got {sidecar.width}×{sidecar.height}. "
            "Annotate the delivered picture at its full size"
        )
    content = read_bytes(path.with_suffix(".png"), ImageLimits().max_bytes)
    if digest_bytes(content) != sidecar.mask:
        raise FileFormatError(f"{shown}: expected the mask {sidecar.mask}; the PNG was changed. Import it again")
    return levels_of_png(content, (height, width), printable(path.with_suffix(".png")))


def read_sidecar(path: Path) -> Sidecar:
    """What the JSON file `path` says.

    Raises
    ------
    FileFormatError
        It is no annotation, damaged, or of a newer version.
    """
    try:
        return Sidecar.model_validate(read_json(path, LARGEST_SIDECAR))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise FileFormatError(
            f"{printable(path)}: expected an annotation of version 1; {printable(place)}: {first['msg']}. "
            "Import the annotation again"
        ) from None


def folder_digest(folder: Path) -> str:
    """``sha256:…`` over every annotation in `folder`: equal for equal annotations, wherever the folder lies."""
    sidecars = [read_sidecar(path) for path in sorted(folder.glob("*.json")) if _STEM.fullmatch(path.stem)]
    return digest_json(sorted([sidecar.reference, sidecar.output, sidecar.mask] for sidecar in sidecars))


def levels_of_png(content: bytes, size: tuple[int, int], name: str) -> Levels:
    """Levels of an 8-bit grey PNG of `size` = (height, width).

    Raises
    ------
    FileFormatError
        It is damaged, no PNG, of another size (told before decoding), coloured, has a palette, or holds 0 and 1 only.
    """
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


def _missing(folder: Path, reference: str, output: str) -> CalibrationError:
    others = len(list(folder.glob(f"{_short(reference)}-*.json")))
    if others:
        return CalibrationError(
            f"expected an annotation of output {output} in {printable(folder)}; this photograph is annotated there for "
            f"{others} other output(s) only. A vendor's new answer needs a new annotation"
        )
    return CalibrationError(
        f"expected an annotation of the photograph {reference} in {printable(folder)}; there is none. "
        "Annotate it and import it with `python -m blackbox_conformal.annotations`"
    )


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:16]
