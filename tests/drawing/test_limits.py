"""Limits that make no sense are refused, with the value."""

from decimal import Decimal

import pytest

from blackbox_conformal.drawing.ledger.money import to_nano, to_usd
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import UsageError


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_cost_usd": Decimal("NaN")},
        {"max_cost_usd": Decimal(-1)},
        {"max_calls": -1},
        {"concurrency": 0},
        {"concurrency": "many"},
        {"auto_most": 0},
        {"attempt_timeout_s": -1.0},
        {"max_attempts": 0},
        {"max_retry_after_s": float("nan")},
        {"max_resample": -1},
        {"max_answer_bytes": 0},
    ],
)
def test_senseless_limits_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        Limits(**wrong)  # type: ignore[arg-type]


def test_auto_starts_at_four_and_ends_at_thirty_two():
    assert (Limits().first_workers, Limits().most_workers) == (4, 32)
    assert (Limits(concurrency=9).first_workers, Limits(concurrency=9).most_workers) == (9, 9)


def test_money_is_exact_and_rounds_up_below_a_nano_dollar():
    assert to_usd(to_nano(Decimal("0.00141667"))) == Decimal("0.00141667")
    assert (to_nano(Decimal("0.0000000001")), str(to_usd(to_nano(Decimal("20.00"))))) == (1, "20")
    with pytest.raises(UsageError, match="-1"):
        to_nano(Decimal(-1))
    with pytest.raises(UsageError, match="NaN"):
        to_nano(Decimal("NaN"))
