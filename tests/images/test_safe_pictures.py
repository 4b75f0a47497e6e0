"""The safe picture: delivered pixels inside the mask, another picture outside, and a soft edge outside only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.safe_pictures import (
    back_projected,
    may_be_shown,
    picture_to_show,
    safe_picture,
    safe_statement,
)

BICUBIC, JPEG = (Mixture.of_text(text).at(4) for text in ("bicubic", "bicubic+jpeg:75"))
GREY = Mixture.of_text("grey").at(1)


def pictures(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    delivered, outside = source.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return delivered, source.random((height, width)) < source.random(), outside


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_every_pixel_is_the_delivered_one_or_that_outside(seed: int, height: int, width: int) -> None:
    delivered, mask, outside = pictures(seed, height, width)
    before = delivered.copy(), mask.copy(), outside.copy()
    safe = safe_picture(delivered, mask, outside)
    assert np.array_equal(safe, np.where(mask[..., None], delivered, outside))
    assert all(np.array_equal(*pair) for pair in zip(before, (delivered, mask, outside), strict=True))


def test_pictures_to_show_are_what_their_names_say() -> None:
    delivered, _, _ = pictures(3, 24, 32)
    low = np.random.default_rng(4).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    shown = {name: picture_to_show(name, delivered, low, BICUBIC) for name in may_be_shown(BICUBIC, 4, "first")}
    assert list(shown) == ["delivered", "consistent", "reference", "enlargement"]
    assert shown["delivered"] is delivered
    assert np.array_equal(shown["consistent"], back_projected(delivered, low, BICUBIC.linear_part(), 2))
    assert np.array_equal(shown["reference"], reference(low, 4))
    plain = np.asarray(PillowImage.fromarray(low).resize((32, 24), PillowImage.Resampling.BICUBIC))
    assert np.array_equal(shown["enlargement"], plain)
    assert np.array_equal(picture_to_show("reference", delivered, low, JPEG), reference(low, 4, degraded=True))


def test_only_what_there_is_may_be_shown() -> None:
    assert may_be_shown(JPEG, 4, "first") == ("delivered", "reference", "enlargement")
    assert may_be_shown(BICUBIC, 4, "consistent:steps=2") == ("delivered", "reference", "enlargement")
    assert may_be_shown(GREY, 1, "mean") == ("delivered", "consistent", "enlargement")
    low = pictures(3, 6, 8)[0]
    assert np.array_equal(picture_to_show("enlargement", 255 - low, low, GREY), low)


def steps_away(mask: np.ndarray) -> np.ndarray:
    """Steps to a side, up or down from each pixel to the nearest trusted one, by looking at all of them."""
    trusted = np.argwhere(mask)
    rows, columns = np.indices(mask.shape)
    return np.abs(np.stack([rows, columns], axis=-1)[:, :, None] - trusted).sum(axis=-1).min(axis=-1)


@pytest.mark.parametrize("feather", [1, 3, 5])
def test_a_feather_fades_outside_and_touches_no_trusted_pixel(feather: int) -> None:
    delivered, outside = np.full((24, 32, 3), 200, np.uint8), np.full((24, 32, 3), 80, np.uint8)
    mask = np.zeros((24, 32), bool)
    mask[8:14, 10:15] = mask[20, 30] = True
    safe = safe_picture(delivered, mask, outside, feather)
    share = np.clip(1 - steps_away(mask) / (feather + 1), 0, 1)
    assert np.array_equal(safe[..., 1], np.rint(80 + 120 * share))
    assert (safe[mask] == 200).all()
    assert (safe[steps_away(mask) > feather] == 80).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_trusted_pixels_are_exact_with_any_feather(seed: int, feather: int) -> None:
    delivered, mask, outside = pictures(seed, 10, 14)
    safe = safe_picture(delivered, mask, outside, feather)
    assert np.array_equal(safe[mask], delivered[mask])


def test_without_a_trusted_pixel_nothing_of_the_vendor_is_left() -> None:
    delivered, mask, outside = pictures(5, 24, 24)
    nothing = np.zeros_like(mask)
    assert np.array_equal(safe_picture(delivered, nothing, outside, 9), safe_picture(255 - delivered, nothing, outside))


def test_what_does_not_fit_is_refused() -> None:
    delivered, mask, outside = pictures(1, 12, 12)
    for wrong in (mask[1:], mask.astype(np.uint8)):
        with pytest.raises(MapError, match="bool mask"):
            safe_picture(delivered, wrong, outside)
    with pytest.raises(MapError, match="to show outside"):
        safe_picture(delivered, mask, outside[1:])
    with pytest.raises(UsageError, match="feather of 0 pixels or more"):
        safe_picture(delivered, mask, outside, -1)


def test_what_is_promised_names_what_is_outside() -> None:
    assert "outside it is a blend; of what is outside nothing is promised" in safe_statement("a blend", feather=0)
    assert "fades over 8 pixels" in safe_statement("a blend", feather=8)
    unguaranteed = safe_statement("a blend", feather=0, guaranteed=False)
    assert "all of it is a blend, of which nothing is promised" in unguaranteed
