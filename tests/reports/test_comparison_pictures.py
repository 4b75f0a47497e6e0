"""The comparison's pictures: the same square of every vendor, masks that are those of the score, best and worst."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pytest
from PIL import Image
from reports.test_comparison_page import HOSTILE, Reader

from blackbox_conformal.pages.report import comparison_page
from blackbox_conformal.pages.report.comparison_page import (
    MOST,
    SHOWN,
    SIDE,
    ComparisonPictures,
    _most_detailed,
    write_comparison,
)
from blackbox_conformal.study.choose.comparison import OURS, ComparedPicture, Comparison, ComparisonRow, Standing

ALPHAS = (0.1, 0.2)


def photograph(index: int, size=(300, 340)) -> np.ndarray:
    """Flat but for one textured place, which differs from photograph to photograph."""
    rng = np.random.default_rng(index)
    pixels = np.full((*size, 3), 128, np.uint8)
    top, left = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 40)
    pixels[top : top + 40, left : left + 40] = rng.integers(0, 256, (40, 40, 3))
    return pixels


def compared_picture(contestant: str, index: int, size=(300, 340)) -> ComparedPicture:
    truth = photograph(index, size)
    rng = np.random.default_rng(1000 * index + len(contestant))
    scores = rng.random(size).astype(np.float32)
    thresholds = {0.1: 0.05 * (index % 9), 0.2: 0.1 * (index % 9)}
    shares = {alpha: float((scores < threshold).mean()) for alpha, threshold in thresholds.items()}
    delivered = np.clip(truth.astype(int) + 20 + len(contestant), 0, 255).astype(np.uint8)
    low = np.ascontiguousarray(truth[::4, ::4])
    losses = {0.1: 0.03, 0.2: 0.07}
    return ComparedPicture(
        contestant, f"photograph {index}", f"id{index}", truth, delivered, low, scores, thresholds, shares, losses
    )


def naive_most_detailed(truth, size):
    """The same by plain loops."""
    grey = truth.astype(float).mean(axis=2)
    best, place = -1.0, (0, 0)
    for top in range(0, grey.shape[0] - size[0] + 1, 32):
        for left in range(0, grey.shape[1] - size[1] + 1, 32):
            total = 0.0
            for row in range(top, top + size[0]):
                for column in range(left, left + size[1]):
                    if row + 1 < grey.shape[0]:
                        total += abs(grey[row + 1, column] - grey[row, column])
                    if column + 1 < grey.shape[1]:
                        total += abs(grey[row, column + 1] - grey[row, column])
            if total > best + 1e-6:
                best, place = total, (top, left)
    return place


@pytest.mark.parametrize("seed", range(4))
def test_the_square_is_the_one_with_most_detail(seed):
    truth = photograph(seed, (150, 170))
    assert _most_detailed(truth, (64, 64)) == naive_most_detailed(truth, (64, 64))


def test_all_contestants_show_the_same_square_with_their_own_mask():
    pictures = ComparisonPictures()
    given = [compared_picture(name, 5) for name in ("a", "second", "the third")]
    for picture in given:
        pictures.take(picture)
    ((_, (scene,)),) = pictures.chosen(0.1)
    rows, columns = slice(scene.row, scene.row + SIDE), slice(scene.column, scene.column + SIDE)
    assert [square.contestant for square in scene.squares] == ["a", "second", "the third"]
    for square, picture in zip(scene.squares, given, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(square.picture)).convert("RGB")).astype(int)
        assert np.abs(shown - picture.delivered[rows, columns]).mean() < 12
        for alpha in ALPHAS:
            veil = np.asarray(Image.open(io.BytesIO(base64.b64decode(square.veils[alpha]))).convert("RGBA"))
            assert ((veil[..., 3] == 0) == (picture.score_map[rows, columns] < picture.thresholds[alpha])).all()
    low = Image.open(io.BytesIO(scene.low))
    assert low.size == (SIDE // 4, SIDE // 4)
    expected = photograph(5)[::4, ::4][scene.row // 4 : scene.row // 4 + 64, scene.column // 4 : scene.column // 4 + 64]
    assert np.abs(np.asarray(low.convert("RGB")).astype(int) - expected).mean() < 12


@pytest.mark.parametrize("size", [(100, 90), (256, 256), (60, 400)])
def test_a_small_photograph_is_shown_whole(size):
    pictures = ComparisonPictures()
    pictures.take(compared_picture("a", 4, size))
    ((_, (scene,)),) = pictures.chosen(0.1)
    assert scene.size == (min(size[0], SIDE), min(size[1], SIDE))


def test_the_most_and_the_least_trusted_are_shown_and_none_twice():
    pictures = ComparisonPictures()
    with ThreadPoolExecutor(4) as pool:
        for name in ("a", "b"):
            list(pool.map(lambda index, name=name: pictures.take(compared_picture(name, index)), range(1, 9)))
    (best, worst) = pictures.chosen(0.2)
    assert best[0] == "Trusted most"
    assert [scene.name for scene in best[1]] == ["photograph 8", "photograph 7", "photograph 6"]
    assert worst[0] == "Trusted least"
    assert [scene.name for scene in worst[1]] == ["photograph 1", "photograph 2", "photograph 3"]
    for count in (1, 2, 5):
        few = ComparisonPictures()
        for index in range(count):
            few.take(compared_picture("a", index))
        shown = [scene.name for _, scenes in few.chosen(0.1) for scene in scenes]
        assert len(shown) == len(set(shown)) == min(count, 2 * SHOWN)
    assert ComparisonPictures().chosen(0.1) == []


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(comparison_page, "MOST", 2)
    pictures = ComparisonPictures()
    for name in ("a", "b"):
        for index in range(4):
            pictures.take(compared_picture(name, index))
    scenes = [scene for _, group in pictures.chosen(0.1) for scene in group]
    assert sorted(scene.name for scene in scenes) == ["photograph 0", "photograph 1"]
    assert all(len(scene.squares) == 2 for scene in scenes)


@pytest.fixture
def compared():
    """Two vendors on six photographs, one of which the second refused."""
    pictures = ComparisonPictures()
    for name in ("plain", HOSTILE):
        for index in range(1, 7):
            if (name, index) != (HOSTILE, 1):
                pictures.take(compared_picture(name, index))

    def row(name, alpha, price):
        return ComparisonRow(
            name, OURS, alpha, "On average it holds.", 0.6, 0.04, 41.0, 27.5, price, (0.0,) * 3, (0.0,) * 3
        )

    rows = tuple(row(name, alpha, price) for name, price in (("plain", 0.125), (HOSTILE, None)) for alpha in ALPHAS)
    standings = tuple(Standing(name, 1, 6, 6, 0, 0, 0, Decimal(1), Decimal("0.1"), None) for name in ("plain", HOSTILE))
    return Comparison(21, 6, rows, standings), pictures


def test_the_page_shows_every_vendor_price_and_refusal(compared, tmp_path):
    comparison, pictures = compared
    text = write_comparison(comparison, tmp_path / "page.html", pictures).read_text()
    tags = Reader(text).tags
    assert sum(tag == "img" and attributes.get("class") == "veil" for tag, attributes in tags) == 11
    assert text.count('<p class="refused">refused</p>') == 1
    assert "$0.125 per trusted megapixel" in text
    assert "price of a trusted megapixel unknown" in text
    assert text.index("The same square of every vendor") < text.index("How to read it")
    assert not [tag for tag, _ in tags if tag in ("script", "iframe")]
    assert all("onerror" not in attributes for _, attributes in tags)
    assert "They were chosen among" not in text
    many = Comparison(21, MOST + 1, comparison.rows, comparison.standings)
    assert (
        "They were chosen among 200 of the 201" in write_comparison(many, tmp_path / "many.html", pictures).read_text()
    )


def test_a_page_without_pictures_has_no_section_for_them(compared, tmp_path):
    text = write_comparison(compared[0], tmp_path / "page.html").read_text()
    assert "The same square" not in text
    assert "$0.125 per trusted megapixel" in text
