"""Learn the weights of the score `learned` anew, by gradient steps on what masks of given photographs are worth.

For a multiplier p a mask M is worth ``largest error in M - p * share of M``, which is to be small: the trade that the
whole network was fitted to (see `learned.py`). Steps begin with given weights and follow the
gradient of that through every layer, with Adam (Kingma and Ba 2015).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from blackbox_conformal.method.kernels.layers import convolved
from blackbox_conformal.method.scores._learned_network import DILATIONS, Features, spread
from blackbox_conformal.method.scores._weights_file import Arrays
from blackbox_conformal.support.types import Map

Vector = npt.NDArray[np.float64]

STEPS, BATCH = 100, 8
SIDE = 64  # Cells on a side of the crops that a step looks at.
KEPT = 128  # Cells on a side of the middle that is kept of each photograph.
# Prices, in units of the usual largest error of a whole picture.
LOWEST, HIGHEST = 0.1, 3.0
SHARPNESS = 10.0  # Of the soft maximum over a picture's errors, in the same unit.
TEMPERATURES = 0.5, 0.12  # Of the soft mask, at the first and at the last step.
# Of Adam, and the largest norm of a gradient, in units of the root of the usual error.
RATE, DECAYS, LONGEST = 0.001, (0.9, 0.999), 1.0
LEAST_DEVIATION = 0.05  # A feature that hardly changes says nothing of these photographs, and is not enlarged.
# Steps after which the photographs that do not teach are looked at, and thresholds that are tried on them.
LOOKED, THRESHOLDS = 20, 500
# Of the photographs that do not teach, and how often weights that gain nothing may seem to, over all looks.
RESAMPLES, DOUBT = 2000, 0.05
# Averages of the largest trusted error that are of use, in the same unit as multipliers.
LEVELS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One picture whose errors are known."""

    maps: npt.NDArray[np.float16]  # Its features, (F, h, w) float16.
    mean: npt.NDArray[np.float32]  # Their mean over the whole picture, (F,) float32.
    errors: Map  # The largest error in each cell, (h, w) float32, >= 0.

    @classmethod
    def of(cls, features: Features, errors: Map) -> "Lesson":
        """The middle of a picture, of (F, h, w) and (h, w) float32."""
        top, left = (max(0, side - KEPT) // 2 for side in errors.shape)
        rows, columns = slice(top, top + KEPT), slice(left, left + KEPT)
        # Of the whole picture and not of its middle: the score sees whole pictures, too.
        mean = features.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        # Half precision halves the memory of all lessons, and is finer than the features' noise.
        return cls(features[:, rows, columns].astype(np.float16), mean, np.ascontiguousarray(errors[rows, columns]))


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned."""

    # None where none surely made better masks than those that it began with.
    weights: Arrays | None
    # The share of the photographs that did not teach that can be trusted; see `Trusted`.
    before: float
    after: float
    # The same for the photographs that taught.
    taught_before: float
    taught_after: float
    # What the best weights gain at least on photographs that did not teach, with confidence 1 - `DOUBT`; not above 0
    # where none were kept.
    least_gain: float = 0.0


@dataclass(frozen=True, slots=True)
class _Scale:
    """Makes features of mean 0 and deviation 1, which steps of one size suit."""

    mean: npt.NDArray[np.float32]
    deviation: npt.NDArray[np.float32]

    @classmethod
    def of(cls, lessons: Sequence[Lesson]) -> "_Scale":
        means = np.stack([one.maps.mean(axis=(1, 2), dtype=np.float64) for one in lessons])
        mean: Vector = means.mean(axis=0)
        squares = [((one.maps - mean[:, None, None]) ** 2).mean(axis=(1, 2), dtype=np.float64) for one in lessons]
        # A feature that hardly varies would be blown up to noise.
        deviation = np.maximum(np.sqrt(np.mean(squares, axis=0)), LEAST_DEVIATION)
        return cls(mean.astype(np.float32), deviation.astype(np.float32))

    def scaled(self, maps: npt.NDArray[np.float16]) -> Features:
        """(F, h, w) float32."""
        found: Features = (maps - self.mean[:, None, None]) / self.deviation[:, None, None]
        return found

    def into(self, weights: Arrays) -> Arrays:
        """The same network on scaled features."""
        enlarged: Arrays = {name: weights[name] * self.deviation for name in ("head", "picture", "skip")}
        found: Arrays = {**{name: values.copy() for name, values in weights.items()}, **enlarged}
        # w (x - mean) / deviation + b is the same function of x with other weights and another bias.
        found["head_bias"] = (weights["head_bias"] + (weights["head"] + weights["picture"]) @ self.mean).astype(
            np.float32
        )
        found["tail_bias"] = (weights["tail_bias"] + weights["skip"] @ self.mean).astype(np.float32)
        return found

    def out_of(self, weights: Arrays) -> Arrays:
        """The same network on features as they are."""
        found = weights | {name: weights[name] / self.deviation for name in ("head", "picture", "skip")}
        found["head_bias"] = (weights["head_bias"] - (found["head"] + found["picture"]) @ self.mean).astype(np.float32)
        found["tail_bias"] = (weights["tail_bias"] - found["skip"] @ self.mean).astype(np.float32)
        return found


class Pass:
    """One picture through the network, kept so that a gradient can come back through it.

    `maps`, `mean`: Scaled features, (F, h, w) float32, and their mean over the whole picture, (F,) float32.
    """

    def __init__(self, weights: Arrays, maps: Features, mean: npt.NDArray[np.float32]) -> None:
        self.weights, self.maps, self.mean = weights, maps, mean
        shift = weights["head_bias"] + weights["picture"] @ mean
        hidden = convolved(maps, weights["head"][:, :, None, None], shift, 1)
        self.active = []
        for k, dilation in enumerate(DILATIONS):
            self.active.append(np.maximum(hidden, 0))
            hidden = hidden + convolved(self.active[-1], weights[f"body_{k}"], weights[f"body_{k}_bias"], dilation)
        self.active.append(np.maximum(hidden, 0))
        last = np.tensordot(weights["tail"][0], self.active[-1], 1) + np.tensordot(weights["skip"][0], maps, 1)
        self.log_multipliers: Map = last + weights["tail_bias"][0]

    def gradient(self, by_multipliers: Map) -> Arrays:
        """The gradient by every weight of what has the gradient `by_multipliers`, (h, w) float32, by the output."""
        weights = self.weights
        found = {"tail_bias": by_multipliers.sum(keepdims=True).reshape(1)}
        found["tail"], found["skip"] = (
            _by_planes(by_multipliers[None], planes) for planes in (self.active[-1], self.maps)
        )
        # A rectified value passes the gradient on where it was above 0.
        back = weights["tail"][0][:, None, None] * by_multipliers * (self.active[-1] > 0)
        none = np.zeros(len(back), np.float32)
        for k, dilation in reversed(list(enumerate(DILATIONS))):
            found[f"body_{k}"] = _by_taps(back, self.active[k], dilation)
            found[f"body_{k}_bias"] = back.sum(axis=(1, 2))
            # The gradient of a convolution is a convolution with turned taps, inputs and outputs exchanged.
            turned = np.ascontiguousarray(weights[f"body_{k}"].transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
            # The layer is residual, so the gradient passes it twice: around it and through it.
            back = back + convolved(np.ascontiguousarray(back), turned, none, dilation) * (self.active[k] > 0)
        found["head"], found["head_bias"] = _by_planes(back, self.maps), back.sum(axis=(1, 2))
        found["picture"] = np.outer(found["head_bias"], self.mean)
        return found


def _by_planes(back: Features, planes: Features) -> npt.NDArray[np.float32]:
    """(outputs, inputs): how much outputs, of which `back` is the gradient, change with each weight of `planes`."""
    found: npt.NDArray[np.float32] = back.reshape(len(back), -1) @ planes.reshape(len(planes), -1).T
    return found


def _by_taps(back: Features, planes: Features, dilation: int) -> npt.NDArray[np.float32]:
    """The same for 3 × 3 weights whose taps lie `dilation` apart: (outputs, inputs, 3, 3)."""
    height, width = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (dilation, dilation), (dilation, dilation)))
    found = np.empty((len(back), len(planes), 3, 3), np.float32)
    for y in range(3):
        for x in range(3):
            top, left = y * dilation, x * dilation
            found[:, :, y, x] = _by_planes(back, padded[:, top : top + height, left : left + width])
    return found


def learn(
    given: Arrays,
    teaching: Sequence[Lesson],
    measuring: Sequence[Lesson],
    seed: int,
    on_step: Callable[[int], None] = lambda _: None,
) -> Learned:
    """Begin with the weights `given`, take `STEPS` steps on `teaching`, and keep the best weights by `measuring`.

    The same lessons in the same order and the same seed give the same bytes on one machine. The largest errors of some
    teaching lesson must be above 0. `on_step` is called with the number of each step, and ends it by raising.
    """
    usual, scale, random = usual_error(teaching), _Scale.of(teaching), np.random.default_rng(seed)
    weights = scale.into(given)
    best = {name: values.copy() for name, values in weights.items()}
    first_look = best_look = Trusted.of(weights, scale, measuring, usual)
    taught_before = trusted_share(weights, scale, teaching, usual)
    first, last = TEMPERATURES
    means, squares = ({name: np.zeros_like(values) for name, values in weights.items()} for _ in DECAYS)
    for step in range(1, STEPS + 1):
        on_step(step)
        # The mask hardens over the first 80 % of the steps, and stays sharp for the rest.
        temperature = first * (last / first) ** min(1.0, step / (0.8 * STEPS))
        gradient = _batch_gradient(weights, scale, teaching, usual, temperature, random)
        # Half a cosine: large steps first, none at the end.
        size = RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
        for name, by in gradient.items():
            means[name] = DECAYS[0] * means[name] + (1 - DECAYS[0]) * by
            squares[name] = DECAYS[1] * squares[name] + (1 - DECAYS[1]) * by**2
            # Adam's correction of averages that began at 0.
            mean, square = means[name] / (1 - DECAYS[0] ** step), squares[name] / (1 - DECAYS[1] ** step)
            weights[name] = (weights[name] - size * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)
        # Few looks, since each goes over all photographs that do not teach.
        if step % LOOKED == 0 or step == STEPS:
            found = Trusted.of(weights, scale, measuring, usual)
            if found.share > best_look.share:
                best, best_look = dict(weights), found
    before, gain = first_look.share, best_look.least_gain(first_look, DOUBT / math.ceil(STEPS / LOOKED), random)
    if gain <= 0:
        return Learned(None, before, before, taught_before, taught_before, gain)
    taught_after = trusted_share(best, scale, teaching, usual)
    return Learned(scale.out_of(best), before, best_look.share, taught_before, taught_after, gain)


def usual_error(lessons: Sequence[Lesson]) -> float:
    """The median over pictures of the largest error that is not 0; 0 where all are."""
    largest = [float(one.errors.max()) for one in lessons]
    return float(np.median([error for error in largest if error > 0] or [0.0]))


def trusted_share(weights: Arrays, scale: _Scale, lessons: Sequence[Lesson], usual: float) -> float:
    """The share of cells of the lessons that can be trusted; see `Trusted`."""
    return Trusted.of(weights, scale, lessons, usual).share


@dataclass(frozen=True, eq=False)
class Trusted:
    """What masks of n pictures lose and trust at each of T thresholds."""

    # (n, T) float64: what is lost, here the largest trusted error in units of the usual one, and the share of what can
    # be trusted, here of cells.
    losses: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]
    # Averages of what is lost that are of use.
    levels: tuple[float, ...] = LEVELS

    @classmethod
    def of(cls, weights: Arrays, scale: _Scale, lessons: Sequence[Lesson], usual: float) -> "Trusted":
        """At thresholds that split the cells of all lessons evenly; `usual`: the usual error, above 0."""
        passes = (_pass(weights, scale, one, one.maps) for one in lessons)
        found = [spread(one.log_multipliers).ravel() for one in passes]
        largest, shares = np.zeros((2, len(lessons), THRESHOLDS))
        for place, (one, (order, count)) in enumerate(zip(lessons, swept(found), strict=True)):
            running = np.append(0.0, np.maximum.accumulate(one.errors.ravel()[order]))
            largest[place], shares[place] = running[count] / usual, count / order.size
        return cls(largest, shares)

    @property
    def share(self) -> float:
        """The share that can be trusted while the average loss is at most a level, over `levels`.

        The threshold of each level is the one that suits it best, so only how cells are ordered counts, within pictures
        and between them.
        """
        return float(self._shares(np.ones((1, len(self.losses))))[0])

    def _shares(self, counts: npt.NDArray[np.float64]) -> Vector:
        """The share where each picture counts so often: (k,) of (k, n)."""
        total = counts.sum(axis=1, keepdims=True)
        losses, shares = counts @ self.losses / total, counts @ self.shares / total
        # At each level the best threshold that keeps to it; 0 where none does.
        at_levels = [np.where(losses <= level, shares, 0.0).max(axis=1) for level in self.levels]
        found: Vector = np.mean(at_levels, axis=0)
        return found

    def least_gain(self, before: "Trusted", doubt: float, random: np.random.Generator) -> float:
        """What is gained at least over `before`, of the same pictures: a quantile over resamples (Efron 1979)."""
        n = len(self.losses)
        counts = random.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64)
        return float(np.quantile(self._shares(counts) - before._shares(counts), doubt))


def swept(maps: Sequence[npt.NDArray[Any]]) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """The order of the cells of each flat map, and how many lie below each threshold, of T that split all evenly."""
    thresholds = np.quantile(np.concatenate(maps), np.linspace(0, 1, THRESHOLDS))
    for values in maps:
        # Stable, so that ties are in one order on every machine.
        order = np.argsort(values, kind="stable")
        yield order, np.searchsorted(values[order], thresholds, side="right")


def _pass(weights: Arrays, scale: _Scale, one: Lesson, maps: npt.NDArray[np.float16]) -> Pass:
    return Pass(weights, scale.scaled(maps), (one.mean - scale.mean) / scale.deviation)


def _batch_gradient(
    weights: Arrays,
    scale: _Scale,
    lessons: Sequence[Lesson],
    usual: float,
    temperature: float,
    random: np.random.Generator,
) -> Arrays:
    """The gradient of what soft masks of random crops at random multipliers are worth on average, of limited norm."""
    total = {name: np.zeros_like(values) for name, values in weights.items()}
    for k in random.integers(len(lessons), size=BATCH):
        one = lessons[k]
        top, left = (int(random.integers(max(0, side - SIDE) + 1)) for side in one.errors.shape)
        # Multipliers are spread evenly in their logarithm, as they span a factor of thirty.
        multiplier = float(usual * np.exp(random.uniform(math.log(LOWEST), math.log(HIGHEST))))
        crop = slice(top, top + SIDE), slice(left, left + SIDE)
        passed, errors = _pass(weights, scale, one, one.maps[:, *crop]), one.errors[crop]
        flat = passed.log_multipliers.ravel().astype(np.float64), errors.ravel().astype(np.float64)
        _, by_multipliers = soft_worth(*flat, multiplier, temperature, SHARPNESS / usual)
        # In units in which photographs with large and small errors pull alike.
        by_multipliers /= BATCH * math.sqrt(usual)
        for name, by in passed.gradient(by_multipliers.reshape(errors.shape).astype(np.float32)).items():
            total[name] += by
    # One unusual crop must not undo many steps: the gradient's length is limited.
    norm = math.sqrt(sum(float((by**2).sum()) for by in total.values()))
    return {name: by * np.float32(min(1.0, LONGEST / (norm + 1e-12))) for name, by in total.items()}


def soft_worth(
    log_multipliers: Vector, errors: Vector, multiplier: float, temperature: float, sharpness: float
) -> tuple[float, Vector]:
    """What a soft mask at `learned` is worth, over the root of the multiplier, and its gradient by each log multiplier.

    `log_multipliers`, `errors`: Of each cell, (n,) float64.
    `temperature`: The mask is ``sigmoid((log multiplier - log_multipliers) / temperature)``.
    `sharpness`: The largest error is the mean of the masked errors e, each counted as often as ``exp(sharpness * e)``.
    """
    mask = 0.5 + 0.5 * np.tanh((math.log(multiplier) - log_multipliers) / (2 * temperature))
    trusted = mask * errors
    # Taking the largest off first keeps the exponentials from overflowing.
    counted = np.exp(sharpness * (trusted - trusted.max()))
    counted /= counted.sum()
    largest = float(counted @ trusted)
    # The derivative of the soft maximum by each masked error, less the price of the area.
    by_mask = counted * (1 + sharpness * (trusted - largest)) * errors - multiplier / len(errors)
    root = math.sqrt(multiplier)
    gradient: Vector = by_mask * mask * (1 - mask) / (-temperature * root)
    return (largest - multiplier * float(mask.mean())) / root, gradient
