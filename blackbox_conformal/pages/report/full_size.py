"""Full-size pictures of a run folder for the viewer: pixels, trusted levels, errors.

A pixel's byte is the index of the first threshold above its score. The mask at each threshold follows exactly, at a
quarter of the size of the scores.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.stored import Stored
from blackbox_conformal.errors import FileFormatError, IncompleteError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.kernels.below import NONE, count_below, first_above
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.pages.report.encoded import Doubles
from blackbox_conformal.pages.report.preview import Box, PictureKind, end_of, error_codes, picture_stem
from blackbox_conformal.pages.report.slider_levels import choose_levels, thresholds_at
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import refusal, write_new
from blackbox_conformal.support.types import Image, Map

USUAL_LEVELS = 240  # Most levels that every picture of a calibration shares; levels that the user asks for are added.
MOST_CERTIFIED = 8  # Masks of one picture, at several levels, whose certificates are kept.
Part = Literal["delivered", "low", "truth", "levels", "errors"]
PARTS: tuple[Part, ...] = ("delivered", "low", "truth", "levels", "errors")
"""Pictures are PNG files; `levels` and `errors` are deflated, see `packed`."""

_LARGEST_SIDE = 30_000


def viewer_levels(calibration: Calibration, wanted: Sequence[float] = ()) -> list[float]:
    """Return the usual levels of the viewer's slider, the same whatever is `wanted`, and the levels `wanted`."""
    usual = choose_levels(calibration, (), USUAL_LEVELS)
    missing = {float(f"{alpha:.12g}") for alpha in wanted} - set(usual)
    more = missing & set(choose_levels(calibration, sorted(missing), 0)) if missing else ()
    return sorted([*usual, *more])[:NONE]


@dataclass(frozen=True, slots=True)
class Certified:
    """A delivered mask's certificate in short; `threshold_hex` is exact."""

    alpha: float
    threshold_hex: str
    guarantee: str
    status: str
    statement: str

    @classmethod
    def of(cls, certificate: Certificate) -> "Certified":
        """Make the short form of a mask's certificate."""
        said = (str(certificate.guarantee.get("name", "")), certificate.status, certificate.short)
        return cls(certificate.alpha, certificate.threshold_hex, *said)

    @property
    def mask(self) -> tuple[float, str]:
        """Return which of a picture's masks it is: its level, and its guarantee's name."""
        return self.alpha, self.guarantee


@dataclass(frozen=True, slots=True)
class FullSize:
    """One picture of a run folder at full size."""

    # ``result``: a masked picture. ``audit``: a photograph that calibration has not seen, whose truth is known.
    kind: PictureKind
    name: str
    identity: str
    size: tuple[int, int]  # (H, W).
    alphas: tuple[float, ...]  # Levels, beside the usual ones, that `thresholds` were chosen for.
    thresholds: Doubles  # (K,) float64, ascending: a pixel with level byte k is trusted from the k-th threshold on.
    shares: Doubles  # (K,) float64: the trusted share of all pixels, exact.
    losses: Doubles | None  # (K,) float64; None if the truth is unknown.
    # For each delivered mask, the last one first; none for an audited photograph.
    certified: tuple[Certified, ...] = ()
    digests: Mapping[Part, str] = field(default_factory=dict)  # Part → digest of its file.
    notes: tuple[str, ...] = ()  # Sentences for the reader.
    source: str = ""  # The end of a path that tells pictures of one name apart; empty: no path.
    differing: tuple[Box, ...] = ()  # Places where the answer differs from its input by more than is usual.

    @property
    def stem(self) -> str:
        """Return the beginning of its files' names."""
        return picture_stem(self.kind, self.identity)


_ENTRIES = Stored(
    FullSize,
    "full-size picture",
    2,
    anew="Mask or audit the picture again in the same run folder: the draws are stored, so no call is made",
)


class FullSizeStore:
    """Full-size pictures of one run folder and one calibration.

    `folder`: Holds the report's material of the calibration.
    `alphas`: Levels, beside the usual ones, at which masks are exact.
    """

    def __init__(self, folder: Path, calibration: Calibration, alphas: Sequence[float] = ()) -> None:
        self.folder = folder / "full-size"
        self._alphas = tuple(sorted({float(f"{alpha:.12g}") for alpha in alphas}))
        self._bound = calibration.bound
        self._calibration = calibration
        self._known: dict[tuple[float, ...], NDArray[np.float64]] = {}

    def keep(
        self,
        kind: PictureKind,
        name: str,
        identity: str,
        score_map: Map,
        pictures: "dict[Part, Image | Path]",
        *,
        errors: Map | None = None,
        curve: RiskCurve | None = None,
        certified: Certified | None = None,
        notes: Sequence[str] = (),
        source: Path | None = None,
        showing: int | None = None,
        differing: Sequence[Box] = (),
    ) -> Path:
        """Write a picture; replace an earlier one of the same identity, but keep the certificates of its masks.

        `pictures`: (H, W, 3) uint8, or a PNG file of such a picture, which is linked where possible, else copied.
        `curve`: Tells losses.
        `source`, `showing`: File of an audited photograph, or folder of a masked picture; the number of pixels that
          shares count, if not all.
        Returns: The entry's file, by which `add_doubt` finds it.
        """
        own = [] if certified is None else [certified]
        before = None
        if own:
            with contextlib.suppress(FileFormatError):
                before = read_entry(self.folder / f"{picture_stem(kind, identity)}.json")
        earlier = () if before is None else before.certified
        said = [*own, *(one for one in earlier if one.mask not in [mine.mask for mine in own])][:MOST_CERTIFIED]
        alphas = tuple(sorted({*self._alphas, *(float(f"{one.alpha:.12g}") for one in said)}))
        places = [float.fromhex(one.threshold_hex) for one in said]
        thresholds = np.unique(np.array([*self._thresholds_for(alphas), *places], np.float64))
        height, width = score_map.shape
        entry = FullSize(
            kind,
            name,
            identity,
            (height, width),
            alphas,
            thresholds,
            count_below(score_map, thresholds) / (showing or score_map.size),
            None if curve is None else np.asarray(curve.loss(thresholds), np.float64),
            notes=tuple(notes),
            source=end_of(source),
            differing=tuple(differing),
        )
        written: dict[Part, bytes | Path] = {"levels": packed(first_above(score_map, thresholds))}
        for part, picture in pictures.items():
            written[part] = picture if isinstance(picture, Path) else image_png(picture)
        if errors is not None:
            written["errors"] = packed(error_codes(errors, self._bound))
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            # Parts that only an earlier picture had.
            if part not in written:
                part_path(self.folder, entry.stem, part).unlink(missing_ok=True)
        digests = {part: _put(part_path(self.folder, entry.stem, part), content) for part, content in written.items()}
        if before is not None and before.digests.get("delivered") != digests.get("delivered"):
            # A picture drawn anew with another seed: earlier masks were about another picture.
            said = own
        return self._write(replace(entry, digests=digests, certified=tuple(said)))

    def _thresholds_for(self, alphas: tuple[float, ...]) -> NDArray[np.float64]:
        if alphas not in self._known:
            self._known[alphas] = thresholds_at(self._calibration, viewer_levels(self._calibration, alphas))
        return self._known[alphas]

    def add_doubt(self, kept: Path, certificate: Certificate) -> None:
        """Put a doubtful certificate's statement into the newest mask of `kept`."""
        entry = read_entry(kept)
        certified = (Certified.of(certificate), *entry.certified[1:])
        self._write(replace(entry, certified=certified, notes=(*entry.notes, str(certificate.reason))))

    def _write(self, entry: FullSize) -> Path:
        return _ENTRIES.write(entry, self.folder / f"{entry.stem}.json")


def part_path(folder: Path, stem: str, part: Part) -> Path:
    """Return the path of a part of the picture."""
    return folder / f"{stem}-{part}.{'z' if part in ('levels', 'errors') else 'png'}"


def packed(codes: NDArray[np.uint8]) -> bytes:
    """Pack (H, W) `codes`: each row's differences, modulo 256, from the row above, as a zlib stream (RFC 1950)."""
    differences = codes.copy()
    np.subtract(codes[1:], codes[:-1], out=differences[1:])
    content: bytes = isal_zlib.compress(differences, 3)
    return content


def unpacked(content: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Unpack the (H, W) codes that `packed` wrote."""
    height, width = size
    try:
        raw = isal_zlib.decompressobj().decompress(content, height * width + 1)
    except isal_zlib.error:
        raw = b""
    if len(raw) != height * width:
        raise IncompleteError("a map that the run folder keeps is damaged; mask or audit the picture again")
    differences = np.frombuffer(raw, np.uint8).reshape(height, width)
    codes: NDArray[np.uint8] = np.add.accumulate(differences, axis=0, dtype=np.uint8)
    return codes


def read_entry(path: Path) -> FullSize:
    """Read the entry of a picture, without its parts."""
    entry = _ENTRIES.read(path)
    with _ENTRIES.refusing(str(path)):
        if not 1 <= min(entry.size) <= max(entry.size) <= _LARGEST_SIDE:
            raise ValueError("size out of range")
        thresholds, shares, losses = entry.thresholds, entry.shares, entry.losses
        if not 1 <= thresholds.size <= NONE or (np.diff(thresholds) <= 0).any() or np.isnan(thresholds).any():
            raise ValueError("thresholds must ascend")
        if shares.shape != thresholds.shape or (losses is not None and losses.shape != thresholds.shape):
            raise ValueError("as many shares and losses as thresholds are expected")
        for one in entry.certified:
            float.fromhex(one.threshold_hex)
        if f"{entry.stem}.json" != path.name:
            raise ValueError("another picture's")
    return entry


def _put(path: Path, content: bytes | Path) -> str:
    if isinstance(content, bytes):
        write_new(path, content, force=True)
        return digest_bytes(content)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        try:
            os.link(content, temporary)
        except OSError:
            # Another disk, or one that knows no links.
            shutil.copyfile(content, temporary)
        digest = digest_bytes(temporary.read_bytes())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise refusal(path, error) from None
    return digest
