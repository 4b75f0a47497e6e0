"""Somebody's inputs and photographs in; out a degradation that makes such inputs of photographs, and how well it does.

One half of the inputs and of the photographs, by the order of their digests, is what the chain is fitted to. The other
halves prove it: had the chain made the inputs, they and the photographs after it would be of one kind, and the
permutation test of `audits.input_shift` is exact for them, whatever the fit did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, Unpack

import numpy as np

from blackbox_conformal.errors import BlackboxConformalError, ImageError, UsageError
from blackbox_conformal.method.audits.input_shift import LEVEL, SEED, InputShift, compare
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.input_statistics.statistics import SIZE, STATISTICS, InputStatistics
from blackbox_conformal.method.images.jpeg_traces import JpegTrace, jpeg_trace, would_tell
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.picture import Picture
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.choose.compression import Compression, compression
from blackbox_conformal.study.choose.fitting import nearest
from blackbox_conformal.study.choose.simulations import Measured, Simulations, measured
from blackbox_conformal.study.keyword_arguments import ShiftSettings
from blackbox_conformal.study.keyword_terms import named_keywords
from blackbox_conformal.study.listeners import Progress, shown_progress
from blackbox_conformal.study.photographs_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.stages.grouped_errors import refuse_together
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image

FEWEST = 20
"""Inputs, and photographs: half of each is for the proof."""

MOST_FITTED = 100
"""Photographs that candidates are tried on; more would take longer and tell little more."""

LARGEST_INPUT, SMALLEST_INPUT = 128, 16
"""Pixels a side that candidates are tried on, the middle of a photograph; and the least that can be measured."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of an input: its digest, how it was compressed, what it measures, and its free statistics.

    Attributes
    ----------
    tells
        Whether a compression would have left a trace, where there is none.
    """

    digest: str
    trace: JpegTrace | None
    tells: bool
    measured: Measured
    statistics: InputStatistics

    @classmethod
    def of(cls, picture: Picture) -> Seen:
        """Of a picture as the user has it."""
        pixels = picture.pixels
        trace = jpeg_trace(picture)
        tells = trace is not None or would_tell(pixels)
        return cls(picture.digest, trace, tells, measured(pixels), InputStatistics.of(pixels))


@dataclass(frozen=True, slots=True)
class NearestChain:
    """The chain that fits best.

    Attributes
    ----------
    degradation
        As ``--degradation`` takes it.
    compression
        What traces of JPEG were found; None where hardly any were.
    tried
        How many chains were compared.
    """

    degradation: str
    compression: Compression | None
    tried: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A degradation, and what proves it.

    Attributes
    ----------
    scale
        How many times smaller inputs are.
    chain
        What fits one half of the inputs and photographs best.
    proof
        The comparison of the other half of the inputs with the other half of the photographs after it.
    """

    scale: int
    chain: NearestChain
    proof: InputShift

    @property
    def degradation(self) -> str:
        """As ``--degradation`` takes it."""
        return self.chain.degradation

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `calibrate` that make such inputs."""
        return ("--scale", str(self.scale), "--degradation", self.degradation)

    @property
    def verdict(self) -> str:
        """What the proof found, in a sentence."""
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
    inputs: Photographs,
    photographs: Photographs,
    *,
    scale: int,
    **settings: Unpack[ShiftSettings],
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
    with shown_progress(settings.get("progress")) as step:
        seen = _each(paths, _seen, "reading inputs", step)
        fitting, proving = halves([one.digest for one in seen])
        trying, held_out = halves([digest_bytes(path.read_bytes()) for path in truths])
        tried = [truths[place] for place in trying[:MOST_FITTED]]
        chain = nearest_chain(
            [seen[place] for place in fitting],
            _each(tried, lambda path: middle(_cut(path, scale), scale), "reading photographs", step),
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
    return Suggestion(scale, chain, proof)


def halves(digests: Sequence[str]) -> tuple[list[int], list[int]]:
    """Places of the half that the fit may use and of the half that the proof keeps, by the order of their digests."""
    order = sorted(range(len(digests)), key=lambda place: digests[place])
    half = (len(order) + 1) // 2
    return order[:half], order[half:]


def middle(pixels: Image, scale: int) -> Image:
    """The middle of a photograph, (H, W, 3) uint8: sides are multiples of `scale`, at most `LARGEST_INPUT` times it."""
    height, width = (min(side // scale, LARGEST_INPUT) * scale for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def nearest_chain(
    inputs: Sequence[Seen],
    photographs: Sequence[Image],
    scale: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NearestChain:
    """The chain after which `photographs` measure most like `inputs`.

    Parameters
    ----------
    photographs
        (H, W, 3) uint8 each, sides multiples of `scale`; see `middle`.
    progress
        Called with how many chains were tried, and how many may be.
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
    """Compare inputs with photographs after a degradation; neither may have been used for the fit.

    Parameters
    ----------
    photographs
        (H, W, 3) uint8 each, sides multiples of `scale`.

    Returns
    -------
    InputShift
        The permutation test on all statistics but the size, which no chain makes.
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


def _seen(path: Path) -> Seen:
    picture = read_image(path)
    try:
        return Seen.of(picture)
    except ImageError as error:
        raise ImageError(f"{printable(path)}: {error}") from None


def _cut(path: Path, scale: int) -> Image:
    """A photograph whose sides are multiples of `scale`."""
    pixels = read_image(path).pixels
    least = SMALLEST_INPUT * scale
    if min(pixels.shape[:2]) < least:
        raise ImageError(
            f"{printable(path)}: expected a photograph of at least {least}×{least} pixels for scale {scale}; got "
            f"{pixels.shape[1]}×{pixels.shape[0]}. Leave it out"
        )
    return crop_to_multiple(pixels, scale)


def _each(paths: Sequence[Path], read: Callable[[Path], Read], what: str, progress: Progress) -> list[Read]:
    """What is read of each picture; what is wrong with several is said at once."""
    found: list[Read] = []
    failures: list[tuple[str, BlackboxConformalError]] = []
    for done, path in enumerate(paths):
        progress(what, done, len(paths))
        try:
            found.append(read(path))
        except BlackboxConformalError as error:
            failures.append((path.name, error))
    refuse_together(failures, len(paths))
    progress(what, len(paths), len(paths))
    return found
