"""What is measured of answers: features, pixels, what a vendor declares, and which photographs are sensitive."""

from decimal import Decimal

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import draw, photograph

from blackbox_conformal.watching.visit.canaries import CHANGES, FEATURES, features, planted, sensitivity
from blackbox_conformal.watching.visit.looking import Difference
from blackbox_conformal.watching.visit.visiting import SPEEDS, Declared, compare, speed_of

PLANTED = FEATURES[:-1]
"""What planted changes are measured by."""

TRUTH = photograph(3)
SENT = np.asarray(PillowImage.fromarray(TRUTH).resize((20, 16), PillowImage.Resampling.BICUBIC))
DRAWS = [draw(TRUTH, seed) for seed in range(8)]


def naive(pixels: np.ndarray, sent: np.ndarray) -> dict[str, float]:
    height, width, _ = pixels.shape
    grey = [[sum(w * float(v) for w, v in zip((0.299, 0.587, 0.114), p, strict=True)) for p in row] for row in pixels]
    mean = sum(map(sum, grey)) / (height * width)
    across = [abs(row[x + 1] - row[x]) for row in grey for x in range(width - 1)]
    down = [abs(grey[y + 1][x] - grey[y][x]) for y in range(height - 1) for x in range(width)]
    detail = 0.0
    for y in range(height):
        for x in range(width):
            near = [grey[max(y - 1, 0)][x], grey[min(y + 1, height - 1)][x]]
            near += [grey[y][max(x - 1, 0)], grey[y][min(x + 1, width - 1)]]
            detail += (grey[y][x] - sum(near) / 4) ** 2
    return {
        "lightness": mean,
        "warmth": sum(float(p[0]) - float(p[2]) for row in pixels for p in row) / (height * width),
        "sharpness": sum(across) / len(across) + sum(down) / len(down),
        "detail": detail / (height * width),
    }


def test_features_are_those_of_plain_loops():
    found = features(DRAWS[0], SENT)
    assert tuple(found) == FEATURES
    for name, value in naive(DRAWS[0], SENT).items():
        assert found[name] == pytest.approx(value, rel=1e-8)


def test_the_smallest_pictures_have_features():
    single = np.zeros((1, 1, 3), np.uint8)
    assert all(np.isfinite(list(features(single, single).values())))


def test_every_planted_change_moves_a_feature_beyond_the_spread_of_draws():
    table = np.array([[features(one, SENT)[name] for name in PLANTED] for one in DRAWS])
    for change in CHANGES.values():
        moved = np.array([features(change(DRAWS[0]), SENT)[name] for name in PLANTED]) - table[0]
        assert (np.abs(moved) / table.std(axis=0)).max() > 1


def test_a_picture_without_structure_is_the_least_sensitive():
    grey = np.full((64, 80, 3), 128, np.uint8)
    assert sensitivity([grey], SENT) < sensitivity([DRAWS[0]], SENT)
    assert sensitivity(DRAWS, SENT) > 0


def test_what_a_planted_change_does_is_that_of_the_median_canary():
    near = [np.rint((one + 3.0 * DRAWS[0]) / 4).astype(np.uint8) for one in DRAWS]
    canaries = [(near, SENT), (DRAWS, SENT), (DRAWS[:2], SENT)]
    found = planted(canaries)
    assert [one.change for one in found] == list(CHANGES)
    for one, change in zip(found, CHANGES.values(), strict=True):
        shifts = []
        for draws, sent in canaries:
            table = np.array([[features(draw, sent)[name] for name in PLANTED] for draw in draws])
            moved = np.array([features(change(draws[0]), sent)[name] for name in PLANTED]) - table[0]
            shifts.append(moved / table.std(axis=0, ddof=1))
        middle = np.sort(shifts, axis=0)[1]
        assert one.shift == pytest.approx(middle[PLANTED.index(one.feature)])
        assert abs(one.shift) == pytest.approx(np.abs(middle).max())


def test_a_promise_is_that_of_the_next_smaller_shift_that_was_measured():
    eight = {speed.shift: speed for speed in SPEEDS if speed.canaries == 8}
    assert speed_of(8, 4.9) == speed_of(11, -2.0) == eight[2.0]
    assert speed_of(8, 70.0) == eight[5.0]
    assert speed_of(8, 0.4) is None
    assert speed_of(3, 5.0) is None


def test_pixels_say_how_much_and_not_only_whether():
    bit = DRAWS[0].copy()
    bit[0, 0, 0] ^= 1
    found = Difference.between(DRAWS[0], bit)
    assert (found.largest, found.is_change, found.share) == (1, False, pytest.approx(1 / (64 * 80)))
    assert not Difference.between(DRAWS[0], DRAWS[0]).largest
    assert Difference.between(DRAWS[0], DRAWS[1]).is_change
    assert Difference.between(DRAWS[0], DRAWS[0][:-1]).is_change


def declared(model: str | None = "v1", kind: str = "PNG", size: float = 4.0, cost: str = "0.01") -> Declared:
    return Declared(model, kind, (size, size), Decimal(cost))


@pytest.mark.parametrize(
    ("now", "verdict", "said"),
    [
        (declared(), "same", "v1, PNG, ×4"),
        (declared("v2"), "changed", "the model is v2, and was v1"),
        (declared(kind="JPEG"), "changed", "files are JPEG, and were PNG"),
        (declared(size=2.0), "changed", "sizes are ×2, and were ×4"),
        (declared(cost="0.02"), "note", "a draw costs $0.02, and cost $0.01"),
        (declared(None), "note", "names no model any more"),
    ],
)
def test_each_thing_that_is_declared_is_compared(now, verdict, said):
    found = compare([declared(), declared()], [now], ("v1",))
    assert found.verdict == verdict
    assert said in found.statement


def test_nothing_declared_is_no_opinion():
    assert compare([declared()], [], ()).verdict == "cannot tell"
    assert compare([declared(None)], [declared(None)], ()).verdict == "same"
