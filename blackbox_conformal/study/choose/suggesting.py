"""Suggest a degradation that turns photographs into pictures like the user's inputs, and test it.

The order of digests halves inputs and photographs. The chain is fitted to one half; the other half proves it: if the
chain made the inputs, the permutation test of `audits.input_shift` is exact there, whatever the fit did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.audits.input_shift import LEVEL, SEED, InputShift, compare
from blackbox_conformal.method.audits.permutation import random_orders
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.images.input_statistics import SIZE, STATISTICS, InputStatistics
from blackbox_conformal.method.images.jpeg_traces import JpegTrace, block_energies, jpeg_trace, would_tell
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.picture import Picture
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.choose.candidate_chain import COORDINATES, FILTERS, PARTS, CandidateChain, starts
from blackbox_conformal.study.from_keywords import named_keywords
from blackbox_conformal.study.listeners import shown_progress
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.settings_table import ShiftSettings
from blackbox_conformal.study.stages.certify import lossy_note
from blackbox_conformal.study.stages.grouped_errors import read_each
from blackbox_conformal.study.stages.prepare import format_of
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image

_RARE = 0.1  # Smaller shares of inputs, with or without traces, are taken for errors.


@dataclass(frozen=True, slots=True)
class Compression:
    """The common verdict of all inputs' JPEG traces."""

    share: float  # Share of inputs that were compressed, 0 to 1.
    # Range of qualities.
    low: int
    high: int
    subsamplings: tuple[str, ...]  # Possible subsamplings, the likeliest first.
    grid: str  # As the step jpeg takes it: ``0x0``, another place, or ``random``.
    exact: int  # How many qualities were read from a file's table.

    @property
    def step(self) -> str:
        """Return the step as typed, without subsampling."""
        quality = f"{self.low}" if self.low == self.high else f"{self.low}-{self.high}"
        grid = "" if self.grid == "0x0" else f",grid={self.grid}"
        chance = "" if self.share == 1 else f",chance={self.share:.2g}"
        return f"jpeg:{quality}{grid}{chance}"


def compression(traces: Sequence[JpegTrace | None]) -> Compression | None:
    """Find the JPEG step from every input that would show one; None where hardly any input was compressed."""
    found = [trace for trace in traces if trace is not None]
    share = len(found) / max(len(traces), 1)
    if share < _RARE:
        return None
    # The range whose 10 % and 90 % quantiles match the estimates, if all values are equally likely.
    tenth, ninetieth = np.quantile([trace.quality for trace in found], (0.1, 0.9))
    beyond = (ninetieth - tenth) / 8
    (row, column), count = Counter(trace.grid for trace in found).most_common(1)[0]
    known = Counter(trace.subsampling for trace in found if trace.subsampling is not None)
    return Compression(
        share=1.0 if share >= 1 - _RARE else share,
        low=max(1, round(tenth - beyond)),
        high=min(100, round(ninetieth + beyond)),
        subsamplings=(known.most_common(1)[0][0],) if known else ("4:2:0", "4:4:4"),
        grid=f"{column}x{row}" if count >= (1 - _RARE) * len(found) else "random",
        exact=sum(trace.exact for trace in found),
    )


Measured = NDArray[np.float64]

_COMPARED = 6  # Statistics of a row, from the first, that say how an input was made; the rest say what it shows.


_NOISE = [statistic.name for statistic in STATISTICS].index("noise")

_LEAST_NOISE = 0.3  # Grey levels, about what rounding to 8 bits adds.


def measured(pixels: Image) -> Measured:
    """Return the measurements by which an input is compared, (92,) float64."""
    row = InputStatistics.of(pixels).values[0, :_COMPARED].astype(np.float64)
    row[_NOISE] = np.log2(row[_NOISE] + _LEAST_NOISE)
    return np.concatenate([block_energies(pixels), row])


class Simulations:
    """Measurements of photographs after chains, each chain simulated once."""

    def __init__(self, photographs: Sequence[Image], scale: int, compression: Compression | None) -> None:
        self._photographs, self._scale = photographs, scale
        self.jpeg = "" if compression is None else compression.step
        self.subsamplings = () if compression is None else compression.subsamplings
        self._reduced: dict[str, list[Image]] = {}
        self._known: dict[str, Measured] = {}

    def __call__(self, candidate: CandidateChain) -> Measured:
        """Measure the photographs after a chain, (photographs, 92) float64."""
        text = candidate.text(self._scale, self.jpeg)
        if text not in self._known:
            reduction = candidate.reduction(self._scale)
            if reduction not in self._reduced:
                self._reduced[reduction] = self._applied(reduction, self._photographs, self._scale)
            made = self._applied(candidate.rest(self.jpeg), self._reduced[reduction], 1)
            self._known[text] = np.array([measured(pixels) for pixels in made])
        return self._known[text]

    def __len__(self) -> int:
        """Count the chains tried."""
        return len(self._known)

    @staticmethod
    def _applied(text: str, pictures: Sequence[Image], scale: int) -> list[Image]:
        steps = Mixture.of_text(text).chains[0].steps if text else ()
        made = []
        for place, pixels in enumerate(pictures):
            size = (pixels.shape[0] // scale, pixels.shape[1] // scale)
            for number, step in enumerate(steps):
                random = EvenlySpread(place, len(pictures), number)
                if step.chance == 1 or random.uniform() < step.chance:
                    pixels = step.drawn(random).apply(pixels, random, size)
            made.append(pixels)
        return made


class EvenlySpread(RandomNumbers):
    """Random numbers of one of several pictures: each takes its own part of every range.

    So chance adds little to a chain's average (Latin hypercube sampling: McKay, Beckman & Conover 1979). Noise is drawn
    as usual, the same for every candidate, so two candidates differ only by what they do.
    """

    def __init__(self, place: int, count: int, step: int) -> None:
        super().__init__("suggest", place, step)
        self._place, self._count, self._step, self._calls = place, count, step, 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return the middle of this picture's part of [low, high)."""
        self._calls += 1
        return low + (high - low) * (_order(self._count, self._step, self._calls)[self._place] + 0.5) / self._count


@cache
def _order(count: int, step: int, call: int) -> list[int]:
    order = np.random.Generator(np.random.Philox(key=[step, call])).permutation(count)
    return [int(part) for part in order]


_WIDTHS = (2.5, 1.5, 1.0)  # Steps of each coordinate within which candidates are scattered, by round.
_SCATTERED = 16  # Candidates of a round.
_SHRUNK = 0.1  # Shrinks correlations, which few pictures overstate.
_FARTHEST = 2.0  # Standard deviations at which a measurement is cut, so that odd pictures do not decide.
_LEAST_VARIANCE = 1e-4  # Smaller variances of a measurement are chance.
_WORTH = 3.0  # Mismatch that each number of a step must save; fitting to chance seldom saves so much.
_REJECTED = 0.05  # A plain chain with a larger p-value is taken without a search.
_PERMUTATIONS = 999

_SIMPLER = len(FILTERS) * 2 ** len(PARTS)  # Most chains of `CandidateChain.simpler`.
_STEPS = np.array([each.step for each in COORDINATES])
_USUAL = np.array([each.usual for each in COORDINATES]) / _STEPS
_DEVIATION = np.array([each.deviation for each in COORDINATES]) / _STEPS
_LEAST = np.array([each.least for each in COORDINATES]) / _STEPS
_LARGEST = np.array([each.largest for each in COORDINATES]) / _STEPS


class Mismatch:
    """How much less like the inputs photographs are than others after the same chain would be.

    `inputs`: (n, k) float64, n at least 2.
    `near`: (photographs, k) float64, after a chain that is near. Their variation scales differences: it makes
      measurements uncorrelated and of variance 1.
    """

    def __init__(self, inputs: Measured, near: Measured) -> None:
        n, photographs = len(inputs), len(near)
        spread = (n * np.cov(inputs.T) + photographs * np.cov(near.T)) / (n + photographs)
        self._whiten = _whitening(spread)
        self._error = np.sqrt(1 / n + 1 / photographs)
        self._centre = inputs.mean(axis=0)
        self._inputs = self._mean(inputs)

    def residuals(self, simulated: Measured) -> Measured:
        """Return in each direction the inputs' mean less the simulated one, over its standard error: (k,) float64."""
        difference: Measured = (self._inputs - self._mean(simulated)) / self._error
        return difference

    def __call__(self, simulated: Measured) -> float:
        """Sum the squared residuals."""
        return float((self.residuals(simulated) ** 2).sum())

    def _mean(self, values: Measured) -> Measured:
        white = np.clip((values - self._centre) @ self._whiten, -_FARTHEST, _FARTHEST)
        mean: Measured = white.mean(axis=0)
        return mean


class Search:
    """A search that moves candidates towards the inputs.

    `inputs`: (n, k) float64.
    """

    def __init__(self, inputs: Measured, simulations: Simulations, progress: Callable[[int], None]) -> None:
        self._inputs, self._simulations, self._progress = inputs, simulations, progress
        self._mismatch = Mismatch(inputs, inputs)
        self.tried: dict[CandidateChain, None] = {}

    def refer_to(self, candidate: CandidateChain) -> None:
        """Take the variation of measurements from photographs after this candidate."""
        self._mismatch = Mismatch(self._inputs, self._simulated(candidate))

    def mismatch(self, candidate: CandidateChain) -> float:
        """Return the candidate's `Mismatch`."""
        return self._mismatch(self._simulated(candidate))

    def cost(self, candidate: CandidateChain) -> float:
        """Return the mismatch, plus how unusual the candidate is."""
        unusual = (candidate.coordinates - _USUAL) / _DEVIATION
        return self.mismatch(candidate) + float((unusual**2).sum())

    def moved(self, candidate: CandidateChain, width: float) -> CandidateChain:
        """Minimise the cost of a model that is linear in the coordinates, as residuals are within `width` steps."""
        centre = candidate.coordinates
        # Evenly spread from -1 to 1 (Latin hypercube sampling: McKay, Beckman & Conover 1979).
        ranks = np.tile(np.arange(_SCATTERED), (len(centre), 1))
        spread = np.random.default_rng(len(self.tried)).permuted(ranks, axis=1)
        for place in (2 * spread.T + 1) / _SCATTERED - 1:
            self._simulated(candidate.at(centre + width * place))
        kin = self._kin(candidate)
        moves = np.array([each.coordinates for each in kin]) - centre
        residuals = np.array([self._mismatch.residuals(self._simulated(each)) for each in kin])
        # The nearer count more (Cleveland 1979): farther away nothing is linear.
        weights = np.exp(-0.5 * (moves**2).mean(axis=1) / width**2)[:, None]
        design = np.concatenate([np.ones((len(moves), 1)), moves], axis=1)
        held = np.diag([0.0] + [0.1] * len(centre))
        here, *slopes = np.linalg.solve(design.T @ (weights * design) + held, design.T @ (weights * residuals))
        own, usual = np.array(slopes), np.diag(_DEVIATION**-2)
        least, largest = np.maximum(_LEAST, centre - 2 * width), np.minimum(_LARGEST, centre + 2 * width)
        square, linear = own @ own.T + usual, own @ (centre @ own - here) + usual @ _USUAL
        return candidate.at(bounded(square, linear, least, largest))

    def average(self, candidate: CandidateChain) -> CandidateChain:
        """Average the tried chains weighted by likelihood: in a flat valley the best one is chance."""
        kin = self._kin(candidate)
        costs = np.array([self.cost(each) for each in kin])
        likely = np.exp(-0.5 * (costs - costs.min()))
        return candidate.at(likely @ np.array([each.coordinates for each in kin]) / likely.sum())

    def _kin(self, candidate: CandidateChain) -> list[CandidateChain]:
        return [each for each in self.tried if each.at(candidate.coordinates) == candidate.at(candidate.coordinates)]

    def _simulated(self, candidate: CandidateChain) -> Measured:
        values = self._simulations(candidate)
        self.tried[candidate] = None
        self._progress(len(self._simulations))
        return values


def nearest(
    inputs: Measured, simulations: Simulations, scale: int, progress: Callable[[int, int], None]
) -> CandidateChain:
    """Return the candidate whose simulated inputs are nearest; of about equals, the one with the fewest steps.

    No search where a reduction alone, with JPEG, cannot be told from the inputs: few inputs would give steps by chance.
    """
    coarse = starts(scale, simulations.subsamplings[0] if simulations.subsamplings else "")
    filters, subsamplings = FILTERS if scale > 1 else ("",), simulations.subsamplings
    plain = [
        [CandidateChain(filter=each, subsampling=colours) for colours in subsamplings or ("",)] for each in filters
    ]
    most = sum(map(len, plain)) + len(coarse) + len(subsamplings) + len(_WIDTHS) * (_SCATTERED + 1) + _SIMPLER
    # Bicubic comes first: it is the usual filter, and between the others in sharpness.
    for options in plain:
        likely = [one_kind(inputs, simulations(each)) for each in options]
        if max(likely) > _REJECTED:
            progress(most, most)
            return options[int(np.argmax(likely))]
    search = Search(inputs, simulations, lambda tried: progress(min(tried, most), most))
    best = min(coarse, key=search.cost)
    best = min((best, *(replace(best, subsampling=each) for each in simulations.subsamplings)), key=search.cost)
    for width in _WIDTHS:
        search.refer_to(best)
        search.cost(search.moved(best, width))
        best = min(search.tried, key=search.cost)
    search.refer_to(best)
    options = search.average(best).simpler()
    found = min(options, key=lambda each: search.mismatch(each) + _WORTH * each.numbers)
    progress(most, most)
    return found


def one_kind(inputs: Measured, simulated: Measured) -> float:
    """Return the p-value that both are of one kind, by random permutations.

    `inputs`, `simulated`: (n, k) and (m, k) float64; compared by means of whitened measurements of both together.
    """
    together = np.concatenate([inputs, simulated])
    white = np.clip((together - together.mean(axis=0)) @ _whitening(np.cov(together.T)), -_FARTHEST, _FARTHEST)
    white -= white.mean(axis=0)
    orders = (np.arange(len(white))[None], *random_orders(len(white), _PERMUTATIONS, 0))
    apart = np.concatenate([(white[each[:, : len(inputs)]].sum(axis=1) ** 2).sum(axis=1) for each in orders])
    return float(np.mean(apart >= apart[0]))


def _whitening(spread: Measured) -> Measured:
    """Return the symmetric matrix, (k, k), that makes measurements of this covariance uncorrelated, of variance 1.

    With fewer pictures than measurements, a library orders directions of equal variance by the last bits; the symmetric
    root does not depend on that order.
    """
    scale = np.sqrt(np.maximum(np.diag(spread), _LEAST_VARIANCE))
    correlation = (1 - _SHRUNK) * spread / np.outer(scale, scale) + _SHRUNK * np.eye(len(scale))
    variances, directions = np.linalg.eigh(correlation)
    whitening: Measured = (directions / np.sqrt(variances)) @ directions.T / scale[:, None]
    return whitening


def bounded(square: Measured, linear: Measured, least: Measured, largest: Measured) -> Measured:
    """Return about the minimum of x · square · x / 2 - linear · x, (k,) float64 in [least, largest].

    Coordinates that leave their range are fixed to its end, and the others are solved for again.
    """
    found, free = np.zeros(len(linear)), np.ones(len(linear), bool)
    while free.any():
        rest = linear[free] - square[np.ix_(free, ~free)] @ found[~free]
        found[free] = np.linalg.solve(square[np.ix_(free, free)], rest)
        outside = free & ((found < least) | (found > largest))
        if not outside.any():
            break
        found, free = np.clip(found, least, largest), free & ~outside
    return found


FEWEST = 20  # Fewest inputs, and photographs: half of each is for the proof.
MOST_FITTED = 100  # Most photographs to try candidates on; more take longer and tell little.

LARGEST_INPUT, SMALLEST_INPUT = 128, 16
"""Most pixels a side that candidates are tried on, and the fewest that can be measured."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An input, as far as the search keeps it."""

    digest: str
    trace: JpegTrace | None
    tells: bool  # Whether a compression would have left a trace.
    file_format: str  # As in `Prepared`.
    measured: Measured
    statistics: InputStatistics

    @classmethod
    def of(cls, picture: Picture) -> Seen:
        pixels = picture.pixels
        trace = jpeg_trace(picture)
        tells = trace is not None or would_tell(pixels)
        return cls(picture.digest, trace, tells, format_of(picture), measured(pixels), InputStatistics.of(pixels))


@dataclass(frozen=True, slots=True)
class NearestChain:
    """The chain that fits best."""

    degradation: str  # As ``--degradation`` takes it.
    compression: Compression | None  # The traces of JPEG; None where there are hardly any.
    tried: int  # How many chains were compared.


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A degradation, and its proof.

    Attributes
    ----------
    scale
        How many times smaller inputs are.
    chain
        The best fit to one half of inputs and photographs.
    proof
        Comparison of the other half of the inputs with the other half of the photographs after the chain.
    """

    scale: int
    chain: NearestChain
    proof: InputShift

    @property
    def degradation(self) -> str:
        """Return the degradation as ``--degradation`` takes it."""
        return self.chain.degradation

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options of `calibrate` that make such inputs."""
        return ("--scale", str(self.scale), "--degradation", self.degradation)

    @property
    def verdict(self) -> str:
        """Say in a sentence how the proof came out."""
        if self.proof.differ:
            return "your inputs differ from what the chain makes"
        if self.proof.too_few:
            return f"nothing can be said at level {self.proof.level:g}: too few inputs. Give more"
        if self.proof.p_value <= self.proof.level:
            return "your inputs differ from what the chain makes, but by less than matters"
        return f"no difference was found at level {self.proof.level:g}; a small one may be there all the same"


@named_keywords
@photographs_as_files("inputs", "photographs")
def suggest_degradation(
    inputs: Photographs, photographs: Photographs, *, scale: int, **settings: Unpack[ShiftSettings]
) -> Suggestion:
    """Find the chain of degradations after which photographs are like given inputs. Nothing is sent.

    Parameters
    ----------
    inputs
        Files and folders of pictures as the vendor would be sent them, or such pictures in memory; at least 20.
    photographs
        High-resolution photographs in the same forms, at least 20, of what the inputs show, too.
    scale
        How many times smaller the inputs are to be than photographs, 1 to 16; it cannot be told from pictures.

    Raises
    ------
    BlackboxConformalError
        A picture cannot be read, is too small, or there are too few.

    Examples
    --------
    >>> bc.suggest_degradation("real-inputs/", "photographs/", scale=4).degradation
    'area:4+noise:2-4+jpeg:70-85'
    """
    paths, truths = photograph_paths(inputs), photograph_paths(photographs)
    for count, what in ((len(paths), "inputs"), (len(truths), "photographs")):
        if count < FEWEST:
            raise UsageError(
                f"expected at least {FEWEST} {what}; got {count}. One half finds the chain (--suggest) and the other "
                f"proves it, and fewer than {FEWEST // 2} would prove little. Give more, or write "
                "a --degradation of your own and compare with --calibration FILE, which takes any number of inputs"
            )

    def measured_input(path: Path) -> Seen:
        picture = read_image(path)
        try:
            return Seen.of(picture)
        except ImageError as error:
            raise ImageError(f"{printable(path)}: {error}") from None

    with shown_progress(settings.get("progress")) as step:
        seen = read_each(paths, measured_input, "reading inputs", step)
        fitting, proving = halves([one.digest for one in seen])
        trying, held_out = halves([digest_bytes(path.read_bytes()) for path in truths])
        tried = [truths[place] for place in trying[:MOST_FITTED]]
        chain = nearest_chain(
            [seen[place] for place in fitting],
            read_each(tried, lambda path: middle(_cut(path, scale), scale), "reading photographs", step),
            scale,
            lambda done, total: step("trying chains", done, total),
        )
    others = (_cut(truths[place], scale) for place in held_out)
    proof = proven(
        chain.degradation,
        [seen[place] for place in proving],
        others,
        scale,
        settings["level"],
        settings.get("seed", SEED),
    )
    # The search knows JPEG alone, and a picture seldom shows how its file was compressed.
    lossy = lossy_note([one.file_format for one in seen], Mixture.of_text(chain.degradation).at(scale), "input")
    return Suggestion(scale, chain, replace(proof, files=lossy))


def halves(digests: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return places for the fit and for the proof, split by the order of digests."""
    order = sorted(range(len(digests)), key=lambda place: digests[place])
    half = (len(order) + 1) // 2
    return order[:half], order[half:]


def middle(pixels: Image, scale: int) -> Image:
    """Cut out a photograph's middle, (H, W, 3) uint8: sides are multiples of `scale`, at most `LARGEST_INPUT` times."""
    height, width = (min(side // scale, LARGEST_INPUT) * scale for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def nearest_chain(
    inputs: Sequence[Seen],
    photographs: Sequence[Image],
    scale: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NearestChain:
    """Find the chain after which `photographs` measure most like `inputs`.

    `photographs`: (H, W, 3) uint8 each, sides multiples of `scale`; see `middle`.
    `progress`: Called with how many chains were tried, and how many may be.
    """
    found = compression([one.trace for one in inputs if one.tells])
    simulations = Simulations(photographs, scale, found)
    best = nearest(np.array([one.measured for one in inputs]), simulations, scale, progress)
    return NearestChain(best.text(scale, simulations.jpeg), found, len(simulations))


def proven(
    degradation: str,
    inputs: Sequence[Seen],
    photographs: Iterable[Image],
    scale: int,
    level: float = LEVEL,
    seed: int = SEED,
) -> InputShift:
    """Compare inputs with photographs after a degradation; the fit may have seen neither.

    `photographs`: (H, W, 3) uint8 each, sides multiples of `scale`.
    Returns: `InputShift`: The permutation test on all statistics but the size, which no chain makes.
    """
    mixture = Mixture.of_text(degradation).at(scale)
    made = (mixture.apply(pixels, scale, "proof", place) for place, pixels in enumerate(photographs))
    known = InputStatistics.together(InputStatistics.of(pixels) for pixels in made)
    new = InputStatistics.together(one.statistics for one in inputs)
    shift = compare(_of_one_size(known), _of_one_size(new), level=level, seed=seed)
    return replace(shift, movements=tuple(each for each in shift.movements if each.statistic.name != SIZE))


def _of_one_size(statistics: InputStatistics) -> InputStatistics:
    values = statistics.values.copy()
    values[:, [statistic.name for statistic in STATISTICS].index(SIZE)] = 0
    return InputStatistics(values)


def _cut(path: Path, scale: int) -> Image:
    pixels = read_image(path).pixels
    least = SMALLEST_INPUT * scale
    if min(pixels.shape[:2]) < least:
        raise ImageError(
            f"{printable(path)}: expected a photograph of at least {least}×{least} pixels for scale {scale}; got "
            f"{pixels.shape[1]}×{pixels.shape[0]}. Leave it out"
        )
    return crop_to_multiple(pixels, scale)
