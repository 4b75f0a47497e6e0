"""Changes of several steps within one transaction of a ledger."""

from collections.abc import Sequence
from typing import Any

from blackbox_conformal.drawing.ledger.attempts import Attempt, AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.receipts import TOLD, Key, Receipt
from blackbox_conformal.drawing.ledger.states import SETTLED, STEPS, UNSENT, WITH_JOB
from blackbox_conformal.drawing.ledger.transaction import LedgerTransaction


def insert(transaction: LedgerTransaction, spec: AttemptSpec) -> int:
    """Write a new attempt that is planned; returns its number."""
    values = {name: getattr(spec, name) for name in AttemptSpec.__dataclass_fields__}
    values["seed"] = None if spec.seed is None else str(spec.seed)
    values["priced"] = int(spec.priced)
    return transaction.insert(**values)


def on_account(spec: AttemptSpec) -> dict[str, Any]:
    """For whom a submission is reserved, as columns: what was planned for one may be made for another."""
    return {"payer": spec.payer, "request": spec.request, "member": spec.member}


def columns(report: VendorReport) -> dict[str, Any]:
    """What a report says, as columns of the attempt; nothing where it says nothing."""
    values = {
        "model": report.model,
        "request_id": report.request_id,
        "vendor_seed": None if report.vendor_seed is None else str(report.vendor_seed),
        "priced": None if report.cost_nanousd is None else 1,
    }
    return {column: value for column, value in values.items() if value is not None}


def settle_left_behind(transaction: LedgerTransaction) -> int:
    """Settle what no process works on any more (see `AnyLedger.recover`)."""
    for attempt in transaction.left_behind("claimed"):
        transaction.move(attempt, "planned")
    for attempt in transaction.left_behind("intent"):
        transaction.move(attempt, "cancelled", error_class="N", error="the process ended before sending")
    sent = transaction.left_behind("sent")
    for attempt in sent:
        error = "the process ended before it had recorded what came of this request"
        transaction.move(attempt, "ambiguous", error_class="M", error=error)
    return len(sent)


def is_unknown(key: Key, attempts: Sequence[Attempt]) -> bool:
    """Whether a ledger with these attempts at a draw knows nothing of the end of an attempt that a receipt is of.

    What another process is at is left to it: its receipt comes before its change of the ledger.
    """
    made = [one for one in attempts if one.generation == key.generation and one.state != "cancelled"]
    if not made or made[-1].state in UNSENT:
        return True
    # What was settled with an invoice was never answered, as far as the ledger knows.
    open_ended = made[-1].state in (*WITH_JOB, "ambiguous", *SETTLED) and made[-1].digest is None
    return open_ended and key.state in STEPS[made[-1].state] and not made[-1].busy


def record(transaction: LedgerTransaction, receipt: Receipt) -> bool:
    """Record the end of an attempt as its receipt says; False where the ledger knows it meanwhile."""
    spec = receipt.spec
    row = transaction.connection.execute(
        "SELECT id FROM attempt WHERE task = ? AND generation = ? AND state <> 'cancelled' ORDER BY id DESC LIMIT 1",
        (spec.task, spec.generation),
    ).fetchone()
    attempt = insert(transaction, spec) if row is None else int(row[0])
    state = transaction.state_of(attempt)
    if state in UNSENT:
        if state != "intent":
            transaction.move(attempt, "intent", reserve=receipt.price_nanousd, **on_account(spec))
        # It was submitted then: what is spent in a day is counted by this time.
        transaction.note(attempt, intent_at=receipt.at)
        transaction.move(attempt, "sent")
    elif receipt.state not in STEPS[state]:
        return False
    ended = "stored_at" if receipt.state == "stored" else "ended_at"
    values: dict[str, Any] = {name: getattr(receipt, name) for name in TOLD}
    transaction.move(attempt, receipt.state, receipt.cost_nanousd, **values, **columns(receipt.report))
    transaction.note(attempt, **{"sent_at": receipt.at, ended: receipt.at})
    return True
