"""The free and the fine reference by their definitions in float64, layer by layer."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from naive import layers

# The weights stand in the package, wherever that is installed; a twin runs none of the package's code.
FOLDER = Path(find_spec("blackbox_conformal").origin).parent / "method" / "images"


def enlarged(low, plain):
    """The picture by 4, from (h, w, 3) uint8 and its plain enlargement."""
    weights = {name: values.astype(float) for name, values in np.load(FOLDER / "reference_weights.npz").items()}

    def layer(name, planes):
        return layers.convolved(planes, weights[name], weights[f"{name}_bias"], 1)

    hidden = layer("head", low.transpose(2, 0, 1) / 255 - 0.5)
    for name in sorted(name for name in weights if name.startswith("body") and not name.endswith("bias")):
        hidden = hidden + layer(name, np.maximum(hidden, 0))
    height, width, _ = low.shape
    blocks = layer("tail", np.maximum(hidden, 0)).reshape(3, 4, 4, height, width)
    detail = blocks.transpose(3, 1, 4, 2, 0).reshape(4 * height, 4 * width, 3)
    return np.clip(np.floor(plain + 255 * detail + 0.5), 0, 255).astype(np.uint8)


def fine(low):
    """What SPAN makes of (h, w, 3) uint8 (Wan et al. 2024): the picture by 4."""
    weights = {name: values.astype(float) for name, values in np.load(FOLDER / "span_weights.npz").items()}

    def layer(name, planes):
        padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
        height, width = planes.shape[1:]
        taps = [
            np.tensordot(weights[name][:, :, y, x], padded[:, y : y + height, x : x + width], 1)
            for y in range(3)
            for x in range(3)
        ]
        return sum(taps) + weights[f"{name}_bias"][:, None, None]

    def silu(planes):
        return planes / (1 + np.exp(-planes))

    mean = np.array([0.4488, 0.4371, 0.4040])
    first = value = layer("first", (low / 255 - mean).transpose(2, 0, 1) * 255)
    blocks, middles = [], []
    for k in range(6):
        middles.append(silu(layer(f"block_{k}_0", value)))
        last = layer(f"block_{k}_2", silu(layer(f"block_{k}_1", middles[-1])))
        value = (last + value) * (1 / (1 + np.exp(-last)) - 0.5)
        blocks.append(value)
    joined = np.concatenate([first, layer("last", value), blocks[0], middles[5]])
    made = layer("up", np.tensordot(weights["joined"][:, :, 0, 0], joined, 1) + weights["joined_bias"][:, None, None])
    height, width, _ = low.shape
    picture = made.reshape(3, 4, 4, height, width).transpose(3, 1, 4, 2, 0).reshape(4 * height, 4 * width, 3)
    return np.clip(np.floor(255 * picture + 0.5), 0, 255).astype(np.uint8)
