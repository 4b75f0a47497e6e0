"""Scores below thresholds by comparing each with each."""

import math


def count_below(scores, thresholds):
    """NaN is below nothing, and infinity below infinity alone."""
    return [
        sum(score < threshold or (score == threshold == math.inf) for score in scores.ravel().tolist())
        for threshold in thresholds.tolist()
    ]
