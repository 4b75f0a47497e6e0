"""Fit the rule of a cascade, on photographs that do not calibrate, by the price and trust of each share passed on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from blackbox_conformal.drawing.spending.prices import KnownPrices
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import Exact
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.choose.scored import Candidate, TuningCurves, scored_at
from blackbox_conformal.study.choose.tuning import measure
from blackbox_conformal.study.from_keywords import named_keywords, setup_of, terms_of
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.plugins import cascade
from blackbox_conformal.study.run_folder import run_folder
from blackbox_conformal.study.settings_table import CascadeSettings
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.unseen_photographs import note_looked_at
from blackbox_conformal.support.blocks import Block, Faces, Facts, Table
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.text import money
from blackbox_conformal.support.wording import share
from blackbox_conformal.vendor.adapter import Adapter

ALL = 1e30  # A mean score that no answer exceeds; no answer is below its negative.
STEPS = 10  # Shares to compare, besides none.


@dataclass(frozen=True, slots=True)
class PassedOn:
    """Cost and trust of passing on some of the photographs."""

    passed: int  # How many are passed on, by the largest mean score, or the smallest.
    n: int
    # ``at_most`` or ``at_least``, and the mean score up to which, or from which, an answer suffices.
    limit: tuple[str, float]
    interval: tuple[float, float]  # Share of new photographs that is passed on, with 90 % confidence.
    # Price of a picture at this share and at both ends of the interval; None: not known.
    usd: tuple[Decimal, Decimal, Decimal] | None
    trusted_share: float  # At the threshold that calibrating on as many others would choose.


@dataclass(frozen=True, slots=True, repr=False)
class CascadeFit(Faces):
    """The cascade with its fitted rule, and every compared share.

    Attributes
    ----------
    vendor
        What to calibrate, on other photographs.
    rows
        By the share passed on, from none to all.
    chosen
        The row of the rule.
    """

    vendor: Adapter
    rows: tuple[PassedOn, ...]
    chosen: PassedOn
    alpha: float

    @property
    def rule(self) -> dict[str, Any]:
        """Return the rule as `bc.cascade` takes it."""
        found: dict[str, Any] = self.vendor.identity()["parameters"]["rules"][0]
        return {name: value for name, value in found.items() if value is not None}

    @property
    def toml(self) -> str:
        """Return the rule as it stands in cascade.toml."""
        chosen = self.chosen
        return f"[[rules]]\n{chosen.limit[0]} = {chosen.limit[1]!r}\npassed_on = [{chosen.passed}, {chosen.n}]\n"

    def __repr__(self) -> str:
        chosen = self.chosen
        return (
            f"<CascadeFit at alpha={self.alpha:g}: {chosen.passed} of {chosen.n} photographs passed on, "
            f"{share(chosen.trusted_share)} trusted>"
        )

    def blocks(self) -> Iterator[Block]:
        """Show the price and trust of each share, and the rule."""
        yield Table(
            "shares",
            {
                "passed on": lambda row: (
                    f"{share(row['passed'] / row['n'])} ({share(row['low'])} to {share(row['high'])})"
                ),
                "price of a picture": lambda row: "unknown" if row["usd"] is None else money(*row["usd"][1:]),
                "trusted share": lambda row: share(row["trusted_share"]),
            },
            [
                {
                    "passed": row.passed,
                    "n": row.n,
                    "low": row.interval[0],
                    "high": row.interval[1],
                    "usd": row.usd,
                    "trusted_share": row.trusted_share,
                }
                for row in self.rows
            ],
            title=f"Shares passed on at alpha={self.alpha:g}, with 90 % intervals",
        )
        yield Facts({"rule": f"{self.chosen.limit[0]} = {self.chosen.limit[1]:.4g}"}, {"rule": self.rule})


@named_keywords
@photographs_as_files("photographs")
def fit_cascade(
    cheap: Adapter,
    dear: Adapter,
    photographs: Photographs,
    alpha: float,
    *,
    pass_on: float | None = None,
    score_of_rule: str = "predicted-invention",
    **settings: Unpack[CascadeSettings],
) -> CascadeFit:
    """Fit the rule of a cascade on photographs that will not calibrate; both vendors draw each of them once.

    The run folder notes the photographs, so that `calibrate` refuses them.

    Parameters
    ----------
    photographs
        Files and folders, or pictures in memory, as for `calibrate`.
    alpha
        The level at which trusted shares are compared.
    pass_on
        The share of pictures to pass on; None: the smallest with which as much is trusted as with the dear vendor
        alone.
    score_of_rule
        The score whose mean the rule looks at.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.
    """
    if pass_on is not None and not 0 <= pass_on <= 1:
        raise UsageError(f"expected pass_on from 0 to 1, the share of pictures to pass on; got {pass_on!r}")
    asks = {
        most: setup_of(cascade(cheap, dear, rules=[{"score": score_of_rule, "at_most": most}]), settings)
        for most in (-ALL, ALL)
    }
    setup = asks[-ALL]
    rule = setup.promised(settings.get("guarantee"))
    rule.check_level(alpha, rule.loss_bound(setup.metric.capped_bound))
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    job = Job.of_photographs(setup, photograph_paths(photographs), terms)
    job.confirm()
    of_dear = job.gathered("fitting", partial(_look, rule))
    of_cheap = job.chosen(asks[ALL]).gathered("fitting", partial(_look, rule))
    note_looked_at(job.folder, (drawn.prepared for drawn, _ in of_dear), specification_text(setup.score), 1, alpha)
    by_cheap = {drawn.prepared.input_digest: looked for drawn, looked in of_cheap}
    seen = [(by_cheap[drawn.prepared.input_digest], looked) for drawn, looked in of_dear]
    found = []
    for rows in (_rows(job, seen, alpha, rule, pass_on, sign) for sign in (1, -1)):
        enough = (each for each in rows if each.trusted_share >= rows[-1].trusted_share)
        best = next(enough) if pass_on is None else min(rows, key=lambda each: abs(each.passed - pass_on * each.n))
        found.append((rows, best))
    # The photographs say which pictures gain most by the dear vendor: the hardest or the easiest.
    rows, best = min(found, key=lambda each: (each[1].passed if pass_on is None else 0, -each[1].trusted_share))
    fitted = {"score": score_of_rule, best.limit[0]: best.limit[1], "passed_on": (best.passed, best.n)}
    return CascadeFit(cascade(cheap, dear, rules=[fitted]), rows, best, alpha)


def _rows(
    job: Job, seen: Sequence[tuple[_Seen, _Seen]], alpha: float, rule: Guarantee, pass_on: float | None, sign: int
) -> tuple[PassedOn, ...]:
    """Compare shares by what both vendors' answers showed.

    `sign`: 1 where the largest mean scores are passed on, -1 where the smallest are.
    """
    setup, n = job.setup, len(seen)
    # Pictures that the cheap vendor refused are passed on in any case.
    seen = sorted(seen, key=lambda both: -_signed(both[0].figure, sign))
    figures = [_signed(cheap.figure, sign) for cheap, _ in seen]
    price = [KnownPrices(vendor, job.folder).of_any() for vendor in setup.adapter.members]
    usd = None if None in price else tuple(each.high_usd for each in price if each is not None)

    def row(passed: int) -> PassedOn:
        at_most = _between(figures, passed)
        went = np.array(figures) > at_most
        chosen = [both[int(on)].curves for both, on in zip(seen, went, strict=True)]
        sets = TuningCurves(*(CurveSet.from_curves(kind) for kind in zip(*chosen, strict=True)))
        trusted = scored_at(alpha, Candidate(setup.score, 1, ""), sets, n, rule).trusted_share
        interval = Exact().lower(went.astype(float)), Exact().upper(went.astype(float))
        bills = None if usd is None else (_bill(usd, went.mean()), _bill(usd, interval[0]), _bill(usd, interval[1]))
        limit = ("at_most", at_most) if sign > 0 else ("at_least", -at_most)
        return PassedOn(int(went.sum()), n, limit, interval, bills, trusted)

    counts = {round(n * step / STEPS) for step in range(STEPS + 1)} | ({round(n * pass_on)} if pass_on else set())
    return tuple({found.passed: found for found in map(row, sorted(counts))}.values())


@dataclass(frozen=True, slots=True)
class _Seen:
    curves: Sequence[RiskCurve]
    figure: float


def _look(rule: Guarantee, ready: Ready) -> _Seen:
    setup, drawn = ready.setup, ready.drawn
    (curves,) = measure([Candidate(setup.score, 1, "")], rule, ready)
    if drawn.refusal is not None or drawn.outcomes[0].member:
        return _Seen(curves, math.inf)
    return _Seen(curves, setup.adapter.figure(0, drawn.prepared.tasks[0].upload, ready.read(0)))


def _signed(figure: float, sign: int) -> float:
    return figure if math.isinf(figure) else sign * figure


def _between(figures: Sequence[float], passed: int) -> float:
    """Return a mean score below the first `passed` of the descending `figures`, and above the others."""
    if passed == len(figures):
        return -ALL
    if passed == 0:
        return ALL
    least, most = figures[passed], figures[passed - 1]
    return least if math.isinf(most) else least + (most - least) / 2 if most > least else least


def _bill(usd: Sequence[Decimal], part: float) -> Decimal:
    return usd[0] + usd[1] * Decimal(f"{part:.4f}")
