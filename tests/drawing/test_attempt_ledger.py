"""Money and states: what is written before a request leaves, and what may follow what."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from support.draws import at_once, sent, want

from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.backends import Ledger, open_ledger
from blackbox_conformal.drawing.ledger.ledger_file import LedgerFile
from blackbox_conformal.drawing.ledger.money import Budget, to_usd
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.ledger.states import STATES, STEPS
from blackbox_conformal.drawing.ledger.transaction import LedgerTransaction
from blackbox_conformal.errors import BudgetError, LedgerError

PRICE = 250_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[AnyLedger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


def states(run: Path) -> list[str]:
    return [attempt.state for attempt in ledger_ls(run)]


def test_every_state_is_reached_from_planned_and_steps_name_known_states():
    reached, frontier = {"planned"}, ["planned"]
    while frontier:
        for after in STEPS[frontier.pop()]:
            if after not in reached:
                reached.add(after)
                frontier.append(after)
    assert reached == set(STATES) == set(STEPS)


def test_price_is_reserved_before_and_booked_after(ledger, tmp_path):
    number = ledger.reserve(want(), None, PRICE)
    assert ([str(value) for value in ledger.totals()], states(tmp_path)) == (["0", "0.25", "1"], ["intent"])
    ledger.sent(number)
    assert states(tmp_path) == ["sent"]
    ledger.accepted(number, "job-1", VendorReport(model="m1"))
    assert [str(value) for value in ledger.totals()] == ["0.25", "0", "1"]
    ledger.ready(number)
    ledger.stored(number, VendorReport(cost_nanousd=300_000_000), "sha256:a", 3)
    ledger.validated(number)
    assert (states(tmp_path), [str(value) for value in ledger.totals()]) == (["validated"], ["0.3", "0", "1"])
    billed = ledger.billed("identity")
    assert (billed.booked_nanousd, billed.pixels) == ((300_000_000, 300_000_000), 120)


@pytest.mark.parametrize(
    ("state", "spent", "calls"), [("cancelled", "0", 0), ("refused", "0", 1), ("ambiguous", "0.25", 1)]
)
def test_side_exits_book_what_they_should(ledger, state, spent, calls):
    number = sent(ledger)
    ledger.end(number, state, VendorReport(), error_class="M", error="why")
    assert (str(ledger.totals()[0]), str(ledger.totals()[1]), ledger.totals()[2]) == (spent, "0", calls)
    row = ledger.attempt(number)
    assert (row.error_class, row.error, row.tries) == ("M", "why", 1)


def test_impossible_steps_are_refused_and_change_nothing(ledger):
    number = ledger.reserve(want(), None, PRICE)
    for wrong in ("accepted", "stored", "validated", "ambiguous", "refused"):
        with pytest.raises(LedgerError, match=f"from intent to {wrong}"):
            ledger.end(number, wrong, VendorReport())
    with pytest.raises(LedgerError, match="from None"):
        ledger.sent(99)
    assert [str(value) for value in ledger.totals()] == ["0", "0.25", "1"]


def test_one_failing_change_does_not_undo_the_others_of_its_commit(ledger, tmp_path):
    """Many threads at once, so that commits are shared; every third change is impossible."""
    numbers = [ledger.reserve(want(f"t{index}"), None, PRICE) for index in range(60)]
    failed: list[int] = []

    def change(number: int) -> None:
        try:
            ledger.end(number, "stored", VendorReport()) if number % 3 == 0 else ledger.sent(number)
        except LedgerError:
            failed.append(number)

    at_once(change, numbers)
    assert sorted(failed) == [number for number in numbers if number % 3 == 0]
    assert (states(tmp_path).count("sent"), ledger_verify(tmp_path).problems) == (40, ())


def test_budget_is_never_exceeded_by_many_threads(ledger):
    ledger.limit(Budget(to_usd(10 * PRICE + 1)))

    def buy(index: int) -> str:
        try:
            return f"made {ledger.reserve(want(f't{index}'), None, PRICE)}"
        except BudgetError as error:
            return str(error)

    refused = [one for one in at_once(buy, range(32)) if not one.startswith("made ")]
    assert (len(refused), "0.25" in refused[0], "2.5" in refused[0]) == (22, True, True), refused[0]
    ledger.limit(Budget(max_calls=10))
    with pytest.raises(BudgetError, match="10 calls of 10"):
        ledger.reserve(want("more"), None, 0)


def test_planned_rows_are_used_once_and_found_again(ledger, tmp_path):
    planned = ledger.plan([want("a"), want("b")])
    assert ledger.plan([want("b"), want("c")])["b", 0] == planned["b", 0]
    ledger.claim(planned["a", 0])
    assert ledger.reserve(want("a"), planned["a", 0], PRICE) == planned["a", 0]
    assert (states(tmp_path), ledger_sum(tmp_path)["attempts"]) == (["intent", "planned", "planned"], 0)


def test_a_job_id_given_twice_is_noticed(ledger):
    first, second = sent(ledger, "a"), sent(ledger, "b")
    assert ledger.accepted(first, "job-1", VendorReport()) is None
    assert ledger.accepted(second, "job-1", VendorReport()).id == first


def test_a_job_id_given_twice_in_one_commit_is_noticed(ledger):
    numbers = [sent(ledger, name) for name in "ab"]
    go_on, twins = threading.Event(), []

    def accept(number: int) -> None:
        twins.append(ledger.accepted(number, "job-1", VendorReport()))

    # The writer is held up, so that both wait for the same commit.
    held = threading.Thread(target=lambda: ledger._write(lambda transaction: go_on.wait(20)))
    threads = [held, *(threading.Thread(target=accept, args=(number,)) for number in numbers)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    go_on.set()
    for thread in threads:
        thread.join()
    assert sum(twin is not None for twin in twins) == 1


@pytest.mark.sqlite
def test_recovery_settles_what_a_dead_owner_left(tmp_path):
    ledger = Ledger(tmp_path)
    planned = ledger.plan([want("claimed")])
    ledger.claim(planned["claimed", 0])
    ledger.reserve(want("intent"), None, PRICE)
    numbers = {name: sent(ledger, name) for name in ("sent", "adopted", "accepted")}
    ledger.accepted(numbers["accepted"], "job-1", VendorReport())
    assert ledger.adopt(numbers["adopted"], "sha256:a", 3, VendorReport())
    assert not ledger.adopt(numbers["adopted"], "sha256:a", 3, VendorReport())
    for never_sent in (999, planned["claimed", 0]):
        with pytest.raises(LedgerError, match=f"answer to attempt {never_sent}, of which the ledger does not know"):
            ledger.adopt(never_sent, "sha256:a", 3, VendorReport())
    assert ledger.recover() == 1
    assert states(tmp_path) == ["planned", "cancelled", "ambiguous", "stored", "accepted"]
    assert ([str(value) for value in ledger.totals()], ledger.recover()) == (["0.75", "0", "3"], 0)
    ledger.close()


def test_a_replayed_submission_gives_its_booked_price_back_to_the_reserve(ledger):
    number = sent(ledger)
    ledger.end(number, "ambiguous", VendorReport())
    ledger.sent(number)
    assert ([str(value) for value in ledger.totals()], ledger.attempt(number).tries) == (["0", "0.25", "1"], 2)


@pytest.mark.sqlite
def test_nothing_is_recorded_by_a_ledger_that_was_taken_over_or_closed(tmp_path):
    ledger = Ledger(tmp_path)
    number = ledger.reserve(want(), None, PRICE)
    (tmp_path / "ledger.lock").unlink()
    other = Ledger(tmp_path)
    note = json.loads((tmp_path / "ledger.owner.json").read_text())
    (tmp_path / "ledger.owner.json").write_text(json.dumps(note | {"pid": 4711, "host": "elsewhere"}))
    with pytest.raises(LedgerError, match=r"may have taken over .* \(process 4711 on elsewhere, since"):
        ledger.sent(number)
    other.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.sent(number)
    assert states(tmp_path) == ["intent"]


@pytest.mark.sqlite
def test_a_write_that_fails_stops_everything_after_it(ledger, monkeypatch):
    number = ledger.reserve(want(), None, PRICE)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(LedgerTransaction, "commit", full)
    with pytest.raises(LedgerError, match="disk is full"):
        ledger.sent(number)
    monkeypatch.undo()
    with pytest.raises(LedgerError, match="disk is full"):
        ledger.sent(number)


@pytest.mark.timeout(30)
@pytest.mark.sqlite
def test_nobody_waits_for_a_writer_that_ran_out_of_memory(ledger, tmp_path, monkeypatch):
    numbers = [ledger.reserve(want(f"t{index}"), None, 10) for index in range(3)]
    monkeypatch.setattr(LedgerFile, "guard", Mock(side_effect=MemoryError))
    raised: list[type[BaseException]] = []

    def send(number: int) -> None:
        try:
            ledger.sent(number)
        except MemoryError as error:
            raised.append(type(error))

    at_once(send, numbers)
    assert raised == [MemoryError] * 3
    with pytest.raises(MemoryError):
        ledger.reserve(want("t3"), None, 10)
    ledger.close()
    assert states(tmp_path) == ["intent"] * 3


@pytest.mark.timeout(30)
@pytest.mark.sqlite
def test_a_transaction_that_memory_ran_out_in_says_so(ledger, tmp_path, monkeypatch):
    number = ledger.reserve(want("t0"), None, 10)

    def short(self: LedgerTransaction, *_: object) -> None:
        # What SQLite does by itself, before Python raises.
        self.connection.execute("ROLLBACK")
        raise MemoryError

    monkeypatch.setattr(LedgerTransaction, "move", short)
    with pytest.raises(MemoryError):
        ledger.sent(number)
    monkeypatch.undo()
    with pytest.raises(MemoryError):
        ledger.sent(number)
    ledger.close()
    assert states(tmp_path) == ["intent"]


def test_prices_beyond_what_a_ledger_holds_stop_the_run_instead_of_the_writer(ledger):
    most = VendorReport(cost_nanousd=2**62)
    numbers = [sent(ledger, name) for name in "ab"]
    ledger.stored(numbers[0], most, "sha256:a", 3)
    answers: list[object] = []

    def record() -> None:
        try:
            ledger.stored(numbers[1], most, "sha256:b", 3)
        except LedgerError as error:
            answers.append(error)

    waiting = threading.Thread(target=record, daemon=True)
    waiting.start()
    waiting.join(20)
    assert len(answers) == 1


def test_sending_is_one_commit_with_the_reservation_or_none(ledger, tmp_path):
    planned = ledger.plan([want("t0"), want("t1")])
    ledger.reserve_and_mark_sent(want("t0"), planned["t0", 0], PRICE)
    assert states(tmp_path) == ["sent", "planned"]
    ledger.limit(Budget(to_usd(2 * PRICE - 1)))
    with pytest.raises(BudgetError):
        ledger.reserve_and_mark_sent(want("t1"), planned["t1", 0], PRICE)
    assert states(tmp_path) == ["sent", "planned"]
    # What the first one gives back is counted.
    ledger.stored(planned["t0", 0], VendorReport(cost_nanousd=1), "sha256:a", 3)
    ledger.reserve_and_mark_sent(want("t1"), planned["t1", 0], PRICE)
    assert states(tmp_path) == ["stored", "sent"]


@pytest.mark.sqlite
def test_a_limit_leaves_out_what_other_jobs_spent(ledger):
    for index in range(4):
        number = ledger.reserve(want(f"t{index}"), None, PRICE)
        ledger.sent(number)
        ledger.accepted(number, f"job-{index}", VendorReport(cost_nanousd=PRICE))
    scope = frozenset({"t3", "t4", "t5"})
    ledger.limit(Budget(to_usd(2 * PRICE), 2, scope))
    assert ledger.totals() == (to_usd(PRICE), 0, 1)
    ledger.reserve(want("t4"), None, PRICE)
    ledger.limit(Budget(to_usd(2 * PRICE), 3, scope))
    with pytest.raises(BudgetError, match=r"reserved of .* allowed; raise --max-cost"):
        ledger.reserve(want("t5"), None, PRICE)
    ledger.limit(Budget(to_usd(3 * PRICE), 2, scope))
    with pytest.raises(BudgetError, match=r"2 calls of 2 allowed"):
        ledger.reserve(want("t5"), None, PRICE)
    ledger.limit(Budget(scope=frozenset()))
    assert ledger.totals() == (0, to_usd(PRICE), 0)
