"""Restored, invented and erased detail against plain loops, what is left out by name, and intervals drawn by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from naive import detail as naive
from scipy.ndimage import gaussian_filter, shift
from support.synthetic import draw, photograph, reduced

from blackbox_conformal.method.audits import detail_shares
from blackbox_conformal.method.audits.detail_shares import (
    PLAIN,
    REFERENCE,
    VENDOR,
    DetailMeter,
    DetailShares,
    DetailSums,
    detail_blocks,
)
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.support.blocks import Note, Table, document

BICUBIC = Mixture.of_text("bicubic")


def scene(seed, scale=4, size=(48, 64)):
    """Truth and input."""
    truth = photograph(seed, size)
    return truth, reduced(truth, scale) if scale > 1 else (truth // 2 + 40).astype(np.uint8)


def by_hand(truth, picture, plain, sigma):
    """What `DetailSums` holds, from the loops."""
    black = np.zeros_like(truth)
    invented, added = (values.sum() for values in naive.unexplained(picture, truth, plain, sigma))
    lacked, detail = (values.sum() for values in naive.unexplained(truth, picture, black, sigma))
    missing = naive.unexplained(truth, plain, plain, sigma)[1].sum()
    squares = np.square(truth.astype(float) - picture).sum()
    return np.array([squares, truth.size, missing, added, invented, detail, lacked])


def as_array(sums):
    return np.array([getattr(sums, name) for name in sums.__slots__])


@pytest.mark.parametrize(("scale", "sigma"), [(1, 4.0), (4, 4.0)])
def test_sums_equal_the_loops(scale, sigma):
    truth, low = scene(1, scale, (12, 16))
    delivered, plain = draw(truth, 1), bicubic_up(low, scale)
    found = DetailMeter(BICUBIC)("a", truth, low, delivered)
    pictures = {VENDOR: delivered, PLAIN: plain} | ({REFERENCE: reference(low, 4)} if scale > 1 else {})
    assert list(found) == list(pictures), "at scale 1 the reference is the input"
    for name, picture in pictures.items():
        hand = by_hand(truth, picture, plain, sigma)
        np.testing.assert_allclose(as_array(found[name]), hand, rtol=2e-3, atol=1e-4 * hand[5])
    assert found[PLAIN].added == found[PLAIN].invented == 0


def test_the_truth_restores_all_and_plain_enlargement_nothing():
    truth, low = scene(2)
    meter = DetailMeter(BICUBIC)
    perfect = DetailShares.of([meter("a", truth, low, truth)])
    assert perfect.restored[0] == pytest.approx(1, abs=1e-6)
    assert (perfect.invented[0], perfect.psnr[0]) == (0, math.inf)
    nothing = DetailShares.of([meter("a", truth, low, bicubic_up(low, 4))])
    assert nothing.restored == (0, 0, 0)
    assert all(map(math.isnan, nothing.invented))
    assert nothing.erased == (0, 0, 0)


def test_pictures_that_cost_nothing_are_made_once_a_photograph(monkeypatch):
    made = []
    monkeypatch.setattr(detail_shares, "reference", lambda low, *a, **k: made.append(1) or reference(low, *a, **k))
    meter = DetailMeter(BICUBIC)
    for vendor in range(3):
        for name in range(2):
            truth, low = scene(name)
            meter(str(name), truth, low, draw(truth, vendor))
    assert len(made) == 2


def test_other_weights_stand_beside_inputs_that_are_not_only_reduced(monkeypatch):
    asked = []
    take = lambda low, scale, *, degraded: asked.append(degraded) or bicubic_up(low, scale)  # noqa: E731
    monkeypatch.setattr(detail_shares, "reference", take)
    truth, low = scene(1)
    for chain in ("bicubic", "bicubic+jpeg:50"):
        DetailMeter(Mixture.of_text(chain))("a", truth, low, draw(truth, 1))
    assert asked == [False, True]


def test_holes_shifted_pictures_and_scale_one_are_left_out_by_name():
    truth, low = scene(3)
    assert DetailMeter(Mixture.of_text("holes:share=0.1,side=4"))("a", truth, low, truth) == {}
    truth = photograph(4, (96, 96))
    moved = np.clip(shift(truth.astype(float), (1, 0, 0), mode="nearest"), 0, 255).round().astype(np.uint8)
    found = DetailMeter(BICUBIC)("a", truth, truth, moved)
    assert list(found) == [PLAIN]
    said = " ".join(block.text for block in detail_blocks([found]) if isinstance(block, Note))
    assert "shifted against its input: 1 delivered picture" in said
    assert "the free reference, which is left out" in said
    assert document(detail_blocks([{}])) == {"detail": []}


def made_up(count, seed=0):
    """Sums of made-up photographs."""
    rng = np.random.default_rng(seed)

    def sums():
        added, detail = rng.uniform(10, 90, 2)
        return DetailSums(rng.uniform(1, 9), 30.0, 70.0, added, added * rng.random(), detail, detail * rng.random())

    return [{VENDOR: sums(), PLAIN: replace(sums(), added=0.0, invented=0.0)} for _ in range(count)]


def test_shares_are_pooled_and_photographs_are_drawn_again():
    measured = made_up(9)
    found = DetailShares.of([{}, *measured])
    vendor, plain = ([one[name] for one in measured] for name in (VENDOR, PLAIN))
    assert found.photographs == 9

    def total(name, rows):
        return sum(getattr(row, name) for row in rows)

    def restored(rows):
        return (total("added", rows) - total("invented", rows)) / total("missing", rows)

    assert found.restored[0] == pytest.approx(restored(vendor))
    assert found.invented[0] == pytest.approx(total("invented", vendor) / total("added", vendor))
    lacked = total("lacked", vendor) - total("lacked", plain)
    assert found.erased[0] == pytest.approx(lacked / total("detail", vendor))
    assert found.psnr[0] == pytest.approx(10 * math.log10(255**2 * 9 * 30 / total("squares", vendor)))
    rng = np.random.default_rng(5)
    again = [restored([vendor[place] for place in rng.integers(9, size=9)]) for _ in range(4000)]
    np.testing.assert_allclose(found.restored[1:], np.quantile(again, [0.05, 0.95]), atol=0.02)


def test_tiles_of_one_photograph_stay_together():
    measured = made_up(4)
    whole = DetailShares.of(measured)
    tiles = DetailShares.of([*measured, *measured], photographs=["a", "b", "c", "d"] * 2)
    assert tiles.photographs == 4
    np.testing.assert_allclose(tiles.restored, whole.restored)
    np.testing.assert_allclose(tiles.erased, whole.erased)
    assert np.ptp(DetailShares.of([*measured, *measured]).restored[1:]) < np.ptp(whole.restored[1:])


def blurred(pixels, sigma):
    return gaussian_filter(pixels.astype(float), (sigma, sigma, 0)).round().astype(np.uint8)


@pytest.mark.parametrize(("sigma", "warned"), [(0.0, False), (3.0, True)])
def test_only_a_vendor_that_removes_what_enlargement_shows_is_warned_of(sigma, warned):
    measured = []
    for seed in range(6):
        truth = blurred(photograph(seed, (64, 64)), 1.0)
        low = reduced(truth, 2)
        measured.append(DetailMeter(BICUBIC)(str(seed), truth, low, blurred(bicubic_up(low, 2), sigma)))
    found = [block for block in detail_blocks(measured) if isinstance(block, Note) and block.remark == "warning"]
    assert [note.text.startswith("The vendor erased detail") for note in found] == [True] * warned
    # Omission as a metric cannot tell: nothing that enlargement lacks is restored by either.
    assert DetailShares.of(measured).restored[0] == pytest.approx(0, abs=0.05)


def test_a_table_has_a_row_for_each_picture():
    measured = [DetailMeter(BICUBIC)(str(seed), *scene(seed), draw(scene(seed)[0], seed)) for seed in range(3)]
    blocks = list(detail_blocks(measured))
    (table,) = [block for block in blocks if isinstance(block, Table)]
    headings, cells = table.cells()
    assert [row[0] for row in cells] == ["vendor", "plain enlargement", "free reference"]
    assert headings[3:] == ["restored of the missing detail", "of the added detail, not in the truth"]
    assert cells[1][3:] == ["0 % (0 to 0)", "–"]
    said = " ".join(block.text for block in blocks if isinstance(block, Note))
    assert f"the vendor restored {cells[0][3]}; of what it added, {cells[0][4]} is not in the truth." in said
    assert "leaves out counts as not restored, never as invented" in said
