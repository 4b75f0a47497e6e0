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
