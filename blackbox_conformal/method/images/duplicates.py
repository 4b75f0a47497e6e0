"""Photographs that would count twice: equal pixels, and the same picture resized, recompressed, brightened or turned.

Not found: crops of one another, grey copies, and different photographs of one scene.
"""

import base64
import binascii
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.errors import CalibrationError, FileFormatError
from blackbox_conformal.method.images.picture import check_pixels, pixels_digest, rows_then_columns
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image

SIDE = 12  # Cells a side of a thumbnail.
SKETCH_LETTERS = SIDE * SIDE * 3 * 4 // 3  # Letters of base64 that a thumbnail takes in a file.
LEAST_SIDE = 64  # A picture with fewer pixels on a side than this shows less of itself than a thumbnail needs.
# Two thumbnails show different pictures when their difference is more than this part of what either has of detail.
LIKENESS = 0.2
# They show different pictures, too, when their small structures correlate less: two arcs of one circle, say.
AGREEMENT = 0.85
FLAT = 1.0  # Thumbnails with less detail, in 8-bit steps, show nothing to compare: blank pictures and plain skies.
CONTRAST = (0.8, 1.25)  # The least and the largest contrast of a copy, relative to its original.


@dataclass(frozen=True)
class Sketch:
    """What is kept of a picture to recognise it."""

    digest: str  # Identity of its pixels.
    thumbnail: NDArray[np.uint8] = field(repr=False)  # (12, 12, 3) uint8.

    @cached_property
    def text(self) -> str:
        """The thumbnail as a file carries it: 576 letters of base64."""
        return base64.b64encode(self.thumbnail.tobytes()).decode()

    @classmethod
    def from_text(cls, digest: str, text: str) -> Self:
        try:
            thumbnail = np.frombuffer(base64.b64decode(text, validate=True), np.uint8).reshape(SIDE, SIDE, 3)
        except (binascii.Error, ValueError):
            raise FileFormatError("expected the sketch of a photograph; got other text. Calibrate again") from None
        return cls(digest, thumbnail)

    @cached_property
    def centred(self) -> NDArray[np.float32]:
        """(432,) float32: the thumbnail without its mean, so that a brighter copy is equal."""
        values = self.thumbnail.astype(np.float32).ravel()
        centred: NDArray[np.float32] = values - values.mean()
        return centred

    @cached_property
    def detail(self) -> float:
        """Deviation from the best quadratic surface in each channel, 8-bit steps: smooth skies all look the same."""
        cells = self.thumbnail.reshape(-1, 3).astype(np.float64)
        smooth = _quadratics()
        return float((cells - smooth @ (smooth.T @ cells)).std())

    @property
    def flat(self) -> bool:
        """Whether it shows too little to be compared other than by its pixels."""
        return self.detail < FLAT


@cache
def _quadratics() -> NDArray[np.float64]:
    """(144, 6): an orthonormal basis of the quadratic surfaces on a thumbnail."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].reshape(2, -1)
    basis: NDArray[np.float64] = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0]
    return basis


def sketch(pixels: Image, digest: str | None = None) -> Sketch:
    """The sketch of `pixels`, (H, W, 3) uint8; `digest` saves computing it."""
    pixels = check_pixels(pixels)
    small = rows_then_columns(PillowImage.fromarray(pixels), (SIDE, SIDE), PillowImage.Resampling.BILINEAR)
    return Sketch(digest or pixels_digest(pixels), np.asarray(small))


@dataclass(frozen=True, slots=True)
class Twin:
    """A known picture that shows the same as another one, their relation in words, and whether the pixels are equal."""

    name: str
    relation: str
    exact: bool = True


class Distinct:
    """Pictures that are known by their sketches."""

    def __init__(self, pictures: Iterable[tuple[str, Sketch]] = ()) -> None:
        self._digests: dict[str, str] = {}
        self._names: list[str] = []
        self._wholes: dict[str, str | None] = {}
        # One row a picture that can be compared; there is always room for more of them than there are.
        self._rows: NDArray[np.float32] = np.empty((16, SIDE * SIDE * 3), np.float32)
        self._energy: NDArray[np.float32] = np.empty(16, np.float32)
        self._detail: NDArray[np.float32] = np.empty(16, np.float32)
        for name, picture in pictures:
            self._remember(name, picture)

    def add(self, name: str, picture: Sketch, whole: str | None = None) -> None:
        """Remember `picture` under `name`; parts of one `whole`, such as frames of a clip, may look alike."""
        twin = self.twin(picture, whole) or (Twin(name, "hold the same pixels") if name in self._wholes else None)
        if twin is not None:
            raise CalibrationError(
                "expected different photographs, since each counts as one independent picture; "
                f"{printable(twin.name)} and {printable(name)} {twin.relation}. Remove one of them"
            )
        self._remember(name, picture, whole)

    def twin(self, picture: Sketch, whole: str | None = None) -> Twin | None:
        """The known picture that shows the same as `picture`, a part of `whole`; None when there is none."""
        if picture.digest in self._digests:
            return Twin(self._digests[picture.digest], "hold the same pixels")
        count = len(self._names)
        if picture.flat or count == 0:
            return None
        rows = self._rows[:count]
        size = np.float32(rows.shape[1])
        own_energy, energies = picture.centred @ picture.centred / size, self._energy[:count]
        # All eight turns of the newcomer against the plain known ones: each pair is compared in every relation. The
        # mean square of (turned - contrast * known) is least at contrast = together / energy of the known one.
        thumbnail = picture.centred.reshape(SIDE, SIDE, 3)
        sides = (thumbnail, thumbnail[:, ::-1])
        turned = np.stack([np.rot90(side, quarter).ravel() for side in sides for quarter in range(4)])
        together = turned @ rows.T / size
        contrast = np.clip(together / energies, *CONTRAST)
        difference = own_energy - 2 * contrast * together + contrast**2 * energies
        ratio = np.sqrt(np.maximum(difference.min(axis=0), 0)) / np.minimum(self._detail[:count], picture.detail)
        for index in np.flatnonzero(ratio <= LIKENESS):
            if whole is not None and self._wholes[self._names[index]] == whole:
                continue
            first = _small_structures(rows[index])
            second = _small_structures(turned[difference[:, index].argmin()])
            # A correlation of what differs from its surroundings, all of nearly equal weight, so that no edge decides.
            length = float((first @ first) * (second @ second))
            agreement = float(first @ second) / math.sqrt(max(length, 1e-9))
            if agreement >= AGREEMENT:
                how = f"correlation of their small structures {agreement:.3f}"
                return Twin(self._names[index], f"show the same picture up to a turn or mirroring ({how})", exact=False)
        return None

    def _remember(self, name: str, picture: Sketch, whole: str | None = None) -> None:
        self._digests.setdefault(picture.digest, name)
        self._wholes[name] = whole
        if picture.flat:
            return
        count = len(self._names)
        if count == len(self._rows):
            self._rows, self._energy, self._detail = (
                np.concatenate([values, np.empty_like(values)]) for values in (self._rows, self._energy, self._detail)
            )
        self._rows[count] = picture.centred
        self._energy[count] = picture.centred.var()
        self._detail[count] = picture.detail
        self._names.append(name)


def _small_structures(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    thumbnail = centred.reshape(SIDE, SIDE, 3)
    padded = np.pad(thumbnail, ((1, 1), (1, 1), (0, 0)), mode="edge")
    surroundings = np.zeros_like(thumbnail)
    for row in range(3):
        for column in range(3):
            surroundings += padded[row : row + SIDE, column : column + SIDE] / 9
    structures = (thumbnail - surroundings).ravel()
    most = 0.3 * float(np.abs(structures).mean())
    clipped: NDArray[np.float32] = np.clip(structures, -most, most)
    return clipped
