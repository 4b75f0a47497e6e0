"""The full-size pictures of a run folder: an index that fits into memory, and the files of one picture when asked."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import FileFormatError, ImageError, IncompleteError
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.safe import safe_picture
from blackbox_conformal.pages.report.full_size import FullSize, Part, part_path, read_entry, unpacked, viewer_stops
from blackbox_conformal.pages.report.names_apart import Named, by_name
from blackbox_conformal.pages.report.slider_levels import Stop, thresholds_of
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image, Mask

NO_TRUST = ("outside-calibration", "not-judged")


@dataclass(frozen=True, slots=True)
class Listed(Named):
    """A picture in the index; `number` is its row in the tables of shares and losses."""

    number: int
    size: tuple[int, int]


class RunPictures:
    """Every picture that a folder keeps at full size for one calibration.

    Only files that the index names are read, each below the folder and of the digest that its entry says.

    Parameters
    ----------
    expected
        Levels, beside the usual ones, that pictures are to be kept at where there are none yet.

    Attributes
    ----------
    pictures
        By stem; masked pictures first, then by name, then those that came later.
    stops
        The slider's levels: those that are exact in every picture that was there at first.
    """

    def __init__(self, folder: Path, calibration: Calibration, expected: Sequence[float] = ()) -> None:
        self._folder = folder / "full-size"
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._shares: list[NDArray[np.float32]] = []
        self._losses: list[NDArray[np.float32]] = []
        self.pictures: dict[str, Listed] = {}
        self._left_out: dict[str, tuple[str, str]] = {}
        entries = self._read_new()
        common = set.intersection(*(set(entry.alphas) for entry in entries)) if entries else set(expected)
        self.stops: list[Stop] = viewer_stops(calibration, sorted(common))
        self.thresholds = thresholds_of(self.stops)
        self._add(entries)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Name of each entry that cannot be shown, and why."""
        return list(self._left_out.values())

    def refresh(self) -> None:
        """Take in what was masked or audited meanwhile; pictures keep their places."""
        with self._lock:
            self._add(self._read_new())

    def at_stop(self, stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Shares and losses of all pictures in their order; a loss is NaN where the truth is unknown."""
        with self._lock:
            shares, losses = ([row[stop] for row in rows] for rows in (self._shares, self._losses))
        return np.array(shares, np.float32), np.array(losses, np.float32)

    def of_picture(self, stem: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Shares and losses of one picture at all stops."""
        number = self.pictures[stem].number
        return self._shares[number], self._losses[number]

    def _read_new(self) -> list[FullSize]:
        """Entries that were not read before, or were replaced since."""
        entries = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                written = path.stat().st_mtime_ns
                if self._seen.get(path.name) == written:
                    continue
                entries.append(read_entry(path))
            except FileFormatError as error:
                self._left_out[path.stem] = path.name, str(error)
            except OSError:
                continue
            self._seen[path.name] = written
        return sorted(entries, key=lambda one: (one.kind != "result", by_name(one.name), one.stem))

    def _add(self, entries: Sequence[FullSize]) -> None:
        for entry in entries:
            places = self._places(entry)
            if places is None:
                why = "it was kept with other levels; mask or audit it again, which costs nothing, and start anew"
                self._left_out[entry.stem] = printable(entry.name), why
                continue
            self._left_out.pop(entry.stem, None)
            shares, losses = (values.astype(np.float32) for values in _at_places(entry, places))
            there = self.pictures.get(entry.stem)
            number = len(self._shares) if there is None else there.number
            self._shares[number : number + 1], self._losses[number : number + 1] = [shares], [losses]
            name, source = printable(entry.name, 80), printable(entry.source, 80)
            self.pictures[entry.stem] = Listed(entry.stem, name, entry.kind, source, number, entry.size)

    def entry(self, stem: str) -> FullSize | None:
        """What is kept of a picture of the index; None: it is not in it.

        Raises
        ------
        FileFormatError
            It was damaged since.
        """
        return read_entry(self._folder / f"{stem}.json") if stem in self.pictures else None

    def part(self, entry: FullSize, part: Part) -> bytes:
        """A file of a picture.

        Raises
        ------
        IncompleteError
            It is gone, or not what was kept.
        """
        try:
            content = part_path(self._folder, entry.stem, part).read_bytes()
        except OSError as error:
            raise IncompleteError(f"{part} of this picture cannot be read: {error.strerror}") from None
        if digest_bytes(content) != entry.digests.get(part):
            raise IncompleteError(
                f"{part} of this picture is not the file that was kept; it was changed. Mask or audit it again"
            )
        return content

    def first_stops(self, entry: FullSize) -> NDArray[np.uint8]:
        """(256,) uint8: for each byte of a level the slider's first stop that trusts such pixels; 255: none."""
        places = self._places(entry)
        if places is None:
            raise IncompleteError("this picture was kept with other levels; mask or audit it again")
        first = np.searchsorted(places, np.arange(256), side="left")
        stops: NDArray[np.uint8] = np.where(first < len(places), first, 255).astype(np.uint8)
        return stops

    def mask(self, entry: FullSize, stop: int) -> Mask:
        """(H, W) bool: what is trusted at a stop."""
        levels = unpacked(self.part(entry, "levels"), entry.size)
        mask: Mask = self.first_stops(entry)[levels] <= stop
        return mask

    def pixels(self, entry: FullSize, part: Part) -> Image:
        """(H, W, 3) uint8 of a part that is a picture; errors as `part`."""
        content = self.part(entry, part)
        try:
            pixels = read_image(content).pixels
        except ImageError as error:
            raise IncompleteError(f"{part} of this picture: {error}") from None
        if part != "low" and pixels.shape[:2] != entry.size:
            raise IncompleteError(f"{part} of this picture has another size than its entry says")
        return pixels

    def safe(self, entry: FullSize, stop: int) -> Image:
        """The safe picture at a stop, as `mask --safe` makes it."""
        mask = self.mask(entry, stop)
        if is_outside(entry):
            mask = np.zeros_like(mask)
        return safe_picture(self.pixels(entry, "delivered"), mask, self.pixels(entry, "low"))

    def mean_shares(self) -> list[float]:
        """Of all pictures, at each stop."""
        return [float(share) for share in np.mean(self._shares or [np.zeros(len(self.stops), np.float32)], axis=0)]

    def _places(self, entry: FullSize) -> NDArray[np.int64] | None:
        """Where among the entry's thresholds those of the stops are, (stops,) int64; None where one is missing."""
        places = np.searchsorted(entry.thresholds, self.thresholds, side="right") - 1
        there = entry.thresholds[places] == self.thresholds
        return places if bool(there.all()) else None


def _at_places(entry: FullSize, places: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares and losses of an entry at these places of its thresholds."""
    losses = np.full(len(places), math.nan) if entry.losses is None else entry.losses[places]
    return entry.shares[places], losses


def is_outside(entry: FullSize) -> bool:
    """Whether the guarantee does not speak of the picture, or it is unknown what its answer shows."""
    return any(one.status in NO_TRUST for one in entry.certified)
