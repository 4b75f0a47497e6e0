"""What is special about the colour metrics: the Lab gamut's diameter, and errors that cancel within a window."""

import numpy as np

from blackbox_conformal import catalog


def test_spaces_and_bounds():
    metrics = [catalog.load("metrics", name) for name in ("lab-l1", "rgb-l1", "rgb-linf")]
    assert [(metric.space, metric.bound) for metric in metrics] == [
        ("normalised Lab", 1.9576),
        ("sRGB", 3.0),
        ("sRGB", 1.0),
    ]


def test_an_average_forgives_what_cancels_only_as_a_difference_of_blurs():
    truth = np.full((20, 20, 3), 128, np.uint8)
    delivered = truth.copy()
    delivered[::2] += 20
    delivered[1::2] -= 20
    assert catalog.load("metrics", "rgb-linf", sigma=4).map(truth, delivered).min() > 0.07
    of_blurs = catalog.load("metrics", "rgb-linf", sigma=4, order="difference-of-blurs")
    assert of_blurs.map(truth, delivered).max() < 0.01
