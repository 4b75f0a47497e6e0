"""What a perturbation is: draw k sends a changed input and undoes the change on what comes back.

Draw 0 is always the unchanged input, so the delivered first draw is the vendor's own picture.
"""

from blackbox_conformal.support.catalog import Plugin
from blackbox_conformal.support.types import Image


class Perturbation(Plugin):
    """A family of changes numbered by draw; a file `images/perturbation/NAME.py` defines one, called PLUGIN."""

    @property
    def maximum_draws(self) -> int | None:
        """How many different draws there are; None = no limit."""
        raise NotImplementedError(f"{type(self).__name__} must define maximum_draws")

    def apply(self, pixels: Image, index: int) -> Image:
        """The input of draw `index`: (h, w, 3) uint8, height and width possibly exchanged."""
        raise NotImplementedError(f"{type(self).__name__} must define apply(pixels, index)")

    def undo(self, pixels: Image, index: int, scale: int) -> Image:
        """The output of draw `index` on the grid of the unchanged output: (H, W, 3) uint8."""
        raise NotImplementedError(f"{type(self).__name__} must define undo(pixels, index, scale)")
