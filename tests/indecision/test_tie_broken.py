"""The first score decides, the second orders its ties, and nothing else is looked at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.indecision.tie_broken import TieBroken

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
    plain = bc.indecision_map(draws, "pixel-variance")
    found = bc.indecision_map(draws, "tie-broken")
    assert len(np.unique(plain[:, 16:])) == 1
    assert found[16, 20] > found[16, 40]
    assert found[:, 16:].max() < found[:, :16].min()


def test_pairs_of_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match="plain scores"):
        bc.indecision_map([], "tie-broken", first="weighted")
