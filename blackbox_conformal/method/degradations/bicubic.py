"""Bicubic reduction: what papers on super-resolution make their inputs with."""

from PIL.Image import Resampling

from blackbox_conformal.method.degradations.reduction import Reduction


class Bicubic(Reduction):
    """Makes a picture smaller by the bicubic filter (Keys 1981, a = -1/2), as most papers on super-resolution do."""

    filter = Resampling.BICUBIC


PLUGIN = Bicubic
