"""Foretell what a calibration costs and which levels it can reach. Sends and writes nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from pathlib import Path

from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.spending.estimate import Estimate, calls_again, estimate, has_jobs
from blackbox_conformal.drawing.spending.prices import KnownPrices
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.control_variates import GIVEN, REACH, PaidForetold
from blackbox_conformal.method.audits.detail_shares import VENDOR
from blackbox_conformal.method.audits.vendor_claim import ClaimForetold, VendorClaim
from blackbox_conformal.method.guarantees.by_score import for_each, in_smallest
from blackbox_conformal.method.guarantees.guarantee import Guarantee, number_in_words, usual_levels
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.plan.expected_shares import measured_shares
from blackbox_conformal.study.plan.frontier import Frontier, Wish, measured_frontier
from blackbox_conformal.study.plan.promises import promises_detail, ways
from blackbox_conformal.study.stages.memory import BASE_BYTES
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support import catalog
from blackbox_conformal.support.blocks import Block, Faces, Facts, Figure, Note, Table
from blackbox_conformal.support.plots import Bar, Bars
from blackbox_conformal.support.text import counted, mebibytes, money
from blackbox_conformal.vendor.adapter import FREE, Price
from blackbox_conformal.vendor.rates import least_seconds

COMPARED_DRAWS = (1, 8)  # Numbers of draws for which measured shares ship with the package.


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan(Estimate, Faces):
    """Calls, money, time and levels of a calibration.

    Attributes
    ----------
    n, draws
        Photographs that count, and draws of each.
    memory_bytes
        Peak memory; None: the photographs are not known.
    reachable_alpha
        The smallest level at which `n` photographs could trust anything.
    needed_n
        Level → the fewest photographs that can reach it.
    usd_a_photograph
        Lowest and highest price of one more photograph with all its draws, by the sizes of the photographs at hand or
        else over all sizes; None: not known.
    price_source
        Where and when the price was read; None: not known.
    price_rule
        What the price depends on, or a note on a price not in US dollars; empty: nothing.
    frontier
        What promises are expected to trust; None: not asked.
    foretold
        What a cascade is expected to pass on; None: nothing, or not known.
    paid
        How many answers an audit or a comparison must buy, with free pictures and without; None: not known.
    claim
        How many answers a test of a vendor's claim must buy; None: not asked, or not known.
    score_groups
        How many groups by median score each have a threshold, which `reachable_alpha` and `needed_n` allow for.
    watching
        Calls of the first visit of `watch` and of each later one; None: there is nothing to watch.
    """

    n: int
    draws: int
    memory_bytes: int | None
    reachable_alpha: float
    needed_n: dict[str, int]
    usd_a_photograph: tuple[Decimal, Decimal] | None
    price_source: str | None
    price_rule: str = ""
    frontier: Frontier | None = None
    foretold: Foretold | None = None
    paid: PaidForetold | None = None
    claim: ClaimForetold | None = None
    score_groups: int = 1
    watching: tuple[int, int] | None = None

    def in_score_groups(self, count: int, rule: Guarantee, bound: float) -> Plan:
        """Plan for the same photographs in so many groups by median score; `bound`: the largest error that counts."""
        return replace(
            self,
            score_groups=count,
            reachable_alpha=rule.reachable_alpha(in_smallest(self.n, count), rule.loss_bound(bound)),
            needed_n={level: for_each(needed, count) for level, needed in self.needed_n.items()},
        )

    @property
    def usd_a_draw(self) -> tuple[Decimal, Decimal] | None:
        """Return the lowest and highest price of one draw; None when it is not known."""
        if self.usd_a_photograph is None:
            return None
        low, high = self.usd_a_photograph
        return low / self.draws, high / self.draws

    def with_frontier(
        self, setup: Setup, wish: Wish, guarantee: str | Guarantee | None, typed: Collection[str]
    ) -> Plan:
        """Add the rows that ship with the package; `typed`: the settings of the procedure that the user chose."""
        draws = () if {"draws", "score"} & set(typed) else COMPARED_DRAWS
        compared = ways(setup, draws, deliver_consistent="delivery" not in typed)
        if "score" not in typed:
            # Errors were measured with scores of their own, detail with the usual one.
            detail = [way for way in compared if promises_detail(way)]
            compared = [*detail, *map(measured_shares().as_measured, compared)]
        wish = replace(wish, guarantee=setup.usual_guarantee)
        return replace(self, frontier=measured_frontier(compared, wish, self.usd_a_draw, self.n, guarantee))

    def blocks(self) -> Iterator[Block]:
        """Show calls, price and levels, and each promise's expected share or each level's needed photographs."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "frontier"}
        numbers["paid"] = None if self.paid is None else asdict(self.paid)
        numbers["claim"] = None if self.claim is None else asdict(self.claim)
        numbers["foretold"] = None if self.foretold is None else asdict(self.foretold)
        calls = f"{self.calls} to make, {self.cached} draws stored"
        if self.passed_on:
            calls += f"; up to {self.passed_on} more to later vendors of the cascade"
        if self.passed_on and (told := self.foretold) is not None:
            bill = "" if told.usd is None else f" and the bill {money(*told.usd)}"
            calls += f", about {told.expected}, in nine of ten cases {told.least} to {told.most}{bill}"
        if self.cost_usd is None:
            price = f"unknown in US dollars: {self.price_rule}" if self.price_rule else "unknown: give -p price-usd=…"
        else:
            price = money(*self.cost_usd) + (f" ({self.price_source})" if self.price_source else "")
        yield Facts(
            {
                "photographs": f"{self.n}, {counted(self.draws, 'draw')} each",
                "groups by score": self._groups_in_words() if self.score_groups > 1 else None,
                "calls": calls,
                "price": price,
                "a photograph": f"{self._more(1)}, {self.price_rule}" if self.price_rule and self.cost_usd else None,
                "disk, memory": f"{mebibytes(self.disk_bytes)}, {mebibytes(self.memory_bytes)}",
                "watching": self._watching_in_words(),
                "reachable alpha": f"{self.reachable_alpha:.4g} with these {self.n} photographs",
            },
            numbers,
        )
        if self.paid is not None:
            yield Note(self._paid_in_words(self.paid))
        if self.claim is not None:
            yield Note(self.claim.sentence(lambda n: f"{n * self.draws} paid calls{self._calls(n)}"))
        if self.frontier is not None:
            yield from self.frontier.blocks(self.n)
        yield Table(
            "needed",
            {
                "alpha": "{alpha:g}",
                "photographs": lambda row: number_in_words(row["needed_n"]) if row["needed_n"] else "any",
                "missing": lambda row: number_in_words(max(0, row["needed_n"] - self.n)),
                "price of the missing": lambda row: self._more(max(0, row["needed_n"] - self.n)),
            },
            [{"alpha": float(level), "needed_n": n} for level, n in self.needed_n.items()],
            {},
            title="Fewest photographs for a level",
        )
        bars = [Bar(f"alpha = {level}", n, "realised") for level, n in self.needed_n.items()]
        yield Figure([Bars("Photographs that a level needs at least", "", bars, digits=0)])

    def _paid_in_words(self, told: PaidForetold) -> str:
        if told.paid >= told.alone:
            return f"By {told.source} free pictures save an audit no call: the risk to ± {REACH:g} takes {told.alone}."
        price = f"{cost} instead of {self._more(told.alone)}" if (cost := self._calls(told.paid)) else ""
        return (
            f"By {told.source} an audit estimates the risk to ± {REACH:g} with about {told.paid} paid calls instead of "
            f"{told.alone}{price}: give it {GIVEN * told.paid} photographs and --paid {told.paid}. `compare --paid "
            f"{told.paid}` buys as many from each vendor to measure, and besides all photographs that calibrate. "
            "That narrows the estimates, and hardly the interval of an audit's verdict."
        )

    def _watching_in_words(self) -> str | None:
        if self.watching is None:
            return None
        first, later = self.watching
        priced = self.usd_a_draw is not None and self.usd_a_draw[1] > 0
        price = f", {money(*(later * end for end in self.usd_a_draw))}" if priced and self.usd_a_draw else ""
        return f"{later} calls a visit of `watch`{price}, {first} at the first"

    def _calls(self, photographs: int) -> str:
        priced = self.usd_a_photograph is not None and self.usd_a_photograph[1] > 0
        return f", {self._more(photographs)}" if priced else ""

    def _groups_in_words(self) -> str:
        alike = for_each(self.n, self.score_groups)
        more = alike - self.n
        return (
            f"{self.score_groups}, with at least {in_smallest(self.n, self.score_groups)} photographs each. With "
            "two networks they cost 13 to 16 points of the clear share with 9 in each, 3 to 5 with 19, 2 to 4 with 39. "
            f"As many in each as without groups are {alike} photographs, {more * self.draws} more calls"
            f"{self._calls(more)}"
        )

    def _more(self, photographs: int) -> str:
        if self.usd_a_photograph is None:
            return "unknown"
        low, high = self.usd_a_photograph
        return money(low * photographs, high * photographs)

    def __repr__(self) -> str:
        price = "unknown" if self.cost_usd is None else money(*self.cost_usd)
        return (
            f"<Plan for {self.n} photographs, {counted(self.draws, 'draw')} each: {counted(self.calls, 'call')} to "
            f"make, {self.cached} draws stored, price {price}, alpha from {self.reachable_alpha:.3g}>"
        )


@dataclass(frozen=True, slots=True)
class Foretold:
    """Pictures that a cascade of two is expected to pass on, and the bill in nine of ten cases."""

    expected: int
    least: int
    most: int
    usd: tuple[Decimal, Decimal] | None

    @classmethod
    def of(cls, setup: Setup, expected: Estimate) -> Foretold | None:
        """Foretell from the photographs that the rule was fitted on; None where the rule does not name them.

        Exact for photographs like these: how many of m new mean scores lie above the k-th largest of n is negative
        hypergeometric, and the rule lies between the k-th and the next.
        """
        rules = setup.procedure.vendor["parameters"].get("rules") if len(setup.adapter.members) == 2 else None
        if not expected.passed_on or not rules or rules[0]["passed_on"] is None:
            return None
        (k, n), m = rules[0]["passed_on"], expected.passed_on
        least, most = _above(k, n, m)[0], _above(k + 1, n, m)[1]
        usd = None
        if expected.cost_usd is not None:
            low, high = expected.cost_usd
            usd = low + (high - low) * least / m, low + (high - low) * most / m
        return cls(round(m * k / n), least, most, usd)


def _above(k: int, n: int, m: int) -> tuple[int, int]:
    """Return 5 % and 95 % quantiles of how many of m new figures lie above the k-th largest of n; k = 0: above all."""
    if k == 0 or k > n:
        return (0, 0) if k == 0 else (m, m)
    total, below = math.comb(n + m, n), 0
    bounds = []
    for count in range(m + 1):
        below += math.comb(count + k - 1, count) * math.comb(n - k + m - count, m - count)
        bounds.append(below / total)
    return next(i for i, p in enumerate(bounds) if p > 0.05), next(i for i, p in enumerate(bounds) if p >= 0.95)


def plan_job(
    job: Job, rule: Guarantee, *, alpha: float | None = None, quoted: Mapping[tuple[int, int], Decimal] | None = None
) -> Plan:
    """Plan for the photographs of a job, without the draws that its run folder holds.

    `alpha`: A level to plan for beside the usual ones.
    `quoted`: What the vendor asks for a draw, by size of the upload (see `quotes`); None: its price list counts.
    """
    setup, adapter, memory = job.setup, job.setup.adapter, memory_bytes(job)
    expected = job.with_second(estimate(adapter, job.folder, job.limits, job.tasks, quoted=quoted))
    if adapter.capabilities.local:
        price: Price | None = FREE
    elif quoted:
        price = Price(min(quoted.values()), max(quoted.values()), "quoted by the vendor")
    else:
        price = KnownPrices(adapter, job.folder).of_these([task.upload for task in job.tasks])
    return _plan(setup, expected, rule.counted(len(job.pictures)), rule, price, alpha, memory)


def with_last_audit(planned: Plan, job: Job, claim: VendorClaim | None) -> Plan:
    """Add what the last audit in the run folder foretells of others, and of a test of the vendor's `claim`."""
    audited = catalog.hook("pages").last_audit(job.folder)
    if audited is not None:
        planned = replace(planned, paid=audited.foretold)
    if claim is None:
        return planned
    figures = [] if audited is None else [picture.detail for picture in audited.pictures]
    if not any(VENDOR in one for one in figures):
        raise UsageError(
            "expected --claim (claim in Python) beside a pilot, or in the run folder of an audit that measured detail; "
            "got neither. Add --pilot 20 (pilot=20)"
        )
    return replace(planned, claim=ClaimForetold.of(claim, figures, "the pictures of the last audit in this run folder"))


def plan_number(
    setup: Setup, n: int, rule: Guarantee, run: Path, limits: Limits, *, alpha: float | None = None
) -> Plan:
    """Plan for `n` photographs that are not there yet: every draw is a call; room and memory are unknown."""
    if n < 1:
        raise UsageError(f"expected photographs, or how many there will be, at least 1; got {n}")
    if setup.adapter.in_tiles:
        raise UsageError(
            "expected photographs: how many tiles of a cascade there are depends on their size. Give a folder"
        )
    calls, prices = 0, [Decimal(0), Decimal(0)]
    priced = True
    for adapter, draws in ((setup.adapter, setup.procedure.draws), (setup.second, 1)):
        if adapter is None or adapter.capabilities.local:
            continue
        price = KnownPrices(adapter, run).of_any()
        calls += n * draws
        priced = priced and price is not None
        if price is not None:
            prices = [prices[0] + n * draws * price.low_usd, prices[1] + n * draws * price.high_usd]
    rates = limits.for_vendor(setup.adapter.capabilities).rates or ()
    expected = Estimate(
        calls=calls,
        cached=0,
        cost_usd=(prices[0], prices[1]) if priced else None,
        seconds=least_seconds(rates, calls, calls if has_jobs(setup.adapter) else 0),
        disk_bytes=None,
        again=calls * calls_again(limits),
    )
    local = setup.adapter.capabilities.local
    return _plan(setup, expected, n, rule, FREE if local else KnownPrices(setup.adapter, run).of_any(), alpha, None)


def _plan(
    setup: Setup,
    expected: Estimate,
    n: int,
    rule: Guarantee,
    price: Price | None,
    alpha: float | None,
    memory: int | None,
) -> Plan:
    bound, draws = rule.loss_bound(setup.metric.capped_bound), setup.procedure.draws
    levels = sorted({*usual_levels(bound, rule), *([] if alpha is None else [alpha])})
    return Plan(
        **asdict(expected),
        n=n,
        draws=draws,
        memory_bytes=memory,
        reachable_alpha=rule.reachable_alpha(n, bound),
        needed_n={f"{level:g}": rule.fewest_images(level, setup.metric.capped_bound) for level in levels},
        usd_a_photograph=None if price is None else (price.low_usd * draws, price.high_usd * draws),
        price_source=None if price is None else price.source + (f", read {price.read_on}" if price.read_on else ""),
        price_rule=setup.adapter.unpriced if price is None else price.rule,
        foretold=Foretold.of(setup, expected),
        watching=catalog.hook("watch").calls_of_visits(setup),
    )


def memory_bytes(job: Job) -> int:
    """Return peak memory: the two largest pictures at once, over a fixed base."""
    largest = sorted((height * width for height, width in (picture.size for picture in job.pictures)), reverse=True)
    return BASE_BYTES + job.pixel_bytes * sum(largest[:2])
