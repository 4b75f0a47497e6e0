"""The rule of a cascade from photographs: which share is passed on, its price, and that they calibrate no more."""

from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from study.test_cascades import KINDS, Network, of_servers
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.plan.planning import _above
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = {**KINDS, "guarantee": "expected", "score_of_rule": "texture"}


def test_a_share_is_passed_on_and_the_photographs_calibrate_no_more(tmp_path):
    cheap, dear = Network("cheap", invents=True), Network("dear", invents=False)
    photographs = write_photographs(tmp_path / "fit", range(40, 52))
    run = tmp_path / "run"
    fit = bc.fit_cascade(cheap.vendor, dear.vendor, photographs, 0.5, pass_on=0.5, run=run, **CHOICES)
    assert (cheap.calls, dear.calls) == (12, 12)
    assert (fit.chosen.passed, fit.chosen.n) == (6, 12)
    assert [row.passed for row in fit.rows] == sorted({row.passed for row in fit.rows})
    assert (fit.rows[0].passed, fit.rows[-1].passed) == (0, 12)
    side, limit = fit.chosen.limit
    assert fit.rule == {"score": "texture", side: limit, "passed_on": [6, 12]}
    assert f"{side} = {limit!r}" in fit.toml
    assert [row["passed"] for row in fit.document()["shares"]] == [row.passed for row in fit.rows]
    with pytest.raises(UsageError, match="looked at before"):
        bc.calibrate(fit.vendor, photographs, run=run, **KINDS)
    # By itself it takes the smallest share that trusts as much as the dear vendor alone.
    best = bc.fit_cascade(cheap.vendor, dear.vendor, photographs, 0.5, run=run, **CHOICES)
    assert best.chosen.trusted_share >= best.rows[-1].trusted_share
    assert all(row.trusted_share < best.rows[-1].trusted_share for row in best.rows if row.passed < best.chosen.passed)
    assert (cheap.calls, dear.calls) == (12, 12)
    with pytest.raises(UsageError, match="pass_on from 0 to 1"):
        bc.fit_cascade(cheap.vendor, dear.vendor, photographs, 0.5, pass_on=30, run=run, **CHOICES)


def test_a_plan_foretells_the_bill_by_the_share(tmp_path):
    photographs = write_photographs(tmp_path / "photographs", range(8))
    with FaultServer() as cheap, FaultServer() as dear:
        members = of_servers(cheap.url, dear.url).members
        vendor = bc.cascade(*members, rules=[{"score": "texture", "at_most": 0.05, "passed_on": (10, 40)}])
        plan = bc.plan(vendor, photographs, run=tmp_path / "run", **KINDS)
    told = plan.foretold
    assert (told.expected, told.least, told.most) == (2, _above(10, 40, 8)[0], _above(11, 40, 8)[1])
    assert told.usd == (Decimal("0.08") + Decimal("0.01") * told.least, Decimal("0.08") + Decimal("0.01") * told.most)
    assert "in nine of ten cases" in repr(list(plan.blocks()))


def test_how_many_lie_above_follows_from_all_orders():
    """The twin: every way in which 3 new figures may stand among 4 others is equally likely."""
    for k in range(1, 5):
        counts = []
        for new in combinations(range(7), 3):
            others = [place for place in range(7) if place not in new]
            counts.append(sum(place > others[-k] for place in new))
        share = [np.mean(np.array(counts) <= count) for count in range(4)]
        least = next(count for count in range(4) if share[count] > 0.05)
        assert _above(k, 4, 3) == (least, next(count for count in range(4) if share[count] >= 0.95))
