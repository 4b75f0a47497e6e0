"""Pictures to super-resolve, all looked at before one is sent: those that can be masked, and why the others cannot."""

from collections.abc import Sequence
from pathlib import Path

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import BlackboxConformalError, CalibrationError
from blackbox_conformal.images.names import printable
from blackbox_conformal.pipeline.stages.memory import MASK_PIXEL_BYTES
from blackbox_conformal.pipeline.stages.prepare import Prepared, prepare_input
from blackbox_conformal.pipeline.stages.room import refuse_large
from blackbox_conformal.pipeline.stages.settings import Setup


def prepare_inputs(
    inputs: Sequence[tuple[str, Path | bytes]],
    setup: Setup,
    calibration: Calibration,
    failed: dict[int, BlackboxConformalError],
    *,
    memory_bytes: int | None = None,
) -> dict[int, Prepared]:
    """Each input that can be masked, by its place.

    Parameters
    ----------
    inputs
        Name and file, or name and content, of each picture.
    failed
        Gets what is wrong with each of the others, by its place; places that it holds already are left out.
    memory_bytes
        Most memory that the calculation may take; None: no limit.
    """
    found: dict[int, Prepared] = {}
    for place, (name, source) in enumerate(inputs):
        if place in failed:
            continue
        try:
            refuse_large([source], memory_bytes, scale=setup.procedure.scale, pixel_bytes=MASK_PIXEL_BYTES)
            picture = prepare_input(source, name, setup, memory_bytes=memory_bytes)
            known = calibration.known(picture.sketch, picture.input_digest)
            if known is not None:
                raise CalibrationError(
                    f"{printable(name)} is {known}: the guarantee is for pictures that calibration has not seen. Leave "
                    "it out, or calibrate without it"
                )
        except BlackboxConformalError as error:
            failed[place] = error
        else:
            found[place] = picture
    return found
