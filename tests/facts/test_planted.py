"""Planted faults are told by their kind and place, and answers without one are not."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import blackbox_conformal as bc
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.facts import sent_pair
from blackbox_conformal.method.facts.levels import Levels, shipped, tail_scores
from blackbox_conformal.method.facts.sent_pair import SentPair
from blackbox_conformal.method.facts.statistics import CONTEXT, STATISTICS, FactMeasure
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.pair_facts import pair_facts

sys.path.append(str(Path(__file__).parents[2] / "examples"))
from fact_plants import PLANTS


def crops(count):
    """Inputs of 96 pixels a side, of the package's photographs."""
    for photograph in demo_photographs()[:count]:
        pixels = read_image(photograph.path).pixels
        top, left = ((length - 384) // 2 for length in pixels.shape[:2])
        truth = Image.fromarray(pixels[top : top + 384, left : left + 384])
        yield photograph.name, np.asarray(truth.resize((96, 96), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def scene():
    """Input and honest answer of a textured photograph: the free reference."""
    small = dict(crops(4))[demo_photographs()[2].name]
    return small, reference(small, 4)


def kinds(small, big, levels=None):
    return {fact.kind for fact in pair_facts(small, big, levels).facts}


def test_honest_answers_are_not_told():
    found = {}
    for name, small in crops(12):
        for big in (
            bicubic_up(small, 4),
            reference(small, 4),
            np.asarray(Image.fromarray(small).resize((384, 384), 4)),
        ):
            found.setdefault(name, set()).update(kinds(small, big))
    assert {name: told for name, told in found.items() if told} == {}


CLEAR = ("linear light", "red and blue swapped", "moved by 4", "seam of 12, vertical", "seam of 12, 2 × 2")
CLEAR += ("tint of 12", "JPEG 50", "pasted square")


@pytest.mark.parametrize("plant", CLEAR)
def test_a_plain_fault_is_told_by_its_kind_without_knowing_the_vendor(scene, plant):
    small, big = scene
    kind, change = PLANTS[plant]
    assert kind not in kinds(small, big)
    assert kind in kinds(small, change(big, small, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def own():
    """The levels of a vendor of one's own, the free reference, by inputs that are moved and turned."""
    pairs = []
    for _, small in crops(15):
        for turned in (small, small[::-1], small[:, ::-1]):
            part = np.ascontiguousarray(turned)
            pairs.append(pair_facts(part, reference(part, 4)).sizes)
    return Levels.of(pairs, "own pairs")


@pytest.mark.parametrize(
    "plant", ["tint of 3", "tint of 6 in a quarter", "seam of 6, 2 × 2", "unsharp mask of 250 %", "moved by 2"]
)
def test_a_small_fault_is_told_beside_the_own_pairs_of_a_vendor(scene, own, plant):
    small, big = scene
    kind, change = PLANTS[plant]
    assert kind in kinds(small, change(big, small, np.random.default_rng(2)), own)


def test_a_fact_has_place_size_unit_and_words(scene):
    small, big = scene
    changed = big.copy()
    changed[128:256, 64:192] = changed[128:256, 64:192].mean((0, 1))
    (fact,) = (fact for fact in pair_facts(small, changed).facts if fact.kind == "flattened")
    assert fact.place is not None
    assert 96 <= fact.place.top <= 224
    assert 32 <= fact.place.left <= 160
    assert fact.size > 0.9
    assert fact.unit == "of its texture"
    assert 0 < fact.p_value <= 0.01
    assert fact.sentence.startswith("differs from the input by the texture of a part, of which ")


def test_a_seam_is_found_at_its_line(scene):
    small, big = scene
    changed = big.astype(int)
    changed[:, 216:] += 10
    (fact,) = (one for one in pair_facts(small, np.clip(changed, 0, 255).astype(np.uint8)).facts if one.kind == "seams")
    assert fact.values["axis"] == "vertical"
    assert abs(fact.values["lines"][0] - 216) <= 8
    assert "along a vertical line at x = " in fact.sentence


def test_shift_and_turn_are_measured(scene):
    small, big = scene
    sizes = pair_facts(small, np.roll(big, (4, -2), (0, 1))).sizes
    assert sizes["geometry.down"] == pytest.approx(4, abs=0.4)
    assert sizes["geometry.right"] == pytest.approx(-2, abs=0.4)
    turned = np.asarray(Image.fromarray(big).rotate(1, Image.Resampling.BICUBIC))
    found = pair_facts(small, turned).measures["geometry.stretch"]
    assert abs(found.values["turn"]) == pytest.approx(1, abs=0.3)


def test_transforms_are_named(scene):
    small, big = scene
    random = np.random.default_rng(0)
    for plant, words in (("linear light", "linear light"), ("red and blue swapped", "red and blue swapped")):
        facts = pair_facts(small, PLANTS[plant][1](big, small, random)).facts
        assert any(fact.kind == "colour" and words in fact.sentence for fact in facts)
    grey = np.repeat(big.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    assert any("greyscale" in fact.sentence for fact in pair_facts(small, grey).facts)


def test_floats_and_bytes_are_one_and_other_sizes_are_told(scene):
    small, big = scene
    assert pair_facts(small / 255, big / 255).sizes == pair_facts(small, big).sizes
    facts = pair_facts(small, np.asarray(Image.fromarray(big).resize((390, 384)))).facts
    assert facts[0].name == "geometry.size"
    assert "390×384 pixels, where 4 times the input is 384×384" in facts[0].sentence
    with pytest.raises(ImageError, match="expected an input of 16 pixels a side; got 8×8"):
        SentPair(small[:8, :8], big[:32, :32])


def test_added_detail_is_compared_with_the_free_reference(scene):
    small, big = scene
    assert pair_facts(small, big).supported > 0.9
    noisy = np.clip(bicubic_up(small, 4) + np.random.default_rng(0).normal(0, 12, big.shape), 0, 255).astype(np.uint8)
    assert pair_facts(small, noisy).supported < 0.2


def test_every_statistic_is_measured_and_told_in_words(scene):
    small, big = scene
    blurred = np.asarray(Image.fromarray(big).filter(ImageFilter.GaussianBlur(3)))
    for pair in ((small, big), (small, blurred)):
        found = pair_facts(*pair)
        assert set(STATISTICS) <= set(found.measures)
        assert np.isfinite(list(found.sizes.values())).all()
    assert shipped().pairs > 4000


def test_the_share_of_pairs_told_is_the_level():
    """Validity, all measures together, with heavy tails and ties: beside a vendor's own pairs, and beside a table."""
    random = np.random.default_rng(0)
    names = list(STATISTICS)

    def sizes(count):
        return np.round(np.abs(random.standard_t(3, (count, len(names)))), 1)

    def pairs(count):
        return [dict(zip(names, row, strict=True)) for row in sizes(count).tolist()]

    def told(levels, level):
        return bool(levels.judged([FactMeasure(*size) for size in pairs(1)[0].items()], level).told)

    table = {name: [math.inf] * 5000 for name in names}
    beside_own = [told(replace(Levels.of(pairs(99), ""), largest=table), 0.1) for _ in range(400)]
    assert 0.02 < np.mean(beside_own) < 0.085
    beside_table = []
    for _ in range(400):
        columns = dict(zip(names, (-np.sort(-sizes(500).T)).tolist(), strict=True))
        beside_table.append(told(Levels("", 500, columns, {name: [-math.inf] * 500 for name in names}), 0.2))
    assert 0.02 < np.mean(beside_table) < 0.25
    # The control: fixed limits by measure, as many as there are, tell far more.
    limits = np.quantile([list(pair.values()) for pair in pairs(99)], 0.95, axis=0)
    assert np.mean([(np.array(list(pair.values())) > limits).any() for pair in pairs(200)]) > 0.3


def test_strangeness_does_not_depend_on_the_order():
    rows = np.random.default_rng(1).normal(size=(40, len(STATISTICS) + len(CONTEXT)))
    order = np.random.default_rng(2).permutation(40)
    np.testing.assert_allclose(tail_scores(rows)[order], tail_scores(rows[order]), rtol=1e-9, atol=1e-9)


def test_no_less_is_said_than_few_own_pairs_can_prove(scene, own):
    assert pair_facts(*scene, own).judged.level == pytest.approx(0.005 + 1 / 46)
    assert pair_facts(*scene).judged.level == 0.01


def test_too_few_own_pairs_are_refused(scene):
    with pytest.raises(UsageError, match="expected at least 20 pairs to compare with; got 3"):
        Levels.of([pair_facts(*scene).sizes] * 3, "own")


def test_the_python_function_takes_pixels(scene):
    checked = bc.check(*scene)
    assert checked.differing == 0
    assert repr(checked) == "<Check of 1 pair: 0 differ by more than is usual>"
    assert checked.document()["pairs"][0]["scale"] == 4


@pytest.mark.parametrize("scale", [1, 4])
def test_where_nobody_asked_the_middle_of_a_large_picture_is_compared(monkeypatch, scale):
    monkeypatch.setattr(sent_pair, "_MOST", 128 if scale > 1 else 256)
    pixels = read_image(demo_photographs()[2].path).pixels[:512, :512]
    small = np.asarray(Image.fromarray(pixels).resize((200, 200), Image.Resampling.BICUBIC))
    honest = bicubic_up(small, scale) if scale > 1 else small
    assert pair_facts(small, honest, whole=False).facts == ()
    inside, outside = honest.copy(), honest.copy()
    # The part that is compared begins at 36 of 200; the square begins at 80 and at 0.
    inside[80 * scale : 112 * scale, 80 * scale : 112 * scale] = 128
    outside[: 32 * scale, : 32 * scale] = 128
    places = {fact.kind: fact.places for fact in pair_facts(small, inside, whole=False).facts}
    (place,) = places["flattened"]
    assert 72 * scale <= place.top <= 104 * scale
    assert 72 * scale <= place.left <= 104 * scale
    assert pair_facts(small, outside, whole=False).facts == ()
    assert pair_facts(small, outside).facts
    stepped = honest.astype(int)
    stepped[:, 100 * scale :] += 12
    places = {fact.kind: fact.places for fact in pair_facts(small, to_bytes(stepped), whole=False).facts}
    assert abs(places["seams"][0].left - 100 * scale) <= 2 * scale
    assert (places["seams"][0].top, places["seams"][0].height) == (36 * scale, 128 * scale)


def to_bytes(values):
    return np.clip(values, 0, 255).astype(np.uint8)
