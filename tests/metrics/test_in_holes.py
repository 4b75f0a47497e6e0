"""Inside holes another metric, outside them 0; refused where the input does not show where the holes are."""

import numpy as np
import pytest

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.support import catalog

HOLES = Mixture.of_text("holes:0.3,side=4-9")


def load(**parameters):
    return catalog.load("metrics", "in-holes", **parameters)


def pictures(seed, shape=(24, 28)):
    """Truth and delivered picture, which differ everywhere."""
    return np.random.default_rng(seed).integers(0, 255, (2, *shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("of", ["lab-l1", "chroma", "rgb-linf", "ssim", "delta-e-2000"])
def test_each_pixel_of_a_hole_has_the_error_of_the_metric_and_every_other_none(of):
    truth, delivered = pictures(1)
    sent = HOLES.apply(truth, 1, "photograph")
    whole, errors = catalog.load("metrics", of).map(truth, delivered), load(of=of).errors(truth, delivered, sent, HOLES)
    assert errors.dtype == np.float32
    holes = 0
    for row, column in np.ndindex(errors.shape):
        in_hole = tuple(sent[row, column]) == (255, 0, 255)
        holes += in_hole
        assert errors[row, column] == (whole[row, column] if in_hole else 0)
    assert 0.3 <= holes / errors.size < 0.5
    assert load(of=of).bound == catalog.load("metrics", of).bound
    assert load(of=of).space == catalog.load("metrics", of).space


def test_the_parameters_of_the_metric_are_its_own():
    truth, delivered = pictures(2)
    sent = HOLES.apply(truth, 1, "photograph")
    window = {"order": "difference-of-blurs", "sigma": 2.0}
    whole = catalog.load("metrics", "rgb-l1", **window).map(truth, delivered)
    metric = load(of="rgb-l1", **window)
    hidden = HOLES.hidden(sent)
    np.testing.assert_array_equal(metric.errors(truth, delivered, sent, HOLES), np.where(hidden, whole, 0))
    assert metric.averaging == "Gaussian of sigma 2"
    specification = metric.specification()
    assert catalog.load("metrics", specification.pop("name"), **specification) == metric
    assert (metric.bound_from_delivered(delivered) >= whole).all()


def test_a_hole_of_a_small_input_covers_its_block():
    truth, delivered = pictures(3, (32, 40))
    mixture = Mixture.of_text("60% bicubic:4+holes:0.2,side=4 | 40% area:4+holes:0.2,side=4,colour=00ff00")
    for key in range(6):
        sent = mixture.apply(truth, 4, key)
        errors = load(of="rgb-linf").errors(truth, delivered, sent, mixture)
        painted = (sent == [255, 0, 255]).all(axis=2) | (sent == [0, 255, 0]).all(axis=2)
        np.testing.assert_array_equal(errors > 0, np.kron(painted, np.ones((4, 4))).astype(bool))


@pytest.mark.parametrize("text", ["bicubic:4", "holes:0.2+jpeg:60", "noise:3"])
def test_a_degradation_that_shows_no_holes_is_refused(text):
    with pytest.raises(UsageError, match=r"ends with holes.*--metric rgb-l1"):
        load(of="rgb-l1").require_degradation(Mixture.of_text(text))
    load().require_degradation(HOLES)


def test_two_pictures_alone_are_refused():
    with pytest.raises(UsageError, match="in-holes needs the input"):
        bc.error_map(*pictures(4), metric="in-holes")


@pytest.mark.parametrize(
    "parameters", [{"of": "in-holes"}, {"of": "no-metric"}, {"of": "ssim", "order": "difference-of-blurs"}]
)
def test_a_metric_that_cannot_be_inside_is_refused(parameters):
    with pytest.raises(UsageError):
        load(**parameters)
