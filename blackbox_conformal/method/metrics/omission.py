"""Which share of the detail that plain enlargement lacks is not in the delivered picture either."""

from typing import ClassVar

from blackbox_conformal.method.metrics._detail import DetailMetric
from blackbox_conformal.support.types import Image


class Omission(DetailMetric):
    """`invention` with truth and delivered picture exchanged: 0 wherever plain enlargement lacks nothing."""

    words: ClassVar[str] = (
        "share of the detail missing around a pixel of the plain enlargement that is not in the delivered picture"
    )

    def compared(self, truth: Image, delivered: Image) -> tuple[Image, Image]:
        return truth, delivered


PLUGIN = Omission
