"""Limits of a run: money, pace and patience; checked on construction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from blackbox_conformal.drawing.ledger.money import NOBODY, Budget, Payer
from blackbox_conformal.support.descriptors import descriptor_limit, draws_that_fit
from blackbox_conformal.support.value_kinds import COUNT, SECONDS, USD, WORKERS, number, whole
from blackbox_conformal.vendor.adapter import Capabilities
from blackbox_conformal.vendor.rates import Rate

AUTO_START = 4
AUTO_MOST = 32
ANSWER_TIMEOUT_S = 120.0
JOB_TIMEOUT_S = 1800.0

_KINDS = {
    **dict.fromkeys(("max_cost_usd", "max_cost_per_day_usd"), USD),
    **dict.fromkeys(("attempt_timeout_s", "job_deadline_s", "connect_timeout_s"), SECONDS),
    **dict.fromkeys(("max_attempts", "max_answer_bytes", "auto_most"), whole(1)),
    "max_calls": COUNT,
    "max_resample": COUNT,
    "max_retry_after_s": number(0),
    "concurrency": WORKERS,
}
"""Kinds of the limits; the limits that a user sets are settings, too."""


@dataclass(frozen=True)
class Limits:
    """Limits of one job: everything that a command draws, over all its repetitions.

    Attributes
    ----------
    max_cost_usd, max_calls
        Most US dollars and billable submissions in the run folder's ledger, with earlier sessions. A job with several
        folders subtracts what the other folders hold.
    max_cost_per_day_usd
        Most US dollars for draws submitted in any 24 hours, by any process; counts all draws of the ledger.
    scope
        Keys of the draws (see `task.task_key`) that the first two limits count; None: all in the folder.
    concurrency
        Draws under way at once; ``auto`` starts at 4 at most and moves between 1 and `auto_most`.
    auto_most
        Upper end of ``auto``: 32, or the vendor's own limit; fewer if this process may open fewer files.
    rates
        Requests to the vendor in a time, over all processes of this user with the same key; None: the adapter's.
    attempt_timeout_s
        Seconds for one HTTP exchange, to the last byte; None: the vendor's own, or 120.
    job_deadline_s
        Seconds to wait for an accepted job; None: the vendor's own, or 1800.
    max_attempts
        Tries of a request that never reached the vendor, or that the vendor deferred while no other one succeeded.
    max_retry_after_s
        Longest pause in seconds; a vendor that asks for more ends the run, to be resumed later.
    insecure_http
        Whether a key may be sent unencrypted (``http://``) to another machine.
    max_answer_bytes
        Largest answer, before and after decoding.
    max_resample
        How often one draw may be bought again after an unusable answer.
    accept_refusals
        Go on although the vendor refused three pictures in the same words.
    retry_ambiguous
        Buy a draw again if its submission may have been billed without an answer, or its job gave no result.
    payer
        Whose account pays for the draws.
    """

    max_cost_usd: Decimal | None = None
    max_calls: int | None = None
    scope: frozenset[str] | None = None
    concurrency: int | Literal["auto"] = "auto"
    auto_most: int = AUTO_MOST
    rates: tuple[Rate, ...] | None = None
    attempt_timeout_s: float | None = None
    job_deadline_s: float | None = None
    connect_timeout_s: float = 10.0
    max_attempts: int = 6
    max_retry_after_s: float = 600.0
    max_answer_bytes: int = 256 * 1024 * 1024
    max_resample: int = 0
    insecure_http: bool = False
    retry_ambiguous: bool = False
    accept_refusals: bool = False
    max_cost_per_day_usd: Decimal | None = None
    payer: Payer = NOBODY

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, kind.of(value, name))

    @property
    def budget(self) -> Budget:
        """Return the limits on money and submissions."""
        return Budget(self.max_cost_usd, self.max_calls, self.scope, self.max_cost_per_day_usd)

    @property
    def answer_timeout_s(self) -> float:
        """Return the seconds for one HTTP exchange, by default 120."""
        return self.attempt_timeout_s or ANSWER_TIMEOUT_S

    @property
    def job_timeout_s(self) -> float:
        """Return the seconds to wait for an accepted job, by default 1800."""
        return self.job_deadline_s or JOB_TIMEOUT_S

    @property
    def most_workers(self) -> int:
        """Return the largest number of draws under way at once."""
        return self.auto_most if self.concurrency == "auto" else self.concurrency

    @property
    def first_workers(self) -> int:
        """Return the number of draws under way at the start."""
        return min(AUTO_START, self.auto_most) if self.concurrency == "auto" else self.concurrency

    def for_vendor(self, capabilities: Capabilities) -> Limits:
        """Return these limits, with the adapter's own values for unset ones."""
        most, descriptors = capabilities.max_concurrency or self.auto_most, descriptor_limit()
        return replace(
            self,
            rates=capabilities.rates if self.rates is None else self.rates,
            attempt_timeout_s=self.attempt_timeout_s or capabilities.answer_timeout_s,
            job_deadline_s=self.job_deadline_s or capabilities.job_timeout_s,
            auto_most=most if descriptors is None else min(most, draws_that_fit(descriptors)),
        )
