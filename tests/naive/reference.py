"""The free reference by its definition in float64, layer by layer."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from naive import layers

# The weights stand in the package, wherever that is installed; a twin runs none of the package's code.
WEIGHTS = Path(find_spec("blackbox_conformal").origin).parent / "method" / "images" / "reference_weights.npz"


def enlarged(low, plain):
    """The picture by 4, from (h, w, 3) uint8 and its plain enlargement."""
    weights = {name: values.astype(float) for name, values in np.load(WEIGHTS).items()}

    def layer(name, planes):
        return layers.convolved(planes, weights[name], weights[f"{name}_bias"], 1)

    hidden = layer("head", low.transpose(2, 0, 1) / 255 - 0.5)
    for name in sorted(name for name in weights if name.startswith("body") and not name.endswith("bias")):
        hidden = hidden + layer(name, np.maximum(hidden, 0))
    height, width, _ = low.shape
    blocks = layer("tail", np.maximum(hidden, 0)).reshape(3, 4, 4, height, width)
    detail = blocks.transpose(3, 1, 4, 2, 0).reshape(4 * height, 4 * width, 3)
    return np.clip(np.floor(plain + 255 * detail + 0.5), 0, 255).astype(np.uint8)
