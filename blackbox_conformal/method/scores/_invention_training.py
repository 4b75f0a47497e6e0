"""Learn the last layer of the score `predicted-invention` anew, from answers whose truth is known.

Weights are added to those of the last layer, and a linear part on what the first layer sees, so that the weighted
cross-entropy of the expected share is smallest, with a ridge penalty (Hoerl and Kennard 1970) that pulls them to 0.
That is convex, and few photographs suffice. Each photograph is judged by weights that the others taught.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.scores._learned_training import DOUBT, Learned, Trusted
from blackbox_conformal.method.scores._weights_file import Arrays
from blackbox_conformal.method.scores.predicted_invention import (
    LEAST,
    LITTLE,
    Features,
    expected_share,
    last_hidden,
)
from blackbox_conformal.support.types import Map

Vector = npt.NDArray[np.float64]

KEPT = 64  # Cells on a side of the middle that is kept of each picture.
FOLDS = 5
RIDGES = 0.03, 0.3, 3.0  # Of the penalty, where a photograph's loss weighs 1 on average.
STEPS = 30  # Of Newton's method; far fewer are needed.
THRESHOLDS = 500
# Shares of the invention that may be clear: those of levels in use.
LEVELS = 0.1, 0.15, 0.2, 0.25, 0.3


@dataclass(frozen=True, slots=True)
class InventionLesson:
    """The middle of an answer whose truth is known: n cells."""

    seen: npt.NDArray[np.float16]  # What the network sees, (F, h, w) float16.
    added: Map  # The factor of the score by what was added, (h, w) float32 in (0, 1].
    invented: Map  # Energy of invented detail, (h, w) float32, >= 0.
    whole: Map  # Energy of all added detail, (h, w) float32, >= `invented`.

    @classmethod
    def of(cls, seen: Features, added: Map, energies: Energies) -> "InventionLesson":
        """The middle of a picture, of (F, h, w) and (h, w) float32 and energies of pixels."""
        height, width = added.shape
        scale = len(energies.whole) // height
        part, whole = (values.reshape(height, scale, width, scale).mean(axis=(1, 3)) for values in energies)
        rows, columns = (slice(start := max(0, side - KEPT) // 2, start + KEPT) for side in (height, width))
        factor = (added / (added + LITTLE - LEAST))[rows, columns]
        # Half precision halves the memory of all lessons, and is finer than the features' noise.
        kept = seen[:, rows, columns].astype(np.float16)
        return cls(kept, np.ascontiguousarray(factor), part[rows, columns], whole[rows, columns])


def learn_invention(
    given: Arrays, lessons: Sequence[InventionLesson], seed: int, on_step: Callable[[int], None] = lambda _: None
) -> Learned:
    """Learn from `lessons`, beginning with the weights `given`.

    The same lessons in the same order and the same seed give the same bytes on one machine. Some lesson must have
    invented detail, and some right detail. `on_step` is called with the number of each fit, and ends it by raising.
    """
    random = np.random.default_rng(seed)
    folds = random.permutation(len(lessons)) % FOLDS
    rows = [_rows(given, one) for one in lessons]
    begun = _judged(given, lessons)
    best, step = None, 0
    for ridge in RIDGES:
        maps = dict[int, Map]()
        for fold in range(FOLDS):
            on_step(step := step + 1)
            fitted = _fitted(given, [one for one, other in zip(rows, folds, strict=True) if other != fold], ridge)
            maps |= {place: _score(fitted, lessons[place]) for place in map(int, np.flatnonzero(folds == fold))}
        found = _trusted([maps[place] for place in range(len(lessons))], lessons)
        if best is None or found.share > best[0].share:
            best = found, ridge
    assert best is not None
    after, ridge = best
    gain = after.least_gain(begun, DOUBT / len(RIDGES), random)
    if gain <= 0:
        return Learned(None, begun.share, begun.share, begun.share, begun.share, gain)
    weights = _fitted(given, rows, ridge)
    return Learned(weights, begun.share, after.share, begun.share, _judged(weights, lessons).share, gain)


def most_steps() -> int:
    """How often `on_step` is called."""
    return FOLDS * len(RIDGES)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Cells of one lesson as the fit wants them."""

    inputs: npt.NDArray[np.float32]  # (n, C + F + 1): what the last layer sees, what the first sees, and 1.
    base: npt.NDArray[np.float32]  # (n,): the logit of the weights that learning begins with.
    shares: npt.NDArray[np.float32]  # (n,): the invented share.
    weights: npt.NDArray[np.float32]  # (n,)

    def scaled(self, means: Vector, deviations: Vector) -> npt.NDArray[np.float32]:
        """Inputs of mean 0 and deviation 1, but for the last, which is 1."""
        found = ((self.inputs - means) / deviations).astype(np.float32)
        found[:, -1] = 1
        return found


def _rows(given: Arrays, lesson: InventionLesson) -> _Rows:
    seen = lesson.seen.astype(np.float32)
    hidden = last_hidden(given, seen)
    inputs = np.concatenate((hidden, seen, np.ones_like(seen[:1]))).reshape(len(hidden) + len(seen) + 1, -1).T
    share = np.clip(expected_share(given, seen), 1e-6, 1 - 1e-6).ravel()
    whole = lesson.whole.ravel()
    # As the network was trained: cells count by energy, and no single picture decides.
    weights = (whole + LEAST) / np.sqrt(whole.mean() + 9)
    return _Rows(inputs, np.log(share / (1 - share)), lesson.invented.ravel() / (whole + LEAST), weights)


def _fitted(given: Arrays, rows: Sequence[_Rows], ridge: float) -> Arrays:
    """The weights that fit `rows` best, found by Newton's method."""
    total = sum(float(one.weights.sum()) for one in rows)
    means: Vector = np.sum([one.weights.astype(np.float64) @ one.inputs for one in rows], axis=0) / total
    squares = [one.weights.astype(np.float64) @ (one.inputs - means) ** 2 for one in rows]
    # In units of its deviation each input is pulled alike; one that never changes stays where it is.
    deviations: Vector = np.sqrt(np.maximum(np.sum(squares, axis=0) / total, 1e-6))
    penalty = np.full(len(means), ridge / len(rows))
    penalty[-1] = 0  # The constant is not pulled.
    scaled = [_Rows(one.scaled(means, deviations), one.base, one.shares, one.weights / total) for one in rows]
    moved, (loss, slope, bend) = np.zeros(len(means)), _bowl(scaled, np.zeros(len(means)), penalty)
    for _ in range(STEPS):
        step = np.linalg.solve(bend, slope)
        # Far from the minimum a whole step may lead too far.
        while (found := _bowl(scaled, moved - step, penalty))[0] > loss + 1e-12:
            step /= 2
        moved, (loss, slope, bend) = moved - step, found
        if np.abs(step).max() < 1e-6:
            break
    by = moved / deviations
    by[-1] = moved[-1] - float(by[:-1] @ means[:-1])
    channels = given["last"].shape[1]
    skip = given.get("skip", np.zeros((1, len(by) - channels - 1)))
    changed = {
        "last": given["last"] + by[:channels],
        "skip": skip + by[channels:-1],
        "last_bias": given["last_bias"] + by[-1],
    }
    return given | {name: values.astype(np.float32) for name, values in changed.items()}


def _bowl(rows: Sequence[_Rows], moved: Vector, penalty: Vector) -> tuple[float, Vector, Vector]:
    """The penalised cross-entropy at `moved`, its gradient, and its second derivatives."""
    loss, slope, bend = float(penalty @ moved**2) / 2, penalty * moved, np.diag(penalty + 1e-9)
    for one in rows:
        logit = one.base + one.inputs @ moved
        expected = 0.5 + 0.5 * np.tanh(logit / 2)
        loss += float(one.weights @ (np.logaddexp(0, logit) - one.shares * logit))
        slope += one.inputs.T @ (one.weights * (expected - one.shares))
        bend += (one.inputs.T * (one.weights * expected * (1 - expected))) @ one.inputs
    return loss, slope, bend


def _score(weights: Arrays, lesson: InventionLesson) -> Map:
    found: Map = expected_share(weights, lesson.seen.astype(np.float32)) * lesson.added
    return found


def _judged(weights: Arrays, lessons: Sequence[InventionLesson]) -> Trusted:
    return _trusted([_score(weights, one) for one in lessons], lessons)


def _trusted(maps: Sequence[Map], lessons: Sequence[InventionLesson]) -> Trusted:
    """What is clear at thresholds that split all cells evenly: of each picture's invention, and of its right detail."""
    thresholds = np.quantile(np.concatenate([one.ravel() for one in maps]), np.linspace(0, 1, THRESHOLDS))
    losses, shares = np.zeros((2, len(lessons), THRESHOLDS))
    for place, (values, lesson) in enumerate(zip(maps, lessons, strict=True)):
        # Stable, so that ties are in one order on every machine.
        order = np.argsort(values, axis=None, kind="stable")
        count = np.searchsorted(values.ravel()[order], thresholds, side="right")
        right = lesson.whole - lesson.invented
        for found, energies in ((losses, lesson.invented), (shares, right)):
            running = np.append(0.0, np.cumsum(energies.ravel()[order], dtype=np.float64))
            found[place] = running[count] / max(running[-1], 1e-9)
    return Trusted(losses, shares, LEVELS)
