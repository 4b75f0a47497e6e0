"""A slip in a keyword is told by the name of the function that was called."""

from decimal import Decimal

import pytest
from PIL import Image as PillowImage

import blackbox_conformal as bc
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.from_keywords import limits_of


def test_slips_name_what_was_called_and_what_is_near(tmp_path):
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    with pytest.raises(
        UsageError, match="calibrate takes no parameter 'max_prise'; it takes accept_refusals, alpha, ask"
    ):
        bc.calibrate(vendor, tmp_path, max_prise=3)
    with pytest.raises(UsageError, match="did you mean max_cost"):
        bc.calibrate(vendor, tmp_path, max_costs=3)
    with pytest.raises(
        UsageError, match="mask takes no parameter 'qqqqqq'; it takes accept_refusals, alpha, ask, calibration"
    ):
        bc.mask(vendor, "small.png", "calibration.json", alpha=0.1, qqqqqq=1)
    with pytest.raises(UsageError, match="did you mean guarantee"):
        bc.mask(vendor, "small.png", "calibration.json", alpha=0.1, garantee="expected")


def test_a_needed_parameter_that_is_missing_is_named_with_an_example(tmp_path):
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    needed = r"mask: expected vendor, picture, calibration, alpha; got no alpha. Give alpha=0.1, the risk"
    for given, named in (((), {}), ((), {"alpha": None}), ((None,), {})):
        with pytest.raises(UsageError, match=needed):
            bc.mask(vendor, "small.png", "calibration.json", *given, **named)
    with pytest.raises(UsageError, match=r"Session: expected calibration, vendor, alpha; got no vendor. Give vendor="):
        bc.Session("calibration.json", alpha=0.1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_cost": "five"}, "expected max_cost to be an amount of US dollars such as 12.50, at least 0; got 'five'"),
        ({"max_cost": -1}, "got -1"),
        ({"max_cost": float("nan")}, "got nan"),
        ({"max_calls": 2.5}, "expected max_calls to be a whole number of at least 0; got 2.5"),
        ({"max_calls": True}, "whole number"),
        ({"max_calls": -1}, "at least 0; got -1"),
        (
            {"memory": "2"},
            "expected memory to be an amount with its unit.* such as 2GB, or in Python in bytes; got '2'",
        ),
        ({"fit": "stretch"}, "expected fit to be crop or shrink; got 'stretch'"),
        ({"draws": 0}, "expected draws to be a whole number from 1 to 4096; got 0"),
    ],
)
def test_limits_that_are_none_are_refused_by_name(tmp_path, given, said):
    PillowImage.new("RGB", (64, 64)).save(tmp_path / "one.png")
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    with pytest.raises(UsageError, match=said):
        bc.calibrate(vendor, tmp_path, **given)


def test_limits_are_exact():
    found = limits_of({"max_cost": 0.1, "max_calls": 3})
    assert (found.max_cost_usd, found.max_calls) == (Decimal("0.1"), 3)
    assert limits_of({}) == Limits()
