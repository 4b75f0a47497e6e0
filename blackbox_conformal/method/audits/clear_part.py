"""How near the vendor's picture and pictures that cost nothing are to the truth, in the clear part of masks alone.

A distance is the PSNR of a mean squared error over the clear pixels of all photographs together; a photograph counts by
the share of its pixels that is clear, whatever its size. A picture that costs nothing is to be used where it is nearer
than the vendor's on more than half of the photographs: a test by betting, which holds however often one looks, leaves
out photographs on which both are equally near, and shares its error level among everything compared.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import LEVEL, p_above
from blackbox_conformal.method.audits.detail_shares import PLAIN, REFERENCE, VENDOR
from blackbox_conformal.method.audits.quality import decibels
from blackbox_conformal.method.kernels.distance import summed_squares
from blackbox_conformal.method.risk.curve_set import mean_of_clusters
from blackbox_conformal.method.risk.whole_errors import SquaredErrors
from blackbox_conformal.support.blocks import Block, How, Note, Table
from blackbox_conformal.support.types import Image, Mask

INPUT = "input"  # Takes the place of plain enlargement where nothing is enlarged.

Squares = Mapping[str, tuple[float, ...]]
"""One photograph: by a picture's name its squared errors in grey levels, mean over channels, summed over all pixels and
over the clear pixels at each level, and divided by the number of all pixels."""

_LEAST_SHARE = 0.2  # Where less of a calibration photograph is clear, a twentieth of its pixels would count too much.
_SAID = {PLAIN: "the plain enlargement", REFERENCE: "the free reference", INPUT: "the input itself"}


def squares_of(truth: Image, pictures: Iterable[tuple[str, Image]], masks: Sequence[Mask]) -> Squares:
    """Return the squared errors of `pictures` of one photograph, each (H, W, 3) uint8, and of their clear parts.

    `masks` are (H, W) bool, True = clear, one for each level. Pictures of declared bands count in shares of their
    range, times 255.
    """

    def of(picture: Image) -> Iterator[float]:
        everywhere = np.ones(truth.shape[:2], np.bool_)
        for mask in (everywhere, *masks):
            yield int(summed_squares(picture, truth, mask.view(np.uint8), 2)[1]) / (3 * mask.size)

    return {name: tuple(of(picture)) for name, picture in pictures}


@dataclass(frozen=True, slots=True)
class ClearPart:
    """Distances from the truth in the clear part of `photographs` masks, those that are clear anywhere.

    By the names of pictures: `psnr` in dB, `nearer` on how many photographs the picture is nearer than the vendor's,
    and `p_values` of "on at most half of them".
    """

    photographs: int
    psnr: Mapping[str, float]
    nearer: Mapping[str, int]
    p_values: Mapping[str, float]

    @classmethod
    def of(
        cls,
        squares: Mapping[str, NDArray[np.float64]],
        shares: NDArray[np.float64],
        clusters: Sequence[str] | None = None,
    ) -> "ClearPart":
        """Compare `squares` of n pictures, (n,) by name and divided by all pixels, `shares` (n,) of which are clear.

        `clusters` names the photograph that each picture is a tile of.
        """
        if clusters is not None:
            squares = {name: mean_of_clusters(values, clusters) for name, values in squares.items()}
            shares = mean_of_clusters(shares, clusters)
        shown = shares > 0
        count, whole = int(shown.sum()), float(shares[shown].sum())
        psnr = {
            name: decibels(float(values[shown].sum()) / whole / 255**2) if count else math.nan
            for name, values in squares.items()
        }
        vendor, nearer, p_values = squares[VENDOR][shown], dict[str, int](), dict[str, float]()
        for name in [name for name in squares if name != VENDOR]:
            values = squares[name][shown]
            nearer[name] = int((values < vendor).sum())
            compared = (values < vendor)[values != vendor].astype(np.float64)
            p_values[name] = p_above(compared, 0.5) if compared.size else 1.0
        return cls(count, psnr, nearer, p_values)

    @classmethod
    def of_errors(
        cls, known: SquaredErrors, threshold: float, *, enlarged: bool, clusters: Sequence[str] | None = None
    ) -> "ClearPart":
        """Compare calibration photographs, of which at least a fifth is clear; right to a twentieth of their pixels."""
        names = {"delivered": VENDOR, "enlargement": PLAIN if enlarged else INPUT, "reference": REFERENCE}
        below, shares = known.below(threshold)
        squares = {names[name]: row for name, row in below.items() if name in names}
        return cls.of(squares, np.where(shares < _LEAST_SHARE, 0, shares), clusters)

    def to_use(self, compared: int = 1) -> str | None:
        """Name the picture to use instead of the vendor's, of `compared` clear parts; None: none is shown nearer."""
        level = LEVEL / max(compared * len(self.p_values), 1)
        better = [name for name, p in self.p_values.items() if p <= level and self.psnr[name] > self.psnr[VENDOR]]
        return max(better, key=lambda name: self.psnr[name], default=None)

    def sentence(self, name: str, photographs: str, at: str = "", *, exact: bool = True) -> str:
        """Say that a picture is to be used, and why; `exact`: each distance is known, and not only their difference."""
        best, vendor = self.psnr[name], self.psnr[VENDOR]
        figures = f"{best:.1f} dB, the vendor {vendor:.1f} dB" if exact else f"by {best - vendor:.1f} dB in all"
        return (
            f"use {_SAID[name]}: in the clear part{at} it is nearer to the originals on {self.nearer[name]} of "
            f"{self.photographs} {photographs} ({figures})"
        )


def clear_parts(
    measured: Sequence[Squares], shares: NDArray[np.float64], clusters: Sequence[str] | None = None
) -> list[ClearPart]:
    """Return the clear part at each level, then all pixels, from `shares`, (pictures, levels); empty: nothing is known.

    `clusters` names the photograph that each picture is a tile of.
    """
    known = [place for place, one in enumerate(measured) if one]
    if not known:
        return []
    names = [name for name in measured[known[0]] if all(name in measured[place] for place in known)]
    owners = None if clusters is None else [clusters[place] for place in known]
    table = {name: np.array([measured[place][name] for place in known], np.float64) for name in names}
    weights = np.column_stack([np.ones(len(known)), shares[known]])
    columns = [*range(1, weights.shape[1]), 0]
    return [
        ClearPart.of({name: row[:, column] for name, row in table.items()}, weights[:, column], owners)
        for column in columns
    ]


def advice(alphas: Sequence[float], parts: Sequence[ClearPart], only: float | None = None) -> str:
    """Say which picture to use instead of the vendor's, and at which levels; nothing where none is shown nearer.

    `parts` has the clear part at each of `alphas`; with `only`, nothing is said of other levels.
    """
    compared = sum(part.photographs > 0 for part in parts[: len(alphas)])
    levels: dict[str, list[int]] = {}
    for index, part in enumerate(parts[: len(alphas)]):
        if only in (None, alphas[index]) and (name := part.to_use(compared)) is not None:
            levels.setdefault(name, []).append(index)
    said = []
    for name, found in levels.items():
        # Of several levels the last, where most is clear, has the figures.
        at = f" at {alphas[found[-1]]:g}" if len(found) > 1 else ""
        among = ", ".join(f"{alphas[index]:g}" for index in found)
        said.append(f"At {among} {parts[found[-1]].sentence(name, 'photographs', at)}.")
    return " ".join(said)


def clear_blocks(alphas: Sequence[float], parts: Sequence[ClearPart]) -> Iterator[Block]:
    """Yield distances from the truth in the clear part at each level, and over all pixels."""
    names = list(parts[0].psnr) if parts else []
    rows = [
        {
            "alpha": alpha,
            "photographs": part.photographs,
            "psnr": dict(part.psnr),
            "nearer": dict(part.nearer),
            "p_values": dict(part.p_values),
        }
        for alpha, part in zip([*alphas, None], parts, strict=bool(parts))
    ]
    columns: dict[str, How] = {"clear at": lambda row: "all pixels" if row["alpha"] is None else f"{row['alpha']:g}"}
    columns |= {f"{name.split()[0]}, dB": f"{{psnr[{name}]:.1f}}" for name in names}
    free = [name for name in names if name != VENDOR]
    columns |= {f"{name.split()[0]} nearer": f"{{nearer[{name}]}} of {{photographs}}" for name in free}
    title = f"How near to the originals in the clear part: {' and '.join([VENDOR, *free])}"
    yield Table("clear_part", columns, rows, title=title)
    if rows:
        yield Note(
            "PSNR of the mean squared error of all clear pixels of the photographs together; each photograph counts "
            "by the share that is clear. A picture is to be used instead of the vendor's where a test by betting finds "
            f"it nearer on more than half of the photographs (p at most {LEVEL:g} for all of this table together) and "
            "its PSNR is higher.",
            detail=True,
        )
