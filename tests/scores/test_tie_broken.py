"""The first score decides, the second orders its ties, and nothing else is looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.method.scores.tie_broken import TieBroken

values = st.floats(0, 3, width=32).map(abs)


def coarse(value: float) -> float:
    """A float32 cut to eight significant bits."""
    return float((np.float32(value).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))


@given(st.lists(st.tuples(values, values), min_size=2, max_size=30))
def test_order_is_lexicographic_in_eight_significant_bits(pairs: list[tuple[float, float]]) -> None:
    first = np.array([[one for one, _ in pairs]], np.float32)
    second = np.array([[two for _, two in pairs]], np.float32)
    found = TieBroken().combine(first.copy(), second.copy())[0].tolist()
    keys = [(coarse(one), coarse(two)) for one, two in pairs]
    assert np.isfinite(found).all()
    assert min(found) >= 0
    for a, b in zip(keys, found, strict=True):
        for c, d in zip(keys, found, strict=True):
            assert (a < c) == (b < d)


def test_flat_regions_are_ordered_by_their_surroundings() -> None:
    generator = np.random.default_rng(0)
    draws = [np.full((32, 64, 3), 90, np.uint8) for _ in range(4)]
    for pixels in draws:
        pixels[:, :16] = generator.integers(0, 256, (32, 16, 3))
    plain = bc.score_map(draws, "pixel-variance")
    found = bc.score_map(draws, "tie-broken")
    assert len(np.unique(plain[:, 16:])) == 1
    assert found[16, 20] > found[16, 40]
    assert found[:, 16:].max() < found[:, :16].min()


def test_two_variances_of_the_same_draws_are_made_of_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    draws = list(generator.integers(0, 256, (5, 12, 14, 3), dtype=np.uint8))
    apart = [bc.score_map(draws, "smoothed-variance", sigma=sigma) for sigma in (2.0, 8.0)]
    score = TieBroken(first="smoothed-variance", sigma=2.0, second="smoothed-variance", second_sigma=8.0)
    added = []
    add = Moments.add
    monkeypatch.setattr(Moments, "add", lambda self, pixels: (added.append(1), add(self, pixels)))
    one, two = score.start((12, 14)), score.start((12, 14))
    for number, pixels in enumerate(draws):
        (one, two)[number % 2].update(pixels)
    one.merge(two)
    found = one.finish(Context(draws[0], None, 1))
    assert len(added) == len(draws)
    np.testing.assert_array_equal(found, score.combine(*apart))


def test_pairs_of_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match="plain scores"):
        bc.score_map([], "tie-broken", first="weighted")
