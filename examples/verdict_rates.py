"""How often an audit ends in each verdict: simulated over populations with ties, 0/1 losses and heavy tails.

    python examples/verdict_rates.py --audits 400

All photographs share 24 scores, so thresholds lie on ties. The loss bound is 1 and alpha is 0.1. Each audit draws new
calibration and audit photographs. The mean risk over calibrations is computed from 100 000 photographs, so it is known
whether the guarantee holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import figures
import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.permutation import resplit_risks
from blackbox_conformal.method.audits.verdict import Judgement, judge
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve_set import CurveSet

ALPHA = 0.1
LEVELS = 24
SCORES = (np.arange(1, LEVELS + 1) / 32).astype(np.float32)
GRID = np.arange(1, LEVELS + 1) / LEVELS
BELOW_THE_BOUND = 1 - 1e-3 * (LEVELS - np.arange(LEVELS))

Losses = NDArray[np.float32]
Population = Callable[[np.random.Generator, int, float], Losses]
"""From a generator, a number of photographs and the share of hard ones to their losses at each score."""


def _on_8_bits(losses: NDArray[np.float64]) -> Losses:
    return np.minimum(np.round(losses * 255) / 255, BELOW_THE_BOUND).astype(np.float32)


def ties(rng: np.random.Generator, count: int, hard: float) -> Losses:
    """Losses that grow evenly with the score; a share `hard` of the photographs is about twice as hard."""
    top = np.where(rng.random(count) < hard, rng.uniform(0.4, 0.6, count), rng.uniform(0.1, 0.3, count))
    return _on_8_bits(top[:, None] * GRID)


def dire(rng: np.random.Generator, count: int, hard: float) -> Losses:
    """As `ties`, all losses doubled."""
    return _on_8_bits(2.0 * ties(rng, count, hard).astype(np.float64))


def varied(rng: np.random.Generator, count: int, hard: float) -> Losses:
    """Hard photographs lose early and much, easy ones late; losses jump at every second score."""
    harder = rng.random(count) < hard
    top = np.where(harder, rng.uniform(0.5, 0.9, count), rng.uniform(0.05, 0.35, count))
    paired = np.ceil(np.arange(1, LEVELS + 1) / 2) * 2 / LEVELS
    return _on_8_bits(top[:, None] * paired ** np.where(harder, 1.0, 1.5)[:, None])


def binary(rng: np.random.Generator, count: int, hard: float) -> Losses:
    """Losses of 0 or 1: a photograph has loss 1 from one of the scores on; many never do."""
    lost = np.where(rng.random(count) < hard, rng.integers(0, LEVELS, count), rng.integers(6, 4 * LEVELS, count))
    return (np.arange(LEVELS) >= lost[:, None]).astype(np.float32)


def heavy(rng: np.random.Generator, count: int, hard: float) -> Losses:
    """Most photographs are easy, a few lose nearly everything (Pareto 1.1)."""
    top = 0.02 * (rng.pareto(1.1, count) + 1) * np.where(rng.random(count) < hard, 3, 1)
    return (np.minimum(top, 1)[:, None] * GRID).astype(np.float32)


@dataclass(frozen=True)
class Rates:
    """Shares of the audits; `different`: a mean above alpha and a permutation test at 5 %, whatever the verdict."""

    true_risk: float
    different: float
    confirmed: float
    inconclusive: float
    shifted: float
    contradicted: float


def _curves(losses: Losses) -> CurveSet:
    steps = np.diff(losses, prepend=np.float32(0)) > 0
    offsets = np.r_[0, np.cumsum(steps.sum(axis=1))]
    no_areas = np.empty(0, np.float32)
    scores = np.broadcast_to(SCORES, losses.shape)[steps]
    return CurveSet(offsets, scores, losses[steps], np.zeros_like(offsets), no_areas, no_areas, 1.0)


def _audit(known: Losses, unseen: Losses) -> tuple[float, Judgement]:
    calibrating, audited = _curves(known), _curves(unseen)
    threshold = Expected().threshold(calibrating, ALPHA)
    losses = audited.losses_at(threshold)
    resplit = None
    if losses.mean() > ALPHA:
        found = resplit_risks(Expected(), _curves(np.r_[known, unseen]), len(calibrating), [ALPHA])
        resplit = None if found is None else found[:, 0]
    return threshold, judge(losses, ALPHA, 1.0, resplit, known=calibrating.losses_at(threshold))


def rates(
    population: Population,
    n: int,
    m: int,
    hard: float,
    harder: float | None = None,
    *,
    audited: Population | None = None,
    audits: int = 400,
) -> Rates:
    """Calibrate on `n` photographs of which a share `hard` is hard, audit `m` others of which a share `harder` is."""
    audited, harder = audited or population, hard if harder is None else harder
    mean = np.r_[0.0, audited(np.random.default_rng(1), 100_000, harder).mean(axis=0)]
    thresholds, found = [], []
    for seed in range(audits):
        rng = np.random.default_rng(seed)
        threshold, judgement = _audit(population(rng, n, hard), audited(rng, m, harder))
        thresholds.append(threshold)
        found.append(judgement)
    verdicts = [one.verdict for one in found]
    return Rates(
        float(np.mean(mean[np.searchsorted(SCORES, thresholds)])),
        float(np.mean([one.risk > ALPHA and one.p_value <= LEVEL for one in found])),
        *(verdicts.count(name) / audits for name in ("confirmed", "inconclusive", "shifted", "contradicted")),
    )


def main() -> None:
    """Print the table of docs/audits.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=400, help="Simulated audits a row.  [default: 400]")
    figures.save_option(parser)
    options = parser.parse_args()
    columns = ["population", "n, m", "true mean risk", "confirmed", "inconclusive", "shifted", "contradicted"]
    figures.heading(columns)
    heavy_tails = "heavy tails (Pareto 1.1)"
    populations: list[tuple[str, Population, int, int, float, float, Population]] = [
        (f"{name}, good", one, 40, m, 0.2, 0.2, one)
        for name, one in (("ties", ties), ("0/1 losses", binary), (heavy_tails, heavy))
        for m in (15, 60, 200)
    ]
    populations += [
        ("ties, hard 10 % to 36 %", ties, 40, 200, 0.1, 0.36, ties),
        ("ties, jumps at every second score, hard 10 % to 30 %", varied, 20, 60, 0.1, 0.3, varied),
        ("0/1 losses, hard 10 % to 60 %", binary, 40, 200, 0.1, 0.6, binary),
        (f"{heavy_tails}, hard 10 % to 90 %", heavy, 40, 200, 0.1, 0.9, heavy),
        ("ties, all hard, losses doubled", ties, 40, 60, 0.0, 1.0, dire),
    ]
    rows = []
    for name, population, n, m, hard, harder, audited in populations:
        found = rates(population, n, m, hard, harder, audited=audited, audits=options.audits)
        shares = (found.confirmed, found.inconclusive, found.shifted, found.contradicted)
        told = [f"{100 * share:.3g} %" for share in shares]
        rows.append(figures.printed([name, f"{n}, {m}", f"{found.true_risk:.3f}", *told]))
    if options.save:
        figures.save("audits", "verdicts", {"columns": columns, "rows": rows})


if __name__ == "__main__":
    main()
