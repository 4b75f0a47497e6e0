"""The vendor's answer to a picture that no calibration speaks of: one draw, checked and kept as any other, no mask."""

from dataclasses import dataclass

from blackbox_conformal.drawing.open_run import OpenRun
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import ENDED
from blackbox_conformal.errors import UnusableDrawsError
from blackbox_conformal.study.job import Terms
from blackbox_conformal.study.stages.draws import output_check
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup


@dataclass(frozen=True, slots=True)
class Unmasked:
    """The vendor's file as it was received, and the model that the vendor named; None: it named none."""

    name: str
    vendor: bytes
    model: str | None


def draw_unmasked(setup: Setup, picture: Prepared, terms: Terms, shared: OpenRun | None) -> Unmasked:
    """The first draw of a picture, from any model of the vendor; a draw that is stored is not bought again.

    Raises
    ------
    BlackboxConformalError
        As `Sampler.draw`. RefusedError: the vendor says no to the picture. UnusableDrawsError: no answer is usable.
    """
    with Sampler(
        setup.adapter, terms.folder, terms.limits, models=None, check=output_check(setup), shared=shared
    ) as sampler:
        (outcome,) = list(sampler.draw(picture.tasks[:1]))
        if outcome.error is not None and outcome.state == "refused":
            raise outcome.error
        if outcome.state != "stored":
            why = "" if outcome.error is None else f": {outcome.error}"
            raise UnusableDrawsError(f"the draw of {picture.name} {ENDED[outcome.state]}{why}")
        return Unmasked(picture.name, sampler.read(outcome), outcome.model)
