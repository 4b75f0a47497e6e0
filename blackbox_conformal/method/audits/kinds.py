"""Find whom a calibration fails: risk and trusted share by quarter of texture, brightness and size, by group and range.

A guarantee on average holds over all photographs together, so photographs of one kind may lie above its level. The
calibration photographs set the quarters, and the range of one statistic in which their own losses are largest, before
anybody sees an audited loss. The intervals are by betting (Waudby-Smith & Ramdas 2024). Half of the error level
belongs to the worst range, the rest is divided by the other kinds, all of it by the levels. So all upper ends hold
together, and all lower ones (Bonferroni).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import LEVEL, lower_bound, upper_bound
from blackbox_conformal.method.guarantees.guarantee import Claim
from blackbox_conformal.method.images.input_statistics import InputKind
from blackbox_conformal.method.risk.curve_set import mean_of_clusters
from blackbox_conformal.support.blocks import Block, How, Note, Table
from blackbox_conformal.support.text import counted, printable
from blackbox_conformal.support.wording import at_least, between, exactly

QUARTERS = {
    "texture": ("smooth", "rather smooth", "rather textured", "textured"),
    "brightness": ("dark", "rather dark", "rather bright", "bright"),
    "pixels": ("small", "rather small", "rather large", "large"),
}
"""Statistic of `InputKind` → names of its four quarters, the lowest first."""

TOGETHER = (
    "Quarters are those of the calibration photographs; the worst range is the one in which their own losses are "
    "largest. With a probability of at least 90 % all of these intervals hold at once (Bonferroni)."
)

DESCRIPTIVE = (
    "These are the calibration photographs, which the threshold was chosen on, so the figures only describe them. "
    "`audit` measures unseen photographs, with intervals."
)

BY_GROUP = (
    "For a guarantee within each group, calibrate other photographs with --groups FILE (a line photograph,group for "
    "each): groups found here must be named on photographs that were not looked at."
)
"""Advice about a kind of photograph whose risk is above the level."""

WORST_RANGE = "worst range"
_STEPS, _LEAST = 20, 0.2  # Ends of a range are these quantiles; it has at least this share of the photographs.

Statistics = dict[str, NDArray[np.float64]]  # Statistic of `InputKind` → its value for each photograph.


@dataclass(frozen=True, slots=True)
class KindRisk:
    """The `n` photographs of one kind at one level.

    `by` is a statistic of `InputKind`, or ``group``. `low` and `high` bound the quarter or range, infinite at the ends;
    None for a group. `claimed` is the claimed upper limit of the mean loss of all photographs. `interval` is for the
    mean loss of photographs of this kind; None where they calibrated. `others` is the mean loss of all others beside
    the worst range; None for other kinds, and where there are no others.
    """

    by: str
    name: str
    low: float | None
    high: float | None
    alpha: float
    claimed: float
    n: int
    risk: float
    interval: tuple[float, float] | None
    trusted_share: float
    others: float | None = None

    @property
    def range(self) -> str:
        """Say how the kind differs from the others."""
        if self.low is None or self.high is None:
            return self.by
        if np.isinf(self.low):
            return f"{self.by} below {self.high:.6g}"
        return f"{self.by} from {self.low:.6g}" + ("" if np.isinf(self.high) else f" to {self.high:.6g}")

    @property
    def words(self) -> str:
        if self.low is None:
            return f"photographs of group {printable(self.name)}"
        if self.name == WORST_RANGE:
            return f"photographs with {self.range}"
        return f"{self.name} photographs"

    @property
    def fails(self) -> bool:
        """Tell whether the lower end of the interval is above the claim about all photographs."""
        return self.interval is not None and self.interval[0] > self.claimed

    @property
    def sentence(self) -> str:
        """Say that the risk is above the claim."""
        assert self.interval is not None
        first, rest = self.words[:1].upper(), self.words[1:]
        others = "" if self.others is None else f"; all others {self.others:.3g}"
        return (
            f"{first}{rest}: risk {self.risk:.3g} at alpha={self.alpha:g}, above {exactly(self.claimed)} (at least "
            f"{at_least(self.interval[0], level=self.claimed)} with 95 % confidence, {self.n} audited){others}."
        )


@dataclass(frozen=True, slots=True)
class AtLevel:
    """One level: the claim with a loss for each photograph, and (n,) trusted shares, 0 to 1.

    `known`: The calibration photographs' own losses, which choose the worst range; None: no range is looked for.
    """

    alpha: float
    claim: Claim
    shares: NDArray[np.float64]
    known: NDArray[np.float64] | None = None


def statistics_of(kinds: Sequence[InputKind | None], clusters: Sequence[str] | None) -> Statistics:
    """Return the statistics of each photograph, a mean over its tiles; none where a version did not look."""
    known = [kind for kind in kinds if kind is not None]
    # If only some photographs were looked at, quarters would describe a part.
    if len(known) < len(kinds) or not known:
        return {}
    found = {name: np.array([getattr(kind, name) for kind in known], np.float64) for name in QUARTERS}
    return found if clusters is None else {name: mean_of_clusters(of, clusters) for name, of in found.items()}


def group_of_each(groups: Sequence[str | None], clusters: Sequence[str] | None) -> list[str | None]:
    """Return the group of each photograph: its first tile's."""
    if clusters is None:
        return list(groups)
    first: dict[str, str | None] = {}
    for group, cluster in zip(groups, clusters, strict=True):
        first.setdefault(cluster, group)
    return list(first.values())


def kind_risks(
    known: Statistics, new: Statistics, groups: Sequence[str | None], levels: Sequence[AtLevel], *, unseen: bool = True
) -> tuple[KindRisk, ...]:
    """Return risk and trusted share of each kind at each level, without kinds that have no photograph.

    `known` are the statistics of the calibration photographs, which set the quarters; `new` and `groups` describe the n
    photographs at hand. There are intervals if these are `unseen`, that is, did not calibrate.
    """
    cells = [*_quarters(known, new), *_groups(groups)]
    found = []
    for level in levels:
        worst = None if level.known is None else _worst_range(known, new, level.known)
        half = 1.0 if worst is None else 0.5
        shared = half * LEVEL / max(len(cells) * len(levels), 1)
        for by, name, ends, members in [*cells, *([] if worst is None else [worst])]:
            if not members.any():
                continue
            losses, own = level.claim.losses, half * LEVEL / len(levels) if name == WORST_RANGE else shared
            found.append(
                KindRisk(
                    by,
                    name,
                    *ends,
                    alpha=level.alpha,
                    claimed=level.claim.level,
                    n=int(members.sum()),
                    risk=float(losses[members].mean()),
                    interval=_interval(level.claim, members, own) if unseen else None,
                    trusted_share=float(level.shares[members].mean()),
                    others=float(losses[~members].mean()) if name == WORST_RANGE and not members.all() else None,
                )
            )
    return tuple(found)


_Cell = tuple[str, str, tuple[float | None, float | None], NDArray[np.bool_]]
"""Statistic, name, ends of the quarter, and which photographs are of this kind."""


def _quarters(known: Statistics, new: Statistics) -> list[_Cell]:
    cells: list[_Cell] = []
    for by in known.keys() & new.keys():
        bounds = np.quantile(known[by], (0.25, 0.5, 0.75))
        if np.unique(bounds).size < bounds.size:
            # Photographs of one size, for example, have no quarters.
            continue
        ends = np.r_[-np.inf, bounds, np.inf]
        # A value at a quarter's end belongs to the quarter above, as `range` says.
        quarter = np.searchsorted(bounds, new[by], side="right")
        for place, name in enumerate(QUARTERS[by]):
            cells.append((by, name, (float(ends[place]), float(ends[place + 1])), quarter == place))
    return sorted(cells, key=lambda cell: (list(QUARTERS).index(cell[0]), cell[2]))


def _groups(groups: Sequence[str | None]) -> list[_Cell]:
    named = np.array(groups, dtype=object)
    return [("group", name, (None, None), named == name) for name in sorted(set(filter(None, groups)))]


def _worst_range(known: Statistics, new: Statistics, losses: NDArray[np.float64]) -> _Cell | None:
    """Return the range in which the (n,) calibration `losses` are farthest above the others', for `new` photographs.

    Farthest is measured in standard errors, so that few photographs must differ more. None where no range is above.
    """
    best, found = 1e-9, None
    for by in [name for name in QUARTERS if name in known.keys() & new.keys() and len(known[name]) == len(losses)]:
        bounds = np.unique(np.quantile(known[by], np.arange(1, _STEPS) / _STEPS))
        step = np.searchsorted(bounds, known[by], side="right")
        counts, sums = (np.r_[0, np.bincount(step, of, len(bounds) + 1).cumsum()] for of in (None, losses))
        n, ends = len(losses), np.r_[-np.inf, bounds, np.inf]
        for first in range(len(bounds) + 1):
            inside = counts[first + 1 :] - counts[first]
            excess = (sums[first + 1 :] - sums[first]) - inside * losses.mean()
            allowed = (inside >= _LEAST * n) & (inside <= (1 - _LEAST) * n)
            errors = np.where(allowed, excess / np.sqrt(np.maximum(inside * (n - inside), 1)), 0.0)
            last = int(errors.argmax())
            if errors[last] > best:
                best, low, high = float(errors[last]), float(ends[first]), float(ends[first + last + 1])
                found = (by, WORST_RANGE, (low, high), (new[by] >= low) & (new[by] < high))
    return found


def _interval(claim: Claim, members: NDArray[np.bool_], level: float) -> tuple[float, float]:
    shares = claim.losses[members] / claim.bound
    return lower_bound(shares, level) * claim.bound, upper_bound(shares, level) * claim.bound


def kinds_in_words(risks: Sequence[KindRisk]) -> list[str]:
    """Name the kinds whose risk is above the claim, and give advice; empty where there is none."""
    failing = [one.sentence for one in risks if one.fails]
    return [*failing, BY_GROUP] if failing else []


def kind_blocks(risks: Sequence[KindRisk], note: str = TOGETHER) -> Iterator[Block]:
    """Yield risk by kind of photograph, with a note on reading it."""
    columns: dict[str, How] = {
        "alpha": "{alpha:g}",
        "photographs": "{kind}",
        "by": "{range}",
        "n": "{n}",
        "risk": "{risk:.4f}",
        "interval": lambda row: "" if row["risk_low"] is None else between((row["risk_low"], row["risk_high"])),
        "trusted": "{trusted_share:share}",
        "": lambda row: f"above {row['claimed']:g}" if row["fails"] else "",
    }
    yield Table("kinds", columns, kind_rows(risks), title="Whom it fails: risk by kind of photograph", detail=True)
    if risks:
        yield Note(
            f"{note} Texture is the base-2 logarithm of the mean squared difference between neighbouring pixels, "
            "brightness is 0 to 255, and pixels are those of the input.",
            detail=True,
        )
    looked = [one for one in risks if one.name == WORST_RANGE and one.interval is not None]
    if looked and not any(one.fails for one in looked):
        of = "; ".join(f"at alpha={one.alpha:g} {counted(one.n, 'photograph')} with {one.range}" for one in looked)
        yield Note(f"No range was found whose risk is shown to be above the claim. Audited were {of}.", detail=True)


def kind_rows(risks: Sequence[KindRisk]) -> list[dict[str, Any]]:
    """Return the kinds for scripts and tables; None where a quarter has no end, or a figure no interval."""
    return [
        {
            "alpha": one.alpha,
            "by": one.by,
            "kind": one.name,
            "range": one.range,
            "from": one.low if one.low is not None and np.isfinite(one.low) else None,
            "below": one.high if one.high is not None and np.isfinite(one.high) else None,
            "n": one.n,
            "claimed": one.claimed,
            "risk": one.risk,
            "risk_low": None if one.interval is None else one.interval[0],
            "risk_high": None if one.interval is None else one.interval[1],
            "others": one.others,
            "trusted_share": one.trusted_share,
            "fails": one.fails,
        }
        for one in risks
    ]
