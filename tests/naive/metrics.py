"""Metrics from their definitions, each under its own name: a test finds the twin of `rgb-l1` as `rgb_l1`.

A norm of colour differences is given as the colour space and the norm over channels, any other metric as a function of
two pictures, some of the plain one that detail is added to, too. FLIP is the evaluator of its authors. Nothing here is
fast and nothing here imports the package.
"""

import flip_evaluator
import numpy as np
from naive import delta_e, detail, distance, similarity, spectra

lab_l1 = (distance.lab, np.sum)
chroma = (distance.chroma, np.sum)
rgb_l1 = (distance.rgb, np.sum)
rgb_linf = (distance.rgb, np.max)
band_l1 = (distance.rgb, np.mean)
band_linf = (distance.rgb, np.max)


def delta_e_2000(truth, delivered, cap=20):
    """CIEDE2000, clipped."""
    return np.minimum(delta_e.difference(truth, delivered), cap)


def spectral_angle(truth, delivered):
    """The angle between colours as vectors."""
    return spectra.each(truth, delivered, spectra.angle)


def ssim(truth, delivered):
    """Structural dissimilarity."""
    return (1 - similarity.ssim(truth, delivered)) / 2


def gms(truth, delivered, downsample=False):
    """Gradient magnitude dissimilarity."""
    return 1 - similarity.gms(truth, delivered, downsample)


def flip(truth, delivered, pixels_per_degree=67.0):
    """LDR-FLIP."""
    values, _, _ = flip_evaluator.evaluate(
        truth.astype(np.float32) / 255,
        delivered.astype(np.float32) / 255,
        "LDR",
        applyMagma=False,
        parameters={"ppd": pixels_per_degree},
    )
    return values[:, :, 0]


def invention(truth, delivered, plain, sigma, high_pass=True):
    """The share of what was added to the plain picture that the truth does not explain."""
    return detail.share(delivered, truth, plain, sigma, high_pass)


def omission(truth, delivered, plain, sigma, high_pass=True):
    """The share of what the plain picture lacks that the delivered one does not explain."""
    return detail.share(truth, delivered, plain, sigma, high_pass)
