"""A rule fitted on other photographs keeps the promise, with ties; one fitted on those that calibrate breaks it."""

import numpy as np
import pytest

from blackbox_conformal.method.guarantees.by_vendor import ByVendor
from blackbox_conformal.method.guarantees.expected import Expected

N, LEVELS, RULES, ALPHA, TRIALS = 20, 6, 60, 0.2, 150


def pictures(generator, n):
    """(2, n) first wrong score of the cheap and the dear answer, and (rules, n) tied figures that rules look at."""
    wrong = np.stack([generator.integers(0, LEVELS + 1, n), generator.integers(1, LEVELS + 1, n)])
    return wrong, generator.integers(0, 4, (RULES, n))


def delivered(wrong, figures):
    """(n, levels) losses of what one rule delivers: the dear answer where its figure is large."""
    first = np.where(figures >= 2, wrong[1], wrong[0])
    return (np.arange(LEVELS) >= first[:, None]).astype(float)


@pytest.mark.parametrize("fitted_on", ["others", "calibration"])
def test_the_rule_is_fitted_on_others(tools, fitted_on):
    generator, risks = np.random.default_rng(34), []
    guarantee = Expected()
    for _ in range(TRIALS):
        calibration, fresh = pictures(generator, N), pictures(generator, 100)
        fitting = calibration if fitted_on == "calibration" else pictures(generator, N)
        # The rule that seems to trust most: each picture that is wrong late helps it.
        sums = [delivered(fitting[0], figures).sum() for figures in fitting[1]]
        rule = int(np.argmin(sums))
        table = delivered(calibration[0], calibration[1][rule])
        threshold = guarantee.threshold(tools.curves(table), ALPHA)
        risks.append(tools.below(delivered(fresh[0], fresh[1][rule]), threshold).mean())
    verdict = tools.verdict(risks)
    assert verdict.keeps(ALPHA) if fitted_on == "others" else verdict.breaks(ALPHA)


@pytest.mark.parametrize("down", ["cheap", "dear", "neither"])
@pytest.mark.parametrize("threshold", ["by vendor", "pooled"])
def test_a_threshold_by_vendor_keeps_the_promise_in_any_outage_and_a_pooled_one_does_not(tools, down, threshold):
    """While one vendor is down for everybody, only pictures that end at the other one have a mask."""
    generator, risks = np.random.default_rng(35), []
    for _ in range(300):
        (wrong, figures), (fresh, fresh_figures) = pictures(generator, N), pictures(generator, 100)
        # The dear vendor errs late: at scores that the cheap one's answers have been wrong at for long.
        wrong[1], fresh[1] = np.minimum(wrong[1] + 3, LEVELS), np.minimum(fresh[1] + 3, LEVELS)
        curves, losses = tools.curves(delivered(wrong, figures[0])), delivered(fresh, fresh_figures[0])
        ends, new_ends = (np.where(each[0] >= 2, "dear", "cheap") for each in (figures, fresh_figures))
        at = {
            end: ByVendor(groups=tuple(ends), group_new=end).threshold(curves, ALPHA)
            if threshold == "by vendor"
            else Expected().threshold(curves, ALPHA)
            for end in ("cheap", "dear")
        }
        masked = [end for end in at if end != down]
        risks.append(np.concatenate([tools.below(losses[new_ends == end], at[end]) for end in masked]).mean())
    verdict = tools.verdict(risks)
    if threshold == "by vendor" or down != "dear":
        assert verdict.keeps(ALPHA)
    else:
        assert verdict.breaks(ALPHA)
