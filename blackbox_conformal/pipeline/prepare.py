"""From files to what a vendor is sent: truth, low-resolution input, one task a draw.

Nothing is sent here. Pixels are not kept: a photograph is read again when its draws are there, so that memory does
not grow with the number of photographs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.errors import CalibrationError, ImageError, UsageError
from blackbox_conformal.images.degrade import crop_note, crop_to_multiple, degrade, upload_from
from blackbox_conformal.images.duplicates import Distinct, sketch
from blackbox_conformal.images.names import printable
from blackbox_conformal.images.picture import Picture
from blackbox_conformal.images.read import read_image
from blackbox_conformal.pipeline.settings import Setup
from blackbox_conformal.sampling.task import Task
from blackbox_conformal.types import Image


@dataclass(frozen=True, slots=True)
class Prepared:
    """One picture ready to be drawn.

    Attributes
    ----------
    name
        The file's stem.
    path
        The file; None for a picture that came as bytes.
    truth_digest
        Identity of the high-resolution pixels, None when the truth is unknown.
    input_digest
        Identity of the low-resolution pixels.
    size
        (height, width) of the delivered picture.
    tasks
        One a draw, in draw order.
    conversions
        What was done to the file to make it 8-bit sRGB, in words.
    """

    name: str
    path: Path | None
    truth_digest: str | None
    input_digest: str
    size: tuple[int, int]
    tasks: tuple[Task, ...]
    conversions: tuple[str, ...]


def read_truth(path: Path, scale: int) -> tuple[Image, Picture]:
    """The photograph cut to a multiple of `scale`: (H, W, 3) uint8, and the picture as read."""
    picture = read_image(path)
    return crop_to_multiple(picture.pixels, scale), picture


def prepare_photographs(
    paths: Sequence[Path], setup: Setup, root_seed: int, progress: Callable[[str, int, int], None] = lambda *_: None
) -> list[Prepared]:
    """Photographs whose low-resolution versions the vendor will be sent, each an independent picture.

    Raises
    ------
    CalibrationError
        Two files hold the same picture, or the same up to size, compression, a turn or a mirroring.
    ImageError, UsageError
        A file cannot be used, or does not fit the vendor's limits.
    """
    found = []
    distinct = Distinct()
    inputs: dict[str, Path] = {}
    for done, path in enumerate(paths):
        progress("reading photographs", done, len(paths))
        truth, picture = read_truth(path, setup.procedure.scale)
        distinct.add(str(path), sketch(truth, picture.digest))
        conversions = (*picture.conversions, *filter(None, [crop_note(picture.size, setup.procedure.scale)]))
        low = degrade(truth, setup.procedure.scale)
        one = _prepared(path.stem, path, picture.digest, low, conversions, setup, root_seed)
        twin = inputs.setdefault(one.input_digest, path)
        if twin != path:
            raise CalibrationError(
                f"expected photographs with different low-resolution versions; {printable(twin)} and {printable(path)} "
                "have the same. Remove one of them"
            )
        found.append(one)
    progress("reading photographs", len(paths), len(paths))
    return found


def prepare_input(source: Path | bytes, name: str, setup: Setup, root_seed: int) -> Prepared:
    """A picture to super-resolve, whose truth nobody knows."""
    picture = read_image(source)
    path = source if isinstance(source, Path) else None
    return _prepared(name, path, None, picture.pixels, picture.conversions, setup, root_seed)


def _prepared(
    name: str,
    path: Path | None,
    truth_digest: str | None,
    low: Image,
    conversions: tuple[str, ...],
    setup: Setup,
    root_seed: int,
) -> Prepared:
    height, width = low.shape[:2]
    _check_size(name, width, height, setup)
    upload = upload_from(low, name)
    tasks = []
    for index in range(setup.procedure.draws):
        sent = upload
        if setup.perturbation is not None and index > 0:
            sent = upload_from(setup.perturbation.apply(low, index), name)
        elif setup.perturbation is not None:
            sent = upload_from(setup.perturbation.apply(low, 0), name)
        seed = setup.procedure.seed(root_seed, upload.digest, index, setup.adapter.capabilities.seed_range)
        tasks.append(Task(sent, index, seed))
    size = (height * setup.procedure.scale, width * setup.procedure.scale)
    return Prepared(name, path, truth_digest, upload.digest, size, tuple(tasks), conversions)


def _check_size(name: str, width: int, height: int, setup: Setup) -> None:
    limits = setup.adapter.capabilities
    shown = printable(name)
    if min(width, height) < 1:
        raise ImageError(f"{shown}: expected a picture of at least one pixel a side")
    for side in (width, height):
        if limits.min_side is not None and side < limits.min_side:
            raise UsageError(
                f"{shown}: the vendor takes sides of at least {limits.min_side} pixels; the input is {width}×{height}"
            )
        if limits.max_side is not None and side > limits.max_side:
            raise UsageError(
                f"{shown}: the vendor takes sides of at most {limits.max_side} pixels; the input is {width}×{height}"
            )
    output = width * height * setup.procedure.scale**2
    if limits.max_input_pixels is not None and width * height > limits.max_input_pixels:
        raise UsageError(
            f"{shown}: the vendor takes at most {limits.max_input_pixels} input pixels; the input has {width * height}"
        )
    if limits.max_output_pixels is not None and output > limits.max_output_pixels:
        raise UsageError(
            f"{shown}: the vendor returns at most {limits.max_output_pixels} pixels; ×{setup.procedure.scale} "
            f"would make {output}"
        )
