"""What was booked of submissions of the last 24 hours, by the ledger's own writes and after a restart."""

import time
from decimal import Decimal
from pathlib import Path

import pytest
from support.synthetic import photograph

from blackbox_conformal.drawing.ledger import backends
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Upload

A_DAY = Limits(max_cost_per_day_usd=Decimal("0.03"))


def draw(server: FaultServer, run: Path, first: int, number: int, limits: Limits = A_DAY) -> int:
    """Draw pictures, so many as there is room for; how many were drawn."""
    png = image_png(photograph(200)[:16, :20])
    upload = Upload("picture", digest_bytes(png), png, 20, 16)
    drawn = 0
    with Sampler(SynchronousVendor(url=server.url), run, limits) as sampler:
        try:
            for outcome in sampler.draw([Task(upload, first + index, first + index) for index in range(number)]):
                drawn += outcome.state == "stored"
        except BudgetError:
            pass
    return drawn


def test_a_day_has_a_limit_whoever_draws(tmp_path, server):
    assert (draw(server, tmp_path, 0, 2), draw(server, tmp_path, 2, 8)) == (2, 1)
    assert (draw(server, tmp_path, 10, 1), server.account.paid) == (0, 3)


@pytest.mark.parametrize(("hours", "room"), [(23.9, 0), (24.1, 3)])
@pytest.mark.sqlite
def test_what_is_older_than_a_day_makes_room(tmp_path, monkeypatch, hours, room, server):
    assert draw(server, tmp_path, 0, 4) == 3
    now = time.time
    monkeypatch.setattr(backends.time, "time", lambda: now() + hours * 3600)
    assert draw(server, tmp_path, 10, 4) == room


@pytest.mark.sqlite
def test_a_limit_in_all_and_one_of_a_day_hold_together(tmp_path, monkeypatch, server):
    both = Limits(max_cost_usd=Decimal("0.04"), max_cost_per_day_usd=Decimal("0.03"))
    assert draw(server, tmp_path, 0, 4, both) == 3
    now = time.time
    monkeypatch.setattr(backends.time, "time", lambda: now() + 25 * 3600)
    assert draw(server, tmp_path, 10, 4, both) == 1


def test_what_a_draw_gives_back_makes_room(tmp_path):
    """A refusal is billed at nothing, so the price that it held is free again."""
    with FaultServer({"submit": ["status:code=422", "status:code=422"]}, price_usd="0.01") as server:
        assert draw(server, tmp_path, 0, 5) == 3
