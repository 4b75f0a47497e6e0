"""The largest loss but for a number of pixels by brute force, straight from the definition.

Nothing here is fast and nothing here imports the package.
"""


def largest_but(scores, losses, left_out, threshold):
    """The (left_out + 1)-th largest loss among pixels that score below the threshold, 0 when there are no more."""
    pixels = zip(scores.reshape(-1).tolist(), losses.reshape(-1).tolist(), strict=True)
    trusted = sorted((loss for score, loss in pixels if score < threshold), reverse=True)
    return trusted[left_out] if len(trusted) > left_out else 0.0
