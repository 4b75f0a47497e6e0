"""The states of one paid attempt, and the only steps between them.

    planned → claimed → intent → sent → accepted → ready → stored → validated
                          │        ├──────────────────┴──→ refused · failed · invalid · expired
                          │        └→ ambiguous (→ sent: replayed under the same idempotency key; → expired, failed:
                          │                      settled with an invoice, billed or not; → accepted, stored, also after
                          │                      that: what an earlier session could not record)
                          └→ cancelled (nothing was billed)

``intent`` holds a reserved price and is on disk before anything is sent; ``sent`` is on disk before the first byte
leaves. A synchronous vendor's attempt goes from ``sent`` to ``stored``. `transaction` moves attempts.
"""

from typing import Literal, get_args

AttemptState = Literal[
    "planned",
    "claimed",
    "intent",
    "sent",
    "accepted",
    "ready",
    "stored",
    "validated",
    "refused",
    "failed",
    "ambiguous",
    "expired",
    "invalid",
    "cancelled",
]
STATES: tuple[AttemptState, ...] = get_args(AttemptState)

UNSENT: tuple[AttemptState, ...] = ("planned", "claimed", "intent")  # Nothing has left this machine.
# The vendor has named a job, by which the picture can be fetched.
WITH_JOB: tuple[AttemptState, ...] = ("accepted", "ready")
WHOLE: tuple[AttemptState, ...] = ("stored", "validated")  # The picture's bytes are in the store.
# The vendor took the submission; ``ambiguous`` is counted apart.
PAID: tuple[AttemptState, ...] = (*WITH_JOB, *WHOLE, "failed", "expired", "invalid")
RESERVING: tuple[AttemptState, ...] = ("intent", "sent")  # States that hold a reserved price instead of a booked one.
# Booked at nothing, unless the vendor tells a cost.
UNBILLED: tuple[AttemptState, ...] = ("planned", "claimed", "refused", "cancelled")
# Counted against ``max_calls``.
COUNTED = tuple(state for state in STATES if state not in ("planned", "claimed", "cancelled"))
# How an invoice settles ``ambiguous``: not billed, billed. An answer may still turn up.
SETTLED: tuple[AttemptState, ...] = ("failed", "expired")
ENDED: tuple[AttemptState, ...] = (*WHOLE, "refused", "invalid")  # Nothing more comes from the vendor.
REOPENED = "reopened"  # Error class of a refusal that no longer counts: the draw is asked for again.
OTHER_MODEL = "other-model"  # Code of an attempt whose picture was thrown away because another model made it.

STEPS: dict[AttemptState, frozenset[AttemptState]] = {
    "planned": frozenset(("claimed", "intent", "cancelled")),
    "claimed": frozenset(("planned", "intent", "cancelled")),
    "intent": frozenset(("sent", "cancelled")),
    "sent": frozenset((*WITH_JOB, "ambiguous", "cancelled", *SETTLED, *ENDED)),
    "accepted": frozenset(("ready", *SETTLED, *ENDED)),
    "ready": frozenset((*SETTLED, *ENDED)),
    "stored": frozenset((*WHOLE, "invalid", "failed", "expired", "refused")),
    "validated": frozenset(("invalid",)),
    "ambiguous": frozenset(("sent", "accepted", *SETTLED, *WHOLE)),
    "refused": frozenset(),
    "failed": frozenset(("accepted", "stored")),
    "expired": frozenset(("accepted", "stored")),
    "invalid": frozenset(),
    "cancelled": frozenset(),
}
