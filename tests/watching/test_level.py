"""How the level is split, and what a visit comes to."""

import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.records import Finding, outcome, state_after
from blackbox_conformal.watching.visit.canaries import FEATURES


def test_the_parts_are_the_whole():
    level = Level(0.01)
    assert level.canaries + level.harm + level.answers + level.inputs == pytest.approx(0.01)
    earlier = Level(0.01, live=False)
    assert (earlier.canaries, earlier.harm, earlier.answers + earlier.inputs) == (0.005, 0.005, 0)
    assert "0.5 % for canaries, 0.5 % for harm. Answers of one visit" in earlier.sentence
    assert "might have come in any other order" in earlier.sentence
    # Each feature alarms at a share of the level: by Ville and the union bound they have all of it together.
    assert len(FEATURES) / level.needed(len(FEATURES)) == pytest.approx(level.canaries)
    assert "1 %" in level.sentence
    assert "0.5 % for canaries, 0.25 % for harm, 0.15 % for answers, 0.1 % for inputs." in level.sentence
    assert "at most 90 %" in Level(0.9).sentence


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_other_levels_are_refused(level):
    with pytest.raises(UsageError, match="--level"):
        Level(level)


def test_harm_and_change_are_two_statements():
    same, note = Finding("canaries", "same", ""), Finding("pixels", "note", "")
    changed, above = Finding("identity", "changed", ""), Finding("harm", "above", "")
    unknown = Finding("canaries", "cannot tell", "")
    assert state_after([same, note], "watched") == "watched"
    assert state_after([same, note], "accepted") == "accepted"
    assert state_after([changed, same], "watched") == "suspended"
    assert state_after([changed, above], "watched") == "void"
    assert outcome([same, note]) == "same"
    assert outcome([unknown, note]) == "cannot tell"
    assert outcome([unknown, changed]) == outcome([above]) == "changed"
