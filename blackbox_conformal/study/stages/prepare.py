"""Read files and make a vendor's uploads: the input, and one task for each draw. Sends nothing.

Memory does not grow with the number of photographs: pixels wait on the disk (`KeptPixels`) or are read again.
"""

import contextlib
import math
import mmap
import shlex
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from io import FileIO
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.procedure import Fit
from blackbox_conformal.drawing.local_draws import answer_of
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import BlackboxConformalError, CalibrationError, ImageError, UsageError
from blackbox_conformal.method.images.bands import rendered
from blackbox_conformal.method.images.duplicates import LEAST_SIDE, Distinct, Sketch, sketch
from blackbox_conformal.method.images.encode import Given, as_source, upload_png
from blackbox_conformal.method.images.input_statistics import InputKind, InputStatistics
from blackbox_conformal.method.images.making_inputs import crop_note, crop_to_multiple, resized
from blackbox_conformal.method.images.perturbation.perturbation import Perturbation
from blackbox_conformal.method.images.picture import Picture
from blackbox_conformal.method.images.read import DEFAULT_LIMITS, ImageLimits, read_image
from blackbox_conformal.study.stages.grouped_errors import refuse_together
from blackbox_conformal.study.stages.memory import MASK_PIXEL_BYTES, limits_within, refuse_large, size_by_header
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.stages.uploads import Encoder
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import name_of, printable
from blackbox_conformal.support.types import Image
from blackbox_conformal.vendor.adapter import Adapter, Capabilities, Upload

MOST_BYTES = 2 * 2**30  # Bytes that one job's kept photographs take at most: some 80 of 3840 x 2160.
SHARE_OF_FREE = 0.25  # The most that is taken of the disk's free space.


LARGE_PAGE = 1 << 20  # Bytes from which on a picture lies in memory pages of its own.


def picture_room(height: int, width: int) -> Image:
    """Return memory for (H, W, 3) uint8, undefined until it is filled.

    The C library keeps freed pieces of up to 32 MiB and finds no use for whole pictures. Pages of their own go back to
    the system at once, and a large page is touched faster than hundreds of small ones.
    """
    if 3 * height * width < LARGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        # Smaller than a large page, or not Linux.
        return np.empty((height, width, 3), np.uint8)
    pages = mmap.mmap(-1, 3 * height * width, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        # A kernel without large pages has small ones.
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8).reshape(height, width, 3)


class KeptPixels:
    """Decoded photographs and inputs in a temporary file, which ends with this object or the process.

    Any thread may use it. It keeps what fits; other files are decoded again.

    `folder`: Where the file lies, made if missing. The run folder serves, since the system's temporary folder may be
      memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._places: dict[Path, tuple[int, list[tuple[int, int]]]] = {}
        self._file: FileIO | None = None
        self._end = 0
        self._most = MOST_BYTES

    def keep(self, path: Path, truth: Image, low_resolution: Image) -> None:
        """Keep a photograph, (H, W, 3) uint8, and its input, (h, w, 3) uint8, while there is room.

        Pictures of declared bands are not kept.
        """
        if truth.dtype != np.uint8:
            return
        pictures = [np.ascontiguousarray(picture) for picture in (truth, low_resolution)]
        with self._lock:
            try:
                if self._file is None:
                    there = next(one for one in (self._folder, *self._folder.absolute().parents) if one.is_dir())
                    self._most = min(self._most, int(shutil.disk_usage(there).free * SHARE_OF_FREE))
                    # The file has no name, or loses it at once, or on Windows when it is closed.
                    self._file = tempfile.TemporaryFile(dir=there, buffering=0)  # noqa: SIM115 - closed below
                    weakref.finalize(self, self._file.close)
                file, end = self._file, self._end + sum(picture.nbytes for picture in pictures)
                if end > self._most:
                    return
                file.seek(self._end)
                for picture in pictures:
                    if file.write(picture.data) < picture.nbytes:
                        raise OSError("the disk is full")
            except OSError:
                self._most = 0
                return
            self._places[path] = self._end, [(picture.shape[0], picture.shape[1]) for picture in pictures]
            self._end = end

    def get(self, path: Path) -> tuple[Image, Image] | None:
        """Return the kept photograph and input of a file; None when they were not kept."""
        with self._lock:
            if path not in self._places or self._file is None:
                return None
            start, shapes = self._places[path]
            truth, low_resolution = (picture_room(*shape) for shape in shapes)
            try:
                self._file.seek(start)
                whole = all(self._file.readinto(picture.data) == picture.nbytes for picture in (truth, low_resolution))
            except OSError:
                return None
            return (truth, low_resolution) if whole else None


def misfit(width: int, height: int, limits: Capabilities, scale: int) -> str | None:
    """Say which limit an input of this size breaks, in words that follow the vendor's name; None: it keeps them."""
    shown, output = f"the input is {width}×{height}", width * height * scale**2
    by = "it" if scale == 1 else f"×{scale}"
    made = f"{by} would make {width * scale}×{height * scale}"
    short, long = min(width, height), max(width, height)
    if limits.min_side is not None and short < limits.min_side:
        return f"takes sides of at least {limits.min_side} pixels; {shown}"
    if limits.max_side is not None and long > limits.max_side:
        return f"takes sides of at most {limits.max_side} pixels; {shown}"
    if limits.min_output_side is not None and short * scale < limits.min_output_side:
        return f"returns sides of at least {limits.min_output_side} pixels; {made}"
    if limits.max_output_side is not None and long * scale > limits.max_output_side:
        return f"returns sides of at most {limits.max_output_side} pixels; {made}"
    if limits.max_aspect is not None and long > limits.max_aspect * short:
        return f"takes sides of which one is at most {limits.max_aspect:g} times the other; {shown}"
    if limits.max_input_pixels is not None and width * height > limits.max_input_pixels:
        return f"takes at most {limits.max_input_pixels} input pixels; the input has {width * height}"
    if limits.max_output_pixels is not None and output > limits.max_output_pixels:
        return f"returns at most {limits.max_output_pixels} pixels; {by} would make {output}"
    return None


def too_many_bytes(upload: Upload, limits: Capabilities) -> str | None:
    """Say, as `misfit` does, that the file to be sent is too large; encodes only where it may be."""
    most = limits.max_upload_bytes
    if most is None or png_bound(upload.width * upload.height, upload.height) <= most or len(upload.png) <= most:
        return None
    return f"takes files of at most {most} bytes; the input has {len(upload.png)} as PNG"


def png_bound(pixels: int, rows: int) -> int:
    """Return bytes that the PNG of an 8-bit RGB picture does not exceed, since deflate adds little."""
    raw = 3 * pixels + rows
    return raw + raw // 400 + 128


def fitted(
    truth: Image, scale: int, fit: Fit | None, limits: Sequence[Capabilities], degraded: Callable[[Image], Image]
) -> tuple[Image, str | None]:
    """Make a photograph keep `limits` as far as `fit` can; return it and what was done, in words.

    `truth`: (H, W, 3) uint8, sides multiples of `scale`; so are the result's.
    `fit`: ``crop``: take the middle. ``shrink``: resize. None: do nothing.
    `degraded`: Makes the input from a photograph, since the input's file may be too large.
    """
    height, width = truth.shape[0] // scale, truth.shape[1] // scale
    if fit is None:
        return truth, None
    size = width, height
    # Twice: the cut for one vendor may break the proportions that another one asks for.
    for able in (*limits, *limits):
        size = _within(size, scale, fit, able)
    for able in limits:
        most = able.max_upload_bytes
        if most is None or png_bound(size[0] * size[1], size[1]) <= most:
            continue
        if len(upload_png(degraded(_made(truth, size, scale, fit)))) <= most:
            continue
        whole, factor = size, math.sqrt(most / png_bound(size[0] * size[1], size[1]))
        while png_bound(size[0] * size[1], size[1]) > most and min(size) > 1:
            size = _times(whole, factor)
            factor *= 0.99
    if size == (width, height):
        return truth, None
    done = {"crop": "cropped to its middle", "shrink": "made smaller"}[fit]
    words = f"{done}, from {width * scale}×{height * scale} to {size[0] * scale}×{size[1] * scale}"
    return _made(truth, size, scale, fit), words


def _made(truth: Image, size: tuple[int, int], scale: int, fit: Fit) -> Image:
    width, height = size[0] * scale, size[1] * scale
    if fit == "shrink":
        return resized(truth, width, height)
    top, left = (truth.shape[0] - height) // 2, (truth.shape[1] - width) // 2
    return np.ascontiguousarray(truth[top : top + height, left : left + width])


def _within(size: tuple[int, int], scale: int, fit: Fit, able: Capabilities) -> tuple[int, int]:
    of_output = (able.max_output_side or 0) // scale, (able.max_output_pixels or 0) // scale**2
    sides, pixels = (
        [most for most in bounds if most]
        for bounds in ((able.max_side, of_output[0]), (able.max_input_pixels, of_output[1]))
    )
    width, height = size
    if fit == "crop":
        longest = min([*sides, *([math.floor(able.max_aspect * min(size))] if able.max_aspect else [])], default=0)
        if longest:
            width, height = min(width, longest), min(height, longest)
    elif sides and max(size) > min(sides):
        width, height = _times(size, min(sides) / max(size))
    if pixels and width * height > min(pixels):
        width, height = _times((width, height), math.sqrt(min(pixels) / (width * height)))
    return width, height


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, math.floor(size[0] * factor)), max(1, math.floor(size[1] * factor))


@dataclass(frozen=True, slots=True)
class Prepared:
    """One picture ready to be drawn."""

    name: str  # The file's stem.
    path: Path | None  # The file; None for a picture that came as bytes.
    truth_digest: str | None  # Identity of the photograph's pixels; None when the truth is unknown.
    input_digest: str  # Identity of the pixels that are sent.
    sketch: Sketch  # Recognises the picture in another size, turn or file.
    size: tuple[int, int]  # (height, width) of the delivered picture.
    tasks: tuple[Task, ...]  # One a draw, in draw order.
    conversions: tuple[str, ...]  # How the file became 8-bit sRGB, in words.
    file_digest: str | None = None  # Identity of the file's bytes, to notice a later change.
    fitted: str | None = None  # How a photograph was made to fit the vendor's limits, in words; None: it was not.
    # Statistics of the low-resolution pixels, one row.
    statistics: InputStatistics = field(default_factory=lambda: InputStatistics.unknown(1))
    kind: InputKind | None = None  # Kind of a photograph; None for a picture to be masked.
    # Pillow's name, after ``lossy`` for a format that may be lossless and is not here: ``lossy WEBP``; "" if not read.
    file_format: str = ""

    def input_of(self, truth: Image, setup: Setup) -> Image:
        """Return the vendor's input for `truth`, (H, W, 3) uint8: (h, w, 3) uint8."""
        assert self.truth_digest is not None
        return setup.input_of(self.name, truth, self.truth_digest)


@dataclass(frozen=True, slots=True)
class Truth:
    """A photograph as it calibrates."""

    pixels: Image  # (H, W, 3) uint8: cut to a multiple of the scale, and made to fit the vendor if asked for.
    picture: Picture
    fitted: str | None  # How it was made to fit, in words; None: it was not.


def read_truth(path: Path, setup: Setup, limits: ImageLimits = DEFAULT_LIMITS) -> Truth:
    """Read a photograph as the procedure takes it."""
    picture, scale = read_image(path, limits=limits, bands=setup.bands), setup.procedure.scale
    whole = crop_to_multiple(picture.pixels, scale)

    def degraded(truth: Image) -> Image:
        return setup.input_of(name_of(path), truth, picture.digest)

    pixels, done = fitted(whole, scale, setup.procedure.fit, setup.limits, degraded)
    return Truth(pixels, picture, done)


def prepare_photographs(
    paths: Sequence[Path],
    setup: Setup,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    *,
    memory_bytes: int | None = None,
    kept: KeptPixels | None = None,
    tiles: Mapping[str, str] | None = None,
) -> list[Prepared]:
    """Prepare photographs, each an independent picture.

    `kept`: Keeps each photograph and its input; None: they are thrown away.
    `memory_bytes`: Memory limit, bytes; None: no limit. Larger photographs are refused unread.
    `tiles`: Name → photograph, for tiles or frames: parts of one photograph may look alike.
    """
    pictures = []
    failures: list[tuple[str, BlackboxConformalError]] = []
    distinct = Distinct()
    encoder = Encoder()
    inputs: dict[str, Path] = {}

    def again(path: Path) -> Image:
        truth = read_truth(path, setup)
        return setup.input_of(name_of(path), truth.pixels, truth.picture.digest)

    for done, (path, reading) in enumerate(_ahead(paths, setup, limits_within(memory_bytes), kept)):
        progress("reading photographs", done, len(paths))
        try:
            seen, low, conversions, further = reading.result()
            distinct.add(str(path), seen, (tiles or {}).get(name_of(path)))
            picture = _prepared(name_of(path), path, seen, low, conversions, setup, encoder, partial(again, path))
            twin = inputs.setdefault(picture.input_digest, path)
            if twin != path:
                raise CalibrationError(
                    f"expected photographs that give different inputs; {printable(twin)} and "
                    f"{printable(path)} give the same. Remove one of them"
                )
            pictures.append(replace(picture, **further))
        except BlackboxConformalError as error:
            failures.append((path.name, error))
    advice = ""
    if setup.procedure.fit is None and any(isinstance(error, MisfitError) for _, error in failures):
        advice = (
            "Add --fit crop to take the middle of photographs that are too large, or --fit shrink to make them smaller"
        )
    refuse_together(failures, len(paths), "photographs", advice)
    progress("reading photographs", len(paths), len(paths))
    return pictures


class MisfitError(UsageError):
    """A picture breaks a limit that the vendor states, or its answer could not be read."""


_Photograph = tuple[Sketch, Image, tuple[str, ...], dict[str, Any]]
"""Sketch, input, conversions, and the other fields of a `Prepared` that follow from the photograph."""


def _ahead(
    paths: Sequence[Path], setup: Setup, limits: ImageLimits, kept: KeptPixels | None
) -> Iterator[tuple[Path, Future[_Photograph]]]:
    """Read photographs ahead, no more than there are threads, so that memory stays the same."""
    workers = min(cpu_count() or 1, 2)
    with ThreadPoolExecutor(workers, thread_name_prefix="prepare") as pool:
        ahead: list[Future[_Photograph]] = []
        try:
            for done, path in enumerate(paths):
                for further in paths[done + len(ahead) : done + workers]:
                    ahead.append(pool.submit(_look_at, further, setup, limits, kept))
                yield path, ahead.pop(0)
        finally:
            for future in ahead:
                future.cancel()


def prepare_input(
    source: Path | bytes, name: str, setup: Setup, *, memory_bytes: int | None = None, transparent: bool = False
) -> Prepared:
    """Prepare a picture to be masked; memory limit as in `prepare_photographs`.

    Colours of a `transparent` picture are sent as stored; without the flag it is refused.
    """
    scale = setup.procedure.scale
    limits = limits_within(memory_bytes)
    limits = replace(limits, max_pixels=limits.max_pixels if memory_bytes is None else limits.max_pixels // scale**2)
    check_size, bands = partial(_check_size, name, setup), setup.bands
    picture = read_image(source, limits=limits, check_size=check_size, transparent=transparent, bands=bands)
    path = source if isinstance(source, Path) else None

    def again() -> Image:
        return read_image(source, transparent=transparent, bands=bands).pixels

    prepared = _prepared(name, path, None, picture.pixels, picture.conversions, setup, Encoder(), again)
    return replace(prepared, statistics=InputStatistics.of(rendered(picture.pixels)), file_format=format_of(picture))


def format_of(picture: Picture) -> str:
    """Return a file's format as in `Prepared.file_format`."""
    # JPEG, always lossy, gets no prefix: earlier certificates, from before other formats were told apart, had none.
    return f"lossy {picture.format}" if picture.lossy and picture.format != "JPEG" else picture.format


def _look_at(path: Path, setup: Setup, limits: ImageLimits, kept: KeptPixels | None) -> _Photograph:
    read, scale = read_truth(path, setup, limits), setup.procedure.scale
    truth, picture = read.pixels, read.picture
    conversions = (*picture.conversions, *filter(None, [crop_note(picture.size, scale), read.fitted]))
    low = setup.input_of(name_of(path), truth, picture.digest)
    if kept is not None:
        kept.keep(path, truth, low)
    # A thumbnail shows the same of either; the smaller one is quicker to look through.
    shown = low if min(low.shape[:2]) >= LEAST_SIDE else truth
    seen, look = sketch(rendered(shown), picture.digest), rendered(low)
    further = {
        "file_digest": picture.file_digest,
        "fitted": read.fitted,
        "statistics": InputStatistics.of(look),
        "kind": InputKind.of(look),
        "file_format": format_of(picture),
    }
    return seen, low, conversions, further


def _prepared(
    name: str,
    path: Path | None,
    truth: Sketch | None,
    low: Image,
    conversions: tuple[str, ...],
    setup: Setup,
    encoder: Encoder,
    again: Callable[[], Image],
) -> Prepared:
    height, width = low.shape[:2]
    _check_size(name, setup, width, height)
    plain = encoder.upload(low, name, again)
    if setup.second is not None:
        _check_bytes(name, plain, _SECOND, setup.second)

    def changed(perturbation: Perturbation, index: int) -> Image:
        return perturbation.apply(again(), index)

    tasks = []
    for index in range(setup.procedure.draws):
        sent = plain
        if setup.perturbation is not None:
            change = partial(changed, setup.perturbation, index)
            sent = encoder.upload(setup.perturbation.apply(low, index), name, change)
        if sent is not plain or index == 0:
            _check_bytes(name, sent, _FIRST, setup.adapter)
        seed = setup.procedure.seed(plain.digest, index, setup.adapter.capabilities.seed_range)
        tasks.append(Task(sent, index, seed))
    size = (height * setup.procedure.scale, width * setup.procedure.scale)
    digest, shown = (None, sketch(rendered(low), plain.digest)) if truth is None else (truth.digest, truth)
    return Prepared(name, path, digest, plain.digest, shown, size, tuple(tasks), conversions)


def refuse_misfit(source: Path | bytes, name: str, setup: Setup, *, memory_bytes: int | None = None) -> None:
    """Refuse a picture to be masked by its header alone; a size that only a decoder can tell passes."""
    refuse_large([source], memory_bytes, scale=setup.procedure.scale, pixel_bytes=MASK_PIXEL_BYTES)
    width, height = size_by_header(source)
    if width and height:
        _check_size(name, setup, width, height)


def _check_size(name: str, setup: Setup, width: int, height: int) -> None:
    if min(width, height) < 1:
        raise ImageError(f"{printable(name)}: expected a picture of at least one pixel a side")
    scale, most = setup.procedure.scale, DEFAULT_LIMITS
    if max(width, height) * scale > most.max_side or width * height * scale**2 > most.max_pixels:
        raise MisfitError(
            f"{printable(name)}: expected a picture whose answer has at most {most.max_side} pixels a side and "
            f"{most.max_pixels} in all, since a larger one is not read; the answer to {width}×{height} would have "
            f"{width * scale}×{height * scale}"
        )
    for called, vendor in ((_FIRST, setup.adapter), (_SECOND, setup.second)):
        broken = None if vendor is None else misfit(width, height, vendor.capabilities, setup.procedure.scale)
        if broken is not None:
            raise MisfitError(f"{printable(name)}: {called} {broken}")


def _check_bytes(name: str, sent: Upload, called: str, vendor: Adapter) -> None:
    heavy = too_many_bytes(sent, vendor.capabilities)
    if heavy is not None:
        raise MisfitError(f"{printable(name)}: {called} {heavy}")


_FIRST, _SECOND = "the vendor", "the second vendor"


Input = tuple[str, Path | bytes]  # A picture to be masked: its name, and its file or content.


def named_input(picture: Given | tuple[str, Given], *, numbers: bool = False) -> Input:
    """Return name and file, or name and content, of a picture; its digest names content without a name.

    `numbers`: see `as_source`.
    """
    if isinstance(picture, tuple):
        name, file = picture
        return name, as_source(file, numbers=numbers)
    source = as_source(picture, numbers=numbers)
    return (digest_bytes(source).removeprefix("sha256:")[:12] if isinstance(source, bytes) else name_of(source)), source


def _stored_answers(picture: Prepared, setup: Setup) -> list[bytes | None]:
    vendors = [*(setup.adapter.members or [setup.adapter]), *filter(None, [setup.second])]
    return [answer_of(one, task) for one in vendors if one.capabilities.local for task in picture.tasks]


def _cure(source: Path | bytes, setup: Setup) -> str:
    """Say how to make parts, or a smaller picture, of one that breaks a limit; without a file, in words alone."""
    whole, most, scale = size_by_header(source), DEFAULT_LIMITS, setup.procedure.scale
    read = Capabilities((scale,), max_output_side=most.max_side, max_output_pixels=most.max_pixels)
    fit = whole
    for able in (read, setup.adapter.capabilities, *([] if setup.second is None else [setup.second.capabilities])):
        fit = _within(fit, scale, "shrink", able)
    if fit == whole or not isinstance(source, Path):
        return "Give one within the limit"
    many = max(-(-side // within) for side, within in zip(whole, fit, strict=True))
    start, stem = ["magick", str(source)], source.stem
    parts = shlex.join([*start, "-auto-orient", "-crop", f"{many}x{many}@", "+repage", f"{stem}-part-%d.png"])
    smaller = shlex.join([*start, "-resize", f"{fit[0]}x{fit[1]}", "-auto-orient", f"{stem}-smaller.png"])
    return f"`{parts}` makes {many**2} parts, `{smaller}` a smaller one: mask those"


def prepare_inputs(
    inputs: Sequence[Input],
    setup: Setup,
    calibration: Calibration,
    failed: dict[int, BlackboxConformalError],
    *,
    memory_bytes: int | None = None,
) -> dict[int, Prepared]:
    """Prepare each input that can be masked, by its place.

    `failed`: Gets each other input's error, by place; places that it already holds are skipped.
    """
    prepared: dict[int, Prepared] = {}
    equal: dict[str, Prepared] = {}
    for place, (name, source) in enumerate(inputs):
        if place in failed:
            continue
        try:
            refuse_large([source], memory_bytes, scale=setup.procedure.scale, pixel_bytes=MASK_PIXEL_BYTES)
            picture = prepare_input(source, name, setup, memory_bytes=memory_bytes, transparent=True)
            familiar = calibration.known(picture.sketch, picture.input_digest)
            if familiar is not None:
                raise CalibrationError(
                    f"{printable(name)} is {familiar}: the guarantee is for pictures that calibration has not seen. "
                    "Leave it out, or calibrate without it"
                )
            twin = equal.setdefault(picture.input_digest, picture)
            # Equal pictures are drawn once. But names find stored answers, which may differ for equal pictures.
            if twin.name != name and _stored_answers(twin, setup) != _stored_answers(picture, setup):
                raise UsageError(
                    f"{printable(name)} and {printable(twin.name)} are equal, and the stored answers to them are not. "
                    "Remove one of them, or mask each by a command of its own"
                )
        except MisfitError as error:
            failed[place] = MisfitError(
                f"{error}. A picture to be masked is neither cropped nor made smaller, since the result would not be "
                f"your picture. {_cure(source, setup)}"
            )
        except BlackboxConformalError as error:
            failed[place] = error
        else:
            prepared[place] = picture
    return prepared
