"""Rows of promise, level, number and price with the share to expect, and which of them to show."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from blackbox_conformal.study.plan.prospects import Prospect
from blackbox_conformal.study.plan.ways import Promise
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE, ERROR_GUARANTEE
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.plots import Dot
from blackbox_conformal.support.text import counted

LEVELS = (0.5, 1, 2)
"""Levels that are compared where neither a level nor a share is wanted, as parts of the usual level."""

FINE_LEVELS = (*(step / 10 for step in range(2, 31)), *(step / 2 for step in range(7, 21)))
"""Levels among which the smallest is looked for that gives a wanted share, as parts of the usual level."""

NUMBERS = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300)
"""Numbers of photographs that are compared."""

GAIN = 0.05
"""A dearer row is shown where it trusts so much more than the one before."""

LOWER = 0.7
"""A dearer row is shown where it reaches the wanted share at so many times the level of the one before."""

LITTLE = 0.01
"""Of rows that trust so nearly as much as the best, the cheapest is shown; one that trusts less than this is not."""

Prospects = Callable[[Promise, Setup, Sequence[float], int], Sequence[Prospect | None]]
"""The shares to expect of a promise and a way to draw at some levels after a number; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the rows must keep: a level, a least trusted share, a highest price; None = any.

    Attributes
    ----------
    usual
        The usual level of the metric, around which levels are compared of promises that have none of their own.
    guarantee
        What `calibrate` promises where no guarantee is named.
    """

    alpha: float | None = None
    share: float | None = None
    usd: Decimal | None = None
    usual: float = 0.1
    guarantee: str = ERROR_GUARANTEE

    @property
    def less(self) -> str:
        """How to want less, in words, by what is wanted."""
        ways = {"raise --alpha": self.alpha, "want a smaller share": self.share, "raise --max-cost": self.usd}
        named = [way for way, wanted in ways.items() if wanted is not None]
        return " or ".join(named) or "add photographs"

    @property
    def of_detail(self) -> bool:
        return self.guarantee == DETAIL_GUARANTEE

    def levels(self, promise: Promise) -> tuple[float, ...]:
        """The levels of a promise that are compared, ascending."""
        if self.alpha is not None:
            return (self.alpha,)
        usual = promise.usual_level or self.usual
        around = levels_around(usual, LEVELS if self.share is None else FINE_LEVELS)
        return tuple(level for level in around if not promise.of_detail or level < 1)


def levels_around(usual: float, parts: Sequence[float] = FINE_LEVELS) -> tuple[float, ...]:
    """Parts of the usual level, as short decimals."""
    return tuple(float(f"{usual * part:.6g}") for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierRow:
    """One way to calibrate, and what it is expected to trust.

    Attributes
    ----------
    n, calls
        Calibration photographs, and the calls to the vendor for all of them.
    usual
        The guarantee that need not be named.
    usd
        Lowest and highest price of these calls; None when it is not known.
    """

    promise: Promise
    alpha: float
    n: int
    way: Setup
    usd: tuple[Decimal, Decimal] | None
    prospect: Prospect
    usual: str = ERROR_GUARANTEE

    @property
    def draws(self) -> int:
        return self.way.procedure.draws

    @property
    def calls(self) -> int:
        """Calls to the vendor for all photographs."""
        return self.n * self.draws

    @property
    def cost(self) -> Decimal:
        """What it costs at most; the number of calls where the price is not known or nothing."""
        return self.usd[1] if self.usd is not None and self.usd[1] else Decimal(self.calls)

    @property
    def weighed(self) -> tuple[float, Decimal, float]:
        """Level, cost, and the share that is not expected to be trusted: less is better."""
        return self.alpha, self.cost, -round(self.prospect.share, 3)

    def beats(self, other: "FrontierRow") -> bool:
        """Whether it makes the same promise at no higher level for no more money, trusts no less, and is no equal."""
        if self.promise != other.promise or self.weighed == other.weighed:
            return False
        (level, cost, untrusted), (its_level, its_cost, its_untrusted) = self.weighed, other.weighed
        return level <= its_level and cost <= its_cost and untrusted <= its_untrusted

    @property
    def dot(self) -> Dot:
        """Its share to expect in a plot."""
        share, error = self.prospect.share, self.prospect.error
        interval = 100 * max(0.0, share - error), 100 * min(1.0, share + error)
        label = f"{self.promise.name}, alpha {self.alpha:g}, {self.n} photographs, {counted(self.draws, 'draw')}"
        return Dot(label, f"{share:.0%}", 100 * share, "promised", interval)

    @property
    def options(self) -> dict[str, str]:
        """The options that ask for its promise, beside its level."""
        options = {} if self.promise.guarantee == self.usual else {"guarantee": self.promise.guarantee}
        if self.promise.cap != self.way.metric.cap:
            options["metric"] = specification_text(self.way.metric.model_copy(update={"cap": self.promise.cap}))
        return options

    def json(self) -> dict[str, Any]:
        procedure = self.way.procedure
        return {
            "promise": self.promise.name,
            "guarantee": self.promise.guarantee,
            "cap": self.promise.cap,
            "alpha": self.alpha,
            "n": self.n,
            "draws": self.draws,
            "delivery": procedure.delivery,
            "score": procedure.score["name"],
            "calls": self.calls,
            "cost_usd": self.usd,
            "expected_share": round(self.prospect.share, 4),
            "error": round(self.prospect.error, 4),
        }


def candidates(
    promises: Sequence[Promise],
    ways: Sequence[Setup],
    prospects: Prospects,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    wish: Wish,
    number: int,
) -> Iterator[FrontierRow]:
    """Every row that keeps the wish, of `NUMBERS`, of `number` photographs and of those that the money buys.

    Where a share is wanted and no level, the smallest level at which it is expected stands for all.
    """
    for promise, way in itertools.product(promises, ways):
        levels = wish.levels(promise)
        draws = way.procedure.draws
        price = None if usd_a_draw is None else (usd_a_draw[0] * draws, usd_a_draw[1] * draws)
        for n in _numbers(wish, price, number):
            usd = None if price is None else (price[0] * n, price[1] * n)
            for alpha, prospect in zip(levels, prospects(promise, way, levels, n), strict=True):
                if prospect is None or prospect.share < max(wish.share or 0, LITTLE):
                    continue
                if n < promise.fewest(alpha, way.metric):
                    # Shares are interpolated over n, and below this number nothing can be trusted.
                    continue
                row = FrontierRow(promise=promise, alpha=alpha, n=n, way=way, usd=usd, prospect=prospect)
                yield replace(row, usual=wish.guarantee)
                if wish.share is not None:
                    break


def _numbers(wish: Wish, price: tuple[Decimal, Decimal] | None, number: int) -> list[int]:
    """The numbers of photographs that are compared, at this price of one."""
    numbers = {*NUMBERS, number}
    if wish.usd is not None and price is not None and price[1]:
        affordable = int(wish.usd / price[1])
        numbers = {n for n in (*numbers, affordable) if 0 < n <= affordable}
    return sorted(numbers)


def frontier(rows: Iterable[FrontierRow], wish: Wish, number: int) -> list[FrontierRow]:
    """Of the rows that no other one beats those that tell most, few of each promise.

    The first promise has a row of `number` photographs, those at hand, too, at each level that they reach.
    """
    found: dict[tuple[Promise, tuple[float, Decimal, float]], FrontierRow] = {}
    for row in rows:
        found.setdefault((row.promise, row.weighed), row)
    unbeaten = [row for row in found.values() if not any(other.beats(row) for other in found.values())]
    shown: list[FrontierRow] = []
    for promise in dict.fromkeys(row.promise for row in unbeaten):
        of_promise = sorted((row for row in unbeaten if row.promise == promise), key=lambda row: row.cost)
        if wish.share is not None:
            shown += _lower_levels(of_promise) if wish.alpha is None else of_promise[:1]
            continue
        for alpha in sorted({row.alpha for row in of_promise}):
            at_level = [row for row in of_promise if row.alpha == alpha]
            before = len(shown)
            if wish.alpha is None or wish.usd is not None:
                most = max(row.prospect.share for row in at_level)
                shown.append(next(row for row in at_level if row.prospect.share >= most - LITTLE))
            else:
                shown += _larger_shares(at_level)
            at_hand = next((row for row in at_level if row.n == number), None)
            if promise == unbeaten[0].promise and at_hand is not None and at_hand not in shown[before:]:
                shown[before:] = sorted([at_hand, *shown[before:]], key=lambda row: row.n)
    return shown


def _lower_levels(rows: Sequence[FrontierRow]) -> list[FrontierRow]:
    """Of rows in the order of their cost, each whose level is clearly lower than that of the one before."""
    kept = [rows[0]]
    for row in rows[1:]:
        if row.alpha <= LOWER * kept[-1].alpha:
            kept.append(row)
    return kept


def _larger_shares(rows: Sequence[FrontierRow]) -> list[FrontierRow]:
    """Of rows in the order of their cost, each that trusts clearly more than the one before."""
    kept = [rows[0]]
    for row in rows[1:]:
        if row.prospect.share >= kept[-1].prospect.share + GAIN:
            kept.append(row)
    return kept
