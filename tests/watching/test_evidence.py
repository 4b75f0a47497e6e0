"""What the canaries of several visits come to: their answers may share a shock, and half a visit says nothing."""

from dataclasses import replace

import numpy as np

from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.records import Finding, Visit, WatchDraw, Watched
from blackbox_conformal.watching.visit.canaries import FEATURES
from blackbox_conformal.watching.visit.looking import canaries_finding, gather

CANARIES = 8


def visits(seed: int, count: int, rho: float = 0.0, shift: float = 0.0, change: int = 0) -> list[Visit]:
    """Features of correlation `rho` within a visit, moved by `shift` after so many visits."""
    random, made = np.random.default_rng(seed), []
    for number in range(count):
        shock = np.sqrt(rho) * random.normal(size=len(FEATURES)) + shift * (number >= change)
        draws = []
        for canary in range(CANARIES):
            values = shock + np.sqrt(1 - rho) * random.normal(size=len(FEATURES))
            features = dict(zip(FEATURES, values.tolist(), strict=True))
            draws.append(WatchDraw(canary, "fresh", canary, None, features=features))
        made.append(Visit(number, number, "", "", "same", tuple(draws)))
    return made


def finding(of: list[Visit], seed: int = 0) -> Finding:
    watch = Watched(1, "", "", str(seed), 0.01, True, False)
    return canaries_finding(Level(), gather(watch, of, CANARIES), of, CANARIES, instead=False)


def test_a_shock_that_all_answers_of_a_visit_share_is_no_change():
    for rho in (0.3, 1.0):
        assert [finding(visits(seed, 40, rho), seed).verdict for seed in range(10)] == ["same"] * 10


def test_a_change_is_told_with_the_way_it_moves():
    found = finding(visits(0, 38, shift=3.0, change=30))
    assert found.verdict == "changed"
    assert "standard deviations) in the median canary; evidence" in found.statement
    assert " moved by +" in found.statement


def test_a_visit_with_a_canary_that_was_not_answered_does_not_bet():
    every = visits(1, 12)
    part = replace(every[-1], draws=every[-1].draws[1:])
    found = finding([*every[:-1], part])
    assert found.verdict == "cannot tell"
    assert found.statement.startswith("only 7 of 8 canaries were answered, and a visit counts when all are")
    assert found.statement.endswith("from 11 visits")
    watch = Watched(1, "", "", "0", 0.01, True, False)
    assert gather(watch, [*every[:-1], part], CANARIES) == gather(watch, every[:-1], CANARIES)
