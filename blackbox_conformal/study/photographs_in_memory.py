"""Photographs that a program holds in memory, as files for as long as a command runs.

A command reads its photographs more than once, so that memory does not grow with their number. Nothing that was paid
for lies here: draws are kept in the run folder by what was sent, so that the same photographs find them again.
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

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.images.encode import Given
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.study.stages.prepare import named_input
from blackbox_conformal.support.files import refusal
from blackbox_conformal.support.text import name_of, printable

Photographs = str | Path | Mapping[str, Given] | Iterable[Given | tuple[str, Given]]
"""Photographs, each of which counts as one independent image: files, folders and addresses, or pictures in memory
(bytes, open files, (H, W, 3) uint8 arrays, Pillow images), alone, in pairs of name and picture, or by name. One without
a name is named after its content."""

LONGEST_NAME = 200
"""Bytes of a picture's name, which becomes a file's."""

Command = TypeVar("Command", bound=Callable[..., Any])


def photographs_as_files(*names: str) -> Callable[[Command], Command]:
    """A command that gets its arguments `names`, photographs, as paths; those in memory as files until it returns."""

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)

        @functools.wraps(command)
        def reading(*given: Any, **keywords: Any) -> Any:
            bound = signature.bind(*given, **keywords)
            with ExitStack() as stack:
                for among in (bound.arguments, bound.arguments.get("settings", {})):
                    for name in names:
                        if name in among and not isinstance(among[name], int):
                            among[name] = stack.enter_context(as_files(among[name]))
                return command(*bound.args, **bound.kwargs)

        return cast(Command, reading)

    return decorate


@contextmanager
def as_files(photographs: Photographs) -> Iterator[list[Path]]:
    """Paths of photographs; of those in memory while the context lasts, in order."""
    with tempfile.TemporaryDirectory(prefix="blackbox-conformal-") as folder:
        yield [_path(photograph, Path(folder) / f"{place:06d}") for place, photograph in enumerate(_each(photographs))]


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
            # What follows the question mark may let its holder in.
            raise UsageError(
                "expected files or folders of photographs; got the address "
                f"{printable(str(source).partition('?')[0])}. Download the photographs, and name their folder"
            )
        paths.append(Path(source))
    return [photograph.path for photograph in find_photographs(paths)]


def _each(photographs: Photographs) -> Iterable[Given | tuple[str, Given]]:
    """One photograph after the other; a single one is one."""
    if isinstance(photographs, Mapping):
        return photographs.items()
    one = isinstance(photographs, np.ndarray) and photographs.ndim <= 3
    if one or isinstance(photographs, str | os.PathLike | bytes | bytearray | PillowImage.Image):
        return [cast(Given, photographs)]
    if not isinstance(photographs, Iterable):
        raise UsageError(
            "expected photographs: files and folders, or pictures in memory, such as {'name': array}; got "
            f"{type(photographs).__name__}"
        )
    return photographs


def _path(photograph: Given | tuple[str, Given], folder: Path) -> Path:
    if isinstance(photograph, str | os.PathLike):
        return Path(photograph)
    if isinstance(photograph, tuple) and not (len(photograph) == 2 and isinstance(photograph[0], str)):
        raise UsageError(f"expected a pair of name and picture; got {len(photograph)} values, as {photograph!r:.60}")
    name, content = _named_content(photograph)
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


def _named_content(photograph: Given | tuple[str, Given]) -> tuple[str, bytes]:
    """Name and content of one that is no file of its own name."""
    which = f"{printable(photograph[0])}: " if isinstance(photograph, tuple) else ""
    try:
        name, source = named_input(photograph)
        return name, source.read_bytes() if isinstance(source, Path) else source
    except ImageError as error:
        raise ImageError(f"{which}{error}") from None
    except OSError as error:
        raise UsageError(f"{which}{error.filename} cannot be read: {error.strerror}") from None
