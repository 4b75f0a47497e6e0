"""What the ledger says about money, failures and latency."""

import numpy as np
import pytest
from support.report_material import make_ledger

from blackbox_conformal.drawing.spending.spent import latency, read_spending


def test_a_ledger_is_summed_up(tmp_path):
    make_ledger(tmp_path)
    found = read_spending(tmp_path)
    assert (found.calls, found.stored, found.failed) == (7, 3, 4)
    assert (dict(found.states), str(found.spent_usd)) == ({"refused": 4, "stored": 3}, "0.12")
    assert (found.reserved_usd, found.latency.count) == (0, 3)
    assert 0 <= found.latency.median <= found.latency.longest
    assert len(found.failures) == 4
    assert all(len(one.message) <= 300 and one.message.isprintable() for one in found.failures)


def test_no_ledger_is_no_spending(tmp_path):
    assert read_spending(tmp_path) is None


def test_latencies_are_observed_ones():
    seconds = np.random.default_rng(0).exponential(2, 1000)
    found = latency(list(seconds))
    assert {found.median, found.ninety, found.ninety_nine, found.longest} <= set(seconds)
    assert np.mean(seconds <= found.median) == pytest.approx(0.5)
    assert np.mean(seconds <= found.ninety_nine) == pytest.approx(0.99)
    assert latency([]) is None
