"""Of which kind an input is: the same figures as plain arithmetic gives, and what can be none is refused."""

import numpy as np
import pytest
from pydantic import ValidationError

from blackbox_conformal.method.images.input_statistics import InputKind


def test_it_is_what_plain_arithmetic_gives():
    for seed, size in enumerate([(9, 14), (64, 33), (2, 2)]):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
        grey = pixels.astype(np.float64) @ [77 / 256, 150 / 256, 29 / 256]
        steps = np.r_[np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()]
        found = InputKind.of(pixels)
        assert found.texture == pytest.approx(np.log2(np.mean(steps**2) + 0.25), abs=1e-6)
        assert found.brightness == pytest.approx(grey.mean(), abs=1e-6)
        assert found.pixels == size[0] * size[1]


def test_the_extremes_are_possible_and_what_lies_beyond_is_refused():
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)):
        assert InputKind.of(pixels).texture == -2
    checked = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((1, 1), int))[..., None].repeat(3, axis=2) * 255
    assert InputKind.of(checked.astype(np.uint8)).texture < 16
    for wrong in ({"texture": 17}, {"brightness": 256}, {"pixels": 0}, {"texture": float("nan")}, {"more": 1}):
        with pytest.raises((ValidationError, TypeError)):
            InputKind(**{"texture": 1.0, "brightness": 1.0, "pixels": 1, **wrong})
