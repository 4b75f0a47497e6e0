"""Answers that lie moved against their inputs, moved back: exact, calibrated and masked alike, else refused."""

import numpy as np
import pytest
from naive import aligned as naive
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

import blackbox_conformal as bc
from blackbox_conformal.errors import CheckFailedError, ImageError, UsageError
from blackbox_conformal.method.aligned import aligned, lies_at, moved_back
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up

pytestmark = pytest.mark.usual_promise

BICUBIC = Mixture.of_text("bicubic")
SIZE = (160, 192)


def scene(seed):
    """A photograph of soft shapes with texture, and its input."""
    rng = np.random.default_rng(seed)
    shapes = gaussian_filter(rng.normal(0, 1, (*SIZE, 3)), (9, 9, 0)) * 900
    truth = np.clip(128 + shapes + gaussian_filter(rng.normal(0, 1, (*SIZE, 3)), (1, 1, 0)) * 30, 0, 255)
    truth = truth.astype(np.uint8)
    return truth, BICUBIC.apply(truth, 4)


def moving(down, right):
    """A vendor that sharpens a little and delivers a picture that lies `down` and `right` of its input."""

    def vendor(small):
        large = bicubic_up(small, 4).astype(float)
        sharp = large + 0.5 * (large - gaussian_filter(large, (2, 2, 0)))
        return moved_back(np.clip(sharp, 0, 255).astype(np.uint8), -down, -right)[0]

    return vendor


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -3), (-5, 0), (40, 1)])
def test_moving_equals_the_loops(down, right):
    picture = np.random.default_rng(1).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    for found, expected in zip(moved_back(picture, down, right), naive.moved_back(picture, down, right), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("move", [(0, 0), (2, 2), (-1, 3), (0, -4), (6, 5), (-8, 0)])
def test_a_move_by_whole_pixels_is_found_and_undone_exactly(move):
    for seed in range(5):
        truth, low = scene(seed)
        assert lies_at(moving(*move)(low), low) == move
        picture, repeated = aligned(moved_back(truth, -move[0], -move[1])[0], low)
        np.testing.assert_array_equal(picture[~repeated], truth[~repeated])
        assert repeated.mean() == pytest.approx(1 - (1 - abs(move[0]) / SIZE[0]) * (1 - abs(move[1]) / SIZE[1]))


def test_a_move_by_half_a_pixel_or_another_picture_stays_as_it_is():
    truth, low = scene(3)
    half = ((truth[:, 1:].astype(int) + truth[:, :-1]) // 2).astype(np.uint8)
    half = np.concatenate([half, half[:, -1:]], axis=1)
    for picture in (half, scene(4)[0], truth):
        found, repeated = aligned(picture, low)
        np.testing.assert_array_equal(found, picture)
        assert not repeated.any()


def photographs(folder, seeds):
    folder.mkdir()
    for seed in seeds:
        PillowImage.fromarray(scene(seed)[0]).save(folder / f"p{seed}.png")
    return sorted(folder.glob("*.png"))


def test_a_moved_vendor_is_calibrated_masked_and_audited_as_one_that_is_not(tmp_path):
    known, unseen = photographs(tmp_path / "known", range(10)), photographs(tmp_path / "unseen", range(20, 26))
    low, terms = scene(30)[1], {"progress": False}
    still = bc.from_function("still", moving(0, 0))
    moved = bc.from_function("moved", moving(2, 3))
    with pytest.raises(CheckFailedError, match="--delivery aligned moves answers back"):
        bc.calibrate(moved, known, run=tmp_path / "stopped", **terms)
    with pytest.raises(ImageError, match="Give --delivery aligned"):
        bc.calibrate(moved, known, run=tmp_path / "refused", check=False, **terms)
    plain = bc.calibrate(still, known, run=tmp_path / "still", **terms)
    calibration = bc.calibrate(moved, known, delivery="aligned", run=tmp_path / "moved", **terms)
    found = bc.mask(moved, ("input", low), calibration, 0.3, run=tmp_path / "moved", **terms)
    other = bc.mask(still, ("input", low), plain, 0.3, run=tmp_path / "still", **terms)
    inner = (slice(0, -2), slice(0, -3))
    np.testing.assert_array_equal(found.image[inner], other.image[inner])
    assert (found.score_map[-2:] == 1).all()
    assert (found.score_map[:, -3:] == 1).all()
    assert not found.mask[-2:].any()
    assert not found.mask[:, -3:].any()
    assert found.certificate.trusted_share == pytest.approx(other.certificate.trusted_share, abs=0.1)
    assert found.certificate.trusted_share > 0.05, "the control: something is trusted"
    assert any("moved back by whole pixels" in one for one in found.certificate.assumptions)
    # The picture under the mask is not the vendor's file, which lies beside it.
    assert found.vendor is not None
    audit = bc.audit(moved, unseen, calibration, alpha=0.3, run=tmp_path / "moved", **terms)
    again = bc.audit(still, unseen, plain, alpha=0.3, run=tmp_path / "still", **terms)
    assert audit.levels[0].judgement.risk == pytest.approx(again.levels[0].judgement.risk, abs=0.05)
    for refused in ({"draws": 2}, {"score": "texture"}):
        with pytest.raises(UsageError, match="one draw and a score that is a share"):
            bc.calibrate(moved, known, delivery="aligned", run=tmp_path / "other", **refused, **terms)
