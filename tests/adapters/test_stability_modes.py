"""Stability's three upscalers are the same wherever they are bought: dials, limits, seeds."""

import pytest
from pydantic import ValidationError
from support.flow_driver import a_draw, built

from blackbox_adapters.stability import SEEDS, StabilityModes

HOMES = ("stability", "bedrock")
DIALS = {"negative_prompt": "text", "creativity": 0.3, "style_preset": "anime"}


def modes(module: str, mode: str, **more: object) -> StabilityModes:
    adapter = built(module, mode=mode, **more)
    assert isinstance(adapter, StabilityModes)
    return adapter


@pytest.mark.parametrize("module", HOMES)
@pytest.mark.parametrize(
    ("mode", "taken"),
    [
        ("fast", {"output_format"}),
        ("conservative", {"output_format", "prompt", "negative_prompt", "creativity", "seed"}),
        ("creative", {"output_format", "prompt", "negative_prompt", "creativity", "seed", "style_preset"}),
    ],
)
def test_each_mode_is_sent_what_it_takes_and_nothing_else(module, mode, taken):
    dials = modes(module, mode, **DIALS).mode_fields(a_draw(seed=7))
    assert (set(dials), dials["output_format"], dials.get("seed", 7)) == (taken, "png", 7)
    assert set(modes(module, mode).mode_fields(a_draw(seed=7))) == taken & {"output_format", "prompt", "seed"}


@pytest.mark.parametrize("module", HOMES)
def test_limits_are_those_of_the_mode(module):
    fast, conservative, creative = (modes(module, mode).capabilities for mode in ("fast", "conservative", "creative"))
    assert (fast.seedable, fast.seed_range, fast.output_size) == (False, None, "exact")
    assert (fast.min_side, fast.max_side, fast.max_input_pixels) == (32, 1536, 1_048_576)
    assert (conservative.min_side, conservative.max_side, conservative.max_input_pixels) == (64, None, 9_437_184)
    assert (creative.min_side, creative.max_side, creative.max_input_pixels) == (64, None, 1_048_576)
    assert (fast.max_aspect, conservative.max_aspect, creative.max_aspect) == (None, 2.5, None)
    for able in (conservative, creative):
        assert (able.seedable, able.seed_range, able.output_size) == (True, SEEDS, "any")
    assert 0 not in range(SEEDS[0], SEEDS[1] + 1)  # it would mean: random


@pytest.mark.parametrize("module", HOMES)
@pytest.mark.parametrize(
    "wrong",
    [{"mode": "fast", "scale": 2}, {"creativity": 0.6}, {"mode": "conservative", "creativity": 0.1}, {"prompt": ""}],
)
def test_what_no_mode_takes_is_refused(module, wrong):
    with pytest.raises(ValidationError):
        built(module, **wrong)
