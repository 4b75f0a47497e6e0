"""Evidence as it grew: a chart of it, and a line of bars."""

import math

from blackbox_conformal.watching.visit.visit_documents import FEW, MOST_POINTS, EvidenceHistory


def history(logs: list[float]) -> EvidenceHistory:
    return EvidenceHistory("inputs", "Inputs", "picture", logs, 8.0, "a warning")


def test_a_peak_among_many_pictures_is_drawn():
    logs = [0.0] * 5000
    logs[3217] = 9.0 * math.log(10)
    chart = history(logs).chart
    bound, evidence = chart.series
    assert {y for _, y in bound.points} == {8.0 / math.log(10)}
    assert len(evidence.points) <= MOST_POINTS
    assert (3218.0, 9.0) in [(x, round(y, 9)) for x, y in evidence.points]
    assert chart.y1 > 9.0, "it lies within the chart"


def test_every_one_of_few_pictures_has_a_mark():
    chart = history([0.0] * FEW).chart
    assert len(chart.marks(chart.series[1])) == FEW
    assert chart.series[1].style == "dots"


def test_full_bars_are_an_alarm_and_one_value_has_none():
    assert history([-1.0, 4.0, 8.0, 99.0]).bars.split()[1] == "▁▅██"
    assert history([1.0]).bars == ""
