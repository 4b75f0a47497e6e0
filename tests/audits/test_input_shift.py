"""The comparison of inputs: known p-values, directions in words, and no word where nothing can be said."""

from itertools import combinations

import numpy as np
import pytest

from blackbox_conformal.cli.next_steps import refuse_shift
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.method.audits.input_shift import compare
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics

NAMES = [statistic.name for statistic in STATISTICS]


def inputs(n: int, seed: int, **moved: float) -> InputStatistics:
    """`n` inputs whose statistics vary by about 0.1; names with _ for spaces move one."""
    rows = np.random.default_rng(seed).normal(0.5, 0.1, (n, len(NAMES)))
    for name, by in moved.items():
        rows[:, NAMES.index(name.replace("_", " "))] += by
    return InputStatistics(rows.astype(np.float32))


def test_the_p_value_is_that_of_all_permutations() -> None:
    known, new = inputs(5, 1, noise=-0.05), inputs(4, 2)
    found = compare(known, new, permutations=20_000)
    rows = np.concatenate([known.values, new.values]).astype(float)
    ranks = np.argsort(np.argsort(rows, axis=0), axis=0) + 1.0
    centred = ranks - ranks.mean(axis=0)

    def largest(places: tuple[int, ...]) -> float:
        return float(np.abs(centred[list(places)].sum(axis=0)).max())

    every = [largest(places) for places in combinations(range(9), 4)]
    exact = np.mean([value >= largest((5, 6, 7, 8)) - 1e-9 for value in every])
    assert found.p_value == pytest.approx(exact, abs=0.012)
    assert 0.05 < exact < 0.95


def test_equal_inputs_give_the_largest_p_value() -> None:
    same = InputStatistics(np.full((6, len(NAMES)), 0.5, np.float32))
    found = compare(same, same)
    assert found.p_value == 1
    assert not found.differ


def test_a_movement_is_named_with_its_direction() -> None:
    found = compare(inputs(40, 3), inputs(20, 4, blockiness=0.4, noise=-0.5))
    assert found.differ
    assert [movement.statistic.name for movement in found.moved] == ["noise", "blockiness"] or [
        movement.statistic.name for movement in found.moved
    ] == ["blockiness", "noise"]
    words = " ".join(movement.sentence for movement in found.moved)
    assert "more strongly JPEG-compressed: blockiness median 0.9" in words
    assert "smoother in flat places: noise median" in words
    assert found.p_value == 1 / 10_000
    assert "differ from the calibration's" in found.verdict


def test_a_difference_that_does_not_matter_is_no_difference() -> None:
    known, new = inputs(60, 5), inputs(60, 6)
    size = NAMES.index("size")
    known.values[:, size], new.values[:, size] = 16.0, 16.1
    found = compare(known, new)
    assert found.p_value <= 0.05
    assert not found.differ
    assert "by less than matters" in found.verdict
    new.values[:, size] = 18.0
    assert [movement.statistic.name for movement in compare(known, new).moved] == ["size"]


@pytest.mark.parametrize(("moved", "degradation"), [({}, False), ({"blockiness": 0.4}, True)])
def test_for_another_size_other_photographs_are_proposed_and_no_degradation(
    moved: dict[str, float], degradation: bool
) -> None:
    found = compare(inputs(40, 5), inputs(20, 6, size=-2, **moved))
    assert found.size_factor == pytest.approx(0.25, rel=0.1)
    assert found.more_than_size is degradation
    with pytest.raises(CheckFailedError, match=r"take photographs with about 0\.2. times as many") as refused:
        refuse_shift(found)
    assert ("--degradation" in str(refused.value)) is degradation


def test_too_few_inputs_are_said_to_be_too_few() -> None:
    found = compare(inputs(10, 7), inputs(1, 8, blockiness=9))
    assert found.too_few
    assert not found.differ
    assert "too few inputs" in found.verdict
    assert not compare(inputs(30, 7), inputs(1, 8)).too_few


def test_no_difference_is_not_called_likeness() -> None:
    found = compare(inputs(30, 9), inputs(20, 10))
    assert not found.differ
    assert "a small one may be there all the same" in found.verdict
    document = found.document()
    assert (document["differ"], document["inputs"], document["calibration_inputs"]) == (False, 20, 30)
    assert len(document["statistics"]) == len(NAMES)


def test_the_seed_decides_and_is_kept() -> None:
    known, new = inputs(20, 11), inputs(10, 12, sharpness=0.05)
    again = [compare(known, new, seed=seed, permutations=199) for seed in (1, 1, 2)]
    assert again[0] == again[1]
    assert again[0].p_value != again[2].p_value
    assert again[2].seed == 2


def test_inputs_that_nobody_looked_at_do_not_count() -> None:
    known = InputStatistics.together([inputs(20, 13), InputStatistics.unknown(3)])
    assert compare(known, inputs(5, 14)).n == 20
    with pytest.raises(UsageError, match="at least one of the calibration's inputs; got none"):
        compare(InputStatistics.unknown(3), inputs(5, 14))
    with pytest.raises(UsageError, match="at least one of new inputs"):
        compare(known, InputStatistics.unknown(2))
    with pytest.raises(UsageError, match="level between 0 and 1"):
        compare(known, inputs(5, 14), level=1.5)
