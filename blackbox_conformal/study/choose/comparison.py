"""Hold what a comparison found: rows of figures with paired intervals, and the cost of each contestant's drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.drawing.spending.spent import Latency
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.clear_part import BEYOND, Beyond, Details, Squares, beyond_words, clear_parts
from blackbox_conformal.method.audits.confidence import upper_bound
from blackbox_conformal.method.audits.control_variates import (
    APPROXIMATE,
    FreeEstimate,
    FreeLosses,
    RandomPart,
    part_block,
)
from blackbox_conformal.method.audits.detail_shares import (
    CONFIDENCE,
    DETAIL_COLUMNS,
    RESAMPLES,
    VENDOR,
    DetailShares,
    Measured,
    detail_rows,
    erased_warning,
)
from blackbox_conformal.method.audits.known_facts import NO_FACTS, FactCounts, KnownFacts
from blackbox_conformal.method.guarantees.corollaries import statement
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.support.blocks import Block, Faces, Facts, Figure, How, Note, Table, words
from blackbox_conformal.support.plots import Dot, Dots
from blackbox_conformal.support.text import dollars, printable
from blackbox_conformal.support.types import Image, Map
from blackbox_conformal.support.wording import between, share

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class ComparedPicture:
    """A picture that one contestant delivered, with its truth and score."""

    contestant: str
    name: str
    identity: str  # Digest of the photograph's pixels, the same for all contestants.
    # (H, W, 3) uint8.
    truth: Image
    delivered: Image
    low: Image  # What the vendor was sent, (h, w, 3) uint8.
    score_map: Map
    # By level: the trust mask's threshold, its share, and the largest error inside.
    thresholds: Mapping[float, float]
    shares: Mapping[float, float]
    losses: Mapping[float, float]


OnCompared = Callable[[ComparedPicture], None]  # Called from several threads.


# Two earlier ways to mark untrusted pixels, as rows to compare with: interval images and soft masks.

MISCOVERAGE = 0.1  # Share of colour values that may lie outside their intervals.
FAILURE = 0.1  # How often a calibration of interval images, or one picture of soft masks, may miss its goal.

INTERVAL_LABEL = (
    f"no guarantee on errors: intervals cover {1 - MISCOVERAGE:.0%} of colour values with confidence "
    f"{1 - FAILURE:.0%}; trusted where the interval is narrower than alpha (sRGB L1)"
)
SOFT_LABEL = (
    "no guarantee on the largest error: the mean error weighted by the mask "
    f"is at most alpha in {1 - FAILURE:.0%} of pictures"
)

_RATIOS = 1024
SCALES: NDArray[np.float64] = 2.0 ** np.arange(-40, 6.5, 0.5)  # Scales of soft masks to choose from, fixed beforehand.
_QUANTUM = 0.5 / 255  # Half an 8-bit step: equal draws still hide what rounding hides.


@dataclass(frozen=True, slots=True)
class Intervals:
    """Interval image of one photograph."""

    # (H, W) float32: farthest reach of the interval from the delivered colour, summed over channels, unscaled.
    width: Map
    # (1025,) float32, ascending: quantiles, rounded up, of the scale at which the interval covers a colour value.
    ratios: NDArray[np.float32]


def intervals(draws: Sequence[Image], delivered: Image, truth: Image) -> Intervals:
    """Compute intervals between the draws' 5 % and 95 % quantiles at each colour value.

    Angelopoulos, Kohli, Bates, Jordan, Malik, Alshaabi, Upadhyayula and Romano (2022), with sample quantiles.
    """
    ordered = np.sort(np.stack(draws), axis=0)
    last = len(draws) - 1
    low, high = ordered[int(0.05 * last)], ordered[last - int(0.05 * last)]
    below = np.maximum(delivered.astype(np.float32) - low, 0) / 255 + np.float32(_QUANTUM)
    above = np.maximum(high.astype(np.float32) - delivered, 0) / 255 + np.float32(_QUANTUM)
    error = (truth.astype(np.float32) - delivered) / 255
    needed = np.where(error < 0, -error / below, error / above).ravel()
    # "higher": quantiles are rounded up, so that coverage is never overstated.
    ratios = np.quantile(needed, np.linspace(0, 1, _RATIOS + 1), method="higher").astype(np.float32)
    return Intervals(np.maximum(below, above).sum(axis=2, dtype=np.float32), ratios)


def interval_scale(ratios: Sequence[NDArray[np.float32]]) -> float:
    """Return the least scale with miscoverage `MISCOVERAGE` at most, with confidence 1 - `FAILURE`; inf without one.

    Risk-controlling prediction sets (Bates, Angelopoulos, Lei, Malik and Jordan 2021) over photographs.
    """
    grid = np.stack(ratios)
    # Scales below a picture's median ratio miss half of its values and can never do.
    candidates = np.unique(grid[:, _RATIOS // 2 :])
    low, high = 0, candidates.size
    while low < high:
        middle = (low + high) // 2
        missed = (grid > candidates[middle]).sum(axis=1) / _RATIOS
        if upper_bound(np.minimum(missed, 1.0), FAILURE) <= MISCOVERAGE:
            high = middle
        else:
            low = middle + 1
    return float(candidates[low]) if low < candidates.size else float("inf")


def soft_mask(score_map: Map, scale: float) -> Map:
    """Return ``min(1, scale / score_map)``: (H, W) float32 in [0, 1]; 0 everywhere at scale 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mask = np.minimum(np.float64(scale) / score_map.astype(np.float64), 1.0)
    # 0 divided by 0: at scale 0 nothing is trusted, whatever the score.
    bounded: Map = np.where(np.isnan(mask), 0.0, mask).astype(np.float32)
    return bounded


def soft_errors(score_map: Map, errors: Map) -> NDArray[np.float64]:
    """Return (scales,) float64: mean error weighted by the soft mask of each of `SCALES`; nondecreasing."""
    order = np.argsort(score_map, axis=None)
    scores, errors = score_map.ravel()[order].astype(np.float64), errors.ravel()[order].astype(np.float64)
    whole = np.r_[0.0, np.cumsum(errors)]
    # A score of 0 beside an error makes the sum over it infinite; no scale reaches down to it.
    with np.errstate(over="ignore"):
        part = np.cumsum((errors / np.maximum(scores, np.finfo(np.float64).tiny))[::-1])[::-1]
    full = np.searchsorted(scores, SCALES, side="right")
    means: NDArray[np.float64] = (whole[full] + SCALES * np.r_[part, 0.0][full]) / scores.size
    return means


def soft_scale(errors: Sequence[NDArray[np.float64]], alpha: float) -> float:
    """Return the largest of `SCALES` that all but a share `FAILURE` of new pictures can bear; 0 when none is.

    Kutiel, Cohen, Elad, Freedman and Rivlin (2023): a quantile over photographs of each one's largest scale.
    """
    # The k-th smallest of n + 1 exchangeable scales, as in a split conformal quantile.
    rank = int(FAILURE * (len(errors) + 1))
    borne = np.sort([np.count_nonzero(means <= alpha) for means in errors])
    count = int(borne[rank - 1]) if rank else 0
    return float(SCALES[count - 1]) if count else 0.0


OURS, INTERVALS, SOFT = "trust mask", "interval image", "soft mask"
_NAMED = 3  # Contestants that one line names.
_NONE = "no guarantee"  # Beginning of a baseline's guarantee.


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One method of one contestant at one level, on the evaluation photographs."""

    contestant: str
    method: str
    alpha: float
    guarantee: str  # In words; begins with "no guarantee" where nothing is guaranteed.
    trusted_share: float  # Mean share of pixels trusted; of a soft mask, its mean.
    risk: float  # Mean loss that the guarantee bounds, or else mean largest error among fully trusted pixels.
    # Mean PSNR (dB) inside masks that are not empty, and of whole pictures.
    psnr_trusted: float
    psnr_all: float
    usd_per_trusted_megapixel: float | None  # None where nothing is trusted, or a price is unknown.
    # Difference from the first contestant's trust mask, with its `CONFIDENCE` interval: (mean, low, high).
    share_gain: tuple[float, float, float]
    psnr_gain: tuple[float, float, float]
    # For guarantees about detail: share of the detail missing in plain enlargement that the vendor restored and the
    # mask leaves clear, over all photographs.
    restored_clear: float | None = None
    beyond: Beyond | None = None  # What the clear part holds beyond the free reference; of trust masks.

    @property
    def promised(self) -> bool:
        """Tell whether anything is guaranteed."""
        return not self.guarantee.startswith(_NONE)


@dataclass(frozen=True, slots=True)
class Standing:
    """The cost of a contestant's drawing in calls, money and time.

    `draws`, `wanted`: Draws of each photograph, and of all.
    `calls`, `spent_usd`: Calls that this comparison made, and their price; None: a price is unknown.
    `cached`: Draws that were stored before.
    `refused`: Photographs that the vendor refused.
    `failed`: Calls for these draws that gave no picture, earlier ones included.
    `usd_per_photograph`: Price of a photograph's draws, whenever paid; None: a price is unknown.
    `latency`: Of these draws, whenever made; None: they came from this machine's disk.
    `facts`: How the measured photographs' pictures differ from their inputs.
    """

    contestant: str
    draws: int
    wanted: int
    calls: int
    cached: int
    refused: int
    failed: int
    spent_usd: Decimal | None
    usd_per_photograph: Decimal | None
    latency: Latency | None
    facts: FactCounts = NO_FACTS

    @property
    def row(self) -> dict[str, Any]:
        """Return the figures as scripts read them."""
        latency = self.latency
        return {
            "vendor": self.contestant,
            "draws": self.draws,
            "wanted": self.wanted,
            "calls": self.calls,
            "cached": self.cached,
            "refused": self.refused,
            "failed": self.failed,
            "cost_usd": self.spent_usd,
            "usd_per_photograph": self.usd_per_photograph,
            "latency_s": None if latency is None else {"median": latency.median, "p90": latency.ninety},
            "facts": self.facts.data,
        }


@dataclass(frozen=True, slots=True)
class ComparedEstimate:
    """A contestant's mean trusted share, or loss, over all such photographs, estimated with free pictures.

    `difference` is from the first contestant; None for that one.
    """

    contestant: str
    alpha: float
    figure: str
    estimate: FreeEstimate
    difference: FreeEstimate | None


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Faces):
    """The whole comparison.

    Attributes
    ----------
    detail
        What each contestant, plain enlargement and the free reference restored and invented; None where delivered
        pictures do not lie where their inputs do.
    rule
        The guarantee of every trust mask.
    part, estimates
        The random part of the held-out photographs that was bought, and what free pictures of all of them add to each
        contestant's figures; None and empty: all were bought.
    """

    n_calibration: int
    n_evaluation: int
    rows: tuple[ComparisonRow, ...]
    standings: tuple[Standing, ...]
    detail: Mapping[str, DetailShares | None] = field(default_factory=dict)
    rule: Guarantee = field(default_factory=Expected)
    part: RandomPart | None = None
    estimates: tuple[ComparedEstimate, ...] = ()

    def __repr__(self) -> str:
        lowest = min(row.alpha for row in self.rows)
        ours = [row for row in self.rows if row.method == OURS and row.alpha == lowest]
        shares = ", ".join(f"{row.trusted_share:.1%}" for row in ours[:_NAMED])
        names = " and ".join(printable(standing.contestant, 24) for standing in self.standings[:_NAMED])
        more = "" if len(self.standings) <= _NAMED else f" and {len(self.standings) - _NAMED} others"
        return (
            f"<Comparison of {names}{more}: {shares} trusted at alpha={lowest:g}, calibrated on {self.n_calibration} "
            f"photographs, measured on {self.n_evaluation}>"
        )

    @property
    def alphas(self) -> list[float]:
        """Return the compared levels, ascending."""
        return sorted({row.alpha for row in self.rows})

    @property
    def telling_alpha(self) -> float:
        """Return the least level from 0.1 on at which a mask trusts anything, else the largest."""
        trusting = {row.alpha for row in self.rows if row.method == OURS and row.trusted_share > 0}
        return min((alpha for alpha in trusting if alpha >= 0.1), default=max(self.alphas))

    def plot(self, alpha: float | None = None) -> Figure:
        """Plot each contestant's and method's trusted share, gain, risk and price at a level, by default the lowest.

        Raises
        ------
        UsageError
            Nothing was compared at this level.
        """
        if alpha is not None and alpha not in self.alphas:
            compared = ", ".join(f"{level:g}" for level in self.alphas)
            raise UsageError(f"expected one of the levels that were compared, {compared}; got {alpha}")
        return _figure(self._at(self.alphas[0] if alpha is None else alpha), self.loss)

    def to_frame(self, of: str | None = "rows") -> pandas.DataFrame:
        """Return the levels' rows, or the table called `of`, such as ``detail``; errors as `Faces.to_frame`."""
        return Faces.to_frame(self, of)

    def blocks(self) -> Iterator[Block]:
        """Show the split, what each vendor trusts and costs, each level, the vendors, and how to read it."""
        numbers = {"n_calibration": self.n_calibration, "n_evaluation": self.n_evaluation}
        split = f"Calibrated on {self.n_calibration} photographs, measured on {self.n_evaluation} others, the same for"
        yield Note(f"{split} all.", numbers)
        glance = {}
        for row in self._at(self.telling_alpha):
            if row.method == OURS:
                price, detail = row.usd_per_trusted_megapixel, ""
                if price is None:
                    costs = "price of a trusted megapixel unknown" if row.trusted_share > 0 else "nothing trusted"
                else:
                    costs = f"{dollars(price, 3)} per trusted megapixel" if price > 0 else "free of charge"
                if (shares := self.detail.get(row.contestant)) is not None:
                    invented = 0.0 if math.isnan(shares.invented[0]) else shares.invented[0]
                    kept = row.restored_clear
                    clear = "" if kept is None else f", {100 * kept:.0f} % in the clear part"
                    clear += "" if row.beyond is None else f" (beyond the free reference: {row.beyond.words})"
                    restored = f"{100 * shares.restored[0]:.0f} % of the missing detail restored{clear}"
                    detail = f"{restored}, {100 * invented:.0f} % of the added invented, "
                glance[printable(row.contestant)] = f"{share(row.trusted_share)} trusted, {detail}{costs}"
        yield Facts(glance, title=f"Trusted share, detail and price at alpha = {self.telling_alpha:g}")
        yield from self._detail_blocks()
        for alpha in self.alphas:
            rows = self._at(alpha)
            title, narrow = f"alpha = {alpha:g}", ["difference, dB"]
            columns = _columns(rows[0], self.loss)
            yield Table("rows", columns, [asdict(row) for row in rows], title=title, not_in_terminal=narrow)
            yield replace(_figure(rows, self.loss), detail=alpha != self.alphas[0])
        if any(row.beyond for row in self.rows):
            yield Note(BEYOND)
        if self.part is not None:
            besides = f" from each vendor, besides the {self.n_calibration} that calibrate"
            yield part_block(self.part, self.n_evaluation, "of each figure and difference below uses both", besides)
            estimates = [asdict(one) for one in self.estimates]
            title = "Estimated with free pictures, and the difference from the first"
            yield Table("estimates", _ESTIMATE_COLUMNS, estimates, title=title, not_in_terminal=["worth"])
            yield Note(
                "A difference is estimated by itself, from both answers to each photograph, so it need not be "
                "the difference of the two estimates."
            )
            yield Note(APPROXIMATE, detail=True)
        vendors = [standing.row for standing in self.standings]
        yield Table("vendors", _VENDOR_COLUMNS, vendors, title="Vendors", not_on_page=["calls now", "stored before"])
        yield Note(
            "Prices and latencies are those of these draws, whenever they were made: the median, and what 9 in 10 stay "
            "within. A dash there means that the pictures came from this machine's disk. A picture differs from its "
            "input where `check` says so."
        )
        ours = next(row.guarantee for row in self.rows if row.method == OURS)
        yield Note(
            f"A guarantee, and a filled dot, means: {ours[0].lower()}{ours[1:]} The same holds at the other levels.",
            title="How to read it",
            detail=True,
        )
        labels = {row.method: row.guarantee for row in self.rows if not row.promised}
        if labels:
            baselines_are = "; ".join(f"{method}, {label}" for method, label in labels.items())
            yield Note(f"A hollow dot is a baseline without a guarantee for the largest error: {baselines_are}.")
        yield Note(
            f"A difference is from the first row, with its {100 * CONFIDENCE:g} % confidence interval, paired by "
            "photograph. If the interval does not hold 0, the choice of photographs does not explain the difference. "
            "The calibration photographs are held fixed."
        )
        yield Note(
            f"The {self.loss} is a mean over photographs; with a guarantee it must stay below alpha. A mask that "
            "trusts nothing has 0. A photograph that the vendor refused counts as the worst whenever anything may be "
            "trusted."
        )

    @property
    def loss(self) -> str:
        """Name the loss that the guarantee bounds."""
        return self.rule.loss_name

    @property
    def ranks(self) -> dict[str, list[str]]:
        """Rank contestants, best first: by trust at `telling_alpha`, by restored detail, and by least invented detail.

        Under a guarantee about detail, restored detail in the clear part replaces trust: a vendor that adds nothing is
        all clear, and worth nothing.
        """
        rows = [row for row in self._at(self.telling_alpha) if row.method == OURS]
        name = "trusted" if self.rule.threshold_ceiling is None else "restored_clear"
        ours = sorted(rows, key=lambda row: -(getattr(row, "trusted_share" if name == "trusted" else name) or 0))
        known = {row.contestant: shares for row in ours if (shares := self.detail.get(row.contestant)) is not None}
        return {
            name: [row.contestant for row in ours],
            "restored": sorted(known, key=lambda name: -known[name].restored[0]),
            # A vendor that adds nothing invents nothing.
            "invented": sorted(known, key=lambda name: np.nan_to_num(known[name].invented[0])),
        }

    def _detail_blocks(self) -> Iterator[Block]:
        title = "Beside plain enlargement and the free reference"
        yield Table("detail", DETAIL_COLUMNS, detail_rows(self.detail), title=title)
        ranks = self.ranks
        first = {name: printable(order[0]) for name, order in ranks.items() if order}
        if len(first) < len(ranks):
            return
        most = f"Most is trusted of {first.get('trusted')}"
        if "restored_clear" in first:
            most = f"The clear part of {first['restored_clear']} shows most of the missing detail"
        yield Note(
            f"{most}; {first['restored']} restored most of the missing detail; of what "
            f"{first['invented']} added, least is not in the truth. Who only adds less may be trusted more.",
            {"ranks": ranks},
        )
        for standing in self.standings:
            if (shares := self.detail.get(standing.contestant)) is not None:
                yield from erased_warning(printable(standing.contestant), shares)

    def _at(self, alpha: float) -> list[ComparisonRow]:
        return [row for row in self.rows if row.alpha == alpha]


def _interval(key: str, interval: str) -> How:
    return lambda row: "–" if row[key] is None else between(row[key][interval])


_ESTIMATE_COLUMNS: dict[str, How] = {
    "vendor": "{contestant}",
    "alpha": "{alpha:g}",
    "figure": "{figure}",
    "estimate": lambda row: f"{row['estimate']['risk']:.3f}",
    "about 90 %": _interval("estimate", "interval"),
    "bought alone": _interval("estimate", "alone_interval"),
    "difference": lambda row: "–" if row["difference"] is None else f"{row['difference']['risk']:+.3f}",
    "difference, about 90 %": _interval("difference", "interval"),
    "bought alone, difference": _interval("difference", "alone_interval"),
    "worth": lambda row: str(row["estimate"]["worth"]),
}

_VENDOR_COLUMNS: dict[str, How] = {
    "vendor": "{vendor}",
    "draws of each": "{draws}",
    "calls now": "{calls}",
    "stored before": "{cached}",
    "calls without a picture": "{failed}",
    "photographs refused": "{refused}",
    "price of a photograph": lambda row: (
        "unknown" if row["usd_per_photograph"] is None else dollars(row["usd_per_photograph"], 4)
    ),
    "latency": lambda row: words("{median:.2f}, {p90:.2f} s", row["latency_s"]) if row["latency_s"] else "–",
    "differ from the input": lambda row: FactCounts.short(row["facts"]),
}


def _columns(first: ComparisonRow, loss: str) -> dict[str, How]:
    reference = first.contestant, first.method

    def difference(template: str) -> How:
        # A dash, too, where no pair is known.
        return lambda row: (
            "–" if (row["contestant"], row["method"]) == reference else words(template, row).replace("– to –", "–")
        )

    return {
        "method": "{contestant}: {method}",
        "trusted": "{trusted_share:share}",
        "difference, points": difference("{share_gain[1]:points} to {share_gain[2]:points}"),
        loss: "{risk:.3f}",
        **({} if first.restored_clear is None else {"restored and clear": "{restored_clear:share}"}),
        **({} if first.beyond is None else {"beyond free": beyond_words}),
        "PSNR trusted, dB": "{psnr_trusted:.2f}",
        "difference, dB": difference("{psnr_gain[1]:+.2f} to {psnr_gain[2]:+.2f}"),
        "PSNR all, dB": "{psnr_all:.2f}",
        "per trusted megapixel": "{usd_per_trusted_megapixel:usd3}",
        "guarantee": lambda row: "none" if row["guarantee"].startswith(_NONE) else "yes",
    }


def _figure(rows: Sequence[ComparisonRow], loss: str) -> Figure:
    # Methods without a guarantee gain so much that they would hide all others.
    gains = []
    for row in rows[1:]:
        if row.promised:
            mean, low, high = (100 * value for value in row.share_gain)
            gains.append(_dot(row, mean, f"{mean:+.1f}, from {low:+.1f} to {high:+.1f}", (low, high)))
    plots = [
        Dots(
            f"Trusted share at alpha = {rows[0].alpha:g}",
            [_dot(row, 100 * row.trusted_share, share(row.trusted_share)) for row in rows],
            scale=(0.0, 100.0),
            unit="%",
        ),
        Dots("Trusted share minus that of the first, percentage points", gains, line=0.0),
        Dots(
            f"{loss[0].upper()}{loss[1:]}, mean over photographs",
            [_dot(row, row.risk, f"{row.risk:.3f}") for row in rows],
            line=rows[0].alpha,
        ),
    ]
    prices = [(row, row.usd_per_trusted_megapixel) for row in rows]
    known = [_dot(row, price, dollars(price, 3)) for row, price in prices if price is not None and math.isfinite(price)]
    if any(dot.value > 0 for dot in known):
        plots.append(Dots("US dollars for a trusted megapixel", known))
    return Figure(plots)


def _dot(row: ComparisonRow, value: float, said: str, interval: tuple[float, float] | None = None) -> Dot:
    role = "promised" if row.promised else "unpromised"
    return Dot(f"{printable(row.contestant)}: {row.method}", said, value, role, interval)


@dataclass(frozen=True, slots=True)
class EvaluatedPhotograph:
    """Measurements of one evaluation photograph."""

    figures: dict[tuple[str, float], tuple[float, float, float]]  # (method, level) → share, loss, PSNR.
    psnr_all: float
    megapixels: float
    cost: Decimal
    detail: Measured = field(default_factory=dict)
    # For guarantees about detail: level → right detail in the clear part, in squares of grey levels.
    right_clear: Mapping[float, float] = field(default_factory=dict)
    facts: KnownFacts | None = None  # How the picture differs from its input; None: not looked at.
    # Squared errors and detail of the vendor's picture and the free reference in trust masks; empty: nothing enlarged.
    squares: Squares = field(default_factory=dict)
    clear_detail: Details = field(default_factory=dict)


def rows_of(
    contestant: str,
    measured: Sequence[EvaluatedPhotograph],
    first: Sequence[EvaluatedPhotograph],
    alphas: Sequence[float],
    n: int,
    seed: int,
    promise: tuple[Guarantee, Metric],
    *,
    priced: bool = True,
) -> list[ComparisonRow]:
    """Return the rows of one contestant; its photographs are in the order of the `first`.

    `priced`: the price of every draw is known.
    """
    rows, (rule, metric) = [], promise
    trusted = np.array([[photograph.figures[OURS, alpha][0] for alpha in alphas] for photograph in measured])
    details = [photograph.clear_detail for photograph in measured]
    parts = dict(zip(alphas, clear_parts([one.squares for one in measured], trusted, None, details), strict=False))
    for method in (OURS, INTERVALS, SOFT):
        for alpha in alphas:
            key = (method, alpha)
            if key not in measured[0].figures:
                continue
            shares, losses, psnrs = np.array([photograph.figures[key] for photograph in measured]).T
            megapixels = np.array([photograph.megapixels for photograph in measured])
            trusted_megapixels = float((shares * megapixels).sum())
            price = float(sum((photograph.cost for photograph in measured), Decimal(0)))
            reference = np.array([photograph.figures[OURS, alpha] for photograph in first]).T
            known = [one for one in measured if alpha in one.right_clear and VENDOR in one.detail]
            missing = sum(one.detail[VENDOR].missing for one in known)
            restored_clear = sum(one.right_clear[alpha] for one in known) / missing if missing > 0 else None
            label = INTERVAL_LABEL if method == INTERVALS else SOFT_LABEL
            if method == OURS:
                label = statement(rule, alpha, n, metric.specification())
            rows.append(
                ComparisonRow(
                    contestant=contestant,
                    method=method,
                    alpha=alpha,
                    guarantee=label,
                    trusted_share=float(shares.mean()),
                    risk=float(losses.mean()),
                    psnr_trusted=mean_of_known(psnrs),
                    psnr_all=mean_of_known(np.array([photograph.psnr_all for photograph in measured])),
                    usd_per_trusted_megapixel=price / trusted_megapixels if priced and trusted_megapixels else None,
                    share_gain=paired_bootstrap(shares - reference[0], seed),
                    psnr_gain=paired_bootstrap(psnrs - reference[2], seed),
                    restored_clear=restored_clear,
                    beyond=parts[alpha].beyond if method == OURS and parts else None,
                )
            )
    return rows


def estimates_of(
    contestants: Sequence[str],
    measured: Sequence[Sequence[EvaluatedPhotograph]],
    free: Sequence[NDArray[np.float64]],
    alphas: Sequence[float],
    rule: Guarantee,
    bound: float,
) -> Iterator[ComparedEstimate]:
    """Estimate each contestant's trusted share and loss, and their differences from the first contestant's.

    `measured`: The m bought photographs of each contestant, in the order that was drawn at random.
    `free`: For each contestant, of all photographs, of which the first m were bought: what its masks of k free
      pictures trust, and lose as shares of `bound`, (photographs, k, levels, 2).
    """
    m = len(measured[0])
    for level, alpha in enumerate(alphas):
        for place, figure in enumerate(("trusted share", rule.loss_name)):
            top = (1.0, bound)[place]
            own = [np.array([one.figures[OURS, alpha][place] for one in photographs]) / top for photographs in measured]
            beside = [values[:, :, level, place] for values in free]
            for index, contestant in enumerate(contestants):
                both, difference = np.hstack([beside[index], beside[0]]), None
                if index:
                    difference = FreeLosses(both[:m], both[m:]).difference(own[index], own[0]).times(top)
                estimate = FreeLosses(beside[index][:m], beside[index][m:]).estimate(own[index]).times(top)
                yield ComparedEstimate(contestant, alpha, figure, estimate, difference)


def mean_of_known(values: NDArray[np.float64]) -> float:
    """Return the mean without NaN; NaN when there is nothing else."""
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else math.nan


def paired_bootstrap(differences: NDArray[np.float64], seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of paired differences and the ends of its `CONFIDENCE` percentile interval over photographs.

    Pairs that are not finite are left out; all NaN when none is left. The calibration is held fixed, so the interval is
    about other photographs, not other calibrations.
    """
    pairs = differences[np.isfinite(differences)]
    if not pairs.size:
        return math.nan, math.nan, math.nan
    generator = np.random.Generator(np.random.Philox(seed))
    means = pairs[generator.integers(pairs.size, size=(RESAMPLES, pairs.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(pairs.mean()), float(low), float(high)
