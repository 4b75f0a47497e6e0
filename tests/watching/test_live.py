"""Live pictures: how they are ranked and bet, and what an alarm of inputs or of answers does."""

import numpy as np
import pytest
from watch_live_rates import LEVEL, false_alarms, pictures

from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import (
    ANSWERS,
    INPUTS,
    JUMP,
    POWERS,
    Wealth,
    answers_finding,
    inputs_finding,
    log_wealth,
    p_values,
)

RUNS = 40


@pytest.mark.slow
def test_pictures_like_the_calibrations_rarely_raise_an_alarm_and_a_bag_that_stays_as_it_was_often_does():
    allowed = LEVEL + 3 * (LEVEL * (1 - LEVEL) / RUNS) ** 0.5
    assert max(false_alarms(RUNS, 60, 12)) <= allowed
    assert min(false_alarms(12, 150, 12, fixed=True)) > 0.2


def test_a_bet_on_uniform_p_values_keeps_its_capital_on_average():
    start = Wealth((0.1, 0.2, 0.3, 0.15, 0.25))
    # Close to both ends, where bets are large, p-values stand closer together.
    places = (np.arange(4000) + 0.5) / 4000
    small, weights = places**8 / 2, 4 * places**7 / len(places)
    total = sum(
        weight * (np.exp(start.after(p).log_wealth) + np.exp(start.after(1 - p).log_wealth))
        for p, weight in zip(small, weights, strict=True)
    )
    assert total == pytest.approx(1.0, abs=0.001)
    after = start.after(0.01)
    gains = [1.0, *(e * 0.01 ** (e - 1) for e in POWERS), *(e * 0.99 ** (e - 1) for e in POWERS)]
    capital = [((1 - JUMP) * share + JUMP / 5) * gain for share, gain in zip(start.shares, gains, strict=True)]
    assert after.log_wealth == pytest.approx(np.log(sum(capital)))
    assert after.shares == pytest.approx([one / sum(capital) for one in capital])
    assert np.isfinite(start.after(0.0).log_wealth)
    assert np.isfinite(start.after(1.0).log_wealth)


def test_evidence_picture_by_picture_is_that_of_the_bets_one_by_one():
    random = np.random.default_rng(9)
    ranks = random.uniform(size=(40, 3)) ** np.array([1.0, 4.0, 1.0])
    ranks[5:20, 2], ranks[0, 0], ranks[1, 0] = np.nan, 0.0, 1.0
    found = log_wealth(ranks)
    for column in range(3):
        wealth = Wealth()
        for place, p_value in enumerate(ranks[:, column]):
            wealth = wealth if np.isnan(p_value) else wealth.after(float(p_value))
            assert found[place, column] == pytest.approx(wealth.log_wealth, abs=1e-12)


def test_an_answer_that_follows_its_input_is_no_change_and_one_that_does_not_is():
    random = np.random.default_rng(4)
    inputs, answers = pictures(random, 200)
    # Far out as an input, with the answer that belongs to such an input.
    far = InputStatistics(np.array([[8.0, *[0.0] * (len(STATISTICS) - 1)]], np.float32))
    belonging, strange = answers.values[:1].copy(), answers.values[:1].copy()
    belonging[0, 0], strange[0, 0] = 8 / 20, 8 / 20
    here = InputStatistics(np.zeros((1, len(STATISTICS)), np.float32))

    def place(row: InputStatistics, answer: np.ndarray) -> dict[str, float]:
        together = Answers(np.concatenate([answers.values, answer]))
        return p_values(InputStatistics.together([inputs, row]), together, 2.0, lambda _: 0.5)

    followed, apart = place(far, belonging), place(here, strange)
    assert followed["sharpness"] < 0.01
    assert 0.05 < followed["resemblance"] < 0.95
    assert apart["resemblance"] < 0.01
    assert apart["sharpness"] > 0.2


def test_answers_are_ranked_from_where_they_begin_and_left_out_where_there_are_none():
    inputs, answers = pictures(np.random.default_rng(5), 10)
    values = answers.values.copy()
    values[-1, 0] = np.nan
    values[:8, 1] = 1000
    found = p_values(inputs, Answers(values), 2.0, lambda _: 0.5, first=9)
    assert "resemblance" not in found
    assert found["difference"] == 0.5, "it is the only one"
    assert set(found) == {*INPUTS, *ANSWERS} - {"resemblance"}


def test_a_watch_that_an_earlier_version_began_keeps_the_features_that_share_its_level():
    level = Level(0.01)
    needed = {len(ANSWERS) - 1: {"difference"}, len(ANSWERS): {"difference", "strangeness"}}
    for count, names in needed.items():
        limit = np.log(count / level.answers)
        for above, verdict in ((-0.01, "same"), (0.01, "changed")):
            wealth = {name: Wealth() for name in names} | {"difference": Wealth(log_highest=limit + above)}
            assert answers_finding(wealth, level).verdict == verdict


def test_a_drift_of_inputs_is_a_note_and_keeps_answers_from_being_the_vendors_fault():
    level, alarm = Level(0.01), Wealth(log_wealth=20.0, log_highest=20.0)
    assert inputs_finding({"difference": alarm}, level).verdict == "same"
    assert answers_finding({"difference": alarm}, level).verdict == "changed"
    drifted = {"noise": alarm, "difference": alarm}
    assert inputs_finding(drifted, level).verdict == "note"
    assert (
        "the inputs drifted: those of the pictures that are masked are noisier"
        in inputs_finding(drifted, level).statement
    )
    assert answers_finding(drifted, level).verdict == "note"
    assert inputs_finding({}, level).verdict == answers_finding({}, Level(0.01, live=False)).verdict == "not watched"
