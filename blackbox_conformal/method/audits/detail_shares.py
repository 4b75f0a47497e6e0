"""Measure how much of the missing detail a vendor restores and invents, beside pictures that cost nothing.

The free pictures are plain enlargement of the input and the free reference. All are compared with the truth, whatever
metric calibrates.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.quality import decibels
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.kernels.detail import Energies, added, unexplained
from blackbox_conformal.method.metrics._detail import enlarged, hides, shift
from blackbox_conformal.support.blocks import Block, How, Note, Table
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.types import Image

VENDOR, PLAIN, REFERENCE = "vendor", "plain enlargement", "free reference"
"""Pictures of one photograph."""

TRUTH = "truth"  # As a picture, whose right detail is all that plain enlargement lacks.

RESAMPLES = 2000
CONFIDENCE = 0.9

MOST_ERASED = 0.1
"""An audit warns where delivered pictures lack more of the truth's own detail, beyond plain enlargement."""


@dataclass(frozen=True, slots=True)
class DetailSums:
    """One picture of one photograph beside the truth: sums over its pixels, in squares of grey levels.

    `squares` are its errors in sRGB, over `values`: three a pixel. `missing` is the detail that plain enlargement
    lacks, `added` the detail that the picture adds, `invented` the added detail that is not in the truth; see
    `DetailMetric`. `detail` is the truth's own, `lacked` the part that the picture does not show at any contrast.
    """

    squares: float
    values: float
    missing: float
    added: float
    invented: float
    detail: float
    lacked: float


class DetailMeter:
    """Measures pictures beside the truth. Threads may share it, and it measures free pictures once per photograph."""

    def __init__(self, degradation: Mixture) -> None:
        self._degradation = degradation
        self._free: dict[str, dict[str, DetailSums]] = {}

    def __call__(
        self, identity: str, truth: Image, low: Image, delivered: Image, made: Image | None = None
    ) -> dict[str, DetailSums]:
        """Return the sums of each picture by `VENDOR`, `PLAIN` and `REFERENCE`.

        Inputs with holes have no sums, since every filling counts as added. A shifted delivered picture has none, since
        all its detail would count as invented. The reference has none where nothing is enlarged. `identity` names the
        photograph, so that its free pictures are made once. `truth` and `delivered` are (H, W, 3) uint8, `low` is (h,
        w, 3) uint8, `made` the free reference if it was made already.
        """
        if hides(self._degradation):
            return {}
        plain, sigma = enlarged(low, truth.shape[0] // low.shape[0])
        free = self._free.get(identity)
        if free is None:
            free = self._free.setdefault(identity, self._free_sums(truth, low, plain, sigma, made))
        if shift(delivered, plain, sigma) is not None:
            return dict(free)
        return {VENDOR: self._sums(truth, delivered, plain, sigma, free[PLAIN].missing), **free}

    def _free_sums(
        self, truth: Image, low: Image, plain: Image, sigma: float, made: Image | None
    ) -> dict[str, DetailSums]:
        missing = _total(added(truth, plain, sigma, high_pass=not self._degradation.loses_colours))
        found = {PLAIN: self._sums(truth, plain, plain, sigma, missing)}
        if plain is not low:
            if made is None:
                made = reference(low, truth.shape[0] // low.shape[0], degraded=not self._degradation.linear)
            found[REFERENCE] = self._sums(truth, made, plain, sigma, missing)
        return found

    def _sums(self, truth: Image, picture: Image, plain: Image, sigma: float, missing: float) -> DetailSums:
        # Beside black, all of a picture is added, and the high-pass leaves its own detail.
        part, whole = unexplained(truth, picture, np.zeros_like(truth), sigma)
        lacked, detail = _total(part), _total(whole)
        del part, whole
        whole_added = invented = 0.0
        if picture is not plain:
            part, whole = unexplained(picture, truth, plain, sigma, high_pass=not self._degradation.loses_colours)
            whole_added, invented = _total(whole), _total(part)
        # A difference of bytes wraps in 8 bits and fits 16.
        squares = np.square((truth.astype(np.int16) - picture).astype(np.int32)).sum(dtype=np.int64)
        return DetailSums(float(squares), truth.size, missing, whole_added, invented, detail, lacked)


def energies_of(
    truth: Image, low: Image, pictures: Mapping[str, Image], degradation: Mixture
) -> Iterator[tuple[str, Energies]]:
    """Yield the energies of detail that pictures add, and of its part that is not in the truth; one picture at a time.

    There are none where a `DetailMeter` has no sums, and none of pictures of declared bands.
    """
    if hides(degradation) or truth.dtype != np.uint8:
        return
    plain, sigma = enlarged(low, truth.shape[0] // low.shape[0])
    high_pass = not degradation.loses_colours
    for name, picture in pictures.items():
        if name == TRUTH:
            whole = added(truth, plain, sigma, high_pass=high_pass)
            yield name, Energies(np.zeros_like(whole), whole)
        # The free reference lies where its input does.
        elif name == REFERENCE or shift(picture, plain, sigma) is None:
            yield name, unexplained(picture, truth, plain, sigma, high_pass=high_pass)


def _total(values: NDArray[np.float32]) -> float:
    return float(values.sum(dtype=np.float64))


Measured = Mapping[str, DetailSums]  # The sums that a `DetailMeter` returns for one photograph.
Figure = tuple[float, float, float]  # A figure and the ends of its `CONFIDENCE` interval over photographs.


@dataclass(frozen=True, slots=True)
class DetailShares:
    """One kind of picture on several `photographs`, all pooled.

    `psnr` is in dB, from the mean squared error over all photographs. `restored` is a share of the detail that plain
    enlargement lacks; `invented` a share of the added detail, NaN where nothing is added; `erased` the share of the
    truth's own detail that the picture lacks and plain enlargement does not.
    """

    photographs: int
    psnr: Figure
    restored: Figure
    invented: Figure
    erased: Figure

    @classmethod
    def of(
        cls, measured: Sequence[Measured], picture: str = VENDOR, photographs: Sequence[str] | None = None
    ) -> "DetailShares | None":
        """Return the shares of a kind of `picture`; None where no photograph has one.

        `photographs` names the photograph that each picture is a tile of; the bootstrap draws all tiles of a photograph
        at once.
        """
        known = [place for place, one in enumerate(measured) if picture in one]
        if not known:
            return None
        sums = np.array([astuple(measured[place][picture]) for place in known])
        plain = np.array([measured[place][PLAIN].lacked for place in known])
        table = np.column_stack([sums, sums[:, -1] - plain])
        if photographs is not None:
            names = [photographs[place] for place in known]
            owner = np.unique(names, return_inverse=True)[1]
            table = np.array([table[owner == each].sum(axis=0) for each in range(owner.max() + 1)])
        drawn = np.random.Generator(np.random.Philox(0)).integers(len(table), size=(RESAMPLES, len(table)))
        squares, values, missing, added, invented, detail, _, erased = np.vstack(
            [table.sum(axis=0), table[drawn].sum(axis=1)]
        ).T
        psnr = np.array([decibels(error) for error in squares / values / 255**2])
        return cls(
            len(table),
            _figure(psnr),
            _figure(_ratio(added - invented, missing)),
            _figure(_ratio(invented, added)),
            _figure(_ratio(erased, detail)),
        )


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, math.nan), where=whole > 0)


def _figure(values: NDArray[np.float64]) -> Figure:
    known = values[1:][~np.isnan(values[1:])]
    if not known.size:
        return float(values[0]), math.nan, math.nan
    # No interpolation, which makes NaN of two infinities: equal pictures have an infinite PSNR.
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    return float(values[0]), float(low), float(high)


def detail_rows(shares: Mapping[str, DetailShares | None]) -> list[dict[str, Any]]:
    """Return the rows of a table, by the names of pictures."""
    return [
        {"picture": name, "photographs": one.photographs, "psnr": one.psnr, "restored": one.restored}
        | {"invented": one.invented, "erased": one.erased}
        for name, one in shares.items()
        if one is not None
    ]


DETAIL_COLUMNS: dict[str, How] = {
    "picture": "{picture}",
    "photographs": "{photographs}",
    "PSNR, dB": "{psnr[0]:.2f} ({psnr[1]:.2f} to {psnr[2]:.2f})",
    "restored of the missing detail": lambda row: in_percent(row["restored"]),
    "of the added detail, not in the truth": lambda row: in_percent(row["invented"]),
}


def in_percent(figure: Figure, digits: int = 0) -> str:
    """Say a share with its interval: ``12 % (10 to 14)``."""
    mean, low, high = (100 * value for value in figure)
    return "–" if math.isnan(mean) else f"{mean:.{digits}f} % ({low:.{digits}f} to {high:.{digits}f})"


def free_shares(
    measured: Sequence[Measured], photographs: Sequence[str] | None = None
) -> dict[str, DetailShares | None]:
    """Return the shares of the pictures that cost nothing."""
    return {name: DetailShares.of(measured, name, photographs) for name in (PLAIN, REFERENCE)}


def detail_blocks(measured: Sequence[Measured], photographs: Sequence[str] | None = None) -> Iterator[Block]:
    """Yield how much the vendor restored, invented and erased, beside the free pictures."""
    vendor = DetailShares.of(measured, VENDOR, photographs)
    shares = {VENDOR: vendor, **free_shares(measured, photographs)}
    title = "Beside plain enlargement and the free reference"
    yield Table("detail", DETAIL_COLUMNS, detail_rows(shares), title=title, detail=True)
    if vendor is not None:
        said = f"Of the detail missing in plain enlargement the vendor restored {in_percent(vendor.restored)}"
        added = f"of what it added, {in_percent(vendor.invented)} is not in the truth"
        yield Note(f"{said}; {'it added none' if math.isnan(vendor.invented[0]) else added}.")
        yield from erased_warning("The vendor", vendor)
    if any(measured):
        yield from detail_notes(measured)


def detail_notes(measured: Sequence[Measured]) -> Iterator[Note]:
    """Say how to read a table of detail, and what it leaves out."""
    yield Note(
        f"All photographs pooled, with {100 * CONFIDENCE:g} % intervals over photographs. Detail that a picture leaves "
        "out counts as not restored, never as invented.",
        detail=True,
    )
    if not any(REFERENCE in one for one in measured):
        same = "Nothing is enlarged: plain enlargement is the input, and so is the free reference, which is left out."
        yield Note(same, detail=True)
    shifted = sum(PLAIN in one and VENDOR not in one for one in measured)
    if shifted:
        yield Note(f"Left out, since it lies shifted against its input: {counted(shifted, 'delivered picture')}.")


def erased_warning(vendor: str, shares: DetailShares) -> Iterator[Note]:
    """Warn that a vendor erased detail, where the whole interval is above `MOST_ERASED`."""
    if shares.erased[1] > MOST_ERASED:
        share = in_percent(shares.erased)
        text = f"{vendor} erased detail: {share} of the truth's detail is in plain enlargement and not in its pictures."
        yield Note(text, remark="warning")
