"""L1 distance over any number of bands."""

import numpy as np

from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.kernels.spectra import band_l1
from blackbox_conformal.method.metrics._averaged import BandMetric
from blackbox_conformal.support.types import Image, Map


class BandL1(BandMetric):
    """Mean over bands of absolute differences, as shares of the range: at most 1, however many bands there are."""

    def distance(self, truth: Image, delivered: Image) -> Map:
        return band_l1(truth, delivered)

    def norm(self, planes: Planes) -> Map:
        mean: Map = np.abs(planes).mean(axis=0)
        return mean


PLUGIN = BandL1
