"""Numbers in words are rounded to the safe side: lower ends down, upper ends up, and no level is crossed in words."""

import re

import numpy as np

from blackbox_conformal.method.audits.verdict import Judgement, meaning
from blackbox_conformal.support.wording import at_least, at_most, between
from blackbox_conformal.watching.level import Level

NUMBERS = np.random.default_rng(8)


def numbers(count=4000):
    """Of every size and sign, round ones among them."""
    for _ in range(count):
        number = float(NUMBERS.normal() * 10 ** NUMBERS.uniform(-9, 9))
        yield number if NUMBERS.random() < 0.7 else round(number, int(NUMBERS.integers(0, 4)))


def test_bounds_are_never_rounded_to_the_wrong_side_and_by_little():
    for number in numbers():
        digits = int(NUMBERS.integers(1, 7))
        low, high = float(at_least(number, digits)), float(at_most(number, digits))
        assert low <= number <= high
        assert high - low <= abs(number) * 10.0 ** (2 - digits)
        assert between((number, number), digits) == f"{at_least(number, digits)} to {at_most(number, digits)}"


def test_a_bound_on_one_side_of_a_level_stays_there_in_words():
    for level in np.random.default_rng(9).uniform(0.01, 1, 500):
        for gap in (1e-3, 1e-6, 1e-12):
            assert float(at_most(level * (1 - gap), level=level)) <= level
            assert float(at_least(level * (1 + gap), level=level)) > level


def test_verdicts_claim_no_more_than_they_found():
    rng = np.random.default_rng(10)
    for _ in range(500):
        level = float(rng.choice([0.1, 0.2, rng.uniform(0.05, 0.5)]))
        low, high = sorted(rng.uniform(0, 2 * level, 2))
        risk, far = rng.uniform(low, high), 1.0
        confirmed = meaning(Judgement(risk, (low, min(high, level)), far, far, "confirmed"), level)
        assert min(high, level) <= last(confirmed, "at most") <= last(confirmed, "not above")
        broken = meaning(Judgement(risk, (level + low + 1e-9, high), 0.0123, 0.0123, "contradicted"), level)
        assert last(broken, "so above") < last(broken, "at least") <= level + low + 1e-9
        assert last(broken, "only") >= 1.23
        unsure = meaning(Judgement(risk, (low, high), far, far, "inconclusive", further=3), level)
        if risk <= level:
            assert last(unsure, "as high as") >= high
        else:
            assert last(unsure, "the risk is") > last(unsure, "above")
            assert last(unsure, "as low as") <= low


def test_a_watch_promises_no_fewer_false_alarms_than_it_allows():
    assert Level().sentence.startswith("false alarms: at most 1 % of watches ")
    assert "at most 1.24 % of watches" in Level(0.01234).sentence


def last(text, words):
    """The number behind `words`."""
    return float(re.search(rf"{words} (\d[\d.]*\d|\d)", text)[1])
