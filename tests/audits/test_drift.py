"""The alarm is exact: a batch like the calibration raises it as rarely as it says, another one nearly always."""

from itertools import combinations

import numpy as np
import pytest

from blackbox_conformal.method.audits.drift import FALSE_ALARMS, drift, p_value
from blackbox_conformal.method.risk.answers import Answers


def answers(
    rng: np.random.Generator,
    n: int,
    *,
    offset: float = 0.0,
    edges: float = 0.99,
    factor: float = 1.0,
    agreement: float = 0.5,
) -> Answers:
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
    assert p_value(np.zeros(500), np.zeros(20)) == 1
    assert p_value(np.full(5, np.nan), np.ones(3)) == 1
    assert p_value(np.zeros(500), np.array([np.nan])) == 1


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


def test_a_vendor_that_becomes_flatter_and_brighter_is_noticed() -> None:
    rng = np.random.default_rng(1)
    said = drift(answers(rng, 24), answers(rng, 4, offset=25), [0.02])
    assert said is not None
    assert "answers to these 4 pictures are not like those to the calibration's 24 photographs" in said
    assert "differ more from what was sent" in said
    assert f"at most {FALSE_ALARMS:.0%}" in said


def test_one_picture_is_enough_beside_many_photographs() -> None:
    rng = np.random.default_rng(1)
    assert drift(answers(rng, 30), answers(rng, 1, offset=25), [0.02]) is None
    said = drift(answers(rng, 500), answers(rng, 1, offset=25), [0.02])
    assert said is not None
    assert "the answer to this picture is not like" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"edges": 0.6}, "show less"),
        ({"factor": 3.0}, "less of them"),
        ({"factor": 0.3}, "more of them"),
        ({"agreement": 0.8}, "agrees more with the free reference"),
    ],
)
def test_each_kind_of_change_is_told(changed: dict[str, float], said: str) -> None:
    rng = np.random.default_rng(2)
    assert said in str(drift(answers(rng, 40), answers(rng, 6, **changed), [-np.inf, 0.03]))


def test_nothing_is_said_where_nothing_is_known() -> None:
    rng = np.random.default_rng(3)
    assert drift(Answers.unknown(50), answers(rng, 9, offset=60), [0.02]) is None
    assert drift(answers(rng, 50), Answers.unknown(9), [0.02]) is None
