"""Costs of displacements against the plain loops, and where they are known."""

import numpy as np
import pytest
from naive import matching as naive

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels.matching import displacement_costs


@pytest.mark.parametrize(("side", "reach"), [(4, 2), (5, 0), (3, 3)])
def test_costs_equal_the_loops_up_to_the_border(side, reach):
    random = np.random.default_rng(side)
    sent, answered = random.uniform(0, 255, (2, 12, 10)).astype(np.float32)
    tops, lefts = np.array([0, 3, 12 - side]), np.array([0, 10 - side])
    np.testing.assert_allclose(
        displacement_costs(sent, answered, tops, lefts, side, reach),
        naive.displacement_costs(sent, answered, tops, lefts, side, reach),
        rtol=1e-4,
    )


def test_what_was_moved_and_brightened_costs_nothing_where_it_lies():
    plane = np.random.default_rng(0).uniform(0, 200, (20, 20)).astype(np.float32)
    moved = np.roll(plane, (1, -2), (0, 1)) + np.float32(20)
    costs = displacement_costs(plane, moved, np.array([6]), np.array([6]), 8, 3)[0, 0]
    assert np.unravel_index(costs.argmin(), costs.shape) == (3 + 1, 3 - 2)
    assert costs.min() < 0.01 < 100 < np.sort(costs.ravel())[1]


def test_cells_outside_are_refused():
    plane = np.zeros((8, 8), np.float32)
    with pytest.raises(UsageError, match="cells of 4 pixels inside 8×8"):
        displacement_costs(plane, plane, np.array([5]), np.array([0]), 4, 1)
