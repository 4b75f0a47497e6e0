"""Reduction by area: each input pixel is the mean of the pixels that it covers, as many programs and sensors do it."""

from PIL.Image import Resampling

from blackbox_conformal.method.degradations.reduction import Reduction


class Area(Reduction):
    """Makes a picture smaller by averaging the pixels that each pixel of the result covers."""

    filter = Resampling.BOX


PLUGIN = Area
