"""Energy of detail in each octave of sizes: how sharp a picture is, and how its spectrum falls.

Octaves are differences of neighbouring pixels in a pyramid of halved pictures. In a spectrum that falls as 1 / f^a the
energy grows by a factor 2^(a - 2) an octave (Field 1987 for photographs, where a is about 2; Abry & Veitch 1998 for
slopes from octaves). Ratios of octaves do not depend on contrast.
"""

from collections.abc import Sequence

import numpy as np

from blackbox_conformal.method.images.input_statistics.planes import FRACTION, Plane, halved

OCTAVES = 5
_LEAST_ENERGY = 0.25
"""Squared grey levels, about what rounding to 8 bits adds; energies below it say nothing."""


def log_energies(planes: Sequence[Plane]) -> list[float]:
    """Base-2 logarithms of the mean squared difference between neighbours, of each octave from the finest on.

    At most `OCTAVES`, fewer for a small picture: the last has at least two pixels a side. Several planes are added.
    """
    found = []
    for _ in range(OCTAVES):
        if min(planes[0].shape[1:]) < 2:
            break
        found.append(float(np.log2(sum(map(_energy, planes)) + _LEAST_ENERGY)))
        planes = [halved(plane) for plane in planes]
    return found


def sharpness(energies: Sequence[float]) -> float:
    """How much stronger the finest octave is than the next, in octaves of energy; 0 where there is only one.

    About 0 for a photograph made smaller by a sharp filter, negative for a blurred one, positive for noise.
    """
    return energies[0] - energies[1] if len(energies) > 1 else 0.0


def fall(energies: Sequence[float]) -> float:
    """The exponent a of a spectrum 1 / f^a, by least squares over all octaves but the finest; 2 where unknown."""
    coarse = energies[1:]
    if len(coarse) < 2:
        return 2.0
    places = [k - (len(coarse) - 1) / 2 for k in range(len(coarse))]
    slope = sum(place * energy for place, energy in zip(places, coarse, strict=True)) / sum(p * p for p in places)
    return 2.0 + slope


def _energy(plane: Plane) -> float:
    """Mean squared difference between neighbours, in squared grey levels; the sums are exact."""
    steps = [np.diff(plane, axis=axis).astype(np.int64) for axis in (1, 2)]
    total = sum(int(np.square(step).sum()) for step in steps)
    return total / sum(step.size for step in steps) / FRACTION**2
