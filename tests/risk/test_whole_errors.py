"""Errors of whole pictures and squared errors by score: what they are, how they are kept, and what is known by them."""

import numpy as np
import pytest

from blackbox_conformal.documents.certificate import ShownErrors
from blackbox_conformal.method.audits.quality import QualityMaps
from blackbox_conformal.method.risk.whole_errors import (
    LEAST,
    SHOWN,
    SquaredErrors,
    Twentieths,
    WholeErrors,
    whole_errors,
)

rng = np.random.default_rng(34)


def photographs(n: int) -> WholeErrors:
    """Ratios of few values, so with many ties."""
    known = LEAST + rng.integers(1, 4, (n, 3)) / 8
    return WholeErrors(np.stack([known * rng.integers(1, 6, (n, 3)) / 8, known], axis=1))


def test_errors_are_those_of_psnr_and_ssim() -> None:
    truth, delivered = rng.integers(0, 256, (2, 40, 30, 3), dtype=np.uint8)
    squared, dissimilar, metric = whole_errors(truth, delivered, 0.25)
    quality = QualityMaps(truth, delivered).over()
    assert (-10 * np.log10(squared), 1 - 2 * dissimilar, metric) == pytest.approx((quality.psnr, quality.ssim, 0.25))
    np.testing.assert_array_equal(whole_errors(truth, truth, 0.0), np.zeros(3))


@pytest.mark.parametrize("n", [8, 9, 18, 19, 29, 40])
def test_the_ratio_is_the_kth_largest(n: int) -> None:
    found = WholeErrors.together([photographs(n), WholeErrors.unknown(3)])
    rank = {8: 0, 9: 1, 18: 1, 19: 2, 29: 3, 40: 4}[n]
    descending = np.r_[np.full((1, 3), np.inf), np.sort(found.known.ratios, axis=0)[::-1]]
    np.testing.assert_array_equal(found.largest_ratios(0.1), descending[rank])


def test_refused_photographs_count_as_the_worst() -> None:
    answered = photographs(18)
    found = WholeErrors.together([answered, WholeErrors.refused()])
    assert (found.largest_ratios(0.05) == np.inf).all()
    np.testing.assert_array_equal(found.largest_ratios(0.1), answered.ratios.max(axis=0))


def test_bytes_come_back_and_impossible_ones_are_refused() -> None:
    kept = WholeErrors.together([photographs(2), WholeErrors.unknown(1), WholeErrors.refused()])
    assert WholeErrors.from_bytes(kept.to_bytes()).to_bytes() == kept.to_bytes()
    assert len(kept.known) == 3
    outside = ((0, 0, -0.1), (0, 0, 1.5), (1, 1, 0.0), (1, 1, 2.0), (1, 0, np.nan), (2, 1, 0.5), (3, 1, 0.5))
    for row, side, value in outside:
        values = kept.values.copy()
        values[row, side, 0] = value
        with pytest.raises(ValueError, match="out of its range"):
            WholeErrors.from_bytes(WholeErrors(values).to_bytes())


generator = np.random.default_rng(7)


def photograph(levels: int, size: tuple[int, int] = (130, 70)) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Scores of so many values, so with many ties, a truth and pictures."""
    scores = generator.integers(0, levels, size).astype(np.float32) / levels
    truth = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    shown = {name: generator.integers(0, 256, (*size, 3), dtype=np.uint8) for name in SHOWN}
    return scores, truth, shown


@pytest.mark.parametrize("levels", [1, 2, 7, 40, 10**6])
def test_errors_above_a_threshold_are_those_of_its_pixels(levels: int) -> None:
    scores, truth, shown = photograph(levels)
    found = SquaredErrors.of(Twentieths.of(scores), truth, shown.items())
    for threshold in (-np.inf, 0.0, 0.3, 0.5, 0.95):
        # Up to a twentieth of the pixels, and those of one score are together.
        reached = np.sort(scores, axis=None)[np.ceil(np.linspace(0, 1, 21) * (scores.size - 1)).astype(int)]
        step = min(int((reached < threshold).sum()), 19)
        outside = scores >= reached[step] if step else np.ones_like(scores, bool)
        for name, error in found.above(threshold).items():
            squares = ((shown[name].astype(float) - truth) ** 2).mean(axis=2)
            assert error == pytest.approx(squares[outside].sum() / scores.size, rel=1e-5)
    if levels > 20:
        near = ((shown["delivered"].astype(float) - truth) ** 2).mean(axis=2)[scores >= 0.5].sum() / scores.size
        assert found.above(0.5)["delivered"] == pytest.approx(near, rel=0.11)


def test_above_every_score_the_last_twentieth_counts() -> None:
    scores, truth, shown = photograph(10**6)
    found = SquaredErrors.of(Twentieths.of(scores), truth, shown.items())
    assert found.above(np.inf) == found.above(2.0)
    assert 0 < found.above(np.inf)["reference"] < 0.1 * found.above(-np.inf)["reference"]


def test_a_mean_is_over_photographs_that_are_known_and_pictures_that_all_have() -> None:
    scores, truth, shown = photograph(50)
    first = SquaredErrors.of(Twentieths.of(scores), truth, shown.items())
    second = SquaredErrors.of(Twentieths.of(scores), truth, [(name, truth) for name in SHOWN if name != "consistent"])
    together = SquaredErrors.together([first, SquaredErrors.unknown(1), second])
    assert (len(together), len(together.known)) == (3, 2)
    means, alone = together.above(0.4), first.above(0.4)
    assert means == {name: pytest.approx(alone[name] / 2) for name in SHOWN if name != "consistent"}
    assert SquaredErrors.unknown(2).above(0.4) == {}


def test_bytes_of_squared_errors_come_back_and_impossible_ones_are_refused() -> None:
    scores, truth, shown = photograph(9)
    kept = SquaredErrors.together(
        [SquaredErrors.of(Twentieths.of(scores), truth, shown.items()), SquaredErrors.unknown(1)]
    )
    assert SquaredErrors.from_bytes(kept.to_bytes()).to_bytes() == kept.to_bytes()
    for row, column, value in ((0, 3, -1.0), (1, 0, 5.0), (1, 5, np.nan), (2, 20, 7e4), (4, 19, 0.0), (0, 0, np.nan)):
        values = kept.values.copy()
        values[0, row, column] = value
        with pytest.raises(ValueError, match="out of its range"):
            SquaredErrors.from_bytes(SquaredErrors(values).to_bytes())


def choice(**errors: float) -> ShownErrors:
    return ShownErrors(photographs=24, squared_errors=errors)


def test_the_least_error_is_shown_and_the_sharpest_that_is_no_worse_than_plain_enlargement() -> None:
    gan = choice(delivered=300.0, consistent=180.0, reference=150.0, enlargement=200.0)
    assert (gan.shown(), gan.shown(sharp=True)) == ("reference", "consistent")
    good = choice(delivered=90.0, consistent=90.0, reference=150.0, enlargement=200.0)
    assert good.shown() in ("delivered", "consistent")
    assert good.shown(sharp=True) == "delivered"
    bad = choice(delivered=300.0, reference=220.0, enlargement=200.0)
    assert (bad.shown(), bad.shown(sharp=True)) == ("enlargement", "enlargement")
    assert choice(delivered=0.0, enlargement=0.0).shown() == "enlargement"
    # Inside, where the guarantee speaks of the delivered picture, that stays on a tie.
    assert (gan.trusted(), good.trusted(), bad.trusted()) == ("reference", "delivered", "enlargement")
    assert choice(delivered=0.0, enlargement=0.0).trusted() == "delivered"


def test_words_say_what_is_shown_and_why() -> None:
    gan = choice(delivered=300.0, reference=100.0, enlargement=200.0)
    words = "the free reference, 3.0 dB nearer than plain enlargement to the truth there on 24 calibration photographs"
    assert gan.words("reference", enlarged=True) == words
    plain = choice(delivered=300.0, enlargement=200.0).words("enlargement", enlarged=False)
    assert plain == "the input itself, the nearest to the truth there on 24 calibration photographs of 2 pictures"
