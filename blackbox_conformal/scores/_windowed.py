"""A window, beside clipping and smoothing, for the scores that average over a neighbourhood.

What is averaged is each score's own; the averaging itself is in `kernels.windows`.
"""

from pydantic import model_validator

from blackbox_conformal.scores._clip_and_smooth import ClippedAndSmoothed
from blackbox_conformal.scores._window import Sigma, Size, Window, complete


class Windowed(ClippedAndSmoothed):
    """A score with a window.

    Attributes
    ----------
    kernel
        `gaussian` or `box`.
    sigma
        Standard deviation of the Gaussian in pixels, 4 unless given.
    size
        Side of the box in pixels, odd, 31 unless given.
    """

    kernel: Window = "gaussian"
    sigma: Sigma | None = None
    size: Size | None = None

    _complete = model_validator(mode="before")(complete)
