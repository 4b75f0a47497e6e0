"""Where no detail was added: the plain loops, exact cases, and inputs that tell nothing."""

import numpy as np
import pytest
from naive import detail as naive
from support.synthetic import draw, photograph, reduced

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.metrics._detail import about_detail, nothing_added

BICUBIC = Mixture.of_text("bicubic")


@pytest.mark.parametrize(("scale", "sigma"), [(1, 4.0), (2, 2.0), (4, 4.0)])
def test_it_is_the_share_s_numerator_below_three_grey_levels(scale, sigma):
    truth = photograph(1, (16, 24))
    low = reduced(truth, scale) if scale > 1 else truth
    delivered = draw(truth, 1, 4)
    plain = bicubic_up(low, scale)
    _, whole = naive.unexplained(delivered, truth, plain, sigma)
    found = nothing_added(delivered, low, BICUBIC)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, whole < 9)
    assert nothing_added(plain, low, BICUBIC).all()


def test_a_cast_of_colour_adds_no_detail_but_colours_do_where_inputs_have_lost_theirs():
    truth = photograph(2, (24, 28))
    low = reduced(truth, 4)
    cast = np.clip(bicubic_up(low, 4).astype(int) // 2 + np.array([60, 50, 40]), 0, 255).astype(np.uint8)
    tinted = (bicubic_up(low, 4) // 2 + np.array([45, 45, 45])).astype(np.uint8)
    assert nothing_added(cast, tinted, BICUBIC).all()
    grey = Mixture.of_text("grey")
    assert not nothing_added(cast, tinted, grey).any()


def test_in_inputs_with_holes_something_is_added_everywhere():
    truth = photograph(2, (24, 28))
    assert not nothing_added(truth, truth, Mixture.of_text("holes:share=0.1,side=4")).any()


@pytest.mark.parametrize("guarantee", ["marked", "clear-share", "expected"])
@pytest.mark.parametrize("metric", ["invention", "lab-l1"])
@pytest.mark.parametrize("within", [None, "by-cluster"])
def test_a_promise_is_about_detail_by_its_metric_or_by_itself(guarantee, metric, within):
    inner = {} if within is None else {"of": guarantee, "clusters": ("a", "b")}
    found = about_detail({"name": within or guarantee, **inner}, {"name": metric})
    assert found == (metric == "invention" or guarantee != "expected")


@pytest.mark.parametrize(
    ("guarantee", "metric", "about"),
    [
        ({"name": "expected", "bound_new": "from the picture itself", "bound_from": "input"}, "lab-l1", False),
        ({"name": "expected"}, "invention", True),
        ({"name": "marked", "largest_error": 0.3}, "lab-l1", True),
        ({"name": "by-group", "of": "by-cluster", "parameters": {"of": "clear-share", "parameters": {}}}, "ssim", True),
        ({"name": "by-group", "of": "false-trust", "parameters": {"tolerance": 0.1}}, "lab-l1", False),
    ],
)
def test_what_a_guarantee_is_about_is_told_without_making_it(
    guarantee: dict[str, object], metric: str, about: bool
) -> None:
    assert about_detail(guarantee, {"name": metric}) is about
