"""Where an input lies among the calibration's: the p-value's ends, its ties, and what is said."""

import numpy as np
import pytest

from blackbox_conformal.method.audits.input_shift import place
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics

NAMES = [statistic.name for statistic in STATISTICS]


def inputs(n: int, seed: int) -> InputStatistics:
    return InputStatistics(np.random.default_rng(seed).normal(0.5, 0.1, (n, len(NAMES))).astype(np.float32))


def test_an_input_far_from_all_has_the_least_p_value() -> None:
    new = inputs(1, 2)
    new.values[0, NAMES.index("blockiness")] = 0.99
    found = place(inputs(60, 1), new)
    assert found is not None
    assert found.p_value == 1 / 61
    assert found.beyond is False
    assert found.statistic.name == "blockiness"
    assert found.sentence.startswith("this input's blockiness is 0.99, that of the calibration's 60 inputs 0.")
    new.values[0, NAMES.index("noise")] = 40
    far = place(inputs(60, 1), new)
    assert far is not None
    assert (far.beyond, far.statistic.name) == (True, "noise")


def test_an_input_in_the_middle_has_the_largest_p_value() -> None:
    known = inputs(30, 3)
    middle = InputStatistics(known.values.mean(axis=0, keepdims=True))
    found = place(known, middle)
    assert found is not None
    assert found.p_value == 1


def test_equal_inputs_count_as_at_least_as_far() -> None:
    known = inputs(9, 4)
    for row in range(9):
        twice = InputStatistics(np.concatenate([known.values, known.values[[row]]]))
        found = place(twice, known[[row]])
        assert found is not None
        assert found.p_value >= 3 / 11
    same = InputStatistics(np.full((5, len(NAMES)), 0.5, np.float32))
    found = place(same, same[[0]])
    assert found is not None
    assert (found.p_value, found.beyond) == (1, False)


def test_the_p_value_does_not_depend_on_the_order() -> None:
    known, new = inputs(25, 5), inputs(6, 6)
    turned = known[list(range(24, -1, -1))]
    for row in range(6):
        one, other = place(known, new[[row]]), place(turned, new[[row]])
        assert one is not None
        assert other is not None
        assert one.p_value == other.p_value


@pytest.mark.parametrize("unknown", ["known", "new"])
def test_nothing_is_said_of_what_nobody_looked_at(unknown: str) -> None:
    sides = {"known": inputs(5, 7), "new": inputs(1, 8)} | {unknown: InputStatistics.unknown(1)}
    assert place(sides["known"], sides["new"]) is None
