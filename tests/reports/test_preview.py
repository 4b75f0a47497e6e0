"""Previews are exact about trust, squares show the error they name, and files with bytes come back the same."""

import base64
import io
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.audit_material import calibration_of, curves
from support.picture_files import png

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.pages.report.cards import EXAMPLES_SHOWN, make_cards
from blackbox_conformal.pages.report.encoded import kept_picture
from blackbox_conformal.pages.report.error_pairs import CROP, ERRORS, NEAR, SIDE, block_maximum, block_side, error_pairs
from blackbox_conformal.pages.report.html import write_report
from blackbox_conformal.pages.report.preview import (
    CODES,
    HEAVY,
    NEVER,
    STRIPE,
    VEIL,
    content_of,
    error_codes,
    first_stops,
    make_preview,
    pack,
    parts_of,
    read_preview,
    veil_png,
    write_preview,
)
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.slider_levels import Stop


def score_map(seed, height, width, missing=0):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, 40, (height, width)) / 8).astype(np.float32)
    scores.ravel()[rng.permutation(scores.size)[:missing]] = np.nan
    return scores


def all_trusted(mask, block):
    """A preview pixel is trusted when every pixel of its block is: plain loops."""
    height, width = mask.shape
    rows, columns = -(-height // block), -(-width // block)
    found = np.zeros((rows, columns), bool)
    for row, column in np.ndindex(rows, columns):
        down = range(row * block, min((row + 1) * block, height))
        across = range(column * block, min((column + 1) * block, width))
        found[row, column] = all(mask[y, x] for y in down for x in across)
    return found


def unpacked(text, width):
    differences = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(-1, width)
    return np.cumsum(differences, axis=0, dtype=np.uint8)


THRESHOLDS = np.array([-np.inf, 0.0, 0.125, 1.0, 1.0, 2.5, 4.874, 4.875, 4.8750001, np.inf])


@pytest.mark.parametrize(("height", "width", "block"), [(7, 9, 1), (12, 10, 3), (13, 11, 4), (5, 40, 8), (1, 1, 2)])
@pytest.mark.parametrize("missing", [0, 6])
def test_masks_at_preview_scale_are_those_of_the_stated_rule(height, width, block, missing):
    scores = score_map(height, height, width, min(missing, height * width))
    ceiling = block_maximum(scores, block)
    first = first_stops(ceiling, THRESHOLDS)
    for index, threshold in enumerate(THRESHOLDS):
        expected = all_trusted(trusted(scores, threshold), block)
        assert (trusted(ceiling, threshold) == expected).all()
        assert ((first <= index) == expected).all()
    assert not (first == 0).any(), "-inf trusts nothing"


@pytest.mark.parametrize(("height", "width"), [(61, 47), (64, 64), (30, 63)])
def test_coarser_masks_follow_the_same_rule(height, width):
    scores = score_map(height, height, width, 5)
    found = make_preview("result", "a", "id", np.zeros((height, width, 3), np.uint8), scores, THRESHOLDS)
    for side in (64, 32, 10, 7):
        smaller = found.within(side)
        assert max(smaller.ceiling.shape) <= side
        opened = Image.open(io.BytesIO(smaller.delivered))
        assert (opened.format, opened.size) == ("JPEG", smaller.ceiling.shape[::-1])
        for threshold in THRESHOLDS:
            expected = all_trusted(trusted(scores, threshold), smaller.block)
            assert (trusted(smaller.ceiling, threshold) == expected).all()


def test_a_score_of_infinity_is_trusted_at_infinity_alone():
    scores = np.array([[np.inf, 3.0, np.nan, -np.inf]], np.float32)
    assert first_stops(scores, np.array([-np.inf, 0.0, 5.0, np.inf])).tolist() == [[3, 2, NEVER, 1]]
    assert [trusted(scores, t).tolist() for t in (0.0, 5.0, np.inf)] == [
        [[False, False, False, True]],
        [[False, True, False, True]],
        [[True, True, False, True]],
    ]


def test_255_stops_fit_into_a_byte():
    thresholds = np.linspace(0, 1, 255)
    scores = np.linspace(-0.01, 1.01, 4000, dtype=np.float32).reshape(40, 100)
    first = first_stops(scores, thresholds)
    assert set(np.unique(first)) == set(range(256))
    for index in (0, 1, 100, 254):
        assert ((first <= index) == (scores < thresholds[index])).all()


def test_packing_is_undone_by_summing_rows():
    first = np.random.default_rng(1).integers(0, 256, (37, 23), dtype=np.uint8)
    assert (unpacked(pack(first), 23) == first).all()


@pytest.mark.parametrize("size", [(10, 10), (512, 512), (513, 40), (2048, 1500), (5000, 3)])
def test_previews_fit_their_side(size):
    block = block_side(size)
    assert max(-(-side // block) for side in size) <= SIDE
    assert block == 1 or max(-(-side // (block - 1)) for side in size) > SIDE


def test_codes_of_errors_keep_small_errors_apart():
    errors = np.array([[0.0, 0.001, 0.05, 0.1, 0.2, 1.9, 3.0]], np.float32)
    codes = error_codes(errors, 1.9)
    assert codes.tolist() == [[0, 2, 16, 23, 32, CODES, CODES]]
    assert 1.9 * (codes[0, 3] / CODES) ** 2 == pytest.approx(0.1, abs=0.005)


def test_errors_keep_the_largest_of_each_block():
    errors = score_map(4, 1030, 600)
    truth = np.zeros((1030, 600, 3), np.uint8)
    found = make_preview("audit", "a", "id", truth, errors, THRESHOLDS, truth=truth, errors=errors)
    assert found.block == 2
    assert (found.errors == errors.reshape(515, 2, 300, 2).max(axis=(1, 3))).all()
    assert (found.within(300).errors == block_maximum(errors, 4)).all()


def test_a_block_has_no_detail_added_only_where_none_of_its_pixels_has(tmp_path):
    detail = np.random.default_rng(4).choice(np.arange(3, dtype=np.uint8), (1030, 602), p=[0.8, 0.15, 0.05])
    picture, scores = np.zeros((1030, 602, 3), np.uint8), score_map(4, 1030, 602, 7)
    found = make_preview("result", "a", "id", picture, scores, THRESHOLDS, detail=detail)
    assert (found.detail == block_maximum(detail.astype(np.float32), 2)).all()
    assert (found.within(300).detail == block_maximum(detail.astype(np.float32), 4)).all()
    path = write_preview(found, tmp_path / f"{found.stem}.preview")
    assert (read_preview(path).detail == found.detail).all()
    # Earlier files have the first half.
    write_preview(replace(found, added=found.added[: len(found.added) // 2]), path)
    assert (read_preview(path).detail == np.minimum(found.detail, 1)).all()
    write_preview(replace(found, added=found.added[:-1]), path)
    with pytest.raises(FileFormatError, match="two bits for each block are expected"):
        read_preview(path)


def test_a_still_dots_what_is_trusted_and_has_no_detail_added():
    first, detail = np.zeros((96, 144), np.uint8), np.zeros((96, 144), np.uint8)
    first[:48], detail[:, :72] = 9, 1
    decoded = lambda text: np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))  # noqa: E731
    plain, dotted = decoded(veil_png(first, 3)), decoded(veil_png(first, 3, detail))
    changed = (plain != dotted).any(axis=2)
    assert not changed[:48].any()
    assert not changed[:, :72].any()
    assert {tuple(colour) for colour in dotted[changed]} == {(0, 0, 0, 255), (255, 255, 255, 255)}
    assert 0.01 < changed[48:, 72:].mean() < 0.1
    crossed = decoded(veil_png(first, 3, 2 * detail))
    assert np.array_equal(crossed[48:], dotted[48:])
    assert np.array_equal(crossed[:48, 72:], plain[:48, 72:])
    dark, striped = (plain[:48, :72, 3] == opacity for opacity in (VEIL[3], STRIPE[3]))
    assert (crossed[:48, :72][striped] == STRIPE).all()
    assert {tuple(colour) for colour in crossed[:48, :72][dark]} == {HEAVY, STRIPE}


def test_shares_are_counted_at_full_resolution():
    scores = score_map(3, 61, 47, 11)
    picture = np.zeros((61, 47, 3), np.uint8)
    found = make_preview("result", "a", "id", picture, scores, THRESHOLDS)
    assert found.shares.tolist() == [trusted(scores, threshold).mean() for threshold in THRESHOLDS]
    assert found.share(2.0) == found.share(1.0) == trusted(scores, 1.0).mean()
    assert found.share(1.0) <= trusted(scores, 2.0).mean()
    assert np.isnan(found.loss(1.0))


def test_losses_between_known_thresholds_are_not_too_low():
    scores = score_map(3, 8, 8)
    losses = np.linspace(0, 0.9, len(THRESHOLDS))
    found = make_preview("audit", "a", "id", np.zeros((8, 8, 3), np.uint8), scores, THRESHOLDS, losses=losses)
    assert (found.loss(2.5), found.loss(1.7)) == (losses[5], losses[5])


def test_pictures_keep_their_place_and_ratio():
    delivered = np.zeros((2400, 1800, 3), np.uint8)
    delivered[:1200] = 255
    low = np.zeros((600, 450, 3), np.uint8)
    found = make_preview("result", "a", "id", delivered, score_map(1, 2400, 1800), THRESHOLDS, low=low)
    assert found.block == 3
    shown = np.asarray(Image.open(io.BytesIO(found.delivered)))
    assert shown.shape == (800, 600, 3) == (*found.ceiling.shape, 3)
    assert shown[:390].min() > 240
    assert shown[410:].max() < 15
    assert Image.open(io.BytesIO(found.low)).size == (150, 200)


@pytest.mark.parametrize("place", [(0, 0), (199, 149), (100, 3), (60, 80)])
def test_worst_pixel_is_cut_out_with_its_surroundings(place):
    errors = np.full((200, 150), 0.1, np.float32)
    errors[place] = 0.7
    errors[50, 50] = 0.9
    scores = np.zeros((200, 150), np.float32)
    scores[50, 50] = 9
    truth = np.zeros((200, 150, 3), np.uint8)
    truth[place] = 255
    found = make_preview(
        "audit", "a", "id", truth, scores, THRESHOLDS, truth=truth, errors=errors, worst_at=[(0.1, 1.0)]
    ).worst
    assert len(found) == 1
    worst = found[0]
    assert (worst.row, worst.column, worst.error) == (*place, pytest.approx(0.7))
    cut = np.asarray(Image.open(io.BytesIO(worst.truth)))
    assert (cut.shape, np.unravel_index(cut.sum(axis=2).argmax(), cut.shape[:2])) == ((CROP, CROP, 3), worst.at)


def test_nothing_is_worst_where_nothing_is_trusted():
    scores = np.ones((20, 20), np.float32)
    picture = np.zeros((20, 20, 3), np.uint8)
    found = make_preview(
        "audit", "a", "id", picture, scores, THRESHOLDS, truth=picture, errors=scores, worst_at=[(0.1, -np.inf)]
    )
    assert found.worst == ()


def test_what_is_no_picture_never_stands_in_a_page():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    kept = make_preview("result", "a", "id", pixels, score_map(0, 40, 40, 5), THRESHOLDS, low=pixels)
    shown = kept.within(64)
    assert shown.within(64).low == shown.low, "WebP is taken as it is"
    assert np.abs(np.asarray(Image.open(io.BytesIO(kept.delivered))).astype(int) - pixels).mean() < 8
    larger = kept_picture(np.zeros((41, 40, 3), np.uint8), 1)
    for wrong in (b"", b"not a picture", kept.delivered[:60], kept.delivered[:-200], larger, png(pixels)):
        with pytest.raises(FileFormatError, match="expected a picture of at most 40 pixels a side"):
            replace(kept, delivered=wrong).within(64)


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
    stops = [Stop(0.1, 0.5, "said", 0.1, "said")]

    def preview(name, height):
        errors, delivered, truth = material(len(name))
        errors = np.where(errors > 0.06, np.float32(0.06), errors)
        bump(errors, 210, 90, height)
        scores = np.zeros_like(errors)
        return make_preview("audit", name, name, delivered, scores, np.array([0.5]), truth=truth, errors=errors)

    previews = [preview("far", 0.107), preview("exact", 0.1), preview("nearer", 0.102)]
    shown = make_cards(previews, None, stops, 0, 1024, 1.0).examples
    assert ([one.name for one in shown if one.pair.near == 0.1], EXAMPLES_SHOWN) == (["exact", "nearer"], 2)
    assert [one.pair.near for one in shown] == sorted(one.pair.near for one in shown)


def test_cards_open_with_the_worst_and_a_typical_picture_and_two_pictures_are_neither():
    stops = [Stop(0.1, 0.5, "said", 0.1, "said")]

    def preview(name, loss):
        _, delivered, truth = material()
        scores, thresholds = np.zeros(delivered.shape[:2], np.float32), np.array([0.5])
        return make_preview("audit", name, name, delivered, scores, thresholds, truth=truth, losses=np.array([loss]))

    previews = [preview("good", 0.1), preview("bad", 0.9), preview("usual", 0.3), preview("usual-too", 0.4)]
    found = [(card.name, card.pick) for card in make_cards(previews, None, stops, 0, 1024, 1.0).cards]
    assert found == [("bad", "worst"), ("usual", "typical"), ("usual-too", ""), ("good", "")]
    found = [card.pick for card in make_cards(previews[:2], None, stops, 0, 1024, 1.0).cards]
    assert found == ["", ""]


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


def file_of(content):
    return b"".join(parts_of(content))


def test_bytes_come_back_at_any_place():
    content = {"a": [b"one", {"b": b"", "c": [1.5, None, "line\nline"]}], "d": b"\n{}\n", "e": {"bytes": 3}}
    assert content_of(file_of(content)) == content


def test_memory_is_not_copied():
    numbers = np.arange(6, dtype="<f4")
    view = memoryview(numbers).cast("B")
    assert parts_of([view])[2] is view
    assert content_of(file_of([view])) == [numbers.tobytes()]


def test_what_is_neither_json_nor_bytes_is_refused():
    with pytest.raises(TypeError, match="beside what JSON holds; got set"):
        parts_of({"a": {1}})


WHOLE = file_of({"a": b"123"})
DAMAGED = [b"", b"{}", b"\n", b"no JSON\n", WHOLE[:-1], WHOLE + b"4", WHOLE.replace(b"123", b"124")]
DAMAGED += [json.dumps({"bytes": size, "crc32": 0}).encode() + b"\n1" for size in (-1, True, "1", 10**30)]


@pytest.mark.parametrize("data", DAMAGED)
def test_damaged_files_are_refused(data):
    with pytest.raises(ValueError):
        content_of(data)


def test_deep_json_is_refused():
    with pytest.raises(RecursionError):
        content_of(b"[" * 100_000 + b"\n")
