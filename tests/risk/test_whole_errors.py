"""Errors of whole pictures: what they are, how they are kept, and the ratio that a new one seldom exceeds."""

import numpy as np
import pytest

from blackbox_conformal.method.audits.quality import QualityMaps
from blackbox_conformal.method.risk.whole_errors import LEAST, WholeErrors, whole_errors

rng = np.random.default_rng(34)


def photographs(n: int) -> WholeErrors:
    """Ratios of few values, so with many ties."""
    known = LEAST + rng.integers(1, 4, (n, 3)) / 8
    return WholeErrors(np.stack([known * rng.integers(1, 6, (n, 3)) / 8, known], axis=1))


def test_errors_are_those_of_psnr_and_ssim() -> None:
    truth, delivered = rng.integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)
    squared, dissimilar, metric = whole_errors(truth, delivered, 0.25)
    quality = QualityMaps(truth, delivered).over()
    assert (-10 * np.log10(squared), 1 - 2 * dissimilar, metric) == pytest.approx((quality.psnr, quality.ssim, 0.25))
    np.testing.assert_array_equal(whole_errors(truth, truth, 0.0), np.zeros(3))


@pytest.mark.parametrize("n", [8, 9, 18, 19, 29, 40])
def test_the_ratio_is_the_kth_largest(n: int) -> None:
    found = WholeErrors.together([photographs(n), WholeErrors.unknown(3)])
    rank = {8: 0, 9: 1, 18: 1, 19: 2, 29: 3, 40: 4}[n]
    descending = np.r_[np.full((1, 3), np.inf), np.sort(found.known.ratios, axis=0)[::-1]]
    np.testing.assert_array_equal(found.largest_ratios(0.1), descending[rank])


def test_refused_photographs_count_as_the_worst() -> None:
    answered = photographs(18)
    found = WholeErrors.together([answered, WholeErrors.refused()])
    assert (found.largest_ratios(0.05) == np.inf).all()
    np.testing.assert_array_equal(found.largest_ratios(0.1), answered.ratios.max(axis=0))


def test_bytes_come_back_and_impossible_ones_are_refused() -> None:
    kept = WholeErrors.together([photographs(2), WholeErrors.unknown(1), WholeErrors.refused()])
    assert WholeErrors.from_bytes(kept.to_bytes()).to_bytes() == kept.to_bytes()
    assert len(kept.known) == 3
    outside = ((0, 0, -0.1), (0, 0, 1.5), (1, 1, 0.0), (1, 1, 2.0), (1, 0, np.nan), (2, 1, 0.5), (3, 1, 0.5))
    for row, side, value in outside:
        values = kept.values.copy()
        values[row, side, 0] = value
        with pytest.raises(ValueError, match="out of its range"):
            WholeErrors.from_bytes(WholeErrors(values).to_bytes())
