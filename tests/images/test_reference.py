"""The free reference: near the truth, the same to the bit in parts and in threads, at every scale and size."""

from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
import pytest
from naive import reference as twin

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images import fine_reference as fine_module
from blackbox_conformal.method.images import reference as module
from blackbox_conformal.method.images.fine_reference import fine_reference
from blackbox_conformal.method.images.making_inputs import bicubic_up, resized
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference, reference_digest

MOST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def truths():
    """The middle of ten photographs that did not train: 192 × 192 each."""
    found = []
    for photograph in demo_photographs()[::2]:
        pixels = read_image(photograph.path).pixels
        top, left = ((side - 192) // 2 for side in pixels.shape[:2])
        found.append(np.ascontiguousarray(pixels[top : top + 192, left : left + 192]))
    return found


def psnr(picture, truth):
    return 10 * np.log10(255**2 / np.mean((picture.astype(float) - truth) ** 2))


@pytest.mark.parametrize(("scale", "gain"), [(4, 1.0), (3, 0.5), (2, 0.5)])
def test_it_is_nearer_to_the_truth_than_plain_enlargement(truths, scale, gain):
    gains = []
    for truth in truths:
        low = resized(truth, 192 // scale, 192 // scale)
        gains.append(psnr(reference(low, scale), truth) - psnr(bicubic_up(low, scale), truth))
    assert np.mean(gains) > gain
    assert min(gains) > -0.1


def test_parts_and_threads_change_no_bit(truths):
    low = np.ascontiguousarray(truths[0][:101, :83])
    whole = reference(low, 4)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda tile: reference(low, 4, tile=tile), (32, 44, 1024)):
            np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_every_size_and_scale(scale):
    for size in ((1, 1), (2, 7), (9, 5)):
        low = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        found = reference(low, scale)
        assert (found.shape, found.dtype) == ((size[0] * scale, size[1] * scale, 3), np.uint8)
        if scale == 1:
            np.testing.assert_array_equal(found, low)
    for level in (0, 128, 255):
        found = reference(np.full((24, 24, 3), level, np.uint8), 4)
        # To the border, beyond which the network sees zeros.
        assert np.abs(found.astype(int) - level).max() <= 6, "one colour stays one colour"


def test_what_is_no_picture_no_scale_or_a_tile_that_would_change_bits_is_refused_and_weights_are_small():
    flat, picture = np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)
    for pixels, scale, tile, said in (
        (flat, 4, {}, "expected"),
        (picture, 0, {}, "expected"),
        (picture, 4, {"tile": 6}, "multiple of 4"),
    ):
        with pytest.raises(ImageError, match=said):
            reference(pixels, scale, **tile)
    for name in ("reference_weights.npz", "reference_degraded_weights.npz", "span_weights.npz"):
        assert len(resources.files(module.__package__).joinpath(name).read_bytes()) < MOST_BYTES


def test_the_fine_one_is_what_its_layers_give_in_parts_at_every_scale_and_nearer_to_the_truth(truths, monkeypatch):
    low = np.ascontiguousarray(resized(truths[0], 48, 48)[:37, :41])
    found = fine_reference(low, 4)
    # Halves round either way.
    differs = np.abs(found.astype(int) - twin.fine(low))
    assert differs.max() <= 1
    assert (differs > 0).mean() < 1e-3
    monkeypatch.setattr(fine_module, "TILE", 8)
    in_parts = np.abs(found.astype(int) - fine_reference(low, 4))
    assert in_parts.max() <= 1
    assert (in_parts > 0).mean() < 1e-3
    monkeypatch.undo()
    for scale in (2, 3, 8):
        for size in ((1, 1), (5, 9)):
            assert fine_reference(np.zeros((*size, 3), np.uint8), scale).shape == (size[0] * scale, size[1] * scale, 3)
    with pytest.raises(ImageError, match="a scale from 2"):
        fine_reference(low, 1)
    gains = [
        psnr(fine_reference(resized(truth, 48, 48), 4), truth) - psnr(reference(resized(truth, 48, 48), 4), truth)
        for truth in truths
    ]
    assert np.mean(gains) > 0.3


@pytest.mark.parametrize("making", ["phone", "bicubic+jpeg:60", "area+noise:6"])
def test_weights_for_degraded_inputs_do_not_take_noise_for_detail(truths, making):
    mixture, gains = Mixture.of_text(making).at(4), []
    for number, truth in enumerate(truths):
        low = mixture.apply(truth, 4, number)
        plain = psnr(bicubic_up(low, 4), truth)
        gains.append([psnr(reference(low, 4, degraded=degraded), truth) - plain for degraded in (False, True)])
    clean, degraded = np.mean(gains, axis=0)
    assert degraded > max(clean, 0) + 0.1
    assert reference_digest(degraded=True) != reference_digest()
