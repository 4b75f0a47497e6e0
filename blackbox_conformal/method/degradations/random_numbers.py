"""Random numbers that are the same on every machine, for degradations."""

import hashlib
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_NORMALS = 1 << 16


class RandomNumbers:
    """A stream of numbers that follows from `key` alone, on every machine and with every version of numpy.

    An input that is made again must be the same to the byte, or its paid draws would be bought again. So only the raw
    words of numpy's Philox (Salmon et al. 2011) are used, which are part of its definition.
    """

    def __init__(self, *key: str | int) -> None:
        text = "blackbox-conformal degradation " + " ".join(map(str, key))
        self._words = np.random.Philox(key=int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * ((int(self._words.random_raw()) >> 11) / 2**53)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def places(self, count: int) -> NDArray[np.uint16]:
        """Return so many whole numbers from 0 to 65,535, each equally likely: places in `normals`."""
        words = self._words.random_raw(-(-count // 4)).astype("<u8", copy=False)
        return words.view("<u2")[:count].astype(np.uint16, copy=False)


@cache
def normals() -> NDArray[np.float32]:
    """Return quantiles of the normal distribution, rounded so that the last bit of a logarithm makes no difference."""
    quantile = NormalDist().inv_cdf
    return np.array([round(quantile((k + 0.5) / _NORMALS), 6) for k in range(_NORMALS)], np.float32)
