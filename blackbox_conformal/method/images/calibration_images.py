"""The photographs that a calibration has seen, and what its run folder knew of others, as its file keeps them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from blackbox_conformal.method.images.duplicates import SKETCH_LETTERS, Sketch
from blackbox_conformal.method.images.input_statistics import InputKind
from blackbox_conformal.support.text import counted

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
        return Sketch.from_text(self.truth, self.sketch)


class CalibrationImage(KnownPhotograph):
    """One photograph: also identity of its input, and the vendor's refusal if it refused.

    `group` is the photograph's group, `cluster` the photograph that this tile is cut from, where they were given.
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
    kind: InputKind | None = None

    @model_serializer(mode="wrap")
    def _said(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Files from before refusals could be reopened and kinds were kept keep their digest."""
        return {name: value for name, value in fields(self).items() if value or name not in ("reopened", "kind")}


class History(BaseModel):
    """Facts about the run folder of a calibration, at the time when this calibration was begun in it first.

    Other run folders and other machines are not looked at.

    `earlier`: Other calibrations, of any of the same photographs, that were begun there before and got an answer.
    `further`: Photographs of these, drawn from the same vendor in the same way, that do not calibrate. Photographs that
      the calibration names as looked at are not among them.
    `overruled`: Calibration photographs that were looked at, of which the user said that nothing was chosen by them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    earlier: int = Field(default=0, ge=0)
    further: int = Field(default=0, ge=0)
    overruled: int = Field(default=0, ge=0)

    @property
    def content(self) -> dict[str, Any]:
        """What is not 0, as JSON carries it."""
        return self.model_dump(exclude_defaults=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not 0, in words."""
        found = []
        if self.earlier:
            found.append(
                f"{counted(self.earlier, 'other calibration')} of these photographs {_was(self.earlier)} begun in the "
                "same run folder before; other folders and machines were not looked at"
            )
        if self.further:
            found.append(
                f"{counted(self.further, 'further photograph')} of this vendor {_was(self.further)} calibrated in the "
                f"same run folder before and {'does' if self.further == 1 else 'do'} not calibrate here"
            )
        if self.overruled:
            found.append(
                f"{self.overruled} of the calibration photographs {_was(self.overruled)} looked at before by `tune`, "
                "`compare` or a pilot; the user said that nothing was chosen by them"
            )
        return tuple(found)


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
