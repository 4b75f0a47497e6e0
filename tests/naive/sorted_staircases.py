"""The largest loss but for a number of pixels, and the mean over squares of the largest, straight from the definition.

Nothing here is fast and nothing here imports the package.
"""

from fractions import Fraction


def largest_but(scores, losses, left_out, threshold):
    """The (left_out + 1)-th largest loss among pixels that score below the threshold, 0 when there are no more."""
    pixels = zip(scores.reshape(-1).tolist(), losses.reshape(-1).tolist(), strict=True)
    trusted = sorted((loss for score, loss in pixels if score < threshold), reverse=True)
    return trusted[left_out] if len(trusted) > left_out else 0.0


def mean_largest(scores, losses, side, threshold):
    """For each pixel the largest loss among those of its square that score below the threshold; the mean, exact."""
    height, width = len(scores), len(scores[0])
    largest = {}
    for row in range(height):
        for column in range(width):
            square = row // side, column // side
            loss = losses[row][column] if scores[row][column] < threshold else 0.0
            largest[square] = max(largest.get(square, 0.0), loss)
    total = sum(Fraction(largest[row // side, column // side]) for row in range(height) for column in range(width))
    return total / (height * width)
