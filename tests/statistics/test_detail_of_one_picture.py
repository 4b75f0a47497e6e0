"""Shares of detail in single pictures and in one calibration: rules keep what they say, with ties; broken ones do not.

A population of pictures stands for all: calibrations draw from it with replacement, so that its means are known.
"""

import math
import re

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.corollaries import in_short
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted

PICTURES, SCORES = 600, 6
CEILING = 0.9
LEVELS = {"marked": 0.35, "clear-share": 0.3}
SAID = re.compile(
    r"(?:With confidence (?P<sure>[\d.]+), )?(?:on average over|In at least (?P<pictures>[\d.]+) % of) pictures "
    r"like the 39 calibrated(?: \(confidence (?P<sure_of_pictures>[\d.]+)\))?, "
    r"(?:at least (?P<hatched>[\d.]+) % of detail invented or removed is hatched"
    r"|at most (?P<invented>[\d.]+) % of detail added in clear parts is invented)\.",
    re.IGNORECASE,
)
"""Short promises, as a reader takes them."""


def picture(rng):
    """Tied scores, and energies of invented and of added detail; which scores it has is the picture's own matter."""
    steps = rng.choice(SCORES, (8, 8), p=rng.dirichlet(np.ones(SCORES)))
    whole = rng.exponential(200, (8, 8)) * rng.random()
    share = (steps + 0.5) / SCORES * rng.random() ** 0.5
    scores = steps.astype(np.float32) / 8
    return scores, Energies((whole * share).astype(np.float32), whole.astype(np.float32))


def lost(kind, scores, energies, t):
    """The share that is promised, straight from the mask."""
    below = trusted(scores, t)
    if kind == "marked":
        return energies.part[below].sum() / (energies.part.sum() + energies.part.size)
    return energies.part[below].sum() / max(energies.whole[below].sum(), 0.05 * energies.whole.sum())


@pytest.fixture(scope="module")
def population():
    """The curves of each kind, and (pictures, scores + 1) what is lost below each score, then of everything."""
    rng = np.random.default_rng(70)
    every = [picture(rng) for _ in range(PICTURES)]
    curves = [RiskCurve.from_maps(s, e.part, bound=1e9).of_detail(s, e, CEILING) for s, e in every]
    found = {}
    for place, kind in enumerate(LEVELS):
        at = [*(k / 8 for k in range(SCORES)), CEILING]
        table = np.array([[lost(kind, *one, t) for t in at] for one in every])
        found[kind] = CurveSet.from_curves([both[place] for both in curves]), table
    return found


def column(t):
    """The place of a threshold in the table of what is lost; -1 where nothing is trusted."""
    return -1 if t == -math.inf else min(math.ceil(t * 8), SCORES)


def at_place(table, place):
    return table[:, min(place, SCORES)] if place >= 0 else np.zeros(len(table))


def calibrations(curves, rng, n, runs):
    for _ in range(runs):
        yield curves.subset(rng.integers(0, len(curves), n))


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("delta", [0.1, 0.3])
def test_single_pictures_miss_as_seldom_as_is_said_and_the_literal_rule_breaks_it(tools, population, kind, delta):
    curves, table = population[kind]
    rng, alpha = np.random.default_rng([71, int(10 * delta)]), LEVELS[kind]
    rule = guarantee("per-image", of=kind, delta=delta)
    strict, literal = [], []
    for calibration in calibrations(curves, rng, 39, 300):
        place = column(rule.threshold(calibration, alpha))
        strict.append((at_place(table, place) > alpha).mean())
        literal.append((at_place(table, place + 1) > alpha).mean())
    assert tools.verdict(strict).keeps(delta)
    assert tools.verdict(strict).mean > 0.02
    assert tools.verdict(literal).breaks(delta)


@pytest.mark.parametrize("kind", LEVELS)
def test_the_rule_of_a_mean_misses_more_pictures_than_the_rule_of_single_ones(tools, population, kind):
    curves, table = population[kind]
    rng, alpha = np.random.default_rng(72), LEVELS[kind]
    missed = [
        (at_place(table, column(guarantee(kind).threshold(calibration, alpha))) > alpha).mean()
        for calibration in calibrations(curves, rng, 39, 200)
    ]
    assert tools.verdict(missed).breaks(0.1)


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("method", [{}, {"method": "hoeffding-bentkus"}], ids=["mixture", "hoeffding-bentkus"])
def test_one_calibration_is_wrong_as_seldom_as_is_said_and_the_rule_of_a_mean_more_often(
    tools, population, kind, method
):
    curves, table = population[kind]
    rng, n, delta = np.random.default_rng(73), 400, 0.1
    # A level just below what some threshold loses, which a rule that heeds no luck takes too often.
    means = [at_place(table, place).mean() for place in range(SCORES)]
    alpha = round(float(means[2]), 4) - 1e-4
    rule = guarantee("high-probability", of=kind, delta=delta, **method)
    wrong, average_wrong, places = [], [], []
    for calibration in calibrations(curves, rng, n, 200):
        places.append(column(rule.threshold(calibration, alpha)))
        wrong.append(at_place(table, places[-1]).mean() > alpha)
        average = column(guarantee(kind).threshold(calibration, alpha))
        average_wrong.append(at_place(table, average).mean() > alpha)
    assert tools.verdict(wrong).keeps(delta)
    assert max(places) > 0, "something is trusted"
    assert tools.verdict(average_wrong).breaks(delta)


@pytest.mark.parametrize("kind", LEVELS)
def test_with_outsiders_that_lose_everything_the_miss_rate_is_kept_and_without_the_allowance_it_is_not(
    tools, population, kind
):
    curves, table = population[kind]
    rng, alpha, delta, outsiders = np.random.default_rng(74), LEVELS[kind], 0.2, 0.1
    missed = {outsiders: [], 0.0: []}
    for calibration in calibrations(curves, rng, 59, 300):
        for allowed, rates in missed.items():
            rule = guarantee("per-image", of=kind, delta=delta, outsiders=allowed)
            place = column(rule.threshold(calibration, alpha))
            inside = (at_place(table, place) > alpha).mean()
            rates.append((1 - outsiders) * inside + outsiders * (place >= 0))
    assert tools.verdict(missed[outsiders]).keeps(delta)
    assert tools.verdict(missed[0.0]).mean > tools.verdict(missed[outsiders]).mean + 0.02


def said_wrongly(said, population, places):
    """What a short promise bounds, for each calibration, with its bound: by its words alone."""
    found = SAID.fullmatch(said)
    number = {name: float(value) for name, value in found.groupdict().items() if value is not None}
    kind = "marked" if "hatched" in number else "clear-share"
    level = 1 - number["hatched"] / 100 if "hatched" in number else number["invented"] / 100
    values = []
    for place in places:
        losses = at_place(population[kind][1], place)
        values.append((losses > level + 1e-9).mean() if "pictures" in number else losses.mean())
    bound = 1 - number["pictures"] / 100 if "pictures" in number else level
    sure = number.get("sure", number.get("sure_of_pictures"))
    return (values, bound) if sure is None else (np.greater(values, bound), 1 - sure)


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("", {}),
        ("per-image", {"delta": 0.3}),
        ("per-image", {"delta": 0.3, "confidence": 0.8}),
        ("high-probability", {"delta": 0.2}),
    ],
)
def test_the_short_promise_is_kept_as_it_reads_and_one_that_says_more_is_not(tools, population, kind, name, parameters):
    rule = guarantee(name, of=kind, **parameters) if name else guarantee(kind)
    rng, alpha = np.random.default_rng(77), LEVELS[kind]
    places = [column(rule.threshold(one, alpha)) for one in calibrations(population[kind][0], rng, 39, 300)]
    assert max(places) > 0, "an empty mask keeps every promise"

    def kept(level):
        values, bound = said_wrongly(in_short(rule, level, 39, {"name": "invention"}), population, places)
        return tools.verdict(values), bound

    true, bound = kept(alpha)
    assert true.keeps(bound)
    more, bound = kept(alpha / 4)
    assert more.breaks(bound)
