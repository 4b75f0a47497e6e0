"""A picture moved by whole pixels with its edge repeated, by loops over pixels."""

import numpy as np


def moved_back(picture: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture whose pixel (row, column) is that at (row + down, column + right), and where there is none."""
    height, width, _ = picture.shape
    moved, missing = np.empty_like(picture), np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            y, x = row + down, column + right
            missing[row, column] = not (0 <= y < height and 0 <= x < width)
            moved[row, column] = picture[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    return moved, missing
