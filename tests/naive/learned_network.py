"""The score `learned` by its definition in float64: features of cells, then the network layer by layer."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from naive import cells, distance, layers, windows
from PIL import Image

# The weights stand in the package, wherever that is installed; a twin runs none of the package's code.
WEIGHTS = Path(find_spec("blackbox_conformal").origin).parent / "method" / "scores" / "learned_weights.npz"

FLOORS = [4, 4, 4, 4, 4, 2, 2, 1, 2, 2, 4, 2, 2, 2, 1, 4]


def multipliers(delivered, low):
    """(H, W) of a picture and its input, both (., ., 3) uint8."""
    scale = delivered.shape[0] // low.shape[0]
    found = features(delivered, low, scale)
    logs = log_multipliers(found, {name: values.astype(float) for name, values in np.load(WEIGHTS).items()})
    return np.kron(np.exp(logs), np.ones((scale, scale)))


def features(delivered, low, scale):
    """(23, h, w)."""
    height, width, _ = low.shape
    enlarged = Image.fromarray(low).resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    reduced = Image.fromarray(delivered).resize((width, height), Image.Resampling.BICUBIC)
    plain, again = np.asarray(enlarged), np.asarray(reduced)
    of_cells = cells.cell_statistics(delivered, plain, scale)
    gap, largest, brighter, gradient, curvature, colour, plain_gradient, deviation, plain_deviation = of_cells[:9]
    lab_gap = distance.distance(plain, delivered, distance.lab, sum).reshape(height, scale, width, scale)
    logs = [gap, largest, gradient, curvature, colour, plain_gradient, deviation, plain_deviation]
    logs += [lab_gap.mean(axis=(1, 3)), lab_gap.max(axis=(1, 3))]
    logs += [np.abs(again.astype(float) - low).sum(axis=2) / 255, *_around_each_pixel(low)]
    residual = (again.astype(float) - low) @ [2, 5, 1] / 2040
    linear = [brighter, of_cells[9], of_cells[10], residual, *distance.planes(low, distance.lab)]
    return np.stack([*(np.log(plane + floor / 1000) for plane, floor in zip(logs, FLOORS, strict=True)), *linear])


def log_multipliers(found, weights):
    """(F, h, w) to (h, w)."""
    shift = weights["head_bias"] + weights["picture"] @ found.mean(axis=(1, 2))
    hidden = layers.convolved(found, weights["head"][:, :, None, None], shift, 1)
    for k in range(3):
        active = np.maximum(hidden, 0)
        hidden = hidden + layers.convolved(active, weights[f"body_{k}"], weights[f"body_{k}_bias"], 2**k)
    values = np.tensordot(weights["tail"][0], np.maximum(hidden, 0), 1) + np.tensordot(weights["skip"][0], found, 1)
    averaged = windows.gaussian(values + weights["tail_bias"], 0.7)
    out = np.empty_like(averaged)
    for y, x in np.ndindex(*out.shape):
        out[y, x] = averaged[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max()
    return out


def _around_each_pixel(low):
    """Gradient, Laplacian, checkerboard, deviation and colour gradient of the input at each of its pixels."""
    height, width, _ = low.shape
    bright = low.astype(float) @ [2, 5, 1] / 2040
    differences = [low[:, :, k].astype(float) - low[:, :, 1] for k in (0, 2)]
    out = np.empty((5, height, width))
    for y, x in np.ndindex(height, width):
        rows = [max(y - 1, 0), y, min(y + 1, height - 1)]
        columns = [max(x - 1, 0), x, min(x + 1, width - 1)]
        block = bright[np.ix_(rows, columns)]
        out[0, y, x] = (abs(block[1, 2] - block[1, 0]) + abs(block[2, 1] - block[0, 1])) / 2
        out[1, y, x] = abs((block * [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]).sum())
        out[2, y, x] = abs((block * [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]).sum()) / 4
        out[3, y, x] = block.std()
        steps = [one[y, columns[2]] - one[y, x] for one in differences]
        steps += [one[rows[2], x] - one[y, x] for one in differences]
        out[4, y, x] = np.abs(steps).sum() / 255
    return out
