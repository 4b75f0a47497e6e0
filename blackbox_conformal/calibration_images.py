"""The photographs that a calibration has seen, as its file keeps them."""

from pydantic import BaseModel, ConfigDict, Field

from blackbox_conformal.images.duplicates import SKETCH_LETTERS, Sketch
from blackbox_conformal.images.input_statistics.kind import Kind

DIGEST = "^sha256:[0-9a-f]{64}$"


class KnownPhotograph(BaseModel):
    """A photograph that was looked at: identity of its pixels, and the sketch by which its copies are recognised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    truth: str = Field(pattern=DIGEST)
    sketch: str = Field(pattern=f"^[A-Za-z0-9+/]{{{SKETCH_LETTERS}}}$", repr=False)

    @classmethod
    def of(cls, sketch: Sketch) -> "KnownPhotograph":
        """The photograph that `seen` is the sketch of."""
        return KnownPhotograph(truth=sketch.digest, sketch=sketch.text)

    @property
    def as_sketch(self) -> Sketch:
        """The sketch, ready to be compared.

        Raises
        ------
        FileFormatError
            The text is no sketch.
        """
        return Sketch.from_text(self.truth, self.sketch)


class CalibrationImage(KnownPhotograph):
    """One photograph: also identity of its input, and the vendor's refusal if it refused.

    `group` is that of the photograph, `cluster` the photograph that this one is a tile of, where they were given.
    `fitted` says what was done to it to make it fit the vendor's limits. `reopened` is how often the vendor refused one
    of its draws that was then asked for again by `ledger reopen`. `kind` is None in files of versions that did not
    look.
    """

    name: str
    input: str = Field(pattern=DIGEST)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    refused: str | None = None
    reopened: int = Field(default=0, ge=0)
    group: str | None = None
    cluster: str | None = None
    fitted: str | None = None
    kind: Kind | None = None
