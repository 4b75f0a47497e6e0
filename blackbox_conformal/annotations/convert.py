"""From a tool's export to a stored annotation.

What each tool writes is in the importers; what is stored is in `stored`.
"""

import datetime
import importlib
import io
import math
from collections.abc import Mapping
from pathlib import Path

from PIL import Image as PillowImage

from blackbox_conformal.annotations.annotation_file import Levels, Sidecar
from blackbox_conformal.annotations.foreign_files import Request, stem_of
from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.files import write_new
from blackbox_conformal.images.picture import check_pixels, pixels_digest
from blackbox_conformal.images.read import read_image
from blackbox_conformal.types import Image

FORMATS = {
    "labelme": "labelme",
    "cvat": "cvat_xml",
    "coco": "coco",
    "label-studio": "label_studio",
    "png": "png_masks",
}
"""Name of each form and the module that reads it."""

LARGEST_SCALE = 16


def import_annotations(
    source: str | Path,
    format: str,  # noqa: A002 - what people call it
    truth: str | Path | Image,
    delivered: str | Path | Image,
    folder: str | Path,
    *,
    annotator: str = "not stated",
    date: str | None = None,
    grades: Mapping[str, float] | None = None,
    image: str | None = None,
    force: bool = False,
) -> Path:
    """Store a person's annotation of one delivered picture in `folder`, where the metric `semantic` finds it.

    Parameters
    ----------
    source
        The tool's file; for `labelme` and `png` also a folder of them.
    format
        ``labelme``, ``cvat`` (CVAT for images 1.1, XML), ``coco`` (JSON), ``label-studio`` (JSON) or ``png``.
    truth, delivered
        The true and the delivered picture, as files or as (H, W, 3) uint8. A truth that is up to 15 pixels larger is
        cut on the right and at the bottom, as calibration does.
    folder
        Where annotations are stored; made if missing.
    annotator, date
        Who marked it, and when (YYYY-MM-DD; today unless given).
    grades
        Grade in [0, 1] of each label; every label counts 1 unless given.
    image
        What the source calls the picture, without folder and ending; unless given, the name of either file. With
        arrays and no name the source must hold one picture.
    force
        Replace another annotation of the same pair.

    Returns
    -------
    The JSON file; the mask is the PNG beside it.

    Raises
    ------
    UsageError
        An argument cannot be used, the picture is not in the source, or the pair has another annotation already.
    ImageError
        One of the pictures cannot be read, or their sizes differ.
    FileFormatError
        The source is damaged, hostile, of another size, or holds what has no area.
    """
    if format not in FORMATS:
        raise UsageError(f"expected format to be one of {', '.join(FORMATS)}; got {format!r}")
    if grades is not None and format == "png":
        raise UsageError("expected no grades with format png: its levels are the grades. Leave grades out")
    day = datetime.datetime.now(datetime.UTC).date().isoformat() if date is None else _date(date)
    if not 1 <= len(annotator) <= 200:
        raise UsageError(f"expected the annotator in 1 to 200 characters; got {len(annotator)}")
    names = {stem_of(str(one)) for one in (truth, delivered) if isinstance(one, str | Path)}
    ours, theirs = _pair(_pixels(truth), _pixels(delivered))
    request = Request(
        Path(source),
        frozenset({stem_of(image)} if image is not None else names),
        theirs.shape[:2],
        _levels(grades),
    )
    reader = importlib.import_module(f"blackbox_conformal.annotations.{FORMATS[format]}")
    content = _png(reader.read(request))
    sidecar = Sidecar(
        reference=pixels_digest(ours),
        output=pixels_digest(theirs),
        height=theirs.shape[0],
        width=theirs.shape[1],
        mask=digest_bytes(content),
        annotator=annotator,
        date=day,
        source=format,
    )
    # The JSON file makes the annotation count, so it comes last.
    write_new(Path(folder) / f"{sidecar.stem}.png", content, force=force)
    return write_new(Path(folder) / f"{sidecar.stem}.json", sidecar.content(), force=force)


class _levels:  # noqa: N801 - used as a function
    """From a label to its level, rounded up so that no grade shrinks."""

    def __init__(self, grades: Mapping[str, float] | None) -> None:
        for label, grade in (grades or {}).items():
            if not 0 <= grade <= 1:
                raise UsageError(f"expected grades in [0, 1]; got {grade!r} for {label!r}")
        self._grades = grades

    def __call__(self, label: str) -> int:
        if self._grades is None:
            return 255
        if label not in self._grades and not label:
            raise UsageError(
                "expected a label of every shape, since grades are given by label; one shape has none. Label it, or "
                "give the grade of shapes without a label: --grade =GRADE"
            )
        if label not in self._grades:
            raise UsageError(f"expected a grade for every label; got none for {label!r}. Add it to grades")
        return math.ceil(255 * self._grades[label] - 1e-9)


def _pixels(picture: str | Path | Image) -> Image:
    return read_image(Path(picture)).pixels if isinstance(picture, str | Path) else check_pixels(picture)


def _pair(truth: Image, delivered: Image) -> tuple[Image, Image]:
    height, width = delivered.shape[:2]
    rows, columns = truth.shape[0] - height, truth.shape[1] - width
    if not (0 <= rows < LARGEST_SCALE and 0 <= columns < LARGEST_SCALE):
        raise ImageError(
            f"expected a true picture of the delivered picture's size, {width}×{height}; got "
            f"{truth.shape[1]}×{truth.shape[0]}. Give the pair that belongs together"
        )
    return check_pixels(truth[:height, :width]), delivered


def _date(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"expected a date as YYYY-MM-DD; got {text!r}") from None


def _png(levels: Levels) -> bytes:
    out = io.BytesIO()
    PillowImage.fromarray(levels).save(out, "PNG")
    return out.getvalue()
