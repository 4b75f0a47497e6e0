"""What a calibration would cost, and the levels that it could reach. Nothing is sent, and nothing is written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from blackbox_conformal.adapter import FREE, Adapter, Price
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.pipeline.stages.memory import BASE_BYTES, PIXEL_BYTES
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.sampling.estimate import estimate, known_price, price_missing
from blackbox_conformal.sampling.limits import Limits


@dataclass(frozen=True, slots=True)
class Plan:
    """Calls, money, time and levels of a calibration.

    Attributes
    ----------
    again
        Calls that may come on top at most, for draws whose answer proves unusable, where limits allow them.
    cost_usd
        Lowest and highest price of what is missing; None when the vendor's price is not known.
    seconds
        At the rate and concurrency allowed; None when nothing is known of either.
    reachable_alpha
        The smallest level at which `n` photographs could trust anything at all.
    usd_a_photograph
        Lowest and highest price of one photograph more, all its draws; None when the price is not known.
    price_source
        Where the price comes from, and when it was read; None when the price is not known.
    needed_n
        Level → the fewest photographs with which it can be reached.
    """

    n: int
    draws: int
    calls: int
    cached: int
    cost_usd: tuple[Decimal, Decimal] | None
    seconds: float | None
    disk_bytes: int
    memory_bytes: int
    reachable_alpha: float
    needed_n: dict[str, int]
    usd_a_photograph: tuple[Decimal, Decimal] | None
    price_source: str | None
    again: int = 0


def plan(
    setup: Setup,
    pictures: Sequence[Prepared],
    rule: Guarantee,
    *,
    run: Path,
    limits: Limits | None = None,
    alpha: float | None = None,
    quoted: Mapping[tuple[int, int], Decimal] | None = None,
) -> Plan:
    """The plan for `pictures`, counting what the run folder already holds.

    Parameters
    ----------
    alpha
        A level to plan for beside the usual ones.
    quoted
        What the vendor itself asks for a draw, by size of the upload (see `quotes`); None = its price list counts.
    """
    tasks = [task for one in pictures for task in one.tasks]
    found = estimate(setup.adapter, run, limits or Limits(), tasks, quoted=quoted)
    price = _price(setup.adapter, quoted, run)
    bound = rule.loss_bound(setup.metric.bound)
    levels = sorted({*usual_levels(bound), *([] if alpha is None else [alpha])})
    return Plan(
        n=rule.counted(len(pictures)),
        draws=setup.procedure.draws,
        calls=found.calls,
        cached=found.cached,
        cost_usd=found.cost_usd,
        seconds=found.seconds,
        disk_bytes=found.disk_bytes,
        memory_bytes=memory_bytes(pictures),
        reachable_alpha=rule.reachable_alpha(rule.counted(len(pictures)), bound),
        needed_n={f"{level:g}": rule.minimum_images(level, bound) for level in levels},
        usd_a_photograph=None
        if price is None
        else (price.low_usd * setup.procedure.draws, price.high_usd * setup.procedure.draws),
        price_source=None if price is None else price.source + (f", read {price.read_on}" if price.read_on else ""),
        again=found.again,
    )


def memory_bytes(pictures: Sequence[Prepared], pixel_bytes: int = PIXEL_BYTES) -> int:
    """Peak memory of the calculation: the two largest pictures at once, over a fixed base."""
    largest = sorted((one.size[0] * one.size[1] for one in pictures), reverse=True)[:2]
    return BASE_BYTES + pixel_bytes * sum(largest)


def _price(adapter: Adapter, quoted: Mapping[tuple[int, int], Decimal] | None, run: Path) -> Price | None:
    """Price of a draw, cheapest and dearest size."""
    if adapter.capabilities.local:
        return FREE
    if quoted:
        return Price(min(quoted.values()), max(quoted.values()), "quoted by the vendor")
    return known_price(adapter, run)


def refuse_unlimited(adapter: Adapter, limits: Limits | None, run: Path) -> None:
    """Refuse to spend money without a limit; what draws in the folder `run` were booked at counts as a price.

    Raises
    ------
    BudgetError
        Draws cost something, or their price is unknown, and neither a cost nor a number of calls is given; or a
        cost is given for a vendor whose price is unknown.
    """
    limits = limits or Limits()
    price = known_price(adapter, run)
    if adapter.capabilities.local or (price is not None and price.high_usd == 0):
        return
    if not limits.spending:
        raise BudgetError(
            f"drawing from {adapter.name} costs money: give max_cost (--max-cost) or max_calls (--max-calls)"
        )
    if limits.max_cost_usd is not None and price is None:
        raise BudgetError(price_missing(adapter))


USUAL = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""For losses of which the largest is about 1."""

NEAR_ONE = (0.5, 5.0)
"""Largest losses for which `USUAL` is used as it is."""


def usual_levels(bound: float) -> tuple[float, ...]:
    """Levels that say something of a loss that is at most `bound`: `USUAL`, times 1, 2 or 5 times a power of ten.

    The factor is the largest such number that is at most half of `bound`.
    """
    low, high = NEAR_ONE
    if low <= bound <= high:
        return USUAL
    decade = 10.0 ** math.floor(math.log10(bound / 2))
    factor = max(step * decade for step in (1, 2, 5) if step * decade <= bound / 2)
    return tuple(float(f"{level * factor:.6g}") for level in USUAL)


def audited_levels(bound: float) -> tuple[float, ...]:
    """`usual_levels` without the lowest, for which an audit would take very many photographs."""
    return usual_levels(bound)[1:]
