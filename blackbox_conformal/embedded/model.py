"""What the embedded vendor's models share: a file of weights, a name that goes by it, and what they refuse."""

import hashlib
import io
from importlib import resources

import numpy as np
import numpy.typing as npt

from blackbox_conformal.embedded.noise_source import SEEDS
from blackbox_conformal.errors import ImageError, UsageError

Picture = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


def read_weights(file: str) -> tuple[str, dict[str, Features]]:
    """Read a file of weights that lies beside this module.

    Returns
    -------
    The first 12 hexadecimal digits of the file's SHA-256, and the arrays by name.
    """
    raw = resources.files(__package__).joinpath(file).read_bytes()
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        weights = {name: stored[name].astype(np.float32) for name in stored.files}
    return hashlib.sha256(raw).hexdigest()[:12], weights


def check_input(picture: Picture, seed: int) -> None:
    """Refuse what no model draws.

    Parameters
    ----------
    picture
        Expected as (H, W, 3) uint8 sRGB, any size from 1 x 1.
    seed
        Expected from 0 to 2**32 - 1.

    Raises
    ------
    ImageError
        The picture has another shape or dtype, or no pixels.
    UsageError
        The seed is out of range.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ImageError(
            f"Expected a picture of shape (H, W, 3) and dtype uint8 with at least one pixel, "
            f"got {picture.shape} {picture.dtype}; convert it to 8-bit RGB first."
        )
    if not 0 <= seed < SEEDS:
        raise UsageError(f"Expected a seed from 0 to {SEEDS - 1}, got {seed}; choose one in that range.")
