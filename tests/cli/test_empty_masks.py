"""Masks that are known to be empty are paid for only where that is asked for; stored draws are masked all the same."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shop import VENDOR, Shop

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.testing.fault_server import FaultServer


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def test_mask_refuses_to_pay_for_empty_masks_and_names_the_way_out(shop):
    before = shop.paid
    refused = shop.mask("--alpha", "0.05")
    said = refused.stderr.decode()
    assert (refused.returncode, shop.paid) == (2, before), said
    assert "every mask would be empty, so nothing was sent: nothing can be trusted at 0.05: 8 calibration" in said
    assert "--empty-masks" in said
    (level,) = re.findall(r"give --alpha ([\d.]+), the lowest level", said)
    forced = shop.mask("--alpha", "0.05", "--empty-masks", "--out", "forced")
    assert (forced.returncode, shop.paid) == (0, before + 2), forced.stderr
    hint = next(line for line in forced.stdout.decode().splitlines() if "What helps" in line)
    assert hint.startswith("A mask trusts nothing.")
    assert f"--alpha {level} on" in hint
    assert "more calibration photographs (at least" in hint
    assert "plan PHOTOGRAPHS --alpha 0.05" in hint
    # All is stored now: nothing is paid, so nothing is refused.
    again = shop.mask("--alpha", "0.05", "--out", "again", "--json")
    assert (again.returncode, shop.paid) == (0, before + 2), again.stderr
    assert b"warning: every mask will be empty" in again.stderr
    assert json.loads(again.stdout)["pictures"][0]["trusted_share"] == 0
    # The level that is named is the lowest of two digits at which something can be trusted.
    calibration = bc.Calibration.load(shop.calibration)
    assert calibration.threshold(float(level)) > float("-inf")
    assert calibration.threshold(float(level) - 0.01) == float("-inf")


def test_from_python_too(shop):
    vendor = bc.load_adapter(VENDOR, url=shop.server.url)
    before = shop.paid
    choices = {"alpha": 0.05, "max_calls": 2, "run": shop.folder / "run"}
    with pytest.raises(UsageError, match=r"empty_masks=True in Python"):
        bc.mask(vendor, shop.folder / "small.png", shop.calibration, **choices)
    assert shop.paid == before
    result = bc.mask(vendor, shop.folder / "small.png", shop.calibration, empty_masks=True, **choices)
    assert (result.mask.any(), shop.paid) == (False, before + 2)
    with pytest.warns(UserWarning, match="every mask is empty: "):
        assert not bc.mask(vendor, shop.folder / "small.png", shop.calibration, **choices).mask.any()
