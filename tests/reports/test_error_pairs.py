"""Squares that show what an error looks like have that error, at the ring, and no larger one."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from support.audit_material import calibration_of, curves

from blackbox_conformal.pages.report.cards import EXAMPLES_SHOWN, make_cards
from blackbox_conformal.pages.report.error_pairs import CROP, ERRORS, NEAR, error_pairs
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.preview import make_preview
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.slider_levels import Stop


def bump(errors, row, column, height):
    rows, columns = np.indices(errors.shape)
    np.maximum(errors, height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 200), out=errors)


def material(seed=0, height=300, width=420):
    rng = np.random.default_rng(seed)
    errors = np.full((height, width), 0.001, np.float32)
    bump(errors, 60, 70, 0.05)
    bump(errors, 210, 90, 0.102)
    bump(errors, 120, 320, 0.195)
    delivered, truth = (rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2))
    return errors, delivered, truth


def test_each_error_has_a_square_whose_largest_error_is_near_it():
    errors, delivered, truth = material()
    pairs = error_pairs(errors, delivered, truth)
    assert [pair.near for pair in pairs] == list(ERRORS)
    for pair, place in zip(pairs, [(60, 70), (210, 90), (120, 320)], strict=True):
        assert (pair.row, pair.column) == place
        assert pair.error == errors[place]
        top, left = pair.row - pair.at[0], pair.column - pair.at[1]
        assert errors[top : top + CROP, left : left + CROP].max() == np.float32(pair.error)
        for data, picture in ((pair.delivered, delivered), (pair.truth, truth)):
            cut = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
            expected = picture[top : top + CROP, left : left + CROP].astype(int)
            assert cut.shape == (CROP, CROP, 3)
            elsewhere = picture[-CROP:, -CROP:].astype(int)
            assert np.abs(cut - expected).mean() < np.abs(cut - elsewhere).mean() / 1.2


def test_an_error_that_no_square_is_near_to_is_left_out():
    errors, delivered, truth = material()
    assert error_pairs(np.zeros_like(errors), delivered, truth) == ()
    assert [pair.near for pair in error_pairs(errors, delivered, truth, (0.1, 0.14))] == [0.1]
    assert abs(0.195 - 0.2) <= NEAR * 0.2 < abs(0.14 - 0.102)


@pytest.mark.parametrize("size", [(CROP - 1, 400), (400, CROP - 1), (5, 5)])
def test_a_picture_smaller_than_a_square_has_none(size):
    errors = np.full(size, 0.1, np.float32)
    picture = np.zeros((*size, 3), np.uint8)
    assert error_pairs(errors, picture, picture) == ()


def test_the_report_takes_the_nearest_of_different_photographs():
    stops = [Stop(0.1, 0.5, "said", 0.1)]

    def preview(name, height):
        errors, delivered, truth = material(len(name))
        errors = np.where(errors > 0.06, np.float32(0.06), errors)
        bump(errors, 210, 90, height)
        scores = np.zeros_like(errors)
        return make_preview("audit", name, name, delivered, scores, np.array([0.5]), truth=truth, errors=errors)

    previews = [preview("far", 0.107), preview("exact", 0.1), preview("nearer", 0.102)]
    shown = make_cards(previews, None, stops, 0, 1024, 1.0).examples
    assert [one.name for one in shown if one.pair.near == 0.1] == ["exact", "nearer"]
    assert EXAMPLES_SHOWN == 2
    assert [one.pair.near for one in shown] == sorted(one.pair.near for one in shown)


def test_the_audited_level_is_shown_where_the_report_opens_at_it(tmp_path):
    calibration = calibration_of(curves(0, 12))
    errors, delivered, truth = material()
    bump(errors, 150, 200, 0.4)
    scores = np.zeros_like(errors)
    levels = [(0.4, 1.0), (0.195, 1.0)]
    thresholds = np.array([0.5])
    kept = make_preview("audit", "a", "a", delivered, scores, thresholds, truth=truth, errors=errors, worst_at=levels)
    assert sorted(pair.near for pair in kept.pairs) == [0.05, 0.1, 0.195, 0.2, 0.4]
    ReportStore(tmp_path, calibration).keep(kept)
    page = write_report(tmp_path, calibration, None, [], tmp_path / "r.html", alpha=0.4).read_text()
    assert re.findall(r"<div><h4>([^<]*)</h4>", page) == ["0.05", "0.1", "0.2", "0.4"]
