"""Crops of the worst places: those of the largest losses, from the right pixels, written once and never over others."""

import numpy as np
import pytest
from PIL import Image

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.risk.trust import PixelPlace
from blackbox_conformal.study.audit.measure import CROP_SIDE, Crop, WorstCrops

SIZE = (200, 300)


def offer(crops, alpha, loss, name, row=0, column=0, error=0.5):
    rng = np.random.default_rng(abs(hash(name)) % 1000)
    delivered, truth = (rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(2))
    mask = rng.random(SIZE) < 0.5
    place = PixelPlace(row, column, error)
    crops.offer(alpha, loss, error, Crop.around(place, name, f"digest of {name}", (delivered, truth), mask))
    return delivered, truth, mask


def test_the_largest_losses_of_each_level_are_kept_in_order():
    crops = WorstCrops(3)
    losses = np.random.default_rng(0).permutation(20) / 20
    for index, loss in enumerate(losses):
        offer(crops, 0.1, loss, f"n{index}")
        offer(crops, 0.2, 1 - loss, f"n{index}")
    order = np.argsort(-losses)
    assert [crop.name for crop in crops.of(0.1)] == [f"n{index}" for index in order[:3]]
    assert [crop.name for crop in crops.of(0.2)] == [f"n{index}" for index in order[::-1][:3]]
    assert crops.of(0.3) == []


def test_equal_losses_go_by_the_error_there():
    crops = WorstCrops(1)
    offer(crops, 0.1, 0.5, "small", error=0.2)
    offer(crops, 0.1, 0.5, "large", error=0.9)
    offer(crops, 0.1, 0.5, "middle", error=0.5)
    assert [crop.name for crop in crops.of(0.1)] == ["large"]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (100, 150), (199, 299), (10, 290)])
def test_a_crop_holds_the_pixels_around_its_place(row, column):
    crops = WorstCrops(1)
    delivered, truth, mask = offer(crops, 0.1, 0.4, "one", row, column)
    crop = crops.of(0.1)[0]
    rows, columns = slice(crop.row, crop.row + CROP_SIDE), slice(crop.column, crop.column + CROP_SIDE)
    assert crop.row <= row < crop.row + CROP_SIDE
    assert crop.column <= column < crop.column + CROP_SIDE
    np.testing.assert_array_equal(crop.delivered, delivered[rows, columns])
    np.testing.assert_array_equal(crop.photograph, truth[rows, columns])
    np.testing.assert_array_equal(crop.mask, mask[rows, columns])
    assert crop.delivered.base is not delivered, "a picture of a hundred megabytes is not held for its crop"


def test_files_hold_the_crops_to_the_last_bit_and_carry_their_level_and_rank(tmp_path):
    crops = WorstCrops(2)
    for index, name in enumerate(("../evil", "b", "c")):
        offer(crops, 0.1, index / 10, name, row=50, column=60)
    found = crops.write(tmp_path / "crops")
    assert set(found) == {(0.1, "digest of c"), (0.1, "digest of b")}
    written = sorted(path.name for path in (tmp_path / "crops").iterdir())
    assert written == sorted(path.name for paths in found.values() for path in paths.values())
    assert all(path.resolve().parent == (tmp_path / "crops").resolve() for p in found.values() for path in p.values())
    for rank, crop in enumerate(crops.of(0.1), 1):
        paths = found[0.1, crop.truth]
        assert paths["delivered"].name.startswith(f"alpha-0.1-{rank:02d}-{crop.name}")
        np.testing.assert_array_equal(np.asarray(Image.open(paths["delivered"])), crop.delivered)
        np.testing.assert_array_equal(np.asarray(Image.open(paths["truth"])), crop.photograph)
        np.testing.assert_array_equal(np.asarray(Image.open(paths["mask"])), crop.mask)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path):
    crops = WorstCrops(2)
    offer(crops, 0.1, 0.3, "a")
    offer(crops, 0.1, 0.2, "b")
    last = crops.write(tmp_path)[0.1, "digest of b"]["mask"]
    assert crops.write(tmp_path), "the same again is no change"
    for path in tmp_path.iterdir():
        path.unlink()
    last.write_bytes(b"mine")
    with pytest.raises(UsageError, match="--force"):
        crops.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [last.name]
    crops.write(tmp_path, force=True)
    assert last.read_bytes() != b"mine"


def test_none_are_kept_when_none_are_asked_for(tmp_path):
    crops = WorstCrops(0)
    offer(crops, 0.1, 0.3, "a")
    assert (crops.of(0.1), crops.write(tmp_path / "none")) == ([], {})
    assert not (tmp_path / "none").exists()
