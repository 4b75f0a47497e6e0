"""Decides the next step for a draw from its rows in the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.states import OTHER_MODEL, UNSENT, WHOLE, WITH_JOB
from blackbox_conformal.drawing.limits import Limits

IDEMPOTENCY_WINDOW_S = 20.0 * 3600
"""Vendors forget idempotency keys after a day; an older key than this may not find its first submission."""

FREE_REPEATS = 2
"""How often a run repeats a draw after a failure of the vendor that cost nothing.

A draw that another model answered, which is paid for, is repeated as often.
"""


@dataclass(frozen=True, slots=True)
class Done:
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Fetch:
    """The step to fetch the picture of this attempt's job."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Replay:
    """The step to repeat this attempt's submission under the same idempotency key, so that it is billed once."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Submit:
    """The step to buy the draw, as this generation (0: the first purchase)."""

    generation: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """No step now: another process works on the draw."""


NextStep = Done | Fetch | Replay | Submit | Elsewhere


def next_step(
    attempts: Sequence[Attempt], limits: Limits, *, on_disk: frozenset[str], replayable: bool, now: float
) -> NextStep:
    """Return the next step for a draw.

    `attempts`: All attempts at this draw, oldest first.
    `on_disk`: Digests of the samples on disk.
    `replayable`: Whether the vendor takes idempotency keys.
    `now`: Seconds since 1970.
    """
    # First of all: an attempt of another process must be neither fetched nor bought twice.
    if any(attempt.busy for attempt in attempts):
        return Elsewhere()
    # An attempt that was never sent, or was taken back, cost nothing and says nothing.
    real = [attempt for attempt in attempts if attempt.state not in (*UNSENT, "cancelled")]
    if not real:
        return Submit(0)
    # A new generation has a new idempotency key, so that the vendor does not answer with the old draw.
    following = Submit(max(attempt.generation for attempt in real) + 1)
    whole = [attempt for attempt in real if attempt.state in WHOLE]
    # A picture on disk comes before everything, whatever later attempts say.
    for attempt in whole:
        if attempt.digest in on_disk:
            return Done(attempt)
    for attempt in real:
        if attempt.state in WITH_JOB:
            return Fetch(attempt)
    resampled = times_resampled(real)
    if whole:
        last = whole[-1]
        # The file is lost, but the vendor may still keep the picture of its job.
        if last.job is not None:
            return Fetch(last)
        return following if limits.payer.again or resampled < limits.max_resample else Done(last)
    last = real[-1]
    if last.state in ("ambiguous", "sent"):
        # A clock that was set back gives a negative age, which does not prove that the key is still known.
        age = now - (last.sent_at or 0.0)
        if replayable and 0.0 <= age <= IDEMPOTENCY_WINDOW_S:
            return Replay(last)
        # It may have been billed, so buying it again needs the user's word.
        return following if limits.payer.again or limits.retry_ambiguous else Done(last)
    if last.state == "expired":
        return following if limits.payer.again or limits.retry_ambiguous else Done(last)
    # Nothing was billed, so asking again costs no more than asking once; or the draw went astray.
    if failed_for_free(last) or last.reopened or _went_astray(last):
        return following
    if last.state in ("invalid", "failed") and (limits.payer.again or resampled <= limits.max_resample):
        return following
    return Done(last)


def times_resampled(attempts: Sequence[Attempt]) -> int:
    """Count the attempts that were paid for but gave no usable picture."""
    unusable = [one for one in attempts if one.state in ("invalid", "failed") and not _went_astray(one)]
    return sum(not failed_for_free(attempt) for attempt in unusable)


def _went_astray(attempt: Attempt) -> bool:
    return attempt.state == "invalid" and attempt.code == OTHER_MODEL


def failed_for_free(attempt: Attempt) -> bool:
    """Tell whether the vendor failed on its own and billed nothing; at an unknown price it may have billed."""
    return attempt.state == "failed" and attempt.priced and not attempt.cost_nanousd
