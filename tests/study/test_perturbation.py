"""Known changes of the input are undone exactly, draw 0 changes nothing, and draws differ."""

import numpy as np
import pytest

from blackbox_conformal.support import catalog

LOW = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def enlarge(pixels: np.ndarray, scale: int) -> np.ndarray:
    """A vendor that is indifferent to turning and moving: every pixel becomes a block."""
    return np.ascontiguousarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1))


@pytest.mark.parametrize("name", ["dihedral", "shift"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_undoing_is_exact_on_a_vendor_that_is_indifferent_to_the_change(name, scale):
    perturbation = catalog.load("images.perturbation", name)
    assert perturbation.maximum_draws is not None
    for index in range(perturbation.maximum_draws):
        answer = enlarge(perturbation.apply(LOW, index), scale)
        np.testing.assert_array_equal(perturbation.undo(answer, index, scale), enlarge(LOW, scale))


@pytest.mark.parametrize("name", ["dihedral", "shift", "dither"])
def test_draws_send_different_inputs(name):
    perturbation = catalog.load("images.perturbation", name)
    count = perturbation.maximum_draws or 20
    sent = {(perturbation.apply(LOW, index).shape, perturbation.apply(LOW, index).tobytes()) for index in range(count)}
    assert len(sent) == count


@pytest.mark.parametrize("name", ["dihedral", "dither"])
def test_draw_0_is_the_plain_input(name):
    perturbation = catalog.load("images.perturbation", name)
    np.testing.assert_array_equal(perturbation.apply(LOW, 0), LOW)


def test_dither_moves_by_one_step_at_most():
    perturbation = catalog.load("images.perturbation", "dither")
    assert np.abs(perturbation.apply(LOW, 7).astype(int) - LOW).max() == 1
