"""Lanczos reduction: what image programs offer as their sharpest."""

from PIL.Image import Resampling

from blackbox_conformal.method.degradations.reduction import Reduction


class Lanczos(Reduction):
    """Makes a picture smaller by the Lanczos filter of three lobes (Duchon 1979)."""

    filter = Resampling.LANCZOS


PLUGIN = Lanczos
