"""What is invented and what is left out: zeros, twins at every scale, the bound under attack, and what is refused."""

import numpy as np
import pytest
from naive import metrics as naive
from support.synthetic import draw, photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.support import catalog

BICUBIC = Mixture.of_text("bicubic")
NAMES = ("invention", "omission")
TWINS = {"invention": naive.invention, "omission": naive.omission}


def load(name, **parameters):
    return catalog.load("metrics", name, **parameters)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scale", "sigma"), [(1, 4.0), (2, 2.0), (3, 3.0), (4, 4.0)])
def test_the_map_equals_its_definition_at_every_scale_and_at_borders(name, scale, sigma):
    truth = photograph(1, (24, 36))
    low = reduced(truth, scale) if scale > 1 else truth // 2 + 40
    delivered = draw(truth, 1, 4)
    found = load(name).errors(truth, delivered, low, BICUBIC)
    expected = TWINS[name](truth, delivered, bicubic_up(low, scale), sigma)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.max() > 0.3


def test_colours_are_not_high_passed_where_the_input_has_lost_them():
    truth = photograph(2, (24, 28))
    grey = Mixture.of_text("grey")
    low = grey.apply(truth, 1)
    delivered = np.roll(truth, 1, axis=2)
    found = load("invention").errors(truth, delivered, low, grey)
    np.testing.assert_allclose(found, naive.invention(truth, delivered, low, 4.0, high_pass=False), atol=1e-4)
    # A paler version of the right colours is between the grey input and the truth; wrong colours are not.
    paler = ((truth.astype(int) + low) // 2).astype(np.uint8)
    assert load("invention").errors(truth, paler, low, grey).max() < 0.05
    assert found.mean() > 0.5


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_plain_enlargement_the_truth_and_what_lies_between_invent_nothing(scale):
    rng = np.random.default_rng(scale)
    low = rng.integers(90, 160, (6, 8, 3), dtype=np.uint8)
    plain = bicubic_up(low, scale)
    missing = 4 * rng.integers(-5, 6, plain.shape)
    truth = (plain + missing).astype(np.uint8)
    for quarters in range(5):
        delivered = (plain + missing // 4 * quarters).astype(np.uint8)
        assert not load("invention").errors(truth, delivered, low, BICUBIC).any()
    assert not load("omission").errors(truth, truth, low, BICUBIC).any()
    assert load("omission").errors(truth, plain, low, BICUBIC).min() > 0.5
    overdone = (plain + 2 * missing).astype(np.uint8)
    assert not load("omission").errors(truth, overdone, low, BICUBIC).any()
    assert load("invention").errors(truth, overdone, low, BICUBIC).min() > 0.1


def test_omission_is_invention_with_truth_and_delivered_picture_exchanged():
    truth, low = photograph(3), reduced(photograph(3), 4)
    delivered = draw(truth, 2)
    np.testing.assert_array_equal(
        load("omission").errors(truth, delivered, low, BICUBIC),
        load("invention").errors(delivered, truth, low, BICUBIC),
    )


def test_a_cast_of_colour_is_no_detail():
    truth, low = photograph(3), reduced(photograph(3), 4)
    cast = np.clip(bicubic_up(low, 4).astype(int) + np.array([6, 0, -6]), 0, 255).astype(np.uint8)
    assert load("invention").errors(truth, cast, low, BICUBIC).mean() < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_no_picture_reaches_the_bound_and_some_come_near(name):
    """Checks, noise and steps of the gamut's corners, and climbing from the worst of them."""
    rng = np.random.default_rng(0)
    metric, side = load(name), 16
    board = np.indices((side, side)).sum(axis=0)[..., None] % 2 * np.full(3, 255)
    pictures = [board, 255 - board, *rng.integers(0, 2, (6, side, side, 3)) * 255]
    pictures += [np.full((side, side, 3), grey) for grey in (0, 128, 255)]
    pictures = [picture.astype(np.uint8) for picture in pictures]
    lows = [np.full((side // scale,) * 2 + (3,), grey, np.uint8) for scale in (1, 2, 4) for grey in (0, 127)]

    def largest(*case):
        try:
            errors = metric.errors(*case, BICUBIC)
        except ImageError:
            return np.float32(0)
        assert errors.min() >= 0
        assert errors.max() < metric.bound
        return errors.max()

    tried = [(truth, delivered, low) for truth in pictures for delivered in pictures for low in lows]
    truth, delivered, low = max(tried, key=lambda case: largest(*case))
    highest = largest(truth, delivered, low)
    for _ in range(150):
        changed = [truth.copy(), delivered.copy()]
        changed[rng.integers(0, 2)][tuple(rng.integers(0, side, 2))] = rng.integers(0, 2, 3) * 255
        if (found := largest(*changed, low)) >= highest:
            (truth, delivered), highest = changed, found
    assert 0.99 < highest < 1


@pytest.mark.parametrize("name", NAMES)
def test_a_moved_picture_is_refused_by_name_and_one_in_its_place_is_not(name):
    truth = photograph(5)
    low = reduced(truth, 4)
    metric = load(name)
    metric.errors(truth, draw(truth, 1), low, BICUBIC)
    with pytest.raises(ImageError, match=r"lies \+0\.9\d pixels to the right.*--metric lab-l1:sigma=4"):
        metric.errors(truth, np.roll(bicubic_up(low, 4), 1, axis=1), low, BICUBIC)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_cannot_tell_is_refused(name):
    truth = photograph(6)
    with pytest.raises(UsageError, match=f"{name} needs the input.*--metric lab-l1"):
        bc.error_map(truth, truth, metric=name)
    with pytest.raises(UsageError, match=r"paints holes.*--metric in-holes:of=lab-l1"):
        load(name).require_degradation(Mixture.of_text("holes:0.1"))
    load(name).require_degradation(BICUBIC)
    assert load(name).block_error(3) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_cap_counts_larger_shares_as_itself(name):
    truth, low = photograph(3), reduced(photograph(3), 4)
    plain, capped = load(name), load(name, cap=0.2)
    errors = plain.errors(truth, draw(truth, 2), low, BICUBIC)
    np.testing.assert_allclose(capped.capped(errors), np.minimum(errors, 0.2), atol=1e-7)
    assert (plain.capped_bound, capped.capped_bound) == (1, 0.2)
