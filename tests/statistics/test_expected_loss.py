"""Every guarantee keeps its level, on scores full of ties; each broken variant does not."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.guarantee import guarantee, threshold
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.risk import curve as curve_module
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.method.risk.whole_errors import WholeErrors
from blackbox_conformal.study.choose.floor_fit import DrawnErrors

REPETITIONS = 80
"""At so many, or half as many, each broken variant lies 6 standard errors or more above its level; 3 are asked for."""

LEVELS = np.array([0.02, 0.08, 0.25, 0.46, 0.9, 1.0])
"""Six scores, as few samples of flat 8-bit areas give, and how much each may lose."""


def tied(rng, n):
    """(n, 6) losses on a grid of 256, nondecreasing, with large jumps at scores that every photograph shares."""
    worst = 0.4 + 0.6 * rng.random((n, 1))
    losses = np.maximum.accumulate(worst * LEVELS * rng.random((n, LEVELS.size)) ** 0.3, axis=1)
    return np.floor(losses * 255) / 255


def smooth(rng, n, hardness=1.0):
    """(n, 60) losses on a grid of 256 without large jumps."""
    losses = hardness * np.arange(1, 61) / 60 * (0.1 + 0.9 * rng.random((n, 1)) ** 2)
    return np.floor(losses * 255) / 255


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3])
def test_the_strict_rule_keeps_alpha_and_the_literal_one_breaks_it(tools, n, alpha):
    rng = np.random.default_rng([n, int(100 * alpha)])
    rule = guarantee("expected")
    strict, literal = [], []
    for _ in range(REPETITIONS):
        calibration, new = tied(rng, n), tied(rng, 200)
        t = rule.threshold(tools.curves(calibration), alpha)
        strict.append(tools.below(new, t).mean())
        literal.append(tools.up_to(new, t).mean())
    assert tools.verdict(strict).keeps(alpha)
    assert tools.verdict(strict).mean > 0.1 * alpha
    assert tools.verdict(literal).breaks(alpha)


def test_without_jumps_the_rule_wastes_less_than_two_slacks(tools):
    rng = np.random.default_rng(20)
    rule, n, alpha = guarantee("expected"), 100, 0.2
    risks = []
    for _ in range(REPETITIONS):
        steps = np.arange(1, 401) / 400
        calibration = np.floor(steps * (0.2 + 0.8 * rng.random((n, 1))) * 4096) / 4096
        t = rule.threshold(tools.curves(calibration), alpha)
        risks.append(t / 400 * 0.6)
    verdict = tools.verdict(risks)
    assert verdict.keeps(alpha)
    assert verdict.mean >= alpha - 2 / (n + 1)


def test_within_groups_each_keeps_alpha_and_one_threshold_for_all_breaks_it(tools):
    rng = np.random.default_rng(21)
    groups, alpha = ["easy"] * 60 + ["hard"] * 20, 0.2
    by_group, pooled = [], []
    for _ in range(REPETITIONS):
        calibration = np.r_[smooth(rng, 60, 0.3), smooth(rng, 20)]
        curves, new = tools.curves(calibration), smooth(rng, 200)
        own = guarantee("by-group", groups=groups, group_new="hard").threshold(curves, alpha)
        by_group.append(tools.below(new, own).mean())
        pooled.append(tools.below(new, guarantee("expected").threshold(curves, alpha)).mean())
    assert tools.verdict(by_group).keeps(alpha)
    assert tools.verdict(by_group).mean > 0.1 * alpha
    assert tools.verdict(pooled).breaks(alpha)


def test_tiles_count_as_their_photograph_and_counting_them_alone_breaks_alpha(tools):
    rng = np.random.default_rng(22)
    # Just above a quarter: counted one by one, tiles let the one photograph of four that is wrong first be wrong whole.
    n, tiles, alpha = 4, 30, 0.26
    names = [str(i) for i in range(n) for _ in range(tiles)]
    rule, naive = guarantee("by-cluster", clusters=names), guarantee("expected")

    def photographs_in_tiles(count, kept=tiles):
        wrong_from = rng.integers(0, 60, (count, 1, 1))
        losses = (np.arange(60) >= wrong_from) * (0.9 + 0.1 * rng.random((count, tiles, 1))[:, :kept])
        return np.floor(losses * 255) / 255

    right, wrong = [], []
    for _ in range(300):
        curves = tools.curves(photographs_in_tiles(n).reshape(n * tiles, -1))
        new = photographs_in_tiles(200, 1)[:, 0]
        right.append(tools.below(new, rule.threshold(curves, alpha)).mean())
        wrong.append(tools.below(new, naive.threshold(curves, alpha)).mean())
    assert tools.verdict(right).keeps(alpha)
    assert tools.verdict(right).mean > 0.1 * alpha
    assert tools.verdict(wrong).breaks(alpha)


def test_known_weights_keep_alpha_under_shift_and_no_weights_break_it(tools):
    rng = np.random.default_rng(23)
    n, alpha, rare, common = 100, 0.25, 0.2, 0.7
    ratio = {True: common / rare, False: (1 - common) / (1 - rare)}
    weighted, plain = [], []
    for _ in range(REPETITIONS):
        hard, hard_new = rng.random(n) < rare, rng.random(200) < common
        calibration = np.where(hard[:, None], smooth(rng, n), smooth(rng, n, 0.3))
        new = np.where(hard_new[:, None], smooth(rng, 200), smooth(rng, 200, 0.3))
        curves, losses = tools.curves(calibration), np.empty(200)
        weights = tuple(ratio[bool(h)] for h in hard)
        for kind in (True, False):
            t = guarantee("expected", weights=weights, weight_new=ratio[kind]).threshold(curves, alpha)
            losses[hard_new == kind] = tools.below(new[hard_new == kind], t)
        weighted.append(losses.mean())
        plain.append(tools.below(new, guarantee("expected").threshold(curves, alpha)).mean())
    assert tools.verdict(weighted).keeps(alpha)
    assert tools.verdict(weighted).mean > 0.2 * alpha
    assert tools.verdict(plain).breaks(alpha)


def test_leaked_photographs_are_made_up_for_and_ignoring_them_breaks_alpha(tools):
    rng = np.random.default_rng(24)
    n, leaked, alpha = 60, 25, 0.2
    aware, unaware = [], []
    for _ in range(REPETITIONS):
        calibration = np.r_[np.zeros((leaked, 60)), smooth(rng, n - leaked)]
        curves, new = tools.curves(calibration), smooth(rng, 200)
        aware.append(tools.below(new, guarantee("expected", leaked=leaked).threshold(curves, alpha)).mean())
        unaware.append(tools.below(new, guarantee("expected").threshold(curves, alpha)).mean())
    assert tools.verdict(aware).keeps(alpha)
    assert tools.verdict(aware).mean > 0.5 * alpha
    assert tools.verdict(unaware).breaks(alpha)
    assert tools.verdict(unaware).keeps(alpha * (n + 1) / (n - leaked + 1))


def test_a_bound_of_one_picture_keeps_alpha_gains_area_and_none_at_all_breaks_it(tools):
    rng = np.random.default_rng(25)
    n, alpha = 12, 0.2
    rules = {"own": [], "general": [], "none": []}
    share = {"own": 0.0, "general": 0.0}
    for _ in range(200):
        calibration, new = smooth(rng, n), smooth(rng, 20)
        curves = tools.curves(calibration)
        # The bound knows the picture: it follows the picture's own loss, loosely.
        bounds = np.minimum(np.ceil((1.6 * new + 0.05) * 32) / 32, 1.0)
        own = []
        for row, bound in zip(new, bounds, strict=True):
            t = guarantee("expected", bound_new=tools.curves(bound[None])[0]).threshold(curves, alpha)
            own.append(tools.below(row[None], t)[0])
            share["own"] += min(t, 60.0) if t > 0 else 0.0
        t = guarantee("expected").threshold(curves, alpha)
        share["general"] += 20 * (min(t, 60.0) if t > 0 else 0.0)
        rules["own"].append(np.mean(own))
        rules["general"].append(tools.below(new, t).mean())
        rules["none"].append(tools.below(new, guarantee("expected", bound_new=0.0).threshold(curves, alpha)).mean())
    assert tools.verdict(rules["own"]).keeps(alpha)
    assert tools.verdict(rules["general"]).keeps(alpha)
    assert share["own"] > 1.1 * share["general"]
    assert tools.verdict(rules["none"]).breaks(alpha)


def from_maps_to_masks(tools, maps, loss, made, rule, alpha, repetitions):
    """Calibrate `rule` on maps and lose by the masks: of the strict and the literal rule, and the largest error."""
    strict, literal, largest = [], [], []
    for _ in range(repetitions):
        curves = [RiskCurve.from_maps(*maps(), bound=1.0, **made) for _ in range(40)]
        t = rule.threshold(CurveSet.from_curves(curves), alpha)
        new = [maps() for _ in range(40)]
        strict.append(np.mean([loss(*pair, t) for pair in new]))
        literal.append(np.mean([loss(*pair, math.nextafter(t, math.inf)) for pair in new]))
        largest.append(np.mean([d[trusted(s, t)].max(initial=0) for s, d in new]))
    assert tools.verdict(strict).keeps(alpha)
    assert tools.verdict(strict).mean > 0.1 * alpha
    assert tools.verdict(literal).breaks(alpha)
    return tools.verdict(largest)


def test_the_false_trust_rate_keeps_alpha_from_maps_to_masks_and_the_literal_rule_breaks_it(tools):
    rng, tolerance = np.random.default_rng(26), 0.4

    def maps():
        scores = rng.integers(0, 3, (12, 12))
        wrong = rng.random((12, 12)) < np.array([0.02, 0.3, 0.6])[scores] * 2 * rng.random()
        return scores.astype(np.float32), np.where(wrong, np.float32(0.7), np.float32(0.1))

    def loss(scores, errors, t):
        return (trusted(scores, t) & (errors > tolerance)).mean()

    made = {"tolerance": tolerance}
    from_maps_to_masks(tools, maps, loss, made, guarantee("false-trust"), 0.06, REPETITIONS // 2)


def test_all_but_a_share_keeps_alpha_from_maps_to_masks_and_the_literal_rule_breaks_it(tools):
    rng, alpha, left_out = np.random.default_rng(27), 0.2, 7

    def maps():
        scores = rng.integers(0, 3, (12, 12))
        errors = np.array([0.2, 0.7, 1.0])[scores] * rng.random() * rng.random((12, 12))
        # So many pixels are as wrong as can be, wherever they are: what is left out.
        errors.flat[rng.choice(144, left_out // 2, replace=False)] = 1
        return scores.astype(np.float32), errors.astype(np.float32)

    def loss(scores, errors, t):
        worst = np.sort(errors[trusted(scores, t)])[::-1]
        return worst[left_out] if worst.size > left_out else 0.0

    rule, made = guarantee("all-but", share=0.05), {"left_out": 0.05}
    largest = from_maps_to_masks(tools, maps, loss, made, rule, alpha, REPETITIONS // 2)
    assert largest.breaks(alpha), "nothing is promised of what is left out"


def test_a_mean_over_squares_keeps_alpha_from_maps_to_masks_and_the_literal_rule_breaks_it(tools):
    rng, alpha, side = np.random.default_rng(31), 0.2, 4

    def maps():
        scores = rng.integers(0, 4, (12, 12))
        errors = np.array([0.15, 0.4, 0.7, 1.0])[scores] * rng.random() * rng.random((12, 12)) ** 6
        return scores.astype(np.float32), errors.astype(np.float32)

    def loss(scores, errors, t):
        shown = np.where(trusted(scores, t), errors, 0).reshape(3, side, 3, side)
        return shown.max(axis=(1, 3)).mean()

    rule, made = guarantee("local", side=side), {"side": side}
    largest = from_maps_to_masks(tools, maps, loss, made, rule, alpha, REPETITIONS)
    assert largest.breaks(alpha), "the largest error of the whole picture is not promised"


def invented_detail(rng):
    """Scores with ties, energies of invented and of added detail; how much a picture invents is its own matter."""
    scores = rng.integers(0, 4, (12, 12))
    whole = rng.exponential(200, (12, 12)) * rng.random()
    share = np.array([0.1, 0.3, 0.6, 0.9])[scores] * rng.random() ** 0.5
    return (scores / 5).astype(np.float32), Energies((whole * share).astype(np.float32), whole.astype(np.float32))


SMALL = 16
"""Pixels, fewer than the pictures here have."""


def marked(scores, energies, t):
    return energies.part[trusted(scores, t)].sum() / (energies.part.sum() + energies.part.size)


def clear_share(scores, energies, t):
    below = trusted(scores, t)
    return energies.part[below].sum() / max(energies.whole[below].sum(), 0.05 * energies.whole.sum())


def test_a_share_of_detail_and_the_largest_error_are_kept_together_and_the_larger_threshold_breaks_both(tools):
    rng = np.random.default_rng(29)
    alpha, beta = 0.35, 0.4
    kept, broken, bind = [], [], set()
    for _ in range(100):
        every = []
        for _ in range(20):
            scores, energies = invented_detail(rng)
            largest = RiskCurve.from_maps(scores, energies.part / (energies.whole + 1), bound=1)
            every.append((largest, largest.of_detail(scores, energies, 0.9)[0]))
        errors, details = (CurveSet.from_curves(kind) for kind in zip(*every, strict=True))
        beside = threshold(errors, beta)
        t, alone = threshold(details.up_to(beside), alpha, "marked"), threshold(details, alpha, "marked")
        assert t == min(alone, beside)
        bind.add(alone < beside)
        new = [invented_detail(rng) for _ in range(20)]
        kept.append(np.mean([both(*one, t) for one in new], axis=0))
        broken.append(np.mean([both(*one, math.nextafter(max(alone, beside), math.inf)) for one in new], axis=0))
    assert bind == {True, False}, "the level of detail decides in some calibrations, the other one in others"
    for column, level in enumerate((alpha, beta)):
        assert tools.verdict([row[column] for row in kept]).keeps(level)
        assert tools.verdict([row[column] for row in broken]).breaks(level)


def both(scores, energies, t):
    errors = energies.part / (energies.whole + 1)
    return marked(scores, energies, t), errors[trusted(scores, t)].max(initial=0)


SQUARE = 4


def in_squares(scores, energies, t):
    rows, columns = np.indices(scores.shape) // SQUARE
    squares = [
        (rows == row) & (columns == column) for row in range(rows.max() + 1) for column in range(columns.max() + 1)
    ]
    clear = trusted(scores, t)
    losses = [energies.part[at & clear].sum() / (energies.part[at].sum() + at.sum()) for at in squares]
    return np.average(losses, weights=[at.sum() for at in squares])


def marked_in_a_large_picture(scores, energies, t):
    return energies.part[trusted(scores, t)].sum() / (energies.part.sum() + SMALL)


@pytest.mark.parametrize(
    ("kind", "loss", "alpha"),
    [
        ("marked", marked, 0.35),
        ("marked", marked_in_a_large_picture, 0.35),
        ("clear-share", clear_share, 0.2),
        ("marked-in-squares", in_squares, 0.35),
    ],
)
def test_shares_of_detail_keep_alpha_from_maps_to_masks_and_the_literal_rule_breaks_it(
    tools, kind, loss, alpha, monkeypatch
):
    monkeypatch.setattr(curve_module, "SQUARE", SQUARE)
    if loss is marked_in_a_large_picture:
        monkeypatch.setattr(curve_module, "MOST_PIXELS", SMALL)
    rng = np.random.default_rng(28)
    strict, literal = [], []
    for _ in range(REPETITIONS // 2):
        curves = []
        for _ in range(20):
            scores, energies = invented_detail(rng)
            every = RiskCurve.from_maps(scores, energies.part, bound=1e9).of_detail(scores, energies, 0.9)
            curves += [curve for curve in every if curve.kind == kind]
        new = [invented_detail(rng) for _ in range(30)]
        t = threshold(curves, alpha, kind)
        strict.append(np.mean([loss(*one, t) for one in new]))
        literal.append(np.mean([loss(*one, math.nextafter(t, math.inf)) for one in new]))
    assert tools.verdict(strict).keeps(alpha)
    assert tools.verdict(strict).mean > 0.1 * alpha
    assert tools.verdict(literal).breaks(alpha)


FLOOR, DRAWS, N = 20.0, 5, 30
WORST = 10 ** (-FLOOR / 10)
"""The mean squared error at the floor."""


def answers(rng, n, tied):
    """Draws of n pictures, most of which miss the floor by little, and whose foretold PSNR is luck."""
    luck = rng.integers(1, 41, (n, DRAWS)) / 20 if tied else rng.lognormal(0, 0.5, (n, DRAWS))
    errors = np.repeat(WORST * rng.choice([0.98, 1.02, 1.04], (n, 1)), DRAWS, axis=1)
    known = (errors / luck) ** 2
    return DrawnErrors(-10 * np.log10(known), errors, known)


def whole(drawn, places):
    rows = np.arange(len(places))
    parts = np.stack([drawn.errors[rows, places], drawn.known[rows, places]], axis=1)
    return WholeErrors(parts[:, :, None].repeat(3, axis=2))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("calibrated_on", ["what is delivered", "single draws"])
def test_said_to_reach_the_floor_and_below_it(tools, calibrated_on, tied):
    rng, missed = np.random.default_rng(34), []
    # Few draws suffice, the luckiest, so that what is delivered is luckier than a single draw.
    limit = np.quantile(answers(rng, 20_000, tied).figures, 0.93)
    for _ in range(400):
        calibration, fresh = answers(rng, N, tied), answers(rng, 50, tied)
        first = np.zeros(N, np.intp)
        places = calibration.places(limit) if calibrated_on == "what is delivered" else first
        ratio = whole(calibration, places).largest_ratios(0.1)[0]
        new = whole(fresh, fresh.places(limit)).values[:, :, 0]
        said = np.sqrt(new[:, 1]) * ratio <= WORST
        missed.append((said & (new[:, 0] > WORST * (1 + 1e-12))).mean())
    verdict = tools.verdict(missed)
    assert verdict.keeps(0.1) if calibrated_on == "what is delivered" else verdict.breaks(0.1)


def photographs(rng, n):
    """(n, 40) losses: the score at which a photograph first exceeds 0.5 is uniform on 40 tied values."""
    limit = rng.integers(0, 40, (n, 1))
    return np.where(np.arange(40) >= limit, 0.75, 0.25)


@pytest.mark.parametrize("n", [20, 60, 200])
@pytest.mark.parametrize("delta", [0.05, 0.1, 0.3])
def test_the_miss_rate_is_kept_and_the_literal_rule_breaks_it(tools, n, delta):
    rng = np.random.default_rng([n, int(100 * delta)])
    rule = guarantee("per-image", delta=delta)
    strict, literal = [], []
    for _ in range(500):
        t = rule.threshold(tools.curves(photographs(rng, n)), 0.5)
        # P(limit < t) and P(limit <= t) of a new photograph, known exactly.
        strict.append(max(t, 0) / 40)
        literal.append((t + 1) / 40 if t >= 0 else 0)
    assert tools.verdict(strict).keeps(delta)
    assert tools.verdict(strict).mean > delta - 1 / (n + 1) - 2 / 40
    # At n = 20 the rank is rounded down so far (delta 0.05: k = 1) that the literal rule has room.
    assert tools.verdict(literal).mean > tools.verdict(strict).mean + 0.02


def test_the_literal_rule_breaks_the_miss_rate(tools):
    rng = np.random.default_rng(30)
    rule = guarantee("per-image", delta=0.1)
    literal = [(rule.threshold(tools.curves(photographs(rng, 99)), 0.5) + 1) / 40 for _ in range(500)]
    assert tools.verdict(literal).breaks(0.1)


@pytest.mark.parametrize(("n", "delta", "confidence"), [(60, 0.1, 0.9), (100, 0.1, 0.95), (200, 0.2, 0.8)])
def test_the_confidence_over_calibration_sets_is_kept_and_the_average_rank_breaks_it(tools, n, delta, confidence):
    rng = np.random.default_rng([n, 31])
    fails = {}
    for name, rule in {
        "sure": guarantee("per-image", delta=delta, confidence=confidence),
        "average": guarantee("per-image", delta=delta),
    }.items():
        ranks = np.sort(rng.random((4000, n)), axis=1)[:, rule.rank(n) - 1]
        fails[name] = tools.verdict(ranks > delta)
    assert fails["sure"].keeps(1 - confidence)
    assert fails["average"].breaks(1 - confidence)
