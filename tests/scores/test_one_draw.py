"""Where the scores of one draw are zero, and what a user's own function is given."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label
from support.picture_files import saved
from support.synthetic import draw, photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.kernels.detail import unexplained
from blackbox_conformal.method.scores.custom_score import from_function

TRUTH = photograph(1)
LOW = reduced(TRUTH, 4)


def test_no_gap_where_the_vendor_added_nothing() -> None:
    assert not bc.score_map([bicubic_up(LOW, 4)], "bicubic-gap", low_resolution=LOW).any()


def test_a_faithful_picture_is_consistent() -> None:
    assert not bc.score_map([TRUTH], "consistency", low_resolution=LOW).any()


def test_a_flat_picture_has_no_texture() -> None:
    assert not bc.score_map([np.full((8, 12, 3), 77, np.uint8)], "texture").any()


def test_a_users_function_of_the_delivered_picture_is_given_its_input():
    def difference(delivered, low, scale):
        return np.full(delivered.shape[:2], low.shape[0] * scale, np.float32)

    def spread(mean, variance):
        return variance

    assert from_function("needs", difference).needs_input
    assert not from_function("needs-not", spread, kind="moments").needs_input


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_plain_enlargement_and_the_free_reference_are_supported(scale: int) -> None:
    low = reduced(photograph(1, (60, 84)), scale)
    for delivered in (bicubic_up(low, scale), reference(low, scale)):
        assert not bc.score_map([delivered], "unsupported", low_resolution=low).any()
    invented = bc.score_map([draw(photograph(1, (60, 84)), 1)], "unsupported", low_resolution=low)
    assert invented[:, -10:].min() > 0.5
    assert invented.max() < 1


def test_what_is_unsupported_is_smooth_so_that_masks_have_few_islands_smaller_than_a_cell() -> None:
    def islands(scores: np.ndarray) -> int:
        masks = [part for level in np.quantile(scores, [0.3, 0.5, 0.7]) for part in (scores < level, scores >= level)]
        return sum(int((np.bincount(label(mask)[0].ravel())[1:] < 16).sum()) for mask in masks)

    rough = smooth = 0
    for shown in demo_photographs()[:4]:
        low = reduced(np.ascontiguousarray(read_image(shown.path).pixels[:192, :192]), 4)
        delivered = Generator().upscale(low, 1)
        rough += islands(unexplained(delivered, reference(low, 4), bicubic_up(low, 4), 4.0).share)
        smooth += islands(bc.score_map([delivered], "unsupported", low_resolution=low))
    assert smooth < rough / 2, (smooth, rough)


def test_of_compressed_inputs_the_reference_for_them_takes_less_for_detail() -> None:
    truth = read_image(demo_photographs()[0].path).pixels[:192, :192]
    clean = reduced(np.ascontiguousarray(truth), 4)
    low = read_image(saved(Image.fromarray(clean), "JPEG", quality=40)).pixels
    maps = {
        degraded: bc.score_map([reference(low, 4)], f"unsupported:degraded={degraded}".lower(), low_resolution=low)
        for degraded in (False, True)
    }
    assert not maps[False].any()
    assert maps[True].mean() > 0.1
