"""Whether a calibration file stands where another is about to be written, told before anything is drawn.

Whether files are equal to the byte is decided where they are written.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.errors import BlackboxConformalError, UsageError

if TYPE_CHECKING:
    from blackbox_conformal.procedure import Procedure


def refuse_other_calibration(
    path: Path, procedure: "Procedure | None", truths: Collection[str], tuning: Collection[str] = ()
) -> None:
    """Refuse when `path` holds anything but a calibration of this procedure (None: any) on these photographs.

    Raises
    ------
    UsageError
        It does; the work about to be done could not be written.
    """
    from blackbox_conformal.calibration import Calibration

    if not path.exists():
        return
    try:
        there = Calibration.load(path)
    except (OSError, BlackboxConformalError):
        raise UsageError(f"{path} exists and is no calibration; give --force or another --out") from None
    same = procedure is None or there.procedure.fingerprint == procedure.fingerprint
    if (
        not same
        or {image.truth for image in there.images} != set(truths)
        or {one.truth for one in there.tuning} != set(tuning)
    ):
        raise UsageError(
            f"{path} is a calibration of another procedure or of other photographs and is not overwritten; give "
            "--force or another --out"
        )
