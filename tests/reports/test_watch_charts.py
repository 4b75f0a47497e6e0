"""The charts of live pictures on the page of a watch."""

import math

from blackbox_conformal.reports.watch_page import FEW, MOST_POINTS, live_charts
from blackbox_conformal.watching.live_file import LiveEvidence


def test_a_peak_among_many_pictures_is_drawn() -> None:
    logs = [0.0] * 5000
    logs[3217] = 9.0 * math.log(10)
    inputs, answers = live_charts(LiveEvidence(tuple(logs), tuple(logs), 8.0, 7.0))
    for chart, limit in ((inputs, 8.0), (answers, 7.0)):
        bound, evidence = chart.series
        assert {y for _, y in bound.points} == {limit / math.log(10)}
        assert len(evidence.points) <= MOST_POINTS
        assert (3218.0, 9.0) in [(x, round(y, 9)) for x, y in evidence.points]
        assert chart.y1 > 9.0, "it lies within the chart"


def test_every_one_of_few_pictures_has_a_mark_and_none_make_no_chart() -> None:
    _, answers = live_charts(LiveEvidence((0.0,) * FEW, (0.0,) * FEW, 8.0, 7.0))
    assert len(answers.marks(answers.series[1])) == FEW
    assert answers.series[1].style == "dots"
    assert live_charts(LiveEvidence()) == []
