"""Limits in all, by the day and of tokens, whatever the number of clients and restarts; what errors say to clients."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal

import pytest
from support.draws import tasks
from support.gateway import picture, serving

from blackbox_conformal.drawing.ledger import backends
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.drawing.task import Outcome
from blackbox_conformal.errors import AccountRefusedError, BudgetError, CalibrationError, UsageError
from blackbox_conformal.gateway.book import SqliteBook
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.gateway.runner import words
from blackbox_conformal.gateway.tokens import Holder, Tokens
from blackbox_conformal.study.stages.draws import incomplete
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


OPERATORS = ("--", "`", "max_cost", "command")


def test_a_token_spends_no_more_than_its_limit_and_metrics_part_costs_by_token(calibration, vendor, server, tmp_path):
    tokens = Tokens(tmp_path / "tokens.json")
    alice = tokens.new("alice", Decimal("0.02")).reveal()
    bob = tokens.new("bob").reveal()
    with serving(calibration, vendor, tmp_path / "run", tokens=tmp_path / "tokens.json") as gateway:
        with ThreadPoolExecutor(4) as threads:
            of_alice = list(threads.map(lambda number: gateway.post(picture(number), alice), range(5)))
        assert sorted(answer.status_code for answer in of_alice) == [200, 200, 402, 402, 402]
        said = next(answer.json()["error"] for answer in of_alice if answer.status_code == 402)
        assert "$0.02, the limit of this token" in said
        assert not any(word in said for word in OPERATORS)
        assert gateway.post(picture(10), bob).status_code == 200
        told = gateway.get("/metrics", bob).text
        assert 'token_spent_usd_total{token="alice"} 0.02' in told
        assert 'token_spent_usd_total{token="bob"} 0.01' in told
        assert alice not in told
    with serving(calibration, vendor, tmp_path / "run", tokens=tmp_path / "tokens.json") as gateway:
        assert gateway.post(picture(11), alice).status_code == 402
    assert server.account.paid == 3


def test_what_a_token_spent_before_rows_named_their_payers_counts(calibration, vendor, server, tmp_path):
    tokens = Tokens(tmp_path / "tokens.json")
    alice = tokens.new("alice", Decimal("0.05")).reveal()
    with closing(SqliteBook(tmp_path / "run" / "served")) as book:
        book._write(lambda connection: connection.execute("INSERT INTO account VALUES ('alice', 4, 40000000, NULL)"))
    with serving(calibration, vendor, tmp_path / "run", tokens=tmp_path / "tokens.json") as gateway:
        assert [gateway.post(picture(number), alice).status_code for number in range(2)] == [200, 402]
        told = gateway.get("/metrics", alice).text
    assert 'token_spent_usd_total{token="alice"} 0.05' in told
    assert 'token_calls_total{token="alice"} 5' in told
    assert server.account.paid == 1


def test_an_end_for_which_nothing_was_bought_is_not_kept_under_the_key(calibration, vendor, server, tmp_path):
    with serving(calibration, vendor, tmp_path / "run", settings={"max_cost": "0.01"}) as gateway:
        assert gateway.post(picture(0)).status_code == 200
        refused = gateway.json(picture(1), Idempotency_Key="one")
        assert refused["state"] == "failed"
        assert not any(word in refused["error"] for word in OPERATORS)
    with serving(calibration, vendor, tmp_path / "run", settings={"max_cost": "0.02"}) as gateway:
        answered = gateway.json(picture(1), Idempotency_Key="one")
        assert answered["state"] == "done"
        assert answered["id"] != refused["id"]
        assert gateway.json(picture(1), Idempotency_Key="one")["id"] == answered["id"]
    assert server.account.paid == 2


@pytest.mark.parametrize("fault", ["close-without-answer", "picture:kind=html"])
def test_a_picture_whose_draw_was_lost_is_paid_for_again_for_who_may_ask_for_that(
    calibration, vendor, server, tmp_path, fault
):
    tokens = Tokens(tmp_path / "tokens.json")
    may, may_not = tokens.new("may", pay_again=True).reveal(), tokens.new("may-not").reveal()
    server.script = {"submit": [fault]}
    with serving(calibration, vendor, tmp_path / "run", tokens=tmp_path / "tokens.json") as gateway:
        lost = gateway.post(picture(0), may_not)
        assert lost.status_code == 502
        assert "Prefer: pay-again" in lost.json()["error"]
        assert not any(word in lost.json()["error"] for word in OPERATORS)
        assert gateway.post(picture(0), may_not).status_code == 502
        sent = server.account.requests("submit")
        assert gateway.post(picture(0), may_not, Prefer="pay-again").status_code == 403
        assert server.account.requests("submit") == sent
        assert gateway.post(picture(0), may, Prefer="pay-again").status_code == 200
        assert gateway.post(picture(0), may, Prefer="pay-again").status_code == 200
        assert gateway.post(picture(0), may_not).status_code == 200
        assert server.account.requests("submit") == sent + 1


def test_clients_are_told_what_happened_and_nothing_that_only_the_operator_can_do(unusable):
    errors = [
        BudgetError("the next draw costs up to 0.01 USD; raise --max-cost (max_cost in Python) to go on"),
        AccountRefusedError("the vendor says no to the key (401). Add -p key-header=x-api-key"),
        CalibrationError("the input is one of the calibration's photographs; give --outside 0"),
        incomplete(unusable, local=False),
    ]
    for error in errors:
        said = words(error)
        assert not any(word in said for word in (*OPERATORS, "-p ")), said
        assert said.split(";")[0][:20] == str(error)[:20]


@pytest.fixture
def unusable() -> list[Outcome]:
    return [Outcome(tasks()[0], "ambiguous", False, None, Decimal("0.01"), None, None)]


def test_tokens_that_are_made_and_revoked_at_the_same_time_are_all_as_asked(tmp_path):
    file = tmp_path / "tokens.json"
    Tokens(file).new("old")
    script = (
        "import sys; from pathlib import Path; from blackbox_conformal.gateway.tokens import Tokens\n"
        "tokens = Tokens(Path(sys.argv[1]))\n"
        "for number in range(8):\n    tokens.new(f'{sys.argv[2]}-{number}')\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", script, str(file), name]) for name in "abc"]
    for number in range(8):
        Tokens(file).new(f"d-{number}")
    Tokens(file).revoke("old")
    assert [other.wait(120) for other in others] == [0, 0, 0]
    assert Tokens(file).names() == sorted(f"{name}-{number}" for name in "abcd" for number in range(8))


def test_a_file_of_names_alone_is_read_and_kept_as_it_is(tmp_path):
    file = tmp_path / "tokens.json"
    token = Tokens(file).new("alice").reveal()
    assert list(json.loads(file.read_text())["tokens"].values()) == ["alice"]
    Tokens(file).new("bob", Decimal("1.50"), pay_again=True)
    assert Tokens(file).holders() == [Holder("alice"), Holder("bob", Decimal("1.5"), True)]
    assert Tokens(file).owner(f"Bearer {token}") == "alice"
    with pytest.raises(UsageError, match="there is a token of bob"):
        Tokens(file).new("bob")
