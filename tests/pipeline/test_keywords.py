"""A slip in a keyword is told by the name of the function that was called."""

import pytest

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError


def test_slips_name_what_was_called_and_what_is_near(tmp_path):
    vendor = bc.load_adapter("folder", path=str(tmp_path), label="none")
    with pytest.raises(UsageError, match="calibrate takes no parameter 'max_prise'; it takes adapter"):
        bc.calibrate(vendor, tmp_path, max_prise=3)
    with pytest.raises(UsageError, match="did you mean max_cost"):
        bc.calibrate(vendor, tmp_path, max_costs=3)
    with pytest.raises(UsageError, match="apply takes no parameter 'qqqqqq'; it takes adapter, alpha"):
        bc.apply(vendor, "small.png", "calibration.json", alpha=0.1, qqqqqq=1)
    with pytest.raises(UsageError, match="did you mean guarantee"):
        bc.apply(vendor, "small.png", "calibration.json", alpha=0.1, garantee="expected")
