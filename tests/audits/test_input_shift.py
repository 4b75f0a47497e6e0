"""Whether inputs and answers are like the calibration's: exact p-values, directions in words, and rare false alarms."""

from itertools import combinations

import numpy as np
import pytest

from blackbox_conformal.cli.next_steps import refuse_shift
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.method.audits.drift import FALSE_ALARMS, drift, p_value
from blackbox_conformal.method.audits.input_shift import compare, place
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics
from blackbox_conformal.method.risk.answers import Answers

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


def test_a_movement_is_named_with_its_direction() -> None:
    found = compare(inputs(40, 3), inputs(20, 4, blockiness=0.4, noise=-0.5))
    assert found.differ
    assert sorted(movement.statistic.name for movement in found.moved) == ["blockiness", "noise"]
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
    for one, other, level, said in (
        (InputStatistics.unknown(3), inputs(5, 14), {}, "at least one of the calibration's inputs; got none"),
        (known, InputStatistics.unknown(2), {}, "at least one of new inputs"),
        (known, inputs(5, 14), {"level": 1.5}, "level between 0 and 1"),
    ):
        with pytest.raises(UsageError, match=said):
            compare(one, other, **level)


def test_an_input_far_from_all_has_the_least_p_value() -> None:
    new = inputs(1, 2)
    new.values[0, NAMES.index("blockiness")] = 0.99
    found = place(inputs(60, 1), new)
    assert (found.p_value, found.beyond, found.statistic.name) == (1 / 61, False, "blockiness")
    assert found.sentence.startswith("this input's blockiness is 0.99, that of the calibration's 60 inputs 0.")
    new.values[0, NAMES.index("noise")] = 40
    far = place(inputs(60, 1), new)
    assert (far.beyond, far.statistic.name) == (True, "noise")


def test_the_middle_has_the_largest_p_value_and_equal_inputs_count_as_at_least_as_far() -> None:
    known = inputs(30, 3)
    assert place(known, InputStatistics(known.values.mean(axis=0, keepdims=True))).p_value == 1
    known = inputs(9, 4)
    for row in range(9):
        twice = InputStatistics(np.concatenate([known.values, known.values[[row]]]))
        assert place(twice, known[[row]]).p_value >= 3 / 11
    same = InputStatistics(np.full((5, len(NAMES)), 0.5, np.float32))
    found, compared = place(same, same[[0]]), compare(same, same)
    assert (found.p_value, found.beyond) == (1, False)
    assert (compared.p_value, compared.differ) == (1, False)


def test_the_p_value_does_not_depend_on_the_order_and_nothing_is_said_of_what_nobody_looked_at() -> None:
    known, new, unknown = inputs(25, 5), inputs(6, 6), InputStatistics.unknown(1)
    turned = known[list(range(24, -1, -1))]
    for row in range(6):
        assert place(known, new[[row]]).p_value == place(turned, new[[row]]).p_value
    assert place(unknown, inputs(1, 8)) is place(inputs(5, 7), unknown) is None


def answers(rng: np.random.Generator, n: int, *, offset=0.0, edges=0.99, factor=1.0, agreement=0.5) -> Answers:
    """`n` pictures whose answers vary."""
    return Answers.together(
        Answers.of(
            [edges - 0.02 * rng.random()],
            [1 + rng.random() + offset],
            (factor * rng.gamma(2.0, 0.01 * (1 + rng.random()), (12, 12))).astype(np.float32),
            agreement + 0.1 * rng.random(),
        )
        for _ in range(n)
    )


@pytest.mark.parametrize(("n", "m"), [(8, 1), (8, 2), (7, 3)])
def test_the_p_value_is_that_of_all_ways_to_choose_the_batch(n: int, m: int) -> None:
    values = np.random.default_rng(n + m).permutation(n + m).astype(float)

    def count(chosen: tuple[int, ...]) -> int:
        return sum(values[list(chosen)] >= n + m - m)

    all_counts = [count(chosen) for chosen in combinations(range(n + m), m)]
    for chosen in list(combinations(range(n + m), m))[:20]:
        rest = [k for k in range(n + m) if k not in chosen]
        expected = np.mean([other >= count(chosen) for other in all_counts])
        assert p_value(values[rest], values[list(chosen)]) == pytest.approx(expected)


def test_equal_and_unknown_values_raise_nothing() -> None:
    for known, new in ((np.zeros(500), np.zeros(20)), (np.full(5, np.nan), np.ones(3)), (np.zeros(500), [np.nan])):
        assert p_value(known, np.array(new)) == 1
    rng = np.random.default_rng(3)
    assert drift(Answers.unknown(50), answers(rng, 9, offset=60), [0.02]) is None
    assert drift(answers(rng, 50), Answers.unknown(9), [0.02]) is None


@pytest.mark.parametrize(("n", "m"), [(24, 4), (60, 1), (400, 1), (100, 40)])
def test_false_alarms_are_as_rare_as_it_says(n: int, m: int) -> None:
    rng = np.random.default_rng(7)
    many = answers(rng, 2000)
    alarms = 0
    for _ in range(400):
        # Calibration and batch are exchangeable also where they are chosen from the same pictures.
        everything = many[rng.choice(len(many), n + m, replace=False)]
        alarms += drift(everything[range(n)], everything[range(n, n + m)], [0.01, 0.02]) is not None
    # 400 batches, each an alarm with probability 0.01 at most: more than 11 have a probability below 0.001.
    assert alarms <= 11


def test_a_vendor_that_becomes_flatter_and_brighter_is_noticed_by_one_picture_beside_many_photographs() -> None:
    rng = np.random.default_rng(1)
    said = drift(answers(rng, 24), answers(rng, 4, offset=25), [0.02])
    assert "answers to these 4 pictures are not like those to the calibration's 24 photographs" in said
    assert "differ more from what was sent" in said
    assert f"at most {FALSE_ALARMS:.0%}" in said
    assert drift(answers(rng, 30), answers(rng, 1, offset=25), [0.02]) is None
    assert "the answer to this picture is not like" in drift(answers(rng, 500), answers(rng, 1, offset=25), [0.02])


def test_each_kind_of_change_is_told() -> None:
    for changed, said in (
        ({"edges": 0.6}, "show less"),
        ({"factor": 3.0}, "less of them"),
        ({"factor": 0.3}, "more of them"),
        ({"agreement": 0.8}, "agrees more with the free reference"),
    ):
        rng = np.random.default_rng(2)
        assert said in str(drift(answers(rng, 40), answers(rng, 6, **changed), [-np.inf, 0.03]))
