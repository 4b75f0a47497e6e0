"""What a run folder knew of a calibration when it was begun, by which its reader can judge how much was tried."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from blackbox_conformal.text import counted


class History(BaseModel):
    """Facts about the run folder of a calibration, at the time when this calibration was begun in it first.

    Other run folders and other machines are not looked at.

    Attributes
    ----------
    earlier
        Other calibrations, of any of the same photographs, that were begun there before.
    further
        Photographs of these, drawn from the same vendor in the same way, that do not calibrate. Those that the
        calibration names as looked at are not among them.
    overruled
        Calibration photographs that were looked at, of which the user said that nothing was chosen by them.
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
                "same run folder before and {'does' if self.further == 1 else 'do'} not calibrate here"
            )
        if self.overruled:
            found.append(
                f"{self.overruled} of the calibration photographs {_was(self.overruled)} looked at before by `tune`, "
                "`compare` or a pilot; the user said that nothing was chosen by them"
            )
        return tuple(found)


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
