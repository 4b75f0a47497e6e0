"""Rows of the ledger as frozen values: planned attempts, the vendor's report, and recorded attempts."""

import sys
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from blackbox_conformal.drawing.ledger.money import to_usd
from blackbox_conformal.drawing.ledger.states import PAID, REOPENED, AttemptState


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """What the ledger records about a submission before it is sent.

    `pixels`: of the upload; `listed_nanousd`: the highest listed price, None if unknown; `priced`: a price is known;
    `payer`, `request`: see `money.Payer`; `member`: place of the vendor in a cascade, from 0.
    """

    task: str
    generation: int
    identity: str
    adapter: str
    upload: str
    upload_name: str
    draw: int
    # A receipt leaves out None.
    seed: int | None = field(default=None, kw_only=True)
    idempotency_key: str
    pixels: int
    listed_nanousd: int | None = 0
    priced: bool = True
    payer: str | None = None
    request: str | None = None
    member: int | None = None


@dataclass(frozen=True, slots=True)
class VendorReport:
    """What the vendor said about a draw besides the picture."""

    cost_nanousd: int | None = None
    model: str | None = None
    request_id: str | None = None
    vendor_seed: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A recorded attempt; prices in nano-dollars, times in seconds since 1970; `busy`: another process works on it."""

    id: int
    task: str
    generation: int
    tries: int
    adapter: str
    upload: str
    upload_name: str
    draw: int
    seed: int | None
    state: AttemptState
    reserved_nanousd: int
    cost_nanousd: int
    job: str | None
    digest: str | None
    size: int | None
    model: str | None
    request_id: str | None
    error_class: str | None
    error: str | None
    code: str | None
    sent_at: float | None
    accepted_at: float | None
    ended_at: float | None
    priced: bool = True
    busy: bool = False

    @property
    def cost_usd(self) -> Decimal:
        return to_usd(self.cost_nanousd)

    @property
    def known_cost_usd(self) -> Decimal | None:
        """Return the cost in US dollars; None if it was paid at an unknown price, and is booked at nothing."""
        unknown = not self.priced and not self.cost_nanousd and self.state in (*PAID, "ambiguous")
        return None if unknown else self.cost_usd

    @property
    def reopened(self) -> bool:
        """Tell whether the vendor refused the draw and the user wants it asked for again."""
        return self.state == "refused" and self.error_class == REOPENED

    @property
    def report(self) -> VendorReport:
        """Return the recorded part of the vendor's report."""
        return VendorReport(self.cost_nanousd, self.model, self.request_id)


_REPEATED = ("adapter", "upload", "upload_name", "state", "model")
"""Texts that many attempts share; one copy of each is kept."""

COLUMNS = ", ".join(name for name in Attempt.__dataclass_fields__ if name != "busy")


def attempt_from(row: Any, task: str | None = None) -> Attempt:
    """Make an attempt from a row selected by `COLUMNS`; `task` is the caller's own copy of its key."""
    values = dict(row)
    values["task"] = task or values["task"]
    values["seed"] = None if values["seed"] is None else int(values["seed"])
    values["priced"] = bool(values["priced"])
    for name in _REPEATED:
        if type(values[name]) is str:  # Damage may have turned a file's text into a blob.
            values[name] = sys.intern(values[name])
    return Attempt(**values)
