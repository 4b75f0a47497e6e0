"""Random numbers of degradations: the same for ever, and distributed as they should be."""

import hashlib

import numpy as np
import pytest

from blackbox_conformal.method.degradations.degradation import RandomNumbers, Range, normals


def test_the_numbers_of_a_key_never_change():
    random = RandomNumbers(0, "sha256:ab", 1)
    assert [random.whole(1, 100), round(random.uniform(2, 3), 12)] == [15, 2.215835792983]
    digest = hashlib.sha256(normals()[random.places(1000 * 1001)].astype("<f4").tobytes()).hexdigest()
    assert digest[:16] == "1062aa8acd330da9"


def test_normal_numbers_are_normal():
    values = normals()[RandomNumbers("normal").places(1 << 20)].astype(np.float64)
    assert abs(values.mean()) < 5e-3
    assert values.std() == pytest.approx(1, abs=5e-3)
    assert np.mean(np.abs(values) > 1.959964) == pytest.approx(0.05, abs=2e-3)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(0, abs=5e-3)


def test_a_range_gives_every_value_and_no_other():
    random = RandomNumbers("range")
    drawn = [Range(60, 95, whole=True).drawn(random) for _ in range(3000)]
    assert set(drawn) == set(range(60, 96))
    assert all(2 <= Range(2, 3).drawn(random) <= 3 for _ in range(100))
    assert Range(4, 4).drawn(random) == 4
