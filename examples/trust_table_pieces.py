"""The pieces of the trust table, their photographs and inputs, and where each lies in a folder of the user's.

`trust_table/pieces.toml` says what there is. Inputs are made and answers drawn once; what is there is
not made again. `trust_table/digests.json` says what everybody's should be.
"""

import argparse
import fnmatch
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

import blackbox_conformal as bc
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support.files import write_new

OUT = "folder for photographs, inputs, outputs and results"
HERE = Path(__file__).parent / "trust_table"
DIGESTS = HERE / "digests.json"
LARGE = 2.5
"""Photographs are halved while their shorter side is so many times the side that is cut out of them."""


@dataclass(frozen=True, slots=True)
class Table:
    """What the table is made of."""

    side: int
    makings: Mapping[str, str]
    collections: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, file: Path) -> Self:
        """The table that a file describes."""
        return cls(**tomllib.loads(file.read_text(encoding="utf-8")))

    def pieces(self, patterns: Iterable[str]) -> Iterator["Piece"]:
        """Those whose names fit one of the patterns, quick networks first, as the file has them."""
        wanted = list(patterns)
        for network, about in self.networks.items():
            for scale, making, collection in itertools.product(
                about.get("scales", [4]), self.makings, self.collections
            ):
                piece = Piece(network, scale, making, collection)
                if any(fnmatch.fnmatchcase(piece.name, pattern) for pattern in wanted):
                    yield piece


@dataclass(frozen=True, slots=True)
class Piece:
    """One network's answers to one collection, made smaller in one way."""

    network: str
    scale: int
    making: str
    collection: str

    @property
    def name(self) -> str:
        """By which the table, the digests and the folder know it."""
        return f"{self.network}/x{self.scale}/{self.making}/{self.collection}"

    def photographs(self, out: Path) -> Path:
        """The folder of the truth."""
        return out / "photographs" / self.collection

    def inputs(self, out: Path) -> Path:
        """The folder of what networks are sent."""
        return out / "inputs" / f"x{self.scale}" / self.making / self.collection

    def outputs(self, out: Path) -> Path:
        """The folder of what the network gave."""
        return out / "outputs" / self.name


def cut_photographs(table: Table, collection: str, sources: Path, out: Path) -> list[Path]:
    """The middle of every photograph of a collection, as PNG files."""
    about, files = table.collections[collection], []
    for name in about["names"].split():
        file = out / "photographs" / collection / f"{name.replace('/', '-')}.png"
        if not file.exists():
            source = sources / about["source"].split("/")[1] / about["folder"] / about["file"].format(name)
            write_new(file, image_png(middle(read_image(source).pixels, table.side)))
        files.append(file)
    return files


def middle(pixels: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) uint8 of a photograph, halved before where it is large."""
    picture = Image.fromarray(pixels)
    while min(picture.size) >= LARGE * side:
        picture = picture.reduce(2)
    left, top = ((length - side) // 2 for length in picture.size)
    return np.ascontiguousarray(np.asarray(picture)[top : top + side, left : left + side])


def make_inputs(table: Table, piece: Piece, sources: Path, out: Path) -> list[Path]:
    """The inputs of a piece, as PNG files called like their photographs."""
    photographs, folder = cut_photographs(table, piece.collection, sources, out), piece.inputs(out)
    if not all((folder / photograph.name).exists() for photograph in photographs):
        bc.degrade(photographs, folder, scale=piece.scale, degradation=table.makings[piece.making], force=True)
    return [folder / photograph.name for photograph in photographs]


def digest_of(folder: Path) -> str:
    """One digest of all pictures in a folder: of their names and pixels."""
    whole = hashlib.sha256()
    for file in sorted(folder.glob("*.png")):
        whole.update(f"{file.stem} {read_image(file).digest}\n".encode())
    return whole.hexdigest()[:16]


def note_digest(name: str, found: str, *, save: bool) -> str:
    """Whether something has the digest that the table says, in words; with `save` it is made the table's."""
    known = json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.exists() else {}
    if save:
        DIGESTS.write_text(json.dumps(dict(sorted({**known, name: found}.items())), indent=1) + "\n", encoding="utf-8")
    elif name not in known:
        return "not in the table"
    return "as in the table" if save or known[name] == found else f"OTHER than in the table ({known[name]})"


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with what all programs take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pieces", nargs="*", default=["*"], help="such as 'ClearReality4x/x4/*'; all by default")
    parser.add_argument("--table", type=Path, default=HERE / "pieces.toml", help="what the table is made of")
    parser.add_argument("--save", action="store_true", help="make what was found the table of the documentation")
    return parser
