"""At most 5 % of streams of right pictures raise a false alarm, whatever the ties; with second looks more do."""

import numpy as np
import pytest
from watch_live_rates import pictures

from blackbox_conformal.method.audits.input_shift import joint_test
from blackbox_conformal.method.audits.stream_evidence import (
    ALARM,
    ANY,
    EXPONENTS,
    FIRST,
    JUMP,
    LEAST,
    LOOKS,
    MOST,
    answers_test,
    enough,
    evidence,
)
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers

CALIBRATED, STREAMS, PERMUTATIONS = 12, 200, 1999


def tied(rng, rows):
    """Three features of pictures, the first with three values, the second with mostly one, the last the first's."""
    first = rng.integers(0, 3, rows)
    return np.stack([first, rng.random(rows) < 0.1, first + rng.integers(0, 4, rows)], axis=1).astype(np.float64)


def highest(rng, values, sizes):
    """The highest evidence that a stream of blocks of these sizes, the last of `values`, reaches."""
    p_values, reached, place = [], 0.0, len(values) - sum(sizes)
    for number, size in enumerate(sizes):
        rows = values[: place + size]
        p_values.append(joint_test(rows, size, PERMUTATIONS, seed=int(rng.integers(2**31)) + number)[1].min())
        place += size
        reached = max(reached, evidence(p_values, []))
    return reached


@pytest.mark.parametrize("sizes", [(4, 4, 8, 16, 20), (20, 20, 20), (5,) * 12])
def test_right_pictures_raise_an_alarm_in_at_most_a_twentieth_of_streams(tools, sizes):
    rng = np.random.default_rng(len(sizes))
    alarms = [highest(rng, tied(rng, CALIBRATED + sum(sizes)), sizes) >= ALARM for _ in range(STREAMS)]
    assert tools.verdict(np.array(alarms, float)).keeps(1 / ALARM)


def test_counting_a_second_look_at_the_same_pictures_breaks_it(tools):
    """The positive control: what the run folder refuses to do."""
    rng, alarms = np.random.default_rng(9), []
    for _ in range(STREAMS):
        p_value = joint_test(tied(rng, CALIBRATED + 20), 20, PERMUTATIONS)[1].min()
        alarms.append(evidence([p_value] * 20, []) >= ALARM)
    assert tools.verdict(np.array(alarms, float)).breaks(1 / ALARM)


def test_another_kind_is_found_in_one_batch_and_one_by_one():
    rng = np.random.default_rng(2)
    for sizes in ((20,), (4, 4, 8, 16)):
        values = tied(rng, 40 + sum(sizes))
        values[40:, 2] += 4
        assert highest(rng, values, sizes) >= ALARM


def test_evidence_is_the_mixture_of_all_ways_to_move_the_capital():
    """Naive twin: the sum over every sequence of bets of what it stakes and wins."""
    p_values = [0.3, 0.004, 0.08]
    bets = [lambda p: 1.0, *(lambda p, e=e: e * p ** (e - 1) for e in EXPONENTS)]
    stake = 1 - 2 * ALARM * (FIRST + ANY * LOOKS)

    def worth(rest, own):
        if not rest:
            return 1.0
        moves = [(JUMP / len(bets) + (1 - JUMP) * (place == own), place) for place in range(len(bets))]
        return sum(share * bets[place](rest[0]) * worth(rest[1:], place) for share, place in moves)

    capital = stake * sum(worth(p_values, place) for place in range(len(bets))) / len(bets)
    assert evidence(p_values, [0.5]) == pytest.approx(capital / 2)
    assert evidence([0.5], p_values) == pytest.approx(capital / 2), "the larger one, each with half of the level"


def test_what_an_alarm_takes():
    assert evidence([FIRST], []) >= ALARM > evidence([FIRST * 1.5], [])
    assert evidence([0.9, FIRST], []) < ALARM
    assert evidence([*[0.9] * (LOOKS - 1), 1e-4], []) >= ALARM > evidence([*[0.9] * LOOKS, 1e-4], [])
    assert evidence([0.05] * 8, []) >= ALARM > evidence([0.05] * 4, []), "small differences add up"


def test_bets_win_nothing_on_average():
    p = (np.arange(2_000_000) + 0.5) / 2_000_000
    assert sum((e * p ** (e - 1)).mean() for e in EXPONENTS) / len(EXPONENTS) <= 1 + 1e-9
    assert 2 * ALARM * (FIRST + ANY * LOOKS) < 1, "what is staked on alarms at once"


def test_blocks_grow_where_pictures_come_one_by_one_and_a_batch_is_one():
    assert [n for n in range(1, 8) if enough(n, 1, 0)] == [4, 5, 6, 7]
    assert enough(LEAST, 1, 2 * LEAST + 1)
    assert not enough(LEAST, 1, 2 * LEAST + 2)
    assert enough(LEAST, LEAST, 500)
    assert enough(MOST, 1, 500)
    assert not enough(MOST - 1, 1, 500)


def stream(rng, sizes, shift=0.0, first_known=0):
    """The highest evidence of answers in blocks of these sizes, whose strangeness is `shift` larger.

    `first_known`: the first picture of which it is known, as an earlier version entered those before.
    """
    known, new = pictures(rng, CALIBRATED), pictures(rng, sum(sizes))
    strangeness = np.maximum(new[1].strangeness + shift, 0)
    strangeness[:first_known] = np.nan
    inputs = InputStatistics.together([known[0], new[0]])
    answers = Answers.together([known[1], new[1].watched(strangeness)])
    p_values, reached, end = [], 0.0, CALIBRATED
    for number, size in enumerate(sizes):
        before, waiting = list(range(end)), list(range(end, end + size))
        known, new = ((inputs[rows], answers[rows]) for rows in (before, waiting))
        p_values.append(answers_test(known, new, 20.0, int(rng.integers(2**31)) + number)[0])
        reached, end = max(reached, evidence([], p_values)), end + size
    return reached


@pytest.mark.parametrize("first_known", [0, 20])
def test_streams_of_right_answers_with_strangeness_raise_an_alarm_in_at_most_a_twentieth(
    tools, monkeypatch, first_known
):
    monkeypatch.setattr(joint_test, "__defaults__", (PERMUTATIONS, 0))
    rng = np.random.default_rng(20 + first_known)
    alarms = [stream(rng, (20, 4, 4, 8), first_known=first_known) >= ALARM for _ in range(100)]
    assert tools.verdict(np.array(alarms, float)).keeps(1 / ALARM)


def test_strangeness_alone_raises_the_alarm_and_not_where_earlier_pictures_lack_it():
    assert stream(np.random.default_rng(3), (20, 20), 6.0) >= ALARM
    assert stream(np.random.default_rng(3), (20, 20), 6.0, first_known=1) < ALARM


def test_a_feature_that_is_not_known_tells_nothing():
    values = np.concatenate([np.arange(20.0), np.arange(5.0) + 30])[:, None]
    unknown = np.where(values > 25, np.nan, values)
    standardised, p_values = joint_test(np.hstack([unknown, values]), 5, PERMUTATIONS)
    assert standardised[0] == 0
    assert p_values[0] == 1
    assert p_values[1] <= 0.01
