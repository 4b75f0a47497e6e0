"""The mean over squares of the largest loss in each by brute force, straight from the definition.

Nothing here is fast and nothing here imports the package.
"""

from fractions import Fraction


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
