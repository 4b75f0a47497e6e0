"""Many samples of the same photographs, and the sums of their losses at some thresholds."""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9  # Sums in another order may differ by this much.


class Samples:
    """Losses of photographs at some thresholds, and samples of these photographs.

    `losses` are (photographs, thresholds) float64 and never fall along the thresholds. `counts`, (samples,
    photographs), says how often each sample holds each photograph; all samples are of one size.
    """

    def __init__(self, losses: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        self.losses, self.counts, self.size = losses, counts, int(counts[0].sum())
        self._summed, self._sums = np.empty(0), np.empty(0)

    def sums(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (samples, thresholds) sums of claimed losses, flat as `losses`; kept for the next call."""
        if not np.array_equal(losses, self._summed):
            self._summed, self._sums = losses, self.counts @ losses.reshape(self.losses.shape)
        return self._sums
