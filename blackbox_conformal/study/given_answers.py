"""Answers that a program has already, as the folders that the adapter `folder` reads while a command runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import BlackboxConformalError, ImageError, UsageError
from blackbox_conformal.method.images.bands import Bands
from blackbox_conformal.method.images.deep_files import picture_file
from blackbox_conformal.method.images.encode import Answer, Given, as_source
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.prepare import named_input
from blackbox_conformal.support.files import refusal
from blackbox_conformal.support.text import name_of, printable
from blackbox_conformal.support.types import Image, eight_bit
from blackbox_conformal.vendor.adapter import Adapter


@contextmanager
def given_answers(settings: dict[str, Any]) -> Iterator[tuple[Adapter, list[Path], dict[str, Any]]]:
    """A vendor that reads the outputs among `settings`, the photographs, and the settings that are left."""
    rest = dict(settings)
    for key in ("inputs", "outputs", "truths"):
        if isinstance(rest.get(key), str | Path):
            raise UsageError(
                f"expected a list of {key}, in one order with the others; got the path {printable(rest[key])}. Give "
                f"sorted(Path({str(rest[key])!r}).iterdir()); or calibrate folders by the names of their files, with "
                "load_adapter('folder', path='outputs', inputs='inputs', label='vendor', scale=4)"
            )
    given = {key: list(rest.pop(key, ())) for key in ("inputs", "outputs", "truths")}
    counts = [len(pictures) for pictures in given.values()]
    if not counts[0] == counts[1] == counts[2] > 0:
        found = ", ".join(f"{count} {key}" for key, count in zip(given, counts, strict=True))
        raise UsageError(
            "expected a vendor and photographs, or lists of as many inputs as outputs and truths; got no vendor and "
            f"{found}. Give one of each for every photograph, in one order"
        )
    inputs, outputs, truths = given.values()
    text = rest.pop("bands", "")
    bands = Bands.of_text(text) if text else None
    with tempfile.TemporaryDirectory(prefix="blackbox-conformal-") as folder:
        root, paths, scale, draws = Path(folder), list[Path](), 0, 0
        for place, name in enumerate(_names(truths)):
            low = _pixels(inputs[place], f"inputs[{place}]", bands)
            truth = _pixels(truths[place], f"truths[{place}]", bands)
            answers = _answers(outputs[place], f"outputs[{place}]", draws, bands)
            scale, draws = scale or max(answers[0].shape[0] // low.shape[0], 1), len(answers)
            _refuse_misfit(low, answers, scale, f"outputs[{place}]")
            # Inputs are made of photographs that are cut like this.
            _refuse_misfit(low, [crop_to_multiple(truth, scale)], scale, f"truths[{place}]")
            _keep(root / "inputs" / name, low, bands)
            paths.append(_keep(root / "truths" / name, truth, bands))
            _keep_answers(root, name, answers, bands)
        label = rest.pop("label", "given answers")
        parameters = {"inputs": str(root / "inputs"), "label": label, "scale": scale, "bands": text}
        yield load_adapter("folder", path=str(root / "outputs"), **parameters), paths, {"draws": draws, **rest}


@contextmanager
def given_answer(picture: Given, answer: Answer, calibration: Calibration | str | Path) -> Iterator[Adapter]:
    """The vendor of a calibration on given answers, which gives `answer` to `picture`."""
    procedure = (calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)).procedure
    if procedure.vendor["adapter"] != "folder":
        raise UsageError(
            "expected the vendor that was calibrated, from load_adapter or from_function; got an answer, which is for "
            "a calibration on answers that were given"
        )
    bands = procedure.bands
    name, source = named_input(picture, numbers=bands is not None)
    answers = _answers(answer, "the answer", procedure.draws, bands)
    _refuse_misfit(_pixels(source, "the picture", bands, transparent=True), answers, procedure.scale, "the answer")
    with tempfile.TemporaryDirectory(prefix="blackbox-conformal-") as folder:
        _keep_answers(Path(folder), name, answers, bands)
        yield load_adapter("folder", path=f"{folder}/outputs", **procedure.vendor["parameters"])


def _names(truths: Sequence[Any]) -> list[str]:
    """The stems of files, where these are all different, else the places."""
    stems = [name_of(each) for each in truths if isinstance(each, str | Path)]
    return stems if len(set(stems)) == len(truths) else [str(place) for place in range(len(truths))]


def _answers(given: Any, what: str, draws: int, bands: Bands | None) -> list[Image]:
    """The draws of one picture, as many as there must be; 0: any number."""
    several = isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.ndim == 4)
    answers = [_pixels(each, what, bands) for each in (given if several else [given])]
    if not answers or len(answers) != (draws or len(answers)):
        raise UsageError(f"expected as many draws of each picture, {draws or 'at least 1'}; {what} has {len(answers)}")
    return answers


def _pixels(given: Any, what: str, bands: Bands | None, *, transparent: bool = False) -> Image:
    try:
        if isinstance(given, np.ndarray) and bands is not None:
            return bands.levels(given)
        if isinstance(given, np.ndarray):
            return check_pixels(eight_bit(given))
        return read_image(as_source(given), transparent=transparent, bands=bands).pixels
    except BlackboxConformalError as error:
        raise ImageError(f"{what}: {error}") from None


def _refuse_misfit(low: Image, larger: list[Image], scale: int, what: str) -> None:
    height, width = low.shape[:2]
    for each in larger:
        if each.shape != (scale * height, scale * width, low.shape[2]):
            raise ImageError(
                f"expected {what} {scale} times as large as its input of {width}×{height} pixels; got {each.shape[1]}×"
                f"{each.shape[0]}. Give the one that belongs to this input"
            )


def _keep_answers(folder: Path, name: str, answers: list[Image], bands: Bands | None) -> None:
    for index, answer in enumerate(answers):
        _keep(folder / "outputs" / name / str(index), answer, bands)


def _keep(stem: Path, pixels: Image, bands: Bands | None) -> Path:
    content, ending = picture_file(pixels, bands)
    file = stem.parent / f"{stem.name}.{ending}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise refusal(file, error) from None
    return file
