"""Pictures that are said to reach a floor and do not are as rare as stated, over all draws that the rule may take."""

import numpy as np
import pytest

from blackbox_conformal.method.risk.whole_errors import WholeErrors
from blackbox_conformal.study.choose.floor_fit import DrawnErrors

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
