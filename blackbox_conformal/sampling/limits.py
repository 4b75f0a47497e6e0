"""What a run may spend, how fast it may go and how long it waits; checked on construction."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from blackbox_conformal.errors import UsageError
from blackbox_conformal.sampling.job_budget import Budget

AUTO_START = 4
AUTO_MOST = 32


@dataclass(frozen=True)
class Limits:
    """Limits of one job: what a command draws, however often it is repeated.

    Attributes
    ----------
    max_cost_usd, max_calls
        Money and billable submissions that the run folder's ledger may ever hold, earlier sessions included. Whoever
        draws in several folders for one job takes off what the others hold.
    scope
        Keys of the draws (see `task.task_key`) whose money and submissions those are; None = all in the folder.
    concurrency
        Draws under way at once; ``auto`` starts at 4 and moves between 1 and 32.
    requests_per_second
        Requests of every kind, polls included, by all processes of this user that have a rate for the same vendor and
        key.
    attempt_timeout_s
        Wall-clock time of one HTTP exchange, from connecting to the last byte of the answer.
    job_deadline_s
        Wall-clock time that one accepted job is waited for.
    max_attempts
        Tries of a request that did not reach the vendor, or that the vendor deferred while no other one succeeded.
    max_retry_after_s
        A vendor that asks for a longer pause ends the run, to be resumed later.
    insecure_http
        Whether a key may be sent unencrypted (``http://``) to another machine.
    max_answer_bytes
        Largest answer that is read, before and after decoding.
    max_resample
        How often one draw may be bought again after its answer proved unusable.
    retry_ambiguous
        Buy a draw again whose submission may have been billed and got no answer, or whose job gave no result.
    """

    max_cost_usd: Decimal | None = None
    max_calls: int | None = None
    scope: frozenset[str] | None = None
    concurrency: int | Literal["auto"] = "auto"
    requests_per_second: float | None = None
    attempt_timeout_s: float = 120.0
    job_deadline_s: float = 1800.0
    connect_timeout_s: float = 10.0
    max_attempts: int = 6
    max_retry_after_s: float = 600.0
    max_answer_bytes: int = 256 * 1024 * 1024
    max_resample: int = 0
    insecure_http: bool = False
    retry_ambiguous: bool = False

    def __post_init__(self) -> None:
        if self.max_cost_usd is not None:
            cost = Decimal(str(self.max_cost_usd))
            object.__setattr__(self, "max_cost_usd", cost)
            if not cost.is_finite() or cost < 0:
                raise UsageError(f"expected max_cost_usd to be a finite amount of at least 0; got {cost}")
        if self.concurrency != "auto" and (not isinstance(self.concurrency, int) or not 1 <= self.concurrency <= 256):
            raise UsageError(f"expected concurrency to be 'auto' or a whole number in 1..256; got {self.concurrency!r}")
        for name in ("max_calls", "max_resample"):
            count = getattr(self, name)
            if count is not None and count < 0:
                raise UsageError(f"expected {name} to be at least 0; got {count}")
        for name in ("max_attempts", "max_answer_bytes"):
            if getattr(self, name) < 1:
                raise UsageError(f"expected {name} to be at least 1; got {getattr(self, name)}")
        for name in ("attempt_timeout_s", "job_deadline_s", "connect_timeout_s", "requests_per_second"):
            seconds = getattr(self, name)
            if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
                raise UsageError(f"expected {name} to be finite and above 0; got {seconds}")
        if not (math.isfinite(self.max_retry_after_s) and self.max_retry_after_s >= 0):
            raise UsageError(f"expected max_retry_after_s to be finite and at least 0; got {self.max_retry_after_s}")

    @property
    def budget(self) -> Budget:
        """The limits on money and submissions."""
        return Budget(self.max_cost_usd, self.max_calls, self.scope)

    @property
    def most_workers(self) -> int:
        """The largest number of draws that may ever be under way at once."""
        return AUTO_MOST if self.concurrency == "auto" else self.concurrency

    @property
    def first_workers(self) -> int:
        """The number of draws under way at the start."""
        return AUTO_START if self.concurrency == "auto" else self.concurrency
