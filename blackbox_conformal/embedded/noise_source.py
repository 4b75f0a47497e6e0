"""The embedded vendor's noise: a stream of standard normal values for one seed."""

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]

SEEDS = 2**32


class NoiseRows:
    """Standard normal noise of one draw: values for the whole picture, then rows handed out from top to bottom.

    Strips of a picture thus see the noise that the whole would see.

    Parameters
    ----------
    seed
        Names the stream (Philox, Salmon et al. 2011).
    first, width
        Index of the first row and number of pixels in a row.
    channels, shared
        Values for each pixel and for the whole picture.

    Attributes
    ----------
    shared
        (shared,) float32.
    """

    def __init__(self, seed: int, first: int, width: int, channels: int, shared: int) -> None:
        self._random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
        self.shared: Features = self._random.standard_normal(shared, dtype=np.float32)
        self._start = first
        self._rows: Features = np.empty((0, width, channels), np.float32)

    def between(self, first: int, last: int) -> Features:
        """Rows ``first`` to ``last`` (exclusive), (rows, width, channels); ``first`` must never go back."""
        kept = self._rows[first - self._start :]
        fresh = self._random.standard_normal((last - first - len(kept), *kept.shape[1:]), dtype=np.float32)
        self._rows = np.concatenate((kept, fresh)) if len(kept) else fresh
        self._start = first
        return self._rows
