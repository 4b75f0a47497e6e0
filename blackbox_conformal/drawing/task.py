"""Wanted draws, their identities and their outcomes."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from blackbox_conformal.errors import (
    AccountRefusedError,
    BlackboxConformalError,
    BudgetError,
    ModelChangedError,
    VendorError,
    VendorUnavailableError,
)
from blackbox_conformal.support.canonical import canonical_json, derived_seed, digest_bytes, digest_json
from blackbox_conformal.vendor.adapter import Adapter, Upload

OutcomeState = Literal["stored", "refused", "failed", "ambiguous", "invalid", "expired", "missing"]

ENDED: dict[OutcomeState, str] = {
    "stored": "is stored",
    "refused": "was refused by the vendor",
    "failed": "failed at the vendor",
    "ambiguous": "was sent and never answered",
    "invalid": "is not the picture that was asked for",
    "expired": "came to no end in time, or cannot be fetched any more",
    "missing": "is missing",
}
"""How a draw ended, in words; see `Outcome`."""


@dataclass(frozen=True, slots=True)
class Task:
    """Draw `index` (from 0) of one upload, with the seed to send (None if the vendor takes none).

    `picture` is the digest of the whole picture; the upload may be a tile.
    """

    upload: Upload
    index: int
    seed: int | None
    picture: str = ""


UNAVAILABLE: dict[type[BlackboxConformalError], str] = {
    BudgetError: "budget",
    VendorUnavailableError: "down",
    AccountRefusedError: "account",
    ModelChangedError: "model",
}
"""Errors that say that a vendor cannot be had, so that a cascade may fall back on the answer before, in a word each."""


@dataclass(frozen=True, slots=True)
class FellBack:
    """The reason why the last member of a cascade gave no answer; `by_picture`: it failed on this very picture."""

    kind: str
    reason: str
    by_picture: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one task.

    `state`: ``stored``: the picture is on disk. ``refused``: the vendor said no to the picture. ``failed``: the vendor
      failed on its own; it may be asked again. ``ambiguous``: sent, no answer, perhaps billed. ``invalid``: paid for,
      but not the wanted picture. ``expired``: the job's result cannot be fetched, or not in time. ``missing``: a draw
      that should be on this machine is not there.
    `cached`: Whether the ledger already held the answer.
    `digest`: ``sha256:…`` of the stored bytes, or of the evidence if `state` is ``invalid``; None without bytes.
    `cost_usd`: US dollars booked, with this process's attempts that gave no picture.
    `reopened`: Number of earlier refusals that the user had reopened.
    `member`, `asked`: Members of a cascade, from 0: the one that answered, and the last one that got the picture.
    `parts`: If parts of the picture went on: the answers that make up the picture.
    `fell_back`: Why an earlier member's answer is delivered; None if the last member answered.
    """

    task: Task
    state: OutcomeState
    cached: bool
    digest: str | None
    cost_usd: Decimal
    model: str | None
    error: VendorError | None
    reopened: int = 0
    member: int = 0
    parts: tuple["Outcome", ...] = ()
    asked: int = 0
    fell_back: FellBack | None = None

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(each.model for each in self.parts or (self,) if each.model)


def asked_of(adapter: Adapter, tasks: Sequence[Task]) -> list[tuple[Adapter, list[Task]]]:
    """Return the vendors that may be asked for these draws, first to last, each with its possible draws."""
    if not adapter.members:
        return [(adapter, list(tasks))]
    return [
        (
            member,
            [sent_to(adapter, place, task, upload) for task in tasks for upload in adapter.sent(place, task.upload)],
        )
        for place, member in enumerate(adapter.members)
    ]


def sent_to(cascade: Adapter, place: int, task: Task, upload: Upload) -> Task:
    """Return the member's draw of `upload`, with the same seed as without a cascade.

    A vendor that appears twice in the cascade is asked for different draws.
    """
    seeds, (earlier, times) = cascade.members[place].capabilities.seed_range, cascade.turn(place)
    index = task.index * times + earlier
    seed = seeds and derived_seed(0, upload.digest, index, seeds)
    return Task(upload, index, seed, task.upload.digest)


def draw_keys(adapter: Adapter, tasks: Sequence[Task]) -> frozenset[str]:
    """Return the keys of these draws (see `task_key`) at every vendor that may be asked."""
    return frozenset(key for vendor, own in asked_of(adapter, tasks) for key in task_keys(vendor.identity(), own))


def task_key(identity: dict[str, Any], task: Task) -> str:
    """Return ``sha256:…`` of a draw: vendor procedure, picture, index and seed.

    M draws of one picture are M equal requests; the index keeps them from sharing one answer.
    """
    return digest_json({"identity": identity, "upload": task.upload.digest, "draw": task.index, "seed": task.seed})


def task_keys(identity: dict[str, Any], tasks: Sequence[Task]) -> list[str]:
    """Return `task_key` for many tasks of one vendor procedure."""
    # Encoded once: a hundred thousand tasks share most of the text.
    procedure = canonical_json(identity)
    pictures = {digest: canonical_json(digest) for digest in {task.upload.digest for task in tasks}}
    return [
        digest_bytes(
            # These are the bytes of canonical JSON of the four fields, whose names are in this order.
            b'{"draw":%d,"identity":%b,"seed":%b,"upload":%b}'
            % (task.index, procedure, b"null" if task.seed is None else b"%d" % task.seed, pictures[task.upload.digest])
        )
        for task in tasks
    ]


def idempotency_key(key: str, generation: int = 0) -> str:
    """Return a UUID-shaped key: equal for repetitions of one submission, new for each resubmission."""
    # Buying again needs a key that the vendor has not seen.
    raw = hashlib.sha256(f"{key}#{generation}".encode()).digest()[:16]
    return str(uuid.UUID(bytes=raw, version=4))
