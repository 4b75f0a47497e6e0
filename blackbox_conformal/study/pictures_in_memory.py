"""Write pictures that a program holds in memory as files, for as long as a command runs.

Commands read photographs more than once, so that memory does not grow with their number. The files hold nothing paid:
the run folder keeps draws by what was sent, so the same photographs find them again.
"""

from __future__ import annotations

import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import BlackboxConformalError, ImageError, UsageError
from blackbox_conformal.method.images.bands import Bands
from blackbox_conformal.method.images.deep_files import picture_file
from blackbox_conformal.method.images.encode import Answer, Given, as_source
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.photographs import find_photographs
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
    """Give a vendor that reads the outputs among `settings`, the photographs, and the settings left."""
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
        stems = [name_of(each) for each in truths if isinstance(each, str | Path)]
        names = stems if len(set(stems)) == len(truths) else list(map(str, range(len(truths))))
        for place, name in enumerate(names):
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
    """Give the vendor of a calibration on given answers, which gives `answer` to `picture`."""
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


def _answers(given: Any, what: str, draws: int, bands: Bands | None) -> list[Image]:
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
            swapped = each.shape[0] < height and each.shape[1] < width
            cure = "Give the one that belongs to this input"
            cure = "Inputs and answers may be swapped: give inputs=SMALL, outputs=LARGE" if swapped else cure
            raise ImageError(
                f"expected {what} {'as large' if scale == 1 else f'{scale} times as large'} as its input of {width}×"
                f"{height} pixels; got {each.shape[1]}×{each.shape[0]}. {cure}"
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


Photographs = str | Path | Mapping[str, Given] | Iterable[Given | tuple[str, Given]]
"""Photographs, each one independent image: files, folders and addresses, or pictures in memory (bytes, open files,
(H, W, 3) uint8 arrays, Pillow images), alone, in pairs of name and picture, or by name. The content names a picture
that has no name.
"""

LONGEST_NAME = 200  # Bytes of a picture's name, from which a file's name is made.
Command = TypeVar("Command", bound=Callable[..., Any])


def photographs_as_files(*names: str) -> Callable[[Command], Command]:
    """Decorate a command to get its arguments `names`, photographs, as paths.

    Files of pictures in memory last until the command returns.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)

        @functools.wraps(command)
        def reading(*given: Any, **keywords: Any) -> Any:
            bound = signature.bind(*given, **keywords)
            with ExitStack() as stack:
                for among in (bound.arguments, bound.arguments.get("settings", {})):
                    for name in names:
                        if isinstance(among.get(name), Adapter):
                            raise UsageError(f"expected {name}; got a vendor. The vendor comes first: (vendor, {name})")
                        if name in among and not isinstance(among[name], int):
                            among[name] = stack.enter_context(as_files(among[name]))
                return command(*bound.args, **bound.kwargs)

        return cast(Command, reading)

    return decorate


@contextmanager
def as_files(photographs: Photographs) -> Iterator[list[Path]]:
    """Give paths of photographs, in order; files of pictures in memory last as long as the context."""
    each: Iterable[Given | tuple[str, Given]]
    alone = isinstance(photographs, np.ndarray) and photographs.ndim <= 3
    if isinstance(photographs, Mapping):
        each = photographs.items()
    elif alone or isinstance(photographs, str | os.PathLike | bytes | bytearray | PillowImage.Image):
        each = [cast(Given, photographs)]
    elif isinstance(photographs, Iterable):
        each = photographs
    else:
        raise UsageError(
            "expected photographs: files and folders, or pictures in memory, such as {'name': array}; got "
            f"{type(photographs).__name__}"
        )
    with tempfile.TemporaryDirectory(prefix="blackbox-conformal-") as folder:
        yield [_path(photograph, Path(folder) / f"{place:06d}") for place, photograph in enumerate(each)]


def photograph_paths(photographs: Photographs) -> list[Path]:
    """Return every photograph among files and folders."""
    sources = [photographs] if isinstance(photographs, str | Path) else list(photographs)
    if not sources:
        raise UsageError("expected files or folders of photographs; got none")
    paths = []
    for source in sources:
        if not isinstance(source, str | Path):
            raise UsageError(f"expected files or folders of photographs; got {type(source).__name__}")
        if "://" in str(source):
            # The part after the question mark may let its holder in.
            raise UsageError(
                "expected files or folders of photographs; got the address "
                f"{printable(str(source).partition('?')[0])}. Download the photographs, and name their folder"
            )
        paths.append(Path(source))
    return [photograph.path for photograph in find_photographs(paths)]


def _path(photograph: Given | tuple[str, Given], folder: Path) -> Path:
    if isinstance(photograph, str | os.PathLike):
        return Path(photograph)
    if isinstance(photograph, tuple) and not (len(photograph) == 2 and isinstance(photograph[0], str)):
        raise UsageError(f"expected a pair of name and picture; got {len(photograph)} values, as {photograph!r:.60}")
    which = f"{printable(photograph[0])}: " if isinstance(photograph, tuple) else ""
    try:
        name, source = named_input(photograph)
        content = source.read_bytes() if isinstance(source, Path) else source
    except ImageError as error:
        raise ImageError(f"{which}{error}") from None
    except OSError as error:
        raise UsageError(f"{which}{error.filename} cannot be read: {error.strerror}") from None
    file = folder / f"{name}.png"
    kept = file.parent == folder and name_of(file) == name
    if not kept or not name.isprintable() or len(os.fsencode(name)) > LONGEST_NAME:
        raise UsageError(f"expected a name that a file can have; got {printable(name)!r}. Give the picture another")
    try:
        folder.mkdir()
        file.write_bytes(content)
    except OSError as error:
        raise refusal(file, error) from None
    return file
