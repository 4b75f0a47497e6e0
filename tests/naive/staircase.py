"""Staircases by brute force, straight from the definitions.

Nothing here is fast and nothing here imports the package.
"""

from fractions import Fraction


def supremum(scores, losses, threshold):
    """Largest loss among pixels that score below the threshold, 0 when there is none."""
    return max((loss for score, loss in _pixels(scores, losses) if score < threshold), default=0.0)


def share(scores, losses, tolerance, threshold):
    """Exact share of all pixels that score below the threshold and lose more than the tolerance."""
    pixels = _pixels(scores, losses)
    return Fraction(sum(score < threshold and loss > tolerance for score, loss in pixels), len(pixels))


def trusted(scores, threshold):
    """Number of pixels that score below the threshold."""
    return sum(score < threshold for score, _ in _pixels(scores, scores))


def records(scores, losses):
    """Scores and losses at which the largest loss so far, in order of score, grows; equal scores come together."""
    found = []
    highest = 0.0
    for score in sorted({score for score, _ in _pixels(scores, losses) if score == score}):
        top = max(loss for other, loss in _pixels(scores, losses) if other == score)
        if top > highest:
            highest = top
            found.append((score, top))
    return found


def value(steps, threshold):
    """Value of a staircase, given as two arrays, at a threshold."""
    result = 0.0
    for score, step in zip(steps[0].tolist(), steps[1].tolist(), strict=True):
        if score < threshold:
            result = step
    return result


def _pixels(scores, losses):
    return list(zip(scores.reshape(-1).tolist(), losses.reshape(-1).tolist(), strict=True))
