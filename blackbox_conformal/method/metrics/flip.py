"""FLIP, the difference that is seen when two pictures are flipped between; needs the extra `flip`.

The package `flip-evaluator` of its authors computes it.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from blackbox_conformal.errors import MapError, MissingPackageError
from blackbox_conformal.method.kernels._checks import image_pair
from blackbox_conformal.method.metrics._averaged import LocalMetric
from blackbox_conformal.support.types import Image, Map


class Flip(LocalMetric):
    """LDR-FLIP error (Andersson, Nilsson, Akenine-Möller, Oskarsson, Åström and Fairchild 2020), in [0, 1].

    `pixels_per_degree`: Pixels for each degree of the viewer's field; 67 is 0.7 m from a 0.7 m wide screen of 3840
      pixels.
    """

    space: ClassVar[str] = "FLIP"
    compares: ClassVar[str] = "colours and edges as an eye filters them"

    pixels_per_degree: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False, examples=[10.0])] = 67.0

    def distance(self, truth: Image, delivered: Image) -> Map:
        try:
            from flip_evaluator import evaluate
        except ImportError as error:
            raise MissingPackageError(
                f"expected the package flip-evaluator for metric flip; it cannot be imported ({error}). "
                "Install it with: pip install 'blackbox-conformal[flip]'"
            ) from None
        truth, delivered = image_pair(truth, delivered)
        values, _, _ = evaluate(
            truth / np.float32(255),
            delivered / np.float32(255),
            "LDR",
            applyMagma=False,
            computeMeanError=False,
            parameters={"ppd": self.pixels_per_degree},
        )
        # The bound of 1 rests on another package's word, so its answer is checked.
        if (
            values.shape != (*truth.shape[:2], 1)
            or not np.isfinite(values).all()
            or values.min() < 0
            or values.max() > 1
        ):
            raise MapError(
                f"expected a FLIP map of {truth.shape[1]}x{truth.shape[0]} values in [0, 1]; flip-evaluator answered "
                f"shape {values.shape}, {values.min()} to {values.max()}. Install flip-evaluator 1.7"
            )
        return np.ascontiguousarray(values[:, :, 0], np.float32)


PLUGIN = Flip
