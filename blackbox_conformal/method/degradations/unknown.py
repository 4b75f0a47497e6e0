"""Inputs that came about in a way that is not known."""

from functools import lru_cache

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.preset import Preset

MEASURED = (
    "the calibration is one for inputs of unknown making, of which no theorem speaks; with such calibrations the risk "
    "of two vendors stayed below alpha on each of 24 kinds of input that were measured"
)
"""What is known of masks by such a calibration; `examples/validate_degradations.py --across` measures it."""


class Unknown(Preset):
    """For inputs of unknown making: small, soft, and saved as JPEG, so that a calibration trusts little.

    The page on degradations says on which kinds of input such calibrations were measured, and on which not.
    """

    chain = "bicubic+blur:1+jpeg:50"


@lru_cache(64)
def is_for_unknown(made: Mixture, scale: int) -> bool:
    """Whether inputs of a calibration for a vendor of this scale were made by the preset."""
    return made.text in (Unknown.chain, Mixture.of_text(Unknown.chain).at(scale).text)


PLUGIN = Unknown
