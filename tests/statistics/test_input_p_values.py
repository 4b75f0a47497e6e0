"""Comparisons of inputs keep their levels, with ties and statistics that depend on each other; a control must not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from support.synthetic import photograph

from blackbox_conformal.method.audits.input_shift import compare, place
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics

Rows = NDArray[np.float64]
Population = Callable[[np.random.Generator, int], Rows]
LEVELS = (0.01, 0.05, 0.1, 0.2)
COLUMNS = len(STATISTICS)


def tied(rng: np.random.Generator, count: int) -> Rows:
    """Three values a statistic, one of which stands for half of all inputs."""
    return rng.choice([0.0, 0.25, 0.5], (count, COLUMNS), p=[0.5, 0.3, 0.2])


def dependent(rng: np.random.Generator, count: int) -> Rows:
    """All statistics are one, up to a little, and have heavy tails."""
    return np.clip(rng.standard_t(2, (count, 1)) / 20 + rng.normal(0, 0.01, (count, COLUMNS)) + 0.5, 0, 1)


def all_equal(rng: np.random.Generator, count: int) -> Rows:
    """One input, again and again."""
    return np.full((count, COLUMNS), 0.5)


def drawn(population: Population, rng: np.random.Generator, count: int) -> InputStatistics:
    return InputStatistics(population(rng, count).astype(np.float32))


def refuse_more(found: list[float], trials: int) -> None:
    """P(p <= e) is at most e, up to three standard errors."""
    for level in LEVELS:
        share = np.mean([p_value <= level for p_value in found])
        assert share <= level + 3 * (level * (1 - level) / trials) ** 0.5, (
            f"{share:.4f} of {trials} p-values <= {level}"
        )


@pytest.mark.parametrize("population", [tied, dependent, all_equal])
@pytest.mark.parametrize(("n", "m"), [(12, 3), (30, 20)])
def test_like_inputs_are_called_different_no_more_often_than_the_level(population: Population, n: int, m: int) -> None:
    trials = 800
    rng = np.random.default_rng(n)
    found = [
        compare(drawn(population, rng, n), drawn(population, rng, m), seed=trial, permutations=199).p_value
        for trial in range(trials)
    ]
    refuse_more(found, trials)


@pytest.mark.parametrize("population", [tied, dependent, all_equal])
@pytest.mark.parametrize("n", [5, 19, 120])
def test_a_like_input_is_outside_no_more_often_than_the_level(population: Population, n: int) -> None:
    trials = 2000
    rng = np.random.default_rng(n)
    placed = [place(drawn(population, rng, n), drawn(population, rng, 1)) for _ in range(trials)]
    refuse_more([placement.p_value for placement in placed if placement is not None], trials)
    assert len(placed) == trials


def test_a_rank_that_counts_ties_as_nearer_would_break_its_level() -> None:
    trials, n = 2000, 19
    rng = np.random.default_rng(1)
    broken = []
    for _ in range(trials):
        values = rng.choice([0.0, 0.5], n + 1)
        broken.append((1 + np.count_nonzero(values[:-1] > values[-1])) / (n + 1))
    with pytest.raises(AssertionError, match=r"p-values <= 0\.05"):
        refuse_more(broken, trials)


def test_compressed_inputs_are_outside_of_clean_ones() -> None:
    def row(seed: int, quality: int | None) -> InputStatistics:
        low = PillowImage.fromarray(photograph(seed, (128, 160))).resize((80, 64), PillowImage.Resampling.BICUBIC)
        if quality is not None:
            file = io.BytesIO()
            low.save(file, "JPEG", quality=quality)
            low = PillowImage.open(file).convert("RGB")
        return InputStatistics.of(np.array(low))

    known = InputStatistics.together(row(seed, None) for seed in range(120))
    clean = [place(known, row(seed, None)) for seed in range(200, 260)]
    compressed = [place(known, row(seed, 20)) for seed in range(200, 260)]
    assert sum(placement.p_value <= 0.01 for placement in compressed if placement) >= 54
    assert sum(placement.p_value <= 0.01 for placement in clean if placement) <= 4
