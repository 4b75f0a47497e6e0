"""Foretells the cost of a watch: the next visit, each later one, and a month of visits."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import Estimate, are_stored, estimate
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.study.job import Terms
from blackbox_conformal.study.stages.draws import output_check
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.blocks import Block, Faces, Facts, How, Note, Table
from blackbox_conformal.support.text import money
from blackbox_conformal.watching.records import Canary, Visit, WatchDraw, Watched
from blackbox_conformal.watching.visit.canaries import (
    Planted,
    calibrated_draws,
    planned_draws,
    planted,
    stored_draws,
    task_of,
)

# Visits until a change is found, as measured by `examples/watch_rates.py`.


@dataclass(frozen=True, slots=True)
class Speed:
    """Visits from a change to its alarm; None: more than 100.

    Attributes
    ----------
    canaries
        Pictures at a visit; the change comes after 30 visits.
    shift
        How far the change moves a feature, in standard deviations of the vendor's draws.
    """

    canaries: int
    shift: float
    median: int | None
    ninety: int | None


SPEEDS = (
    Speed(4, 0.5, None, None),
    Speed(4, 1.0, 24, None),
    Speed(4, 2.0, 6, 9),
    Speed(4, 5.0, 6, 6),
    Speed(8, 0.5, None, None),
    Speed(8, 1.0, 9, 17),
    Speed(8, 2.0, 6, 6),
    Speed(8, 5.0, 6, 6),
    Speed(16, 0.5, 22, None),
    Speed(16, 1.0, 6, 9),
    Speed(16, 2.0, 6, 6),
    Speed(16, 5.0, 6, 6),
)


def speeds(canaries: int) -> tuple[Speed, ...]:
    """Return the speeds for the largest measured number of canaries up to `canaries`; empty: none is that small."""
    measured = [speed.canaries for speed in SPEEDS if speed.canaries <= canaries]
    # Speeds between measured numbers would be invented.
    return tuple(speed for speed in SPEEDS if measured and speed.canaries == max(measured))


def speed_of(canaries: int, shift: float) -> Speed | None:
    """Return the speed for the largest measured shift up to the size of `shift`; None: none is that small."""
    return max(
        (speed for speed in speeds(canaries) if speed.shift <= abs(shift)), key=lambda it: it.shift, default=None
    )


DAYS = 30
WEEKS = 52 / 12


@dataclass(frozen=True, slots=True)
class VisitOutlook(Faces):
    """Calls and prices of a watch, without fresh photographs.

    Attributes
    ----------
    next_visit, later_visit
        The next visit, and each one after it; the first visit of a watch also repeats a request.
    planted
        How far small changes move the canaries; empty without two reference draws of one canary.
    """

    canaries: int
    next_visit: Estimate
    later_visit: Estimate
    planted: Sequence[Planted]

    @property
    def promises(self) -> list[tuple[Planted, Speed | None]]:
        """Return each planted change and its speed; None: not known."""
        return [(one, speed_of(self.canaries, one.shift)) for one in self.planted]

    def blocks(self) -> Iterator[Block]:
        """Show the cost of a visit and of a month, and how fast changes are found."""
        prices = {"daily": self.month_usd(DAYS), "weekly": self.month_usd(WEEKS)}
        months = {
            f"a month, {often}": "unknown: give -p price-usd=…" if usd is None else money(*usd)
            for often, usd in prices.items()
        }
        visits = {"next_visit": self.next_visit, "later_visit": self.later_visit}
        data = {
            "canaries": self.canaries,
            **{name: {"calls": one.calls, "cost_usd": one.cost_usd} for name, one in visits.items()},
            "month_usd": prices,
        }
        yield Facts(
            {
                "canaries": str(self.canaries),
                "the next visit": _priced(self.next_visit),
                "each later one": _priced(self.later_visit),
                **months,
            },
            data,
        )
        found = speeds(self.canaries)
        last: dict[str, How] = {
            "half of changes": lambda row: _visits(row, "median"),
            "90 % of changes": lambda row: _visits(row, "ninety"),
        }
        rows = [{"standard_deviations": one.shift, "median": one.median, "ninety": one.ninety} for one in found]
        of = found[0].canaries if found else 0
        title = f"Visits from a change to the alarm, with {of} canaries, after 30 visits"
        yield Table("visits_to_alarm", {"standard deviations": "{standard_deviations:g}", **last}, rows, title=title)
        changes = [
            {
                "change": one.change,
                "feature": one.feature,
                "standard_deviations": one.shift,
                "median": None if speed is None else speed.median,
                "ninety": None if speed is None else speed.ninety,
                "known": speed is not None,
            }
            for one, speed in self.promises
        ]
        columns: dict[str, How] = {
            "change": "{change}",
            "moves most": "{feature}",
            "standard deviations": "{standard_deviations:+.1f}",
            **last,
        }
        title = "The same for small changes, planted in the canaries' stored draws"
        yield Table("planted_changes", columns, changes, title=title)
        yield Note(
            "A vendor that answers equal requests equally is told at the first visit after a change of more than 1 of "
            "255; that visit may take four calls more."
        )

    def month_usd(self, visits: float) -> tuple[Decimal, Decimal] | None:
        """Return the lowest and highest price of this many later visits; None: no price is known."""
        if self.later_visit.cost_usd is None:
            return None
        low, high = self.later_visit.cost_usd
        # A twelfth of a year is no whole number of weeks, so visits come in fractions.
        times = Decimal(visits).quantize(Decimal("0.01"))
        return ((low * times).quantize(Decimal("0.01")), (high * times).quantize(Decimal("0.01")))


def _priced(expected: Estimate) -> str:
    price = "price unknown" if expected.cost_usd is None else money(*expected.cost_usd)
    return f"{expected.calls} calls at most, {price}"


def _visits(row: Mapping[str, Any], name: str) -> str:
    if not row.get("known", True):
        return "unknown"
    return "over 100" if row[name] is None else str(row[name])


def look_ahead(
    setup: Setup, terms: Terms, watch: Watched, canaries: Sequence[Canary], visits: Sequence[Visit]
) -> VisitOutlook:
    """Foretell a watch after these visits; a vendor that takes seeds is expected to repeat itself."""
    ordered = {canary.position: canary for canary in canaries}

    def price(draws: Sequence[WatchDraw]) -> Estimate:
        tasks = [task_of(ordered[draw.canary], draw) for draw in draws]
        return estimate(setup.adapter, terms.folder, terms.limits, tasks)

    opened = [each for each in visits if not each.ended_at]
    ended = [each for each in visits if each.ended_at]
    following = opened[0].draws if opened else planned_draws(setup, watch, canaries, ended)
    first = planned_draws(setup, replace(watch, repeats_itself=None), canaries, ())
    # The first visit is the largest; later ones draw fresh canaries alone.
    later = [draw for draw in first if draw.purpose == "fresh"]
    if setup.adapter.capabilities.seedable and watch.repeats_itself is not False:
        later.append(later[0])
    return VisitOutlook(len(canaries), price(following), price(later), _planted(setup, terms, ordered, first))


def _planted(
    setup: Setup, terms: Terms, canaries: Mapping[int, Canary], draws: Sequence[WatchDraw]
) -> Sequence[Planted]:
    tasks: dict[int, list[Task]] = defaultdict(list)
    for draw in calibrated_draws(draws):
        if draw.purpose == "reference":
            tasks[draw.canary].append(task_of(canaries[draw.canary], draw))
    usable = [own for own in tasks.values() if len(own) > 1 and are_stored(setup.adapter, own, terms.folder)]
    if not usable:
        return ()
    with Sampler(setup.adapter, terms.folder, terms.limits, check=output_check(setup)) as sampler:
        found = [stored_draws(setup, sampler, own) for own in usable]
    return planted([each for each in found if each is not None]) if any(found) else ()
