"""The head of a watch file: how far its log reached, and the calibration's state."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from blackbox_conformal.documents.signature import Signature, Vouching
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.support.canonical import digest_json

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey

FORMAT = "blackbox-conformal watch head"
VERSION = 1
_DIGEST = "^sha256:[0-9a-f]{64}$"


class WatchHead(BaseModel):
    """The newest entry of a watch file's log; every visit, live picture and change of state is an entry.

    `calibration`: digest of the watched one. `entries`: how many its log has. `chain`: digest of the newest entry and
    so of all before. `state`: the calibration's from here on. `at`: when it was written (ISO 8601, UTC, the writer's
    clock). `signature`: its writer's, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    calibration: str = Field(pattern=_DIGEST)
    entries: int = Field(ge=1)
    chain: str = Field(pattern=_DIGEST)
    state: Literal["watched", "suspended", "void", "accepted"]
    at: str = Field(max_length=64)
    signature: Signature | None = None

    @property
    def digest(self) -> str:
        """Return ``sha256:…`` of everything but the signature."""
        return digest_json(self.model_dump(mode="json", exclude={"signature"}))

    def signed(self, key: "SigningKey") -> Self:
        """Return the same head with a signature by `key`."""
        return self.model_copy(update={"signature": key.sign(FORMAT, VERSION, self.digest)})

    def vouching(self, trusted: Trusted = ()) -> Vouching:
        """Tell who vouches for the head; `trusted` holds the public keys that the reader trusts."""
        return Vouching.of(self.signature, f"entry {self.entries} of the watch", FORMAT, VERSION, self.digest, trusted)

    @property
    def words(self) -> str:
        return f"{self.state} at entry {self.entries}, written at {self.at}"


@dataclass(frozen=True, slots=True)
class WatchStanding:
    """How far a calibration's log reaches, and who vouches for the log.

    `head`: the newest entry's. `vouching`: for the newest entry whose signature counts, which vouches for `vouched`
    entries. `own`: that signature is by the calibration's signer.
    """

    head: WatchHead
    vouching: Vouching
    vouched: int = 0
    own: bool = False

    @property
    def words(self) -> str:
        """Say what the newest entry says, and who vouches for it."""
        later = 0 < self.vouched < self.head.entries
        further = f"; what follows entry {self.vouched} is not signed" if later else ""
        if self.own:
            # The calibration's own key signed the log, so the reader needs to trust no second key.
            vouching = replace(self.vouching, trusted=False).words("the key that signed the calibration")
        else:
            vouching = self.vouching.words("you have not said that you trust this key")
        return f"{self.head.words}; {vouching}{further}"


@dataclass(frozen=True, slots=True)
class WatchState:
    """A certificate's words about the watch of its calibration."""

    note: str | None  # A sentence; None where there is nothing to say.
    head: WatchHead | None  # Head of the watch file as read; None where an earlier version wrote it.
    # Why the guarantee does not hold for inputs like the masked ones; None where they did not drift.
    drift: str | None = None
