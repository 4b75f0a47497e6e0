"""What masks are worth on the calibration photographs: against loops, and for scores that know all and nothing."""

import math

import numpy as np
import pytest
from naive import clear_part as naive
from support.synthetic import photograph, reduced

from blackbox_conformal.method.audits.detail_shares import REFERENCE, VENDOR, energies_of
from blackbox_conformal.method.audits.mask_worth import DetailByScore, MaskWorth
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.risk.whole_errors import SquaredErrors, Twentieths

BICUBIC = Mixture.of_text("bicubic")


def scene(seed, levels, size=(64, 80)):
    """Scores of so many values, truth, input, and two pictures."""
    rng = np.random.default_rng(seed)
    truth = photograph(seed)
    low = reduced(truth, 4)
    noisy = {
        name: np.clip(truth + rng.normal(0, spread, truth.shape), 0, 255).astype(np.uint8)
        for name, spread in ((VENDOR, 20), (REFERENCE, 9))
    }
    scores = rng.integers(0, levels, truth.shape[:2]).astype(np.float32) / levels
    return scores, truth, low, noisy


def by_score(scores, truth, low, pictures, degradation=BICUBIC):
    return DetailByScore.of(Twentieths.of(scores), energies_of(truth, low, pictures, degradation))


def pooled(scenes):
    """Scores, right and invented energies of the vendor's pictures, all pixels together."""
    rows = []
    for scores, truth, low, pictures in scenes:
        energies = dict(energies_of(truth, low, pictures, BICUBIC))[VENDOR]
        rows.append((scores.ravel(), (energies.whole - energies.part).ravel(), energies.part.ravel()))
    return map(np.concatenate, zip(*rows, strict=True))


@pytest.mark.parametrize(("levels", "within"), [(1, 1e-6), (2, 1e-6), (7, 1e-6), (10**6, 2e-3)])
def test_sums_and_the_area_under_the_curve_are_those_of_the_pixels(levels, within):
    scenes = [scene(seed, levels) for seed in range(3)]
    known = [by_score(*one) for one in scenes]
    found = DetailByScore.together([*known, DetailByScore.unknown(1)])
    scores, right, invented = pooled(scenes)
    assert found.area_under_curve == pytest.approx(naive.area_under_curve(scores, right, invented), abs=within)
    size = scenes[0][0].size
    values = np.unique(scores).astype(np.float64)
    for threshold in (-math.inf, values[0], values[len(values) // 2], values[-1], math.inf):
        sums = np.nansum(found.below(np.array([threshold])), axis=0)[:2, 0]
        by_hand = [kind[scores < threshold].sum(dtype=np.float64) / size for kind in (right, invented)]
        # Between every twentieth score sums are interpolated.
        assert sums == pytest.approx(by_hand, rel=5e-3 if levels > 20 else 1e-5)
    assert DetailByScore.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()
    impossible = found.values.copy()
    impossible[0, 1, 5] = -1
    with pytest.raises(ValueError, match="out of its range"):
        DetailByScore.from_bytes(DetailByScore(impossible).to_bytes())


def test_nothing_is_known_of_inputs_with_holes_and_of_declared_bands():
    scores, truth, low, pictures = scene(0, 9)
    assert not len(by_score(scores, truth, low, pictures, Mixture.of_text("holes:share=0.1,side=4")).known)
    deep = {name: picture.astype(np.uint16) for name, picture in pictures.items()}
    nothing = by_score(scores, truth.astype(np.uint16), low, deep)
    assert not len(nothing.known)
    assert math.isnan(nothing.area_under_curve)


def test_a_score_that_tells_nothing_is_warned_of_and_one_that_knows_is_not():
    chance, knowing = [], []
    for seed in range(12):
        scores, truth, low, pictures = scene(seed, 10**6)
        # The right detail of the left half, and noise on the right.
        delivered = np.where(np.arange(80)[None, :, None] < 40, truth, pictures[VENDOR])
        rng = np.random.default_rng(seed)
        delivered[:, :40] = np.clip(truth[:, :40] + rng.normal(0, 2, (64, 40, 3)), 0, 255)
        shown = {VENDOR: delivered, REFERENCE: pictures[REFERENCE]}
        share = dict(energies_of(truth, low, shown, BICUBIC))[VENDOR].share
        chance.append(by_score(scores, truth, low, shown))
        knowing.append(by_score(share, truth, low, shown))
    for rows, low in ((chance, True), (knowing, False)):
        known, names = (SquaredErrors.unknown(12), DetailByScore.together(rows)), [f"{place}" for place in range(12)]
        found = MaskWorth.of(0.2, 0.5, *known, names, ("--score unsupported",))
        assert (found.auc < 0.56) is low
        assert (found.auc > 0.7) is not low
        said = "the score hardly tells invented from right detail: `compare` tells whether --score unsupported or"
        assert (found.warning is not None and said in found.warning) is low
        alone = MaskWorth.of(0.2, 0.5, SquaredErrors.unknown(1), DetailByScore.together(rows[:1]), ["0"])
        assert alone.shares_in_words.startswith("On 1 calibration photograph at 0.2, ")
        assert (found.right > 1.5 * found.invented) is not low
        assert found.shares_in_words.startswith(
            f"On these 12 calibration photographs at 0.2, {100 * found.right:.0f} % of"
        )
