"""Inputs that came about in a way that is not known."""

from blackbox_conformal.method.degradations.degradation import Preset


class Unknown(Preset):
    """For inputs of unknown making and a guarantee about errors: small, soft, and saved as JPEG, so little is trusted.

    The page on degradations says on which kinds of input the risk of such calibrations was measured. A mask of an input
    of another kind is marked as with any other calibration.
    """

    chain = "bicubic+blur:1+jpeg:50"


PLUGIN = Unknown
