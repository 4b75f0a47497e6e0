"""Scores below thresholds by comparing each with each."""

import math


def count_below(scores, thresholds):
    """NaN is below nothing, and infinity below infinity alone."""
    return [
        sum(score < threshold or (score == threshold == math.inf) for score in scores.ravel().tolist())
        for threshold in thresholds.tolist()
    ]


def first_above(scores, thresholds):
    """255 for a score that is below none."""

    def first(score):
        places = (k for k, t in enumerate(thresholds.tolist()) if score < t or (score == t == math.inf))
        return next(places, 255)

    return [[first(score) for score in row] for row in scores.tolist()]
