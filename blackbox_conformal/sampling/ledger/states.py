"""The states of one paid attempt, and the only steps between them.

    planned → claimed → intent → sent → accepted → ready → stored → validated
                          │        ├──────────────────┴──→ refused · invalid · expired
                          │        └→ ambiguous (→ sent: replayed under the same idempotency key; → accepted, stored:
                          │                      what an earlier session could not record)
                          └→ cancelled (nothing was billed)

``intent`` holds a reserved price and is on disk before anything is sent; ``sent`` is on disk before the first byte
leaves. A synchronous vendor's attempt goes from ``sent`` to ``stored``. Who moves attempts is `ledger`.
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
    "ambiguous",
    "expired",
    "invalid",
    "cancelled",
]
STATES: tuple[AttemptState, ...] = get_args(AttemptState)

UNSENT = ("planned", "claimed", "intent")
"""Nothing has left this machine."""

WITH_JOB = ("accepted", "ready")
"""The vendor has named a job; it can be fetched by that name."""

WHOLE = ("stored", "validated")
"""The picture's bytes are in the store."""

PAID = ("accepted", "ready", "stored", "validated", "expired", "invalid")
"""The vendor took the submission; ``ambiguous`` is counted apart."""

RESERVING = ("intent", "sent")
"""States that hold a reserved price instead of a booked one."""

COUNTED = tuple(state for state in STATES if state not in ("planned", "claimed", "cancelled"))
"""States that count against ``max_calls``."""

_ENDS = ("stored", "validated", "refused", "expired", "invalid")

STEPS: dict[str, frozenset[str]] = {
    "planned": frozenset(("claimed", "intent", "cancelled")),
    "claimed": frozenset(("planned", "intent", "cancelled")),
    "intent": frozenset(("sent", "cancelled")),
    "sent": frozenset(("accepted", "ready", "ambiguous", "cancelled", *_ENDS)),
    "accepted": frozenset(("ready", *_ENDS)),
    "ready": frozenset(_ENDS),
    "stored": frozenset(("stored", "validated", "invalid", "expired", "refused")),
    "validated": frozenset(("invalid",)),
    "ambiguous": frozenset(("sent", "accepted", "stored", "validated")),
    "refused": frozenset(),
    "expired": frozenset(),
    "invalid": frozenset(),
    "cancelled": frozenset(),
}


def origins(state: str) -> tuple[str, ...]:
    """States from which `state` may be entered."""
    return tuple(before for before, after in STEPS.items() if state in after)
