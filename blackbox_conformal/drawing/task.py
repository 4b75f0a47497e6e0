"""One draw that is wanted, its identity, and its outcome."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from blackbox_conformal.errors import VendorError
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
"""How a draw ended, said of one draw; see `Outcome`."""


@dataclass(frozen=True, slots=True)
class Task:
    """Draw `index` (from 0) of one upload, with the seed to send (None where the vendor takes none).

    `picture` is the digest of the picture, of which the upload may be a tile.
    """

    upload: Upload
    index: int
    seed: int | None
    picture: str = ""


@dataclass(frozen=True, slots=True)
class FellBack:
    """Why the last member of a cascade did not answer; `by_picture`: by what it made of this very picture.

    `kind`: the reason in a word, for counting.
    """

    kind: str
    reason: str
    by_picture: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one task ended.

    Attributes
    ----------
    state
        ``stored``: the picture's bytes are on disk. ``refused``: the vendor said no to the picture.
        ``failed``: the vendor failed on its own, as often as it was asked; it may be asked again.
        ``ambiguous``: sent, no answer, perhaps billed. ``invalid``: paid for, but not the picture that was asked for.
        ``expired``: the vendor took the job and its result can no longer be fetched, or not in time. ``missing``: a
        draw that should be on this machine is not there.
    cached
        True when nothing was asked of the vendor: the answer was in the ledger.
    digest
        ``sha256:…`` of the stored bytes; of the evidence when `state` is ``invalid``; None when there are none.
    cost_usd
        What this draw is booked at, whenever it was paid, with the attempts of this process that gave no picture.
    reopened
        How often the vendor refused it before, where the user had these refusals reopened.
    member
        Which member of a cascade answered, from 0.
    parts
        Where parts of the picture went on, the answers that it is made of: to the picture, and to each part.
    asked
        The last member of a cascade that the picture went on to, from 0, whoever's answer is delivered.
    fell_back
        Why the answer before is delivered in place of that member's; None where its own is.
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
        """Every model that answered, where it is named."""
        return tuple(each.model for each in self.parts or (self,) if each.model)


def asked_of(adapter: Adapter, tasks: Sequence[Task]) -> list[tuple[Adapter, list[Task]]]:
    """The vendors that may be asked for these draws, first to last, each with all that it would be sent."""
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
    """The draw that the member at `place` is asked for, with the seed that it would have as the only vendor.

    A vendor that stands there again is asked for another draw.
    """
    seeds, (earlier, times) = cascade.members[place].capabilities.seed_range, cascade.turn(place)
    index = task.index * times + earlier
    seed = seeds and derived_seed(0, upload.digest, index, seeds)
    return Task(upload, index, seed, task.upload.digest)


def draw_keys(adapter: Adapter, tasks: Sequence[Task]) -> frozenset[str]:
    """Keys of these draws at every vendor that may be asked for them; see `task_key`."""
    return frozenset(key for vendor, own in asked_of(adapter, tasks) for key in task_keys(vendor.identity(), own))


def task_key(identity: dict[str, Any], task: Task) -> str:
    """``sha256:…`` that identifies a draw: the vendor procedure, the picture's content, the draw's index and seed.

    The index is always part of it: M draws of one picture are M equal requests, and a key without the index
    would hand the first picture out M times.
    """
    return digest_json({"identity": identity, "upload": task.upload.digest, "draw": task.index, "seed": task.seed})


def task_keys(identity: dict[str, Any], tasks: Sequence[Task]) -> list[str]:
    """`task_key` of many tasks of one vendor procedure; the procedure and each picture are written out once."""
    # Written out once: of a hundred thousand tasks most of the text is the same.
    procedure = canonical_json(identity)
    pictures = {digest: canonical_json(digest) for digest in {task.upload.digest for task in tasks}}
    return [
        digest_bytes(
            # The same bytes as canonical JSON of the four fields, whose names are in this order.
            b'{"draw":%d,"identity":%b,"seed":%b,"upload":%b}'
            % (
                task.index,
                procedure,
                b"null" if task.seed is None else b"%d" % task.seed,
                pictures[task.upload.digest],
            )
        )
        for task in tasks
    ]


def idempotency_key(key: str, generation: int = 0) -> str:
    """UUID-shaped key for the vendor: equal for every repetition of one submission, new for each resubmission."""
    # The generation is a part of it: buying again needs a key that the vendor has not seen.
    raw = hashlib.sha256(f"{key}#{generation}".encode()).digest()[:16]
    return str(uuid.UUID(bytes=raw, version=4))
