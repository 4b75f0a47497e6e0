"""The checks that a score map and an error map must pass before a risk curve is made of them."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError


def check_shapes(score_map: NDArray[np.float32], errors: NDArray[np.float32]) -> None:
    """Refuse maps that are empty, or whose shapes differ or are not (H, W).

    Raises
    ------
    MapError
        They are.
    """
    if score_map.ndim != 2 or score_map.shape != errors.shape:
        raise MapError(
            f"expected two maps of one shape (H, W); got shapes {score_map.shape} and {errors.shape}. "
            "Compute both on the delivered picture's grid"
        )
    if score_map.size == 0:
        raise MapError("expected maps with at least one pixel; got none")


def refuse_values(score_map: NDArray[np.float32], errors: NDArray[np.float32], bound: float) -> None:
    """Say which value no staircase may be made of; pass where there is none.

    Raises
    ------
    MapError
        A value is not finite, or a metric value lies outside [0, bound]; names the pixel.
    """
    _refuse("score", score_map, ~np.isfinite(score_map), "a finite number")
    _refuse("error", errors, ~np.isfinite(errors), "a finite number")
    # Nearest float32: a map clipped at a bound that float32 cannot hold passes; `curve` clips the rounding.
    outside = (errors < 0) | (errors > np.float32(bound))
    _refuse("error", errors, outside, f"a value in [0, {bound}]")


def _refuse(name: str, values: NDArray[np.float32], wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row, column = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise MapError(
            f"expected {expected} at every pixel of the {name} map; got {float(values[row, column])!r} at row {row}, "
            f"column {column} ({int(wrong.sum())} such pixels). Correct the map or declare a larger bound"
        )
