"""What only a ledger that many processes share has to keep: owners, cuts, crashes, limits, one pace."""

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from support.draws import Drawn, at_once, draw, killed, sent, tasks, want
from support.postgres_server import end_leases

from blackbox_conformal.drawing.ledger.addresses import LEDGERS, Address
from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.backends import inspect_database, set_limit
from blackbox_conformal.drawing.ledger.money import Budget, Totals
from blackbox_conformal.drawing.ledger.postgres import database, postgres_schema
from blackbox_conformal.drawing.ledger.postgres.database import PostgresConnection, connect
from blackbox_conformal.drawing.ledger.postgres.postgres_ledger import PostgresLedger
from blackbox_conformal.drawing.ledger.postgres.postgres_schema import VERSION
from blackbox_conformal.drawing.ledger.postgres.postgres_transaction import PostgresTransaction
from blackbox_conformal.drawing.ledger.queries import ledger_export, ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.pacing.postgres_rate_limiter import PostgresRateLimiter
from blackbox_conformal.drawing.run_control import Clock, TakenError
from blackbox_conformal.errors import BudgetError, LedgerError, UsageError
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.rates import Rate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "many_machines.py"

PRICE = 250_000_000


def states(address: Address) -> list[str]:
    return [attempt.state for attempt in ledger_ls(address)]


def overdue(address: Address, ledger: PostgresLedger) -> None:
    """Let the lease of a process be over, also that of a server which was started just now."""
    with psycopg.connect(address.shown) as connection:
        query = "UPDATE blackbox_conformal.owner SET expires_at = 0, lease_s = -1e9 WHERE id = %s"
        connection.execute(query, (ledger.me,))


def test_many_that_come_first_make_the_tables_once(address):
    for ledger in at_once(lambda _: PostgresLedger(address), range(6)):
        ledger.close()
    with psycopg.connect(address.shown) as connection:
        assert connection.execute("SELECT number FROM blackbox_conformal.version").fetchall() == [
            (number + 1,) for number in range(VERSION)
        ]


def test_a_ledger_of_a_newer_version_is_refused(address):
    PostgresLedger(address).close()
    with psycopg.connect(address.shown) as connection:
        connection.execute("INSERT INTO blackbox_conformal.version VALUES (99)")
    for opened in (PostgresLedger, ledger_sum):
        with pytest.raises(LedgerError, match="newer version"):
            opened(address)


def test_a_ledger_without_payers_is_brought_up_to_date(address, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(postgres_schema, "VERSION", 5)
        with contextlib.closing(connect(address)) as connection:
            postgres_schema.migrate(connection, address)
            connection.execute(
                "INSERT INTO attempt (task, generation, identity, adapter, upload, upload_name, draw, idempotency_key,"
                " pixels, priced, state, cost_nanousd, sent_at)"
                " VALUES ('t0', 0, 'i', 'a', 'u', 'n', 0, 'k', 1, 1, 'failed', 7, 1)"
            )
            connection.execute("UPDATE total SET attempts = 1, spent_nanousd = 7, calls = 1")
    ledger = PostgresLedger(address)
    ledger.reserve(replace(want("t1"), payer="alice"), None, PRICE)
    assert ledger.payers() == {"alice": Totals(0, PRICE, 1)}
    ledger.close()
    assert [row["payer"] for row in ledger_export(address)] == [None, "alice"]
    assert ledger_verify(address).problems == ()


def test_one_of_two_processes_makes_a_submission(address):
    one, other = PostgresLedger(address), PostgresLedger(address)
    planned = one.plan([want()])
    assert other.plan([want()]) == planned
    number = planned["t0", 0]
    one.reserve_and_mark_sent(want(), number, PRICE)
    with pytest.raises(TakenError):
        other.reserve_and_mark_sent(want(), number, PRICE)
    with pytest.raises(TakenError):
        other.reserve(want(), None, PRICE)
    assert [attempt.busy for attempt in other.rows(["t0"])["t0"]] == [True]
    assert [attempt.busy for attempt in one.rows(["t0"])["t0"]] == [False]
    one.stored(number, VendorReport(), "sha256:a", 3)
    one.validated(number)
    other.validated(number)
    assert [attempt.busy for attempt in other.rows(["t0"])["t0"]] == [False]
    assert one.totals()[2] == other.totals()[2] == 1
    one.close()
    other.close()


def test_a_commit_that_was_not_answered_is_looked_up_and_not_made_again(address, monkeypatch):
    ledger = PostgresLedger(address)
    real, lost = PostgresTransaction.commit, []

    def commit(self: PostgresTransaction) -> None:
        real(self)
        if not lost:
            lost.append(True)
            raise psycopg.OperationalError("the connection was cut after the commit")

    monkeypatch.setattr(PostgresTransaction, "commit", commit)
    number = ledger.reserve(want(), None, PRICE)
    assert lost
    assert ledger.totals() == (Decimal(0), Decimal("0.25"), 1)
    ledger.sent(number)
    ledger.close()
    assert ledger_verify(address).problems == ()


def test_a_cut_before_the_commit_changes_nothing_twice(address):
    ledger = PostgresLedger(address)
    for number in range(5):
        with psycopg.connect(address.shown, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'blackbox-conformal'"
                " AND datname = current_database()"
            )
        ledger.reserve(want(f"t{number}"), None, PRICE)
    assert ledger.totals()[2] == 5
    ledger.close()


def test_who_is_silent_too_long_may_not_pay_any_more_and_its_answer_is_kept(address, monkeypatch):
    silent = PostgresLedger(address)
    sent, reserved = silent.reserve(want(), None, PRICE), silent.reserve(want("t1"), None, PRICE)
    silent.sent(sent)
    job = silent.reserve(want("t2"), None, PRICE)
    silent.sent(job)
    silent.accepted(job, "job-1", VendorReport())
    other = PostgresLedger(address)
    assert other.recover() == 0, "its lease is not over"
    overdue(address, silent)
    assert other.may_adopt(sent)
    assert (other.recover(), states(address)) == (1, ["ambiguous", "cancelled", "accepted"])
    found = other.rows(["t2"])["t2"][0]
    assert not found.busy
    assert other.take(found)
    assert not silent.take(found)
    with pytest.raises(LedgerError, match="longer than its lease"):
        silent.reserve(want("t3"), None, PRICE)
    silent.stored(sent, VendorReport(), "sha256:a", 3)
    with pytest.raises(LedgerError):
        silent.sent(reserved)
    assert states(address) == ["stored", "cancelled", "accepted"]
    silent.close()
    other.close()
    assert ledger_sum(address)["cost_usd"] == Decimal("0.5")


def test_what_is_recorded_after_the_lease_is_over_is_free_for_others_in_the_end(address):
    silent, other = PostgresLedger(address), PostgresLedger(address)
    job, sent = silent.reserve(want(), None, PRICE), silent.reserve(want("t1"), None, PRICE)
    silent.sent(job)
    silent.sent(sent)
    silent.require_hold(sent)
    overdue(address, silent)
    assert other.recover() == 2
    silent.accepted(job, "job-1", VendorReport())
    assert other.rows(["t0"])["t0"][0].busy
    with pytest.raises(LedgerError, match="longer than its lease"):
        silent.require_hold(sent)
    overdue(address, silent)
    assert other.recover() == 0
    found = other.rows(["t0"])["t0"][0]
    assert (found.state, found.busy) == ("accepted", False)
    assert other.take(found)
    silent.close()
    other.close()


def test_the_age_of_a_submission_is_told_by_one_clock(address):
    ledger = PostgresLedger(address)
    number = sent(ledger)
    sent_at = ledger.attempt(number).sent_at
    assert 0 <= ledger.now(wall=12.0) - sent_at < 60
    ledger.close()


@pytest.mark.parametrize(("hours", "sent"), [(19, 2), (38, 1)])
def test_a_submission_is_repeated_while_the_key_is_known_by_the_databases_clock(
    address, tmp_path, monkeypatch, hours, sent
):
    LEDGERS.place(tmp_path, address.shown)
    with FaultServer({"submit": "close-without-answer"}) as vendor:
        for _ in range(2):
            drawn = draw(SynchronousVendor(url=vendor.url, idempotent=True), tmp_path, tasks(), max_attempts=1)
            assert drawn.states == ["ambiguous"]
            with psycopg.connect(address.shown) as connection:
                connection.execute("UPDATE blackbox_conformal.attempt SET sent_at = sent_at - %s", (3600 * hours,))
            # What this machine's clock says does not count.
            monkeypatch.setattr(time, "time", lambda: 0.0)
        assert vendor.account.requests("submit") == sent


def test_two_machines_ask_for_the_same_pictures_and_one_pays(address, tmp_path):
    wanted = tasks(3, 4)
    with FaultServer({"submit": Fault("slow-start", {"seconds": 0.2})}) as vendor:
        drawn = {}

        def machine(name: str) -> None:
            LEDGERS.place(tmp_path / name, address.shown)
            drawn[name] = draw(SynchronousVendor(url=vendor.url), tmp_path / name, wanted, max_cost_usd=Decimal("0.12"))

        at_once(machine, ("one", "other"))
        assert vendor.account.paid == vendor.account.distinct == 12
    assert drawn["one"].error is drawn["other"].error is None
    assert drawn["one"].states == drawn["other"].states == ["stored"] * 12
    assert (drawn["one"].pictures, ledger_verify(address).problems) == (drawn["other"].pictures, ())


def test_a_job_that_a_dead_machine_left_is_fetched_by_another(address, tmp_path, monkeypatch):
    monkeypatch.setenv("LEDGER_OF_THE_CRASH", address.shown)
    with FaultServer(polls=0) as vendor:
        killed(vendor.url, tmp_path / "dead", "jobs", "accepted", 1)
        assert vendor.account.paid == 1
        end_leases(address.shown)
        LEDGERS.place(tmp_path / "other", address.shown)
        drawn = draw(JobVendor(url=vendor.url), tmp_path / "other", tasks(1, 4))
        assert drawn.states == ["stored"] * 4
        assert vendor.account.paid == vendor.account.distinct == 4


def test_machines_share_one_rate_and_one_pause(address):
    PostgresLedger(address).close()
    rates = (Rate(3, 3600.0),)
    vendor = SynchronousVendor(url="http://127.0.0.1:9")
    one, other = (PostgresRateLimiter(vendor, rates, Clock(), address) for _ in range(2))
    stranger = PostgresRateLimiter(SynchronousVendor(url="http://127.0.0.1:10"), rates, Clock(), address)
    assert [limiter.take("submit") for limiter in (one, other, one)] == [0.0] * 3
    assert 3590 < other.take("submit") <= rates[0].kept_seconds
    assert stranger.take("submit") == 0.0
    one.announce_pause(50.0)
    assert one.new_pause() == 0.0
    assert 45 < other.new_pause() <= 50
    assert other.new_pause() == 0.0
    with psycopg.connect(address.shown, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert 3590 < one.take("submit") <= rates[0].kept_seconds
    for limiter in (one, other, stranger):
        limiter.close()


def test_a_password_is_neither_shown_nor_noted(tmp_path):
    text = "postgresql://me:s3cret-pass@db.example:5433/name?sslmode=require"
    address = LEDGERS.name(text)
    assert str(address) == "postgresql://me@db.example:5433/name?sslmode=require"
    assert address.password == Secret("s3cret-pass")
    assert "s3cret" not in repr(address)
    LEDGERS.keep(tmp_path, LEDGERS.place(tmp_path, text))
    assert "s3cret" not in (tmp_path / "ledger.address").read_text()
    with pytest.raises(UsageError, match="PGPASSWORD"):
        Address.of_text("postgresql://me@db.example/name?password=s3cret-pass")
    for wrong in ("mysql://me@db/name", "ledger.sqlite", "postgresql://me@[db/name"):
        with pytest.raises(UsageError, match="expected an address such as postgresql://user@host:5432/name"):
            Address.of_text(wrong)


def test_a_folder_of_a_stranger_makes_nobody_connect(tmp_path, monkeypatch):
    (tmp_path / "ledger.address").write_text("postgresql://me@stranger.example/name\n")
    with pytest.raises(LedgerError, match=r"is postgresql://me@stranger.example/name.*BLACKBOX_CONFORMAL_LEDGER="):
        ledger_sum(tmp_path)
    monkeypatch.setenv("BLACKBOX_CONFORMAL_LEDGER", "postgresql://me:word@stranger.example/name")
    found = LEDGERS.of(tmp_path)
    assert found.password == Secret("word")


def test_a_folder_keeps_the_ledger_that_it_has(tmp_path):
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(UsageError, match="a ledger of its own"):
        LEDGERS.place(tmp_path, "postgresql://me@db.example/name")
    noted = tmp_path / "noted"
    LEDGERS.keep(noted, LEDGERS.place(noted, "postgresql://me@db.example/name"))
    with pytest.raises(UsageError, match=r"the ledger of .* is postgresql://me@db.example/name; got --ledger"):
        LEDGERS.place(noted, "postgresql://me@db.example/other")


def test_a_database_that_cannot_be_reached_is_told_without_its_password():
    address = LEDGERS.name("postgresql://me:s3cret-word@127.0.0.1:9/name")
    begun = time.monotonic()
    with pytest.raises(LedgerError, match=r"127.0.0.1:9/name cannot be used") as told:
        ledger_sum(address)
    assert "s3cret" not in str(told.value)
    assert time.monotonic() - begun < 25


def test_a_password_that_is_changed_meanwhile_ends_the_run_at_once(postgres, monkeypatch):
    postgres.new_user("machine", "first")
    monkeypatch.setenv("PGPASSWORD", "first")
    shown = postgres.new_database().replace("tester@", "machine@")
    with contextlib.closing(PostgresLedger(LEDGERS.name(shown))) as ledger:
        number = ledger.reserve(want(), None, PRICE)
        ledger.sent(number)
        with psycopg.connect(postgres.address(), autocommit=True) as connection:
            connection.execute("ALTER ROLE machine PASSWORD 'second'")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'machine'")
        pauses: list[float] = []
        monkeypatch.setattr(database, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))
        with pytest.raises(LedgerError, match=r"does not let this user in .*PGPASSWORD") as told:
            ledger.stored(number, VendorReport(), "sha256:x", 1)
        assert "first" not in str(told.value)
        # The cut itself passes; the refusal after it does not.
        assert len(pauses) < 10
    monkeypatch.setenv("PGPASSWORD", "second")
    assert states(LEDGERS.name(shown)) == ["sent"]


def test_what_is_wrong_with_a_database_is_told_part_by_part(postgres, address):
    parts = {part: (detail, unfit) for part, detail, unfit in inspect_database(address)}
    assert [unfit for _, unfit in parts.values()] == [False] * len(parts)
    assert parts.keys() == {"server", "clock", "tables", "rights", "synchronous_commit"}
    assert "no ledger is in it yet" in parts["tables"][0]
    PostgresLedger(address).close()
    postgres.new_user("reader", "word", rights="")
    reader = Address.of_text(address.shown.replace("tester@", "reader:word@"))
    with psycopg.connect(address.shown, autocommit=True) as connection:
        connection.execute("GRANT USAGE ON SCHEMA blackbox_conformal TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA blackbox_conformal TO reader")
        connection.execute("ALTER SYSTEM SET full_page_writes TO off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        while not (wrong := {part: detail for part, detail, unfit in inspect_database(reader) if unfit}).keys() >= {
            "full_page_writes"
        }:
            time.sleep(0.05)
    finally:
        with psycopg.connect(address.shown, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET full_page_writes")
            connection.execute("SELECT pg_reload_conf()")
    assert wrong.keys() == {"rights", "full_page_writes"}
    assert "may not write" in wrong["rights"]
    assert "attempt" in wrong["rights"]
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES" in wrong["rights"]


@pytest.mark.slow
def test_kills_restarts_and_cuts(postgres):
    counts = {"--kills": 15, "--restarts": 3, "--cuts": 6, "--tasks": 700, "--processes": 3, "--latency": 0.4}
    counts["--every"] = 3
    words = [*(word for name, count in counts.items() for word in (name, str(count))), "--parts", "crashes"]
    command = [sys.executable, str(EXAMPLE), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["crashes"]["kills of processes with calls under way"] == 15


@pytest.mark.parametrize("cut", range(4))
def test_a_connection_that_is_cut_while_a_process_starts_is_opened_again(address, monkeypatch, cut):
    """Every connection of the ledger is ended from outside right before its so-manieth statement of starting."""
    execute, left = PostgresConnection.execute, [cut]

    def cutting(self: PostgresConnection, *given: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            with psycopg.connect(address.shown, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
        return execute(self, *given)

    monkeypatch.setattr(PostgresConnection, "execute", cutting)
    ledger = PostgresLedger(address)
    assert ledger.reserve(want(), None, 1) > 0
    ledger.close()
    assert left[0] < -1


def test_a_process_that_stands_still_between_the_statements_of_one_exchange_holds_up_nobody(address):
    """No limit of the database's ends a transaction whose next statement is announced but does not come."""
    PostgresLedger(address).close()
    lock = "SELECT spent_nanousd FROM total FOR UPDATE"
    still, other = connect(address), connect(address)
    with still.together():
        still.execute("BEGIN")
        sums = still.execute(lock)
        time.sleep(0.3)
        assert tuple(other.execute(f"{lock} NOWAIT").fetchone()) == (0,)
    assert tuple(sums.fetchone()) == (0,)
    # From here on the limit of the idle transaction holds.
    with pytest.raises(psycopg.errors.LockNotAvailable):
        other.execute(f"{lock} NOWAIT")
    for connection in (still, other):
        connection.close()


def test_a_limit_is_one_for_all_who_give_the_same_job(address):
    ledgers = [PostgresLedger(address) for _ in range(3)]
    scope = frozenset(f"t{number}" for number in range(40))
    elsewhere = ledgers[0].reserve(want("elsewhere"), None, 7 * PRICE)
    ledgers[0].sent(elsewhere)
    for ledger in ledgers:
        ledger.limit(Budget(max_cost_usd=Decimal("2.5"), scope=scope))
    made: list[int] = []

    def buy(number: int) -> None:
        with contextlib.suppress(BudgetError):
            made.append(ledgers[number % 3].reserve(want(f"t{number}"), None, PRICE))

    at_once(buy, range(40))
    assert (len(made), {ledger.totals() for ledger in ledgers}) == (10, {(Decimal(0), Decimal("2.5"), 10)})
    for ledger in ledgers:
        ledger.close()
    assert ledger_verify(address).problems == ()


def test_a_limit_of_the_ledger_is_one_for_all_jobs(address):
    """It is set while two jobs with budgets of their own go on, and both keep to it at once."""
    first, second = PostgresLedger(address), PostgresLedger(address)
    with contextlib.closing(first), contextlib.closing(second):
        for ledger, job in ((first, "a"), (second, "b")):
            ledger.limit(Budget(max_cost_usd=Decimal(100), scope=frozenset(f"{job}{number}" for number in range(9))))
        first.reserve(want("a0"), None, PRICE)
        set_limit(address, Decimal("1.00"))
        second.reserve(want("b0"), None, PRICE)
        first.reserve(want("a1"), None, PRICE)
        with pytest.raises(BudgetError, match="an unknown amount"):
            second.reserve(replace(want("b1"), priced=False), None, 0)
        number = second.reserve(want("b1"), None, PRICE)
        for ledger in (first, second):
            with pytest.raises(BudgetError, match=r"0\.25 USD, with 0 spent and 1 reserved of 1 that everything"):
                ledger.reserve(want("a2"), None, PRICE)
        # What is given back makes room for whoever comes first.
        second.end(number, "cancelled", VendorReport())
        first.reserve(want("a2"), None, PRICE)
        set_limit(address, None)
        second.reserve(want("b2"), None, PRICE)


def test_a_limit_of_a_day_counts_what_others_spent(address):
    one, other = PostgresLedger(address), PostgresLedger(address)
    for ledger in (one, other):
        ledger.limit(Budget(max_cost_per_day_usd=Decimal("0.6"), scope=frozenset()))
    number = sent(one)
    one.stored(number, VendorReport(), "sha256:a", 3)
    other.reserve(want("t1"), None, PRICE)
    with pytest.raises(BudgetError, match=r"0.5 spent in the last 24 hours"):
        one.reserve(want("t2"), None, PRICE)
    with psycopg.connect(address.shown) as connection:
        connection.execute("UPDATE blackbox_conformal.booked_by_minute SET minute = minute - 1442")
    one.reserve(want("t2"), None, PRICE)
    one.close()
    other.close()


@pytest.mark.parametrize(("processes", "bill", "paid"), [(3, "20", 1), (5, "5", 1), (3, "0.50", 3), (5, "1.00", 1)])
@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
def test_a_bill_above_the_table_exceeds_the_limit_of_all_by_one_draw(tmp_path, address, kind, processes, bill, paid):
    slow = {"submit": Fault("slow-start", {"seconds": 0.3})}
    drawn: list[Drawn] = []
    with FaultServer(slow, price_usd=bill) as server:

        def one(number: int) -> None:
            run = tmp_path / f"run-{number}"
            LEDGERS.place(run, address.shown)
            work = tasks(8, 12)
            vendor = kind(url=server.url, price_usd="0.02")
            drawn.append(draw(vendor, run, work, concurrency=8, max_cost_usd=Decimal("1.92")))

        at_once(one, range(processes))
        assert server.account.paid == paid
    assert all(isinstance(one.error, BudgetError) for one in drawn)
    assert (len(drawn), ledger_verify(address).problems) == (processes, ())


def test_a_limit_of_the_ledger_is_exceeded_by_one_draw_at_most_where_no_job_has_one(tmp_path, address):
    PostgresLedger(address).close()
    set_limit(address, Decimal("1.92"))
    with FaultServer({"submit": Fault("slow-start", {"seconds": 0.2})}, price_usd="20") as server:
        LEDGERS.place(tmp_path / "run", address.shown)
        vendor = SynchronousVendor(url=server.url, price_usd="0.02")
        drawn = draw(vendor, tmp_path / "run", tasks(8, 4), concurrency=8)
        assert (drawn.ended, server.account.paid) == ("BudgetError", 1)
