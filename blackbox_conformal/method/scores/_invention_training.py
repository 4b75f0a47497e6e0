"""Learn the last layer of the score `predicted-invention` anew, from answers whose truth is known.

The layer sees what the layer before it says, and what the first layer sees. Its weights minimise the weighted
cross-entropy of the expected share, with a ridge penalty (Hoerl and Kennard 1970) that pulls them to where learning
begins. That is convex, and few photographs suffice. Each photograph is judged by weights that the others taught.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.scores._learned_training import DOUBT, THRESHOLDS, Learned, Trusted, swept
from blackbox_conformal.method.scores._weights_file import Arrays
from blackbox_conformal.method.scores.predicted_invention import LEAST, LITTLE, Features, last_hidden
from blackbox_conformal.support.types import Map

Vector = npt.NDArray[np.float64]

KEPT = 64  # Cells on a side of the middle that is kept of each picture.
FOLDS = 5
RIDGES = 0.03, 0.3, 3.0  # Of the penalty, where a photograph's loss weighs 1 on average.
FITS = FOLDS * len(RIDGES)
STEPS = 30  # Of Newton's method; far fewer are needed.
# Shares of the invention that may be clear: those of levels in use.
LEVELS = 0.1, 0.15, 0.2, 0.25, 0.3


@dataclass(frozen=True, slots=True)
class InventionLesson:
    """The middle of an answer whose truth is known: n cells, each (n,) float32 but for `inputs`."""

    inputs: npt.NDArray[np.float16]  # Of the last layer: the layer before it, and what the first sees; (n, C + F).
    added: npt.NDArray[np.float32]  # The factor of the score by what was added, in (0, 1].
    invented: npt.NDArray[np.float32]  # Energy of invented detail, >= 0.
    whole: npt.NDArray[np.float32]  # Energy of all added detail, >= `invented`.

    @classmethod
    def of(cls, weights: Arrays, seen: Features, added: Map, energies: Energies) -> "InventionLesson":
        """The middle of a picture: what the network sees, (F, h, w), what was added, (h, w), and pixels' energies."""
        height, width = added.shape
        scale = len(energies.whole) // height
        part, whole = (values.reshape(height, scale, width, scale).mean(axis=(1, 3)) for values in energies)
        rows, columns = (slice(start := max(0, side - KEPT) // 2, start + KEPT) for side in (height, width))
        middle = np.ascontiguousarray(seen[:, rows, columns])
        inputs = np.concatenate((last_hidden(weights, middle), middle))
        # Half precision halves the memory of all lessons, and is finer than the features' noise.
        kept = inputs.reshape(len(inputs), -1).T.astype(np.float16)
        planes = (plane[rows, columns].ravel() for plane in (added / (added + LITTLE - LEAST), part, whole))
        return cls(kept, *planes)

    def columns(self) -> npt.NDArray[np.float32]:
        """Inputs of the last layer, and 1 for its bias: (n, C + F + 1)."""
        return np.pad(self.inputs.astype(np.float32), ((0, 0), (0, 1)), constant_values=1)

    @property
    def shares(self) -> npt.NDArray[np.float32]:
        """The invented share, (n,)."""
        return self.invented / (self.whole + LEAST)

    @property
    def weights(self) -> Vector:
        """As the network was trained: cells count by energy, and no single picture decides; (n,)."""
        counted: Vector = (self.whole + LEAST) / np.sqrt(self.whole.mean(dtype=np.float64) + 9)
        return counted


def learn_invention(
    given: Arrays, lessons: Sequence[InventionLesson], seed: int, on_step: Callable[[int], None] = lambda _: None
) -> Learned:
    """Learn from `lessons`, beginning with the weights `given`.

    The same lessons in the same order and the same seed give the same bytes on one machine. Some lesson must have
    invented detail, and some right detail. `on_step` is called with the number of each of `FITS`, and ends it by
    raising.
    """
    random, start = np.random.default_rng(seed), _last_layer(given)
    folds = random.permutation(len(lessons)) % FOLDS
    begun = _trusted([start] * len(lessons), lessons)
    judged = list[tuple[Trusted, float]]()
    for ridge in RIDGES:
        layers = list[Vector]()
        for fold in range(FOLDS):
            on_step(len(judged) * FOLDS + fold + 1)
            others = [one for one, other in zip(lessons, folds, strict=True) if other != fold]
            layers.append(_fitted(start, others, ridge))
        judged.append((_trusted([layers[fold] for fold in folds], lessons), ridge))
    after, ridge = max(judged, key=lambda one: one[0].share)
    gain = after.least_gain(begun, DOUBT / len(RIDGES), random)
    if gain <= 0:
        return Learned(None, begun.share, begun.share, begun.share, begun.share, gain)
    layer = _fitted(start, lessons, ridge)
    taught = _trusted([layer] * len(lessons), lessons)
    return Learned(_with_last_layer(given, layer), begun.share, after.share, begun.share, taught.share, gain)


def _last_layer(weights: Arrays) -> Vector:
    """One weight for each of `InventionLesson.columns`."""
    skip = weights.get("skip", np.zeros((1, weights["first"].shape[1])))
    return np.concatenate((weights["last"][0], skip[0], weights["last_bias"])).astype(np.float64)


def _with_last_layer(weights: Arrays, layer: Vector) -> Arrays:
    channels, values = weights["last"].shape[1], layer.astype(np.float32)
    return weights | {"last": values[None, :channels], "skip": values[None, channels:-1], "last_bias": values[-1:]}


def _fitted(start: Vector, lessons: Sequence[InventionLesson], ridge: float) -> Vector:
    """The last layer that fits `lessons` best, found by Newton's method."""
    total = sum(float(one.weights.sum()) for one in lessons)
    means: Vector = np.sum([one.weights @ one.columns() for one in lessons], axis=0) / total
    squares = np.sum([one.weights @ (one.columns() - means) ** 2 for one in lessons], axis=0) / total
    # In units of its deviation each input is pulled alike; one that never changes stays where it is.
    deviations: Vector = np.sqrt(np.maximum(squares, 1e-6))
    # The constant stays as it is, and is not pulled.
    means[-1], deviations[-1] = 0, 1
    penalty = np.full(len(start), ridge / len(lessons))
    penalty[-1] = 0

    def bowl(moved: Vector) -> tuple[float, Vector, Vector]:
        """The penalised cross-entropy, its gradient and its second derivatives."""
        loss, slope, bend = float(penalty @ moved**2) / 2, penalty * moved, np.diag(penalty + 1e-9)
        for one in lessons:
            columns = one.columns()
            scaled = ((columns - means) / deviations).astype(np.float32)
            logit, weights = columns @ start + scaled @ moved, one.weights / total
            expected = _sigmoid(logit)
            loss += float(weights @ (np.logaddexp(0, logit) - one.shares * logit))
            slope += scaled.T @ (weights * (expected - one.shares))
            bend += (scaled.T * (weights * expected * (1 - expected))) @ scaled
        return loss, slope, bend

    moved = np.zeros(len(start))
    loss, slope, bend = bowl(moved)
    for _ in range(STEPS):
        step = np.linalg.solve(bend, slope)
        # Far from the minimum a whole step may lead too far.
        while (found := bowl(moved - step))[0] > loss + 1e-12:
            step /= 2
        moved, (loss, slope, bend) = moved - step, found
        if np.abs(step).max() < 1e-6:
            break
    by = moved / deviations
    by[-1] -= float(by[:-1] @ means[:-1])
    return start + by


def _sigmoid(logit: Vector) -> Vector:
    # Far from 0 an exponential would overflow.
    return 0.5 + 0.5 * np.tanh(logit / 2)


def _trusted(layers: Sequence[Vector], lessons: Sequence[InventionLesson]) -> Trusted:
    """What is clear of each picture's invention, and of its right detail, by the score with its own last layer."""
    maps = [_sigmoid(one.columns() @ layer) * one.added for layer, one in zip(layers, lessons, strict=True)]
    losses, shares = np.zeros((2, len(lessons), THRESHOLDS))
    for place, (one, (order, count)) in enumerate(zip(lessons, swept(maps), strict=True)):
        for found, energies in ((losses, one.invented), (shares, one.whole - one.invented)):
            running = np.append(0.0, np.cumsum(energies[order], dtype=np.float64))
            found[place] = running[count] / max(running[-1], 1e-9)
    return Trusted(losses, shares, LEVELS)
