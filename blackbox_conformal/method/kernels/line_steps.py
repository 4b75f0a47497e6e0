"""Steps between neighbouring rows and columns of a picture, added up along lines, where the input shows no edge."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels import _checks
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image, Map

MOST = 64  # Eighths of a grey level: a larger step counts as this, so that one edge does not look like a line.


def line_steps(
    pixels: Image, across: Map, down: Map, scale: int, segment: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sums of steps of brightness across vertical and horizontal lines, beyond the slopes on either side.

    The step before pixel x is ``b[x] - b[x - 1] - (b[x + 1] - b[x] + b[x - 1] - b[x - 2]) / 2``, held to ±8 levels,
    with b the brightness (2 R + 5 G + B) / 8. It is multiplied by the weight of the pixel of the input.

    `across`, `down`: (H / scale, W / scale) float32: weights of steps across vertical and across horizontal lines.
    `scale`: How many times larger `pixels` are than the weights.
    `segment`: Pixels of the picture along a line that are added up; what is left over at the end counts nowhere.
    Returns: `vertical`, `horizontal`: (H // segment, W) and (W // segment, H) float32, levels: the sums by segment and
      line; the line x lies before pixel x, and is 0 for the first two and the last one.
    """
    pixels = _checks.image(pixels)
    height, width = pixels.shape[:2]
    if across.shape != (height // scale, width // scale) or across.shape != down.shape or height % scale:
        raise ImageError(f"expected weights {scale} times smaller than {width}×{height}; got {across.shape[::-1]}")
    vertical = np.zeros((height // segment, width), np.float32)
    horizontal = np.zeros((width // segment, height), np.float32)
    _line_steps(
        pixels.reshape(height, -1),
        _checks.float_map(across),
        _checks.float_map(down),
        scale,
        segment,
        np.empty((4, width), np.int32),
        np.empty((2, width), np.float32),
        vertical,
        horizontal,
    )
    return vertical, horizontal


@kernel
def _line_steps(
    pixels: NDArray[np.uint8],
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    scale: int,
    segment: int,
    rows: NDArray[np.int32],
    weights: NDArray[np.float32],
    vertical: NDArray[np.float32],
    horizontal: NDArray[np.float32],
) -> None:
    height, width = pixels.shape[0], rows.shape[1]
    most = np.int32(2 * MOST)
    unit = np.float32(1 / 16)
    for y in range(height):
        line, own = pixels[y], rows[y % 4]
        for x in range(width):
            own[x] = np.int32(
                np.int32(2) * np.int32(line[3 * x])
                + np.int32(5) * np.int32(line[3 * x + 1])
                + np.int32(line[3 * x + 2])
            )
        if y % scale == 0:
            for x in range(width):
                weights[0, x] = across[y // scale, x // scale] * unit
        if y // segment < vertical.shape[0]:
            sums, weight = vertical[y // segment], weights[0]
            for x in range(2, width - 1):
                step = np.int32(3) * (own[x] - own[x - 1]) - own[x + 1] + own[x - 2]
                sums[x] += weight[x] * np.float32(min(max(step, -most), most))
        if y >= 3:
            # The line before row y - 1, of which now both neighbours are known.
            before, first, second = rows[(y - 3) % 4], rows[(y - 2) % 4], rows[(y - 1) % 4]
            row = down[(y - 1) // scale]
            for part in range(horizontal.shape[0]):
                total = np.float32(0)
                for x in range(part * segment, (part + 1) * segment):
                    step = np.int32(3) * (second[x] - first[x]) - own[x] + before[x]
                    total += row[x // scale] * np.float32(min(max(step, -most), most))
                horizontal[part, y - 1] = total * unit


def warm_up() -> None:
    weights = np.ones((2, 2), np.float32)
    line_steps(np.zeros((4, 4, 3), np.uint8), weights, weights, 2, 2)
