"""The head of a watch file: how far its log reached, and in which state it left the calibration."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from blackbox_conformal.canonical import digest_json
from blackbox_conformal.signature import Signature, Vouching

if TYPE_CHECKING:
    from blackbox_conformal.signing_key import SigningKey

FORMAT = "blackbox-conformal watch head"
VERSION = 1
_DIGEST = "^sha256:[0-9a-f]{64}$"


class WatchHead(BaseModel):
    """What the newest entry of a watch file's log says; every visit, live picture and change of state is an entry.

    Attributes
    ----------
    calibration
        Digest of the calibration that is watched.
    entries
        How many entries the log of this calibration has.
    chain
        Digest of the newest entry, which is also one of all entries before it.
    state
        Of the calibration, from this entry on.
    at
        When the entry was written: ISO 8601, UTC, by the clock of whoever wrote it.
    signature
        By whoever wrote it; None where it is not signed.
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
        """``sha256:…`` of everything but the signature."""
        return digest_json(self.model_dump(mode="json", exclude={"signature"}))

    def signed(self, key: "SigningKey") -> Self:
        """The same head with a signature by `key`."""
        return self.model_copy(update={"signature": key.sign(FORMAT, VERSION, self.digest)})

    def vouching(self, trusted: Collection[str] = ()) -> Vouching:
        """Who vouches for it; `trusted`: the public keys that the reader trusts.

        Raises
        ------
        CheckFailedError
            The signature is broken.
        """
        return Vouching.of(self.signature, f"entry {self.entries} of the watch", FORMAT, VERSION, self.digest, trusted)

    @property
    def words(self) -> str:
        """What it says, for people."""
        return f"{self.state} at entry {self.entries}, written at {self.at}"
