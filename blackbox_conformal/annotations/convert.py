"""Turn a tool's export into a stored annotation, and back."""

import datetime
import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from blackbox_conformal.annotations.annotation_file import (
    Levels,
    Origin,
    check_annotator,
    read_annotation,
    write_annotation,
)
from blackbox_conformal.annotations.formats.format import Format, ImportRequest, Marked, level_named, stem_of
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support import catalog
from blackbox_conformal.support.files import write_together
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image

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
        The tool's file; for `png` also a folder of them.
    format
        ``coco``, ``png``, or another package's.
    truth, delivered
        The true and the delivered picture, as files or as (H, W, 3) uint8. A truth that is up to 15 pixels larger is
        cut on the right and at the bottom, as calibration does.
    folder
        Where annotations are stored; made if missing.
    annotator, date
        Who marked it, and when (YYYY-MM-DD; today unless given).
    grades
        Grade in [0, 1] of each label; unless given every label counts 1, but ``level-1`` to ``level-255``, which are
        exported, stand for those levels.
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
    check_annotator(annotator)
    day = datetime.datetime.now(datetime.UTC).date()
    try:
        day = day if date is None else datetime.date.fromisoformat(date)
    except ValueError:
        raise UsageError(f"expected a date as YYYY-MM-DD; got {date!r}") from None
    origin = Origin(annotator, day.isoformat(), format)
    paths = [image] if image is not None else [path for path in (truth, delivered) if isinstance(path, str | Path)]
    names = frozenset(stem_of(str(path)) for path in paths)
    pair = _pair(_pixels(truth), _pixels(delivered))
    levels = read_format(format, Path(source), names, pair[1].shape[:2], grades)
    return write_annotation(Path(folder), *pair, levels, origin, force=force)


def read_format(
    format: str,  # noqa: A002
    source: Path,
    names: frozenset[str],
    size: tuple[int, int],
    grades: Mapping[str, float] | None = None,
) -> Levels:
    """Return the levels, (H, W) uint8, of a picture of `size` = (height, width) called one of `names` there."""
    importer: Format = catalog.load("annotations.formats", format)
    if grades is not None and format == "png":
        raise UsageError("expected no grades with format png: its levels are the grades. Leave grades out")
    for label, grade in (grades or {}).items():
        if not 0 <= grade <= 1:
            raise UsageError(f"expected grades in [0, 1]; got {grade!r} for {label!r}")
    return importer.read(ImportRequest(source, names, size, partial(_level, grades)))


def export_annotations(
    pairs: Sequence[tuple[str | Path | Image, str | Path | Image]],
    format: str,  # noqa: A002 - what people call it
    folder: str | Path,
    out: str | Path,
    *,
    names: Sequence[str] | None = None,
    force: bool = False,
) -> list[Path]:
    """Write stored annotations as an annotation tool's files; importing them gives back every pixel.

    Parameters
    ----------
    pairs
        The true and the delivered picture of each annotation; see `import_annotations`.
    format
        As for `import_annotations`. Masks are written, never polygons; each level is one mask with the label
        ``level-1`` to ``level-255``.
    folder
        Where annotations are stored.
    out
        Folder for the files; made if missing.
    names
        What the files of the pictures are called; unless given, as the delivered pictures' files.
    force
        Overwrite other files.

    Returns
    -------
    The files that were written.

    Raises
    ------
    UsageError
        An argument cannot be used, or a file exists with other content.
    ImageError, CalibrationError, FileFormatError
        A picture cannot be read, has no annotation, or its annotation is damaged.
    """
    exporter: Format = catalog.load("annotations.formats", format)
    if names is None and not all(isinstance(delivered, str | Path) for _, delivered in pairs):
        raise UsageError("expected names of pictures that are given as arrays; got none. Give names")
    called = [Path(str(delivered)).name for _, delivered in pairs] if names is None else list(names)
    if len({stem_of(name) for name in called}) < len(called) or len(called) != len(pairs):
        shown = ", ".join(map(printable, called[:5]))
        raise UsageError(f"expected a different name for each of {len(pairs)} pictures; got {shown}")
    for name in called:
        try:
            os.fsencode(name)
        except UnicodeEncodeError:
            raise UsageError(
                f"expected names that files can have; got {printable(name)}, which is no text. Give another name"
            ) from None
    pictures = [
        Marked(name, read_annotation(Path(folder), *_pair(_pixels(truth), _pixels(delivered))))
        for name, (truth, delivered) in zip(called, pairs, strict=True)
    ]
    contents = {Path(out) / name: content for name, content in exporter.write(pictures).items()}
    write_together(contents, force=force)
    return list(contents)


def _level(grades: Mapping[str, float] | None, label: str) -> int:
    # Rounded up, so that no grade shrinks.
    if grades is None:
        return level_named(label) or 255
    if label not in grades and not label:
        raise UsageError(
            "expected a label of every shape, since grades are given by label; one shape has none. Label it, or "
            "give the grade of shapes without a label: --grade =GRADE"
        )
    if label not in grades:
        raise UsageError(f"expected a grade for every label; got none for {label!r}. Add it to grades")
    return math.ceil(255 * grades[label] - 1e-9)


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
