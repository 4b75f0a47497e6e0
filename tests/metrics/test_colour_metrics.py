"""What is special about the colour metrics: the Lab gamut's diameter, and errors that cancel within a window."""

import numpy as np

from blackbox_conformal.support import catalog


def test_spaces_and_bounds():
    metrics = [catalog.load("metrics", name) for name in ("lab-l1", "chroma", "rgb-l1", "rgb-linf")]
    assert [(metric.space, metric.bound) for metric in metrics] == [
        ("normalised Lab", 1.9576),
        ("a and b of normalised Lab", 1.40318),
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


def test_chroma_is_the_error_of_colour_alone():
    rng = np.random.default_rng(5)
    truth, delivered = rng.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    chroma, all_of_it = (catalog.load("metrics", name).map(truth, delivered) for name in ("chroma", "lab-l1"))
    assert (chroma <= all_of_it).all()
    grey = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert catalog.load("metrics", "chroma").map(grey, grey[:, ::-1]).max() < 1e-4
    red, green = (np.array([[colour]], np.uint8) for colour in ((220, 60, 60), (60, 140, 60)))
    assert catalog.load("metrics", "chroma").map(red, green)[0, 0] > 0.4
