"""From score and metric maps to the records of a staircase, and the checks both maps must pass.

What a curve can be asked lives in `curve`.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError

Steps = tuple[NDArray[np.float32], NDArray[np.float32]]


def check_maps(indecision: NDArray[np.float32], fidelity: NDArray[np.float32], bound: float) -> None:
    """Refuse maps from which no staircase may be made.

    Raises
    ------
    MapError
        Shapes differ or are empty, a value is not finite, a metric value lies outside [0, bound]; names the pixel.
    """
    if indecision.ndim != 2 or indecision.shape != fidelity.shape:
        raise MapError(
            f"expected two maps of one shape (H, W); got indecision {indecision.shape} and fidelity {fidelity.shape}. "
            "Compute both on the delivered picture's grid"
        )
    if indecision.size == 0:
        raise MapError("expected maps with at least one pixel; got none")
    _refuse("indecision", indecision, ~np.isfinite(indecision), "a finite number")
    _refuse("fidelity", fidelity, ~np.isfinite(fidelity), "a finite number")
    # Nearest float32: a map clipped at a bound that float32 cannot hold passes; `curve` clips the rounding.
    outside = (fidelity < 0) | (fidelity > np.float32(bound))
    _refuse("fidelity", fidelity, outside, f"a value in [0, {bound}]")


def _refuse(name: str, values: NDArray[np.float32], wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row, column = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise MapError(
            f"expected {expected} at every pixel of the {name} map; got {float(values[row, column])!r} at row {row}, "
            f"column {column} ({int(wrong.sum())} such pixels). Correct the map or declare a larger bound"
        )


def supremum_records(indecision: NDArray[np.float32], fidelity: NDArray[np.float32]) -> Steps:
    """Scores and losses at which the running maximum of `fidelity`, in order of score, grows."""
    scores = indecision.ravel()
    order = np.argsort(scores, kind="stable")
    scores, running = scores[order], np.maximum.accumulate(fidelity.ravel()[order])
    last = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
    scores, running = scores[last], running[last]
    grows = running > np.r_[np.float32(0), running[:-1]]
    return scores[grows], running[grows]


def share_records(
    indecision: NDArray[np.float32], fidelity: NDArray[np.float32], tolerance: float, steps: int = 1024
) -> Steps:
    """Scores, and the share of all pixels that are wrong by more than `tolerance` and score no more.

    At most `steps` records: shares are rounded up to the last one of their step, never down.
    """
    wrong = np.sort(indecision[fidelity > np.float64(tolerance)])
    if wrong.size == 0:
        return np.empty(0, np.float32), np.empty(0, np.float32)
    last = np.flatnonzero(np.r_[wrong[1:] != wrong[:-1], True])
    counts = last + 1
    step = -(-counts * steps // wrong.size)
    first_of_step = np.r_[True, step[1:] != step[:-1]]
    last_of_step = np.r_[step[1:] != step[:-1], True]
    return wrong[last[first_of_step]], share_up(counts[last_of_step], indecision.size)


def area_grid(indecision: NDArray[np.float32], steps: int = 256) -> Steps:
    """Scores on an even grid of quantiles, and the share of pixels that score no more than each."""
    scores = np.sort(indecision.ravel())
    ranks = -(-np.arange(1, steps + 1, dtype=np.int64) * scores.size // steps) - 1
    grid = np.unique(scores[ranks])
    shares = np.searchsorted(scores, grid, side="right") / scores.size
    return grid, shares.astype(np.float32)


def share_up(counts: NDArray[np.int64], total: int) -> NDArray[np.float32]:
    """`counts` / `total` as float32, rounded up."""
    exact = counts / total
    rounded = exact.astype(np.float32)
    return np.minimum(np.where(rounded < exact, np.nextafter(rounded, np.float32(2)), rounded), np.float32(1))
