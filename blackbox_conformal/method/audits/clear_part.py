"""How near the vendor's picture and pictures that cost nothing are to the truth, in the clear part of masks alone.

A distance is the PSNR of a mean squared error over the clear pixels of all photographs together; a photograph counts by
the share of its pixels that is clear, whatever its size. A picture that costs nothing is to be used where it is nearer
than the vendor's on more than half of the photographs: a test by betting, which holds however often one looks, leaves
out photographs on which both are equally near, and shares its error level among everything compared.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import LEVEL, p_above
from blackbox_conformal.method.audits.detail_shares import PLAIN, REFERENCE, TRUTH, VENDOR, energies_of
from blackbox_conformal.method.audits.quality import decibels
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.kernels.distance import summed_squares
from blackbox_conformal.method.risk.curve_set import mean_of_clusters
from blackbox_conformal.method.risk.whole_errors import SquaredErrors
from blackbox_conformal.support.blocks import Block, How, Note, Table
from blackbox_conformal.support.types import Image, Mask

INPUT = "input"  # Takes the place of plain enlargement where nothing is enlarged.

Squares = Mapping[str, tuple[float, ...]]
"""One photograph: by a picture's name its squared errors in grey levels, mean over channels, summed over all pixels and
over the clear pixels at each level, and divided by the number of all pixels."""

Details = Mapping[str, tuple[tuple[float, float], ...]]
"""One photograph: energies of right and invented detail of vendor, free reference and truth, as `Squares`."""

_LEAST_SHARE = 0.2  # Where less of a calibration photograph is clear, a twentieth of its pixels would count too much.
SAID = {PLAIN: "the plain enlargement", REFERENCE: "the free reference", INPUT: "the input itself"}


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


def details_of(
    truth: Image, low: Image, delivered: Image, free: Image, masks: Sequence[Mask], degradation: Mixture
) -> Details:
    """Return the detail of the vendor's picture, of the free reference and of the truth; parameters as `squares_of`.

    `low` is the input, (h, w, 3) uint8, which `degradation` makes.
    """
    shown = [np.ones(truth.shape[:2], np.bool_), *masks]
    found = {}
    for name, energies in energies_of(truth, low, {VENDOR: delivered, REFERENCE: free, TRUTH: truth}, degradation):
        kinds = energies.whole - energies.part, energies.part
        right, invented = ([float(kind[mask].sum(dtype=np.float64)) / mask.size for mask in shown] for kind in kinds)
        found[name] = tuple(zip(right, invented, strict=True))
    return found


@dataclass(frozen=True, slots=True)
class Beyond:
    """What the vendor's pictures hold in the clear part beyond what the free reference holds there.

    `right` and `invented`: how much more detail, as a share of the detail that plain enlargement lacks there; -0.1: a
    tenth of that less. `decibels`: how much nearer to the truth.
    """

    right: float
    invented: float
    decibels: float

    @property
    def words(self) -> str:
        """Say it in few words: ``right detail +12 %, invented -3 %, +1.2 dB``."""
        right, invented = round(100 * self.right), round(100 * self.invented)
        return f"right detail {right:+d} %, invented {invented:+d} %, {self.decibels:+.1f} dB"


BEYOND = (
    "Beyond free: how much more right and how much more invented detail the clear part holds than the free reference "
    "holds there, both in percent of the detail that plain enlargement lacks there, and how much nearer it is to the "
    "originals; all photographs together."
)


def beyond_words(row: Mapping[str, Any]) -> str:
    """Write what a row of a table says of `Beyond`."""
    return "–" if row["beyond"] is None else Beyond(**row["beyond"]).words


@dataclass(frozen=True, slots=True)
class ClearPart:
    """Distances from the truth in the clear part of `photographs` masks, those that are clear anywhere.

    By the names of pictures: `psnr` in dB, `nearer` on how many photographs the picture is nearer than the vendor's,
    and `p_values` of "on at most half of them". `beyond`: what the vendor shows there that the free reference does not;
    None: nothing is known of it.
    """

    photographs: int
    psnr: Mapping[str, float]
    nearer: Mapping[str, int]
    p_values: Mapping[str, float]
    beyond: Beyond | None = None

    @classmethod
    def of(
        cls,
        squares: Mapping[str, NDArray[np.float64]],
        shares: NDArray[np.float64],
        clusters: Sequence[str] | None = None,
        details: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> "ClearPart":
        """Compare `squares` of n pictures, (n,) by name and divided by all pixels, `shares` (n,) of which are clear.

        `clusters` names the photograph that each picture is a tile of. `details`: right and invented detail, (n, 2), of
        vendor, free reference and truth; NaN where it is not known.
        """
        if clusters is not None:
            squares = {name: mean_of_clusters(values, clusters) for name, values in squares.items()}
            shares = mean_of_clusters(shares, clusters)
            details = {
                name: np.column_stack([mean_of_clusters(values, clusters) for values in row.T])
                for name, row in (details or {}).items()
            }
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
        return cls(count, psnr, nearer, p_values, _beyond(details or {}, shown, psnr))

    @classmethod
    def of_errors(
        cls,
        known: SquaredErrors,
        threshold: float,
        *,
        enlarged: bool,
        clusters: Sequence[str] | None = None,
        details: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> "ClearPart":
        """Compare calibration photographs, of which at least a fifth is clear; right to a twentieth of their pixels."""
        names = {"delivered": VENDOR, "enlargement": PLAIN if enlarged else INPUT, "reference": REFERENCE}
        below, shares = known.below(threshold)
        squares = {names[name]: row for name, row in below.items() if name in names}
        return cls.of(squares, np.where(shares < _LEAST_SHARE, 0, shares), clusters, details)

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
            f"use {SAID[name]}: in the clear part{at} it is nearer to the originals on {self.nearer[name]} of "
            f"{self.photographs} {photographs} ({figures})"
        )


def _beyond(
    details: Mapping[str, NDArray[np.float64]], shown: NDArray[np.bool_], psnr: Mapping[str, float]
) -> Beyond | None:
    if not details or REFERENCE not in psnr:
        return None
    every = np.stack([details[name] for name in (VENDOR, REFERENCE, TRUTH)])[:, shown]
    vendor, free, truth = every[:, ~np.isnan(every).any(axis=(0, 2))].sum(axis=1)
    if not truth[0] > 0:
        return None
    right, invented = ((vendor - free) / truth[0]).tolist()
    return Beyond(right, invented, psnr[VENDOR] - psnr[REFERENCE])


def clear_parts(
    measured: Sequence[Squares],
    shares: NDArray[np.float64],
    clusters: Sequence[str] | None = None,
    details: Sequence[Details] = (),
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
    unknown = ((math.nan, math.nan),) * weights.shape[1]
    detail = {
        name: np.array([details[place].get(name, unknown) for place in known], np.float64)
        for name in (VENDOR, REFERENCE, TRUTH)
        if details
    }
    return [
        ClearPart.of(
            {name: row[:, column] for name, row in table.items()},
            weights[:, column],
            owners,
            {name: row[:, column] for name, row in detail.items()},
        )
        for column in [*range(1, weights.shape[1]), 0]
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


def beyond_in_words(alphas: Sequence[float], parts: Sequence[ClearPart], only: float | None = None) -> str:
    """Say what the clear part of audited photographs holds beyond the free reference at each level, or at `only`."""
    told = [
        f"at {alpha:g} {part.beyond.words}"
        for alpha, part in zip(alphas, parts, strict=False)
        if part.beyond is not None and only in (None, alpha)
    ]
    return f"The clear part of the audited photographs beyond the free reference: {'; '.join(told)}." if told else ""


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
            "beyond": part.beyond and asdict(part.beyond),
        }
        for alpha, part in zip([*alphas, None], parts, strict=bool(parts))
    ]
    columns: dict[str, How] = {"clear at": lambda row: "all pixels" if row["alpha"] is None else f"{row['alpha']:g}"}
    columns |= {f"{name.split()[0]}, dB": f"{{psnr[{name}]:.1f}}" for name in names}
    free = [name for name in names if name != VENDOR]
    columns |= {f"{name.split()[0]} nearer": f"{{nearer[{name}]}} of {{photographs}}" for name in free}
    if beyond := beyond_in_words(alphas, parts):
        columns["beyond free"] = beyond_words
    title = f"How near to the originals in the clear part: {' and '.join([VENDOR, *free])}"
    # Told in words, since the columns fill a terminal.
    yield Table("clear_part", columns, rows, title=title, not_in_terminal=["beyond free"])
    if rows:
        yield Note(
            "PSNR of the mean squared error of all clear pixels of the photographs together; each photograph counts "
            "by the share that is clear. A picture is to be used instead of the vendor's where a test by betting finds "
            f"it nearer on more than half of the photographs (p at most {LEVEL:g} for all of this table together) and "
            "its PSNR is higher.",
            detail=True,
        )
    if beyond:
        yield Note(beyond)
        yield Note(BEYOND, detail=True)
