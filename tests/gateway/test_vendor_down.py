"""A gateway before a vendor that gives nothing usable stops buying, says so, and goes on when the vendor is well."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.gateway import picture, serving

from blackbox_conformal.drawing.pacing import concurrency

WRONG = ["picture:kind=noise", "picture:kind=html", "status:code=500,billed=true", "picture:kind=another-photograph"]


@pytest.mark.parametrize("fault", WRONG)
def test_a_vendor_that_gives_nothing_usable_is_not_paid_for_every_request(
    calibration, vendor, server, tmp_path, caplog, fault
):
    server.script = {"submit": fault}
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda number: gateway.post(picture(number % 40)), range(100)))
        paid = server.account.paid
        assert 4 <= paid <= 20
        assert Counter(answer.status_code for answer in answers)[503] > 70
        later = next(answer for answer in reversed(answers) if answer.status_code == 503)
        assert 0 < int(later.headers["retry-after"]) <= 30
        assert "stopped" not in later.text
        ready = gateway.get("/readyz")
        assert (ready.status_code, ready.json()["why"]) == (503, "the vendor gives no usable answers")
        assert gateway.metric("vendor_down") == 1
    told = [record for record in caplog.records if record.name == "blackbox_conformal.gateway"]
    assert len([record for record in told if "answered with 503" in record.getMessage()]) == 1
    costly = [record for record in told if getattr(record, "cost_usd", "0") != "0"]
    assert len(costly) == paid
    assert all(record.request in record.getMessage() for record in costly)
    assert not any("stopped" in record.getMessage() for record in told)


def test_it_goes_on_by_itself_when_the_vendor_is_well(calibration, vendor, server, tmp_path, monkeypatch):
    monkeypatch.setattr(concurrency, "FIRST_PAUSE_S", 0.3)
    server.script = {"submit": "picture:kind=html"}
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        numbers = iter(range(1000))
        while gateway.post(picture(next(numbers))).status_code != 503:
            pass
        paid = server.account.paid
        server.script = None
        while (answer := gateway.post(picture(next(numbers)))).status_code == 503:
            time.sleep(0.05)
        assert (answer.status_code, server.account.paid) == (200, paid + 1)
        assert gateway.post(picture(next(numbers))).status_code == 200
        assert (gateway.get("/readyz").status_code, gateway.metric("vendor_down")) == (200, 0)


def test_a_long_pause_that_the_vendor_asks_for_pauses_the_service(server, gateway):
    server.script = {"submit": "status:code=429,retry-after=86400"}
    first = gateway.post(picture(0), Idempotency_Key="one")
    assert first.status_code == 503
    assert int(first.headers["retry-after"]) > 3000
    asked = server.account.requests("submit")
    server.script = None
    assert [gateway.post(picture(number)).status_code for number in (1, 2)] == [503, 503]
    assert server.account.requests("submit") == asked
    assert gateway.post(picture(0), Idempotency_Key="one").status_code == 503
