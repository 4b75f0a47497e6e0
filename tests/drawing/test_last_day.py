"""What was booked of submissions of the last 24 hours, by the ledger's own writes and after a restart."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.draws import draw, tasks

from blackbox_conformal.drawing.ledger import backends
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


def drawn(vendor: SynchronousVendor, run: Path, first: int, number: int, **more: Any) -> int:
    work = tasks(first + number)[first:]
    return draw(vendor, run, work, look=None, max_cost_per_day_usd=Decimal("0.03"), **more).states.count("stored")


def test_a_day_has_a_limit_whoever_draws(tmp_path, vendor, server):
    assert (drawn(vendor, tmp_path, 0, 2), drawn(vendor, tmp_path, 2, 8)) == (2, 1)
    assert (drawn(vendor, tmp_path, 10, 1), server.account.paid) == (0, 3)


@pytest.mark.parametrize(("hours", "room"), [(23.9, 0), (24.1, 3)])
@pytest.mark.sqlite
def test_what_is_older_than_a_day_makes_room(tmp_path, monkeypatch, hours, room, vendor):
    assert drawn(vendor, tmp_path, 0, 4) == 3
    now = time.time
    monkeypatch.setattr(backends.time, "time", lambda: now() + hours * 3600)
    assert drawn(vendor, tmp_path, 10, 4) == room


@pytest.mark.sqlite
def test_a_limit_in_all_and_one_of_a_day_hold_together(tmp_path, monkeypatch, vendor):
    assert drawn(vendor, tmp_path, 0, 4, max_cost_usd=Decimal("0.04")) == 3
    now = time.time
    monkeypatch.setattr(backends.time, "time", lambda: now() + 25 * 3600)
    assert drawn(vendor, tmp_path, 10, 4, max_cost_usd=Decimal("0.04")) == 1


def test_what_a_draw_gives_back_makes_room(tmp_path, vendor, server):
    """A refusal is billed at nothing, so the price that it held is free again."""
    server.script = {"submit": ["status:code=422", "status:code=422"]}
    assert drawn(vendor, tmp_path, 0, 5) == 3
