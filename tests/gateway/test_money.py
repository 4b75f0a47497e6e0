"""Limits that hold over restarts, by the day, and whatever the number of clients."""

import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from support.gateway import picture, serving

from blackbox_conformal.drawing.ledger import backends
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.testing.fault_server import chances


def test_the_limit_in_all_holds_over_restarts(calibration, vendor, server, tmp_path):
    for start in range(3):
        with serving(calibration, vendor, tmp_path / "run", settings={"max_cost": "0.02"}) as gateway:
            statuses = [gateway.post(picture(10 * start + number)).status_code for number in range(3)]
        assert statuses == ([200, 200, 402] if start == 0 else [402] * 3)
    assert server.account.paid == 2


def test_the_limit_holds_with_a_ledger_that_was_restored_from_an_older_copy(calibration, vendor, server, tmp_path):
    run, told = tmp_path / "run", list[str]()
    settings = {"max_cost": "0.04", "listener": lambda event: told.append(event.kind)}
    with serving(calibration, vendor, run, settings=settings) as gateway:
        assert gateway.post(picture(0)).status_code == 200
    shutil.copy(run / "ledger.sqlite", tmp_path / "copy")
    with serving(calibration, vendor, run, settings=settings) as gateway:
        assert [gateway.post(picture(number)).status_code for number in (1, 2)] == [200, 200]
    shutil.copy(tmp_path / "copy", run / "ledger.sqlite")
    (run / "ledger.commits").unlink()
    with serving(calibration, vendor, run, settings=settings) as gateway:
        assert [gateway.post(picture(number)).status_code for number in (3, 1, 2, 4)] == [200, 200, 200, 402]
    assert (server.account.paid, told.count("remembered")) == (4, 1)


def test_the_limit_of_a_day_holds_over_restarts_and_a_day_later_there_is_room_again(
    calibration, vendor, server, tmp_path, monkeypatch
):
    settings = {"max_cost": None, "max_cost_per_day": "0.02"}
    for start in range(2):
        with serving(calibration, vendor, tmp_path / "run", settings=settings) as gateway:
            answers = [gateway.post(picture(10 * start + number)) for number in range(3)]
        assert answers[-1].status_code == 402
        assert "of 0.02 allowed in a day" in answers[-1].json()["error"]
    assert server.account.paid == 2
    now = time.time
    monkeypatch.setattr(backends.time, "time", lambda: now() + 24 * 3600 + 61)
    with serving(calibration, vendor, tmp_path / "run", settings=settings) as gateway:
        assert gateway.post(picture(50)).status_code == 200
    assert server.account.paid == 3


@pytest.mark.parametrize("limit", ["max_cost", "max_cost_per_day"])
def test_many_clients_and_a_bad_vendor_never_pass_the_limit_by_a_cent(calibration, vendor, server, tmp_path, limit):
    faults = {"reset-after-body": 0.05, "status:code=429": 0.05, "status:code=504,billed=true": 0.05}
    server.script = chances(7, {"submit": faults})
    became: Counter[int] = Counter()
    settings = {"max_cost": None, limit: "0.24"}
    with serving(calibration, vendor, tmp_path / "run", settings=settings) as gateway:
        with ThreadPoolExecutor(16) as threads:
            became.update(threads.map(lambda number: gateway.post(picture(number)).status_code, range(36)))
        assert gateway.metric("spent_usd_total") == float(server.account.paid * Decimal("0.01"))
        assert gateway.metric("reserved_usd") == 0
    assert sum(became.values()) == 36
    assert became[200] > 12
    assert became[402] > 0
    assert ledger_sum(tmp_path / "run")["cost_usd"] == server.account.paid * Decimal("0.01") <= Decimal("0.24")
    assert server.account.paid == server.account.distinct


def test_more_requests_than_may_wait_are_told_to_come_again(calibration, vendor, server, tmp_path):
    gate = threading.Event()
    server.script = lambda _: (gate.wait(60), None)[1]
    with serving(
        calibration, vendor, tmp_path / "run", terms=GatewayTerms(most_waiting=2), settings={"concurrency": 1}
    ) as gateway:
        first = gateway.post(picture(0), Prefer="respond-async")
        while gateway.metric("requests_running") == 0:
            time.sleep(0.02)
        others = [gateway.post(picture(1 + number), Prefer="respond-async") for number in range(3)]
        gate.set()
        assert [answer.status_code for answer in (first, *others)] == [202, 202, 202, 429]
        assert int(others[-1].headers["retry-after"]) > 0
        assert gateway.metric("requests_accepted_total") == 3


def test_without_a_limit_a_vendor_that_costs_something_is_not_served(calibration, vendor, tmp_path):
    with (
        pytest.raises(BudgetError, match="--max-cost"),
        serving(calibration, vendor, tmp_path / "run", settings={"max_cost": None}) as opened,
    ):
        raise AssertionError(opened)
