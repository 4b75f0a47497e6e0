"""Which share of the detail that the vendor added to plain enlargement is not in the truth."""

from typing import ClassVar

from blackbox_conformal.method.metrics._detail import DetailMetric
from blackbox_conformal.support.types import Image


class Invention(DetailMetric):
    """0 wherever the delivered picture is plain enlargement, the truth, or anything between: blur invents nothing.

    Removing what the input shows counts as invention.
    """

    counts_detail: ClassVar[bool] = True
    words: ClassVar[str] = "share of the detail added around a pixel that is not in the truth"

    def compared(self, truth: Image, delivered: Image) -> tuple[Image, Image]:
        return delivered, truth


PLUGIN = Invention
