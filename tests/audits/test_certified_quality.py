"""An audit of certified qualities: exact chances, and words for what misses too often."""

import itertools

import numpy as np
import pytest

from blackbox_conformal.method.audits.quality import chance_of_misses, quality_blocks, quality_misses
from blackbox_conformal.method.risk.whole_errors import WholeErrors


def calibrated(n: int) -> WholeErrors:
    """Ratios of 1/n, 2/n, ..., 1 in each measure."""
    known = np.full((n, 3), 0.25)
    return WholeErrors(np.stack([2 * known * (np.arange(n)[:, None] + 1) / n, known], axis=1))


@pytest.mark.parametrize(("n", "m", "claimed"), [(3, 3, 0.25), (4, 3, 0.5), (5, 2, 0.34)])
def test_chances_are_those_of_all_orders(n: int, m: int, claimed: float) -> None:
    k = int(claimed * (n + 1))
    counts = []
    for order in itertools.permutations(range(n + m)):
        limit = sorted(order[:n])[-k]
        counts.append(sum(value > limit for value in order[n:]))
    for misses in range(m + 1):
        expected = np.mean(np.array(counts) >= misses)
        assert chance_of_misses(n, m, misses, claimed) == pytest.approx(expected)


def test_misses_are_counted_and_told() -> None:
    ratios = [[0.5, 0.9, 2.0]] * 15 + [[1.5, 0.9, 2.0]] * 5
    psnr, ssim, metric = found = quality_misses(calibrated(19), ratios, 0.1, fixed=True)
    assert [one.misses for one in found] == [5, 0, 20]
    assert psnr.interval[0] < 0.25 < psnr.interval[1]
    assert (ssim.p_value, metric.p_value < 1e-3) == (1.0, True)
    (said, table) = quality_blocks(found)
    assert said.text.startswith("Of 20 photographs 20 have a mean error worse than certified; of photographs like")
    assert [row["misses"] for row in table.rows] == [5, 0, 20]


def test_nothing_is_said_of_what_is_not_certified_and_no_chance_of_a_number_that_results_decided() -> None:
    assert quality_misses(calibrated(8), [[2.0] * 3] * 9, 0.1, fixed=True) == ()
    assert [block.content for block in quality_blocks(())] == [{"quality": []}]
    assert quality_misses(calibrated(19), [[2.0] * 3] * 9, 0.1, fixed=False)[0].p_value is None
