"""Statistics of cells, pixel by pixel in float64."""

import numpy as np


def cell_statistics(delivered, plain, scale):
    """(11, h, w): see the kernel's page."""
    delivered, plain = delivered.astype(float), plain.astype(float)
    height, width, _ = delivered.shape
    out = np.empty((11, height // scale, width // scale))
    for row, column in np.ndindex(*out.shape[1:]):
        pixels = [(row * scale + y, column * scale + x) for y in range(scale) for x in range(scale)]
        gaps = [np.abs(delivered[at] - plain[at]).sum() / 255 for at in pixels]
        steps = np.array([_steps(_bright, delivered, at) for at in pixels])
        right, down = steps[:, 0], steps[:, 1]
        brightness = np.array([_bright(delivered[at]) for at in pixels])
        plain_brightness = np.array([_bright(plain[at]) for at in pixels])
        energy = (right**2 + down**2).sum()
        twist = np.hypot((right**2 - down**2).sum(), 2 * (right * down).sum())
        out[:, row, column] = [
            np.mean(gaps),
            max(gaps),
            (brightness - plain_brightness).mean(),
            (np.abs(right) + np.abs(down)).mean(),
            np.abs(steps.sum(axis=1)).mean(),
            np.mean([np.abs(_steps(f, delivered, at)[:2]).sum() for f in (_red, _blue) for at in pixels]) * 2,
            np.mean([np.abs(_steps(_bright, plain, at)[:2]).sum() for at in pixels]),
            brightness.std(),
            plain_brightness.std(),
            twist / energy if energy > 0 else 0,
            np.mean([(delivered[at] == 0) | (delivered[at] == 255) for at in pixels]),
        ]
    return out


def cell_products(delivered, free, plain, scale):
    """(21, h, w): see the kernel's page."""
    plain = plain.astype(float)
    pictures = delivered - plain, free - plain, plain
    of_cells = lambda values: values.reshape(len(values) // scale, scale, -1, scale).mean(axis=(1, 3))  # noqa: E731
    pairs = [(first, second) for first in range(3) for second in range(first, 3)]
    bright = [np.pad(picture @ [2, 5, 1] / 8, (0, 1), mode="edge") for picture in pictures]
    right, down = ([np.diff(one, axis=axis) for one in bright] for axis in (1, 0))
    steps = [right[k][:-1] * right[m][:-1] + down[k][:, :-1] * down[m][:, :-1] for k, m in pairs]
    means = [picture[..., channel] for picture in pictures for channel in range(3)]
    products = [(pictures[k] * pictures[m]).mean(axis=2) for k, m in pairs]
    return np.stack([of_cells(values) for values in (*products, *means, *steps)])


def _bright(pixel):
    return (2 * pixel[0] + 5 * pixel[1] + pixel[2]) / 2040


def _red(pixel):
    return (pixel[0] - pixel[1]) / 255


def _blue(pixel):
    return (pixel[2] - pixel[1]) / 255


def _steps(measure, picture, at):
    """Differences to the right, down, left and up neighbour; beyond the border the pixel itself."""
    height, width, _ = picture.shape
    y, x = at
    neighbours = (y, min(x + 1, width - 1)), (min(y + 1, height - 1), x), (y, max(x - 1, 0)), (max(y - 1, 0), x)
    return [measure(picture[other]) - measure(picture[at]) for other in neighbours]


def cell_extremes(pixels, scale):
    """(4, h, w): see the kernel's page."""
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    out = np.empty((4, height, width), int)
    for row, column in np.ndindex(height, width):
        values = [
            2 * int(red) + 5 * int(green) + int(blue)
            for red, green, blue in pixels[
                row * scale : (row + 1) * scale, column * scale : (column + 1) * scale
            ].reshape(-1, 3)
        ]
        out[:, row, column] = min(values), max(values), sum(values), sum(value * value // 16 for value in values)
    return out
