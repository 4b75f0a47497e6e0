"""CIEDE2000, the CIE's colour difference, clipped at a cap."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from blackbox_conformal.method.kernels.delta_e import delta_e_2000
from blackbox_conformal.method.metrics._averaged import LocalMetric
from blackbox_conformal.support.types import Image, Map


class DeltaE2000(LocalMetric):
    """`min(CIEDE2000, cap)` of sRGB colours under D65 (Sharma, Wu and Dalal 2005), clipped before any averaging.

    1 is about the smallest difference that people see. The formula was fitted to differences up to about 5 and its
    order beyond about 20 means little, while a bound of 120 would ask for six times as many photographs.

    `cap`: Where differences are clipped, in CIEDE2000 units, and the bound; alpha is in the same units.
    """

    space: ClassVar[str] = "CIEDE2000"

    cap: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False, examples=[97.3])] = 20.0

    @property
    def bound(self) -> float:
        return self.cap

    def distance(self, truth: Image, delivered: Image) -> Map:
        # Clipped before any averaging, so that the cap is the bound of averages, too.
        clipped: Map = np.minimum(delta_e_2000(truth, delivered), np.float32(self.cap))
        return clipped


PLUGIN = DeltaE2000
