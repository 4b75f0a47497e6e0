"""Largest difference over any number of bands."""

import numpy as np

from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.kernels.spectra import band_linf
from blackbox_conformal.method.metrics._averaged import BandMetric
from blackbox_conformal.support.types import Image, Map


class BandLinf(BandMetric):
    """Largest over bands of absolute differences, as shares of the range: at most 1."""

    def distance(self, truth: Image, delivered: Image) -> Map:
        return band_linf(truth, delivered)

    def norm(self, planes: Planes) -> Map:
        largest: Map = np.abs(planes).max(axis=0)
        return largest


PLUGIN = BandLinf
