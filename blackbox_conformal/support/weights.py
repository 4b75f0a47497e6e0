"""Read weights of networks that the package ships."""

import io

import numpy as np
from numpy.typing import NDArray


def arrays_in(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of an npz file by name, as float32. Of a stranger's file ask `_weights_file` instead."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {name: values.astype(np.float32) for name, values in stored.items()}
