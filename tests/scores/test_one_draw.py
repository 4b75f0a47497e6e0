"""Where the scores of one draw are zero, and what a user's own function is given."""

import functools

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label
from support.picture_files import saved
from support.synthetic import draw, photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.kernels.detail import unexplained
from blackbox_conformal.method.scores.custom_score import from_function
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support import catalog

TRUTH = photograph(1)
LOW = reduced(TRUTH, 4)


def shown(photograph: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A part of a photograph, its input, and what the embedded vendor makes of that."""
    truth = np.ascontiguousarray(photograph[:192, :192])
    return truth, reduced(truth, 4), Generator().upscale(reduced(truth, 4), 1)


@functools.cache
def demo() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Photographs of the package as `shown` shows them."""
    return [shown(read_image(one.path).pixels) for one in demo_photographs()[:8]]


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

    rough, smooth, predicted = 0, 0, 0
    for _, low, delivered in demo():
        rough += islands(unexplained(delivered, reference(low, 4), bicubic_up(low, 4), 4.0).share)
        smooth += islands(bc.score_map([delivered], "unsupported", low_resolution=low))
        predicted += islands(bc.score_map([delivered], "predicted-invention", low_resolution=low))
    assert max(smooth, predicted) < rough / 3, (smooth, predicted, rough)


def test_where_invention_is_predicted_more_of_what_was_added_is_invented() -> None:
    """By energy, as the guarantees count: a unit of invented detail against a unit of right detail."""

    def chance(name: str) -> float:
        found = [bc.score_map([delivered], name, low_resolution=low) for _, low, delivered in demo()]
        order = np.argsort(np.concatenate([one.ravel() for one in found]))
        energies = [unexplained(delivered, truth, bicubic_up(low, 4), 4.0) for truth, low, delivered in demo()]
        part, whole = (np.concatenate([one.ravel() for one in kind])[order] for kind in zip(*energies, strict=True))
        right = (whole - part).astype(float)
        return (part * (np.cumsum(right) - right / 2)).sum() / part.sum(dtype=float) / right.sum()

    assert min(chance("predicted-invention"), chance("unsupported")) > 0.8


def test_hardly_anything_is_invented_where_next_to_nothing_was_added() -> None:
    low = demo()[0][1]
    grain = np.random.default_rng(0).integers(0, 3, (*np.multiply(low.shape[:2], 4), 3), dtype=np.uint8)
    delivered = np.minimum(bicubic_up(low, 4), 253) + grain
    assert bc.score_map([delivered], "predicted-invention", low_resolution=low).max() < 0.5


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


@pytest.mark.parametrize("name", ["unsupported", "predicted-invention"])
@pytest.mark.parametrize(
    ("made", "degraded"),
    [("bicubic", False), ("blur:1+area", False), ("phone", True), ("50% area | 50% area+jpeg:75", True)],
)
def test_a_calibration_takes_the_reference_for_its_kind_of_inputs(name: str, made: str, degraded: bool) -> None:
    adapter = bc.load_adapter("embedded")
    own = set_up(adapter, metric="invention", score=name, degradation=made).procedure
    assert own.score["degraded"] is degraded
    told = set_up(adapter, metric="invention", score=f"{name}:degraded=true", degradation=made).procedure
    assert (own.fingerprint == told.fingerprint) is degraded
    assert own.score["digest"] == catalog.load("scores", name, degraded=degraded).own_digest()
    # What a calibration keeps is read back as it is.
    assert own.build_score().specification() == own.score


def test_the_reference_for_clean_inputs_is_refused_where_they_hold_noise() -> None:
    with pytest.raises(UsageError, match=r"bicubic:4\+noise:4 adds .* Give --score unsupported$"):
        set_up(bc.load_adapter("embedded"), score="unsupported:degraded=false", degradation="bicubic+noise:4")


@pytest.mark.parametrize("name", ["unsupported", "predicted-invention"])
def test_other_weights_are_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=rf"got sha256:0. Calibrate again with --score {name}"):
        catalog.load("scores", name, digest="sha256:0")


def test_the_prediction_has_weights_for_each_kind_of_inputs() -> None:
    _, low, delivered = demo()[0]
    clean, degraded = (
        bc.score_map([delivered], f"predicted-invention:degraded={word}", low_resolution=low)
        for word in ("false", "true")
    )
    assert np.abs(clean - degraded).mean() > 0.01


def test_the_light_prediction_needs_one_reference_and_is_told_by_its_digest() -> None:
    _, low, delivered = demo()[0]
    light = catalog.load("scores", "predicted-invention", light=True)
    kept = {name: value for name, value in light.specification().items() if name in ("degraded", "digest", "region")}
    assert catalog.load("scores", "predicted-invention", **kept).specification() == light.specification()
    names = "predicted-invention", "predicted-invention:light=true"
    maps = [bc.score_map([delivered], name, low_resolution=low) for name in names]
    assert np.abs(maps[0] - maps[1]).mean() > 0.01


@pytest.mark.parametrize("name", ["unsupported", "predicted-invention"])
def test_with_regions_no_patch_is_small_and_a_calibration_from_before_them_has_none(name: str) -> None:
    _, low, delivered = demo()[1]
    scores = {each: bc.score_map([delivered], f"{name}:region={each}", low_resolution=low) for each in (0, 16)}
    smallest = {
        each: min(np.bincount(label(mask)[0].ravel())[1:].min() for mask in (found < level, found >= level))
        for each, found in scores.items()
        for level in [np.quantile(found, 0.5)]
    }
    assert smallest[0] < 16**2 <= smallest[16]
    assert np.abs(scores[0] - scores[16]).mean() < 0.05
    with_regions, without = (catalog.load("scores", name, region=each).specification() for each in (16, 0))
    assert with_regions.pop("region") == 16
    assert with_regions == without
    assert catalog.load("scores", without.pop("name"), **without).region == 0
