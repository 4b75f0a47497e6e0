"""The safe picture: delivered pixels inside the mask, plain enlargement outside, and a soft edge outside only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.images.safe import safe_picture, safe_statement


def pictures(seed: int, height: int, width: int, scale: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    delivered = source.integers(0, 256, (height * scale, width * scale, 3), dtype=np.uint8)
    low = source.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return delivered, source.random(delivered.shape[:2]) < source.random(), low


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 4]))
def test_every_pixel_is_the_delivered_one_or_the_enlarged_one(seed: int, height: int, width: int, scale: int) -> None:
    delivered, mask, low = pictures(seed, height, width, scale)
    before = delivered.copy(), mask.copy(), low.copy()
    safe = safe_picture(delivered, mask, low)
    size = (width * scale, height * scale)
    enlarged = np.asarray(PillowImage.fromarray(low).resize(size, PillowImage.Resampling.BICUBIC))
    assert np.array_equal(safe, np.where(mask[..., None], delivered, enlarged))
    assert all(np.array_equal(*pair) for pair in zip(before, (delivered, mask, low), strict=True))


def test_at_scale_one_the_input_itself_is_outside() -> None:
    delivered, mask, low = pictures(3, 12, 20, 1)
    assert np.array_equal(safe_picture(delivered, mask, low)[~mask], low[~mask])


def steps_away(mask: np.ndarray) -> np.ndarray:
    """Steps to a side, up or down from each pixel to the nearest trusted one, by looking at all of them."""
    trusted = np.argwhere(mask)
    rows, columns = np.indices(mask.shape)
    return np.abs(np.stack([rows, columns], axis=-1)[:, :, None] - trusted).sum(axis=-1).min(axis=-1)


@pytest.mark.parametrize("feather", [1, 3, 5])
def test_a_feather_fades_outside_and_touches_no_trusted_pixel(feather: int) -> None:
    delivered, low = np.full((24, 32, 3), 200, np.uint8), np.full((6, 8, 3), 80, np.uint8)
    mask = np.zeros((24, 32), bool)
    mask[8:14, 10:15] = mask[20, 30] = True
    safe = safe_picture(delivered, mask, low, feather)
    share = np.clip(1 - steps_away(mask) / (feather + 1), 0, 1)
    assert np.array_equal(safe[..., 1], np.rint(80 + 120 * share))
    assert (safe[mask] == 200).all()
    assert (safe[steps_away(mask) > feather] == 80).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_trusted_pixels_are_exact_with_any_feather(seed: int, feather: int) -> None:
    delivered, mask, low = pictures(seed, 5, 7, 2)
    safe = safe_picture(delivered, mask, low, feather)
    assert np.array_equal(safe[mask], delivered[mask])


def test_without_a_trusted_pixel_nothing_of_the_vendor_is_left() -> None:
    delivered, mask, low = pictures(5, 6, 6, 4)
    nothing = np.zeros_like(mask)
    assert np.array_equal(safe_picture(delivered, nothing, low, 9), safe_picture(255 - delivered, nothing, low))


def test_what_does_not_fit_is_refused() -> None:
    delivered, mask, low = pictures(1, 6, 6, 2)
    for wrong in (mask[1:], mask.astype(np.uint8)):
        with pytest.raises(MapError, match="bool mask"):
            safe_picture(delivered, wrong, low)
    with pytest.raises(UsageError, match="feather of 0 pixels or more"):
        safe_picture(delivered, mask, low, -1)


def test_what_is_promised_names_what_is_outside() -> None:
    assert "outside it is plain enlargement, of which nothing is promised" in safe_statement(enlarged=True, feather=0)
    assert "outside it is the input, of which nothing" in safe_statement(enlarged=False, feather=0)
    assert "fades over 8 pixels" in safe_statement(enlarged=True, feather=8)
