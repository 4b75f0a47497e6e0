"""What the words mean with which a vendor says that there will be no picture."""

from pydantic import BaseModel, ConfigDict

from blackbox_conformal.errors import RefusedError, RunRefusedError, VendorError, VendorFailedError
from blackbox_conformal.vendor.refusals import plain

MODERATION = (
    "nsfw",
    "flagged",
    "moderation",
    "moderated",
    "content policy",
    "sensitive content",
    "sensitive information",
    "inappropriate",
    "safety",
)
"""Words of content filters."""

UNFIT = (
    "image too large",
    "image is too large",
    "image too small",
    "image is too small",
    "is larger than",
    "is smaller than",
    "greater than the max",
    "exceeds the max",
    "unsupported image",
    "invalid image",
    "invalid encoded image",
    "cannot identify image",
)
"""Words that say of a picture that it can never be worked on."""


class Reasons(BaseModel):
    """Words by which a vendor's reasons are told apart; each is looked for in the code and in the reason.

    Words are written in small letters with single spaces; a code such as ``contentPolicy`` or ``CONTENT_POLICY`` holds
    "content policy". Where none is found, the vendor has failed on its own. That is the careful reading of an unknown
    reason: a picture that is refused by mistake costs the guarantee, and one that is asked for again costs a draw.

    Attributes
    ----------
    every
        No to what all pictures of a run have in common.
    refused
        No to this picture, before anything was generated.
    filtered
        No to this picture after work on it, as of a filter that looks at what was generated; that is billed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: tuple[str, ...] = ()
    refused: tuple[str, ...] = UNFIT
    filtered: tuple[str, ...] = MODERATION

    def error(self, said: str, reason: str, *, code: str, request_id: str | None = None) -> VendorError:
        """The error that `reason` and `code` mean; `said` is its message."""
        text = plain(f"{code} {reason}")
        # What concerns every picture ends the run, whatever else the words hold.
        if any(word in text for word in self.every):
            return RunRefusedError(said, request_id=request_id, code=code)
        # Before the other refusals: a filter that has looked at the result is billed.
        if any(word in text for word in self.filtered):
            return RefusedError(said, billed=True, request_id=request_id, code=code)
        if any(word in text for word in self.refused):
            return RefusedError(said, request_id=request_id, code=code)
        # The careful reading of unknown words: see above.
        return VendorFailedError(said, request_id=request_id, code=code)


USUAL = Reasons()
"""What the words mean where a vendor has none of its own."""
