"""One picture from its draws: the delivered image and its score map; with the truth, also its metric map and curve.

Draws are read one at a time and thrown away, so memory does not grow with their number.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from blackbox_conformal.errors import PayloadError
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.indecision.base import Context
from blackbox_conformal.kernels.moments import Moments
from blackbox_conformal.pipeline.stages.draws import Drawn, drawn_pixels, incomplete
from blackbox_conformal.pipeline.stages.equal_draws import equal_draws, must_differ
from blackbox_conformal.pipeline.stages.memory import give_back
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.sampling.messages import clean
from blackbox_conformal.sampling.task import Outcome
from blackbox_conformal.types import Image, Map


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the draws of one picture say.

    Attributes
    ----------
    delivered
        (H, W, 3) uint8.
    indecision
        (H, W) float32.
    model
        What the vendor calls the model that answered, or the models; None when it does not say.
    low_resolution
        What the vendor was sent: (h, w, 3) uint8.
    notes
        Things a reader should know, in words: lossy answers, blank answers.
    """

    delivered: Image
    indecision: Map
    model: str | None
    notes: tuple[str, ...]
    low_resolution: Image | None = None


def evaluate(
    drawn: Drawn, setup: Setup, read: Callable[[int], bytes], low_resolution: Image | None, second: Image | None = None
) -> Evaluation:
    """Delivered image and score map of one picture.

    Raises
    ------
    AdapterError
        All M answers are the same picture, so their spread says nothing, and the score rests on spread.
    """
    procedure = setup.procedure
    height, width = drawn.prepared.size
    accumulator = setup.indecision.start((height, width))
    moments = Moments((height, width)) if procedure.delivery != "first" else None
    first: Image | None = None
    all_equal = True
    notes: dict[str, None] = {}
    give_back()
    for index in range(procedure.draws):
        pixels = _decode(drawn, setup, read, index, notes)
        if first is None:
            first = pixels
        all_equal = all_equal and (index == 0 or _equal(pixels, first))
        accumulator.update(pixels)
        if moments is not None:
            moments.add(pixels)
        del pixels  # Room for the next.
    give_back()
    if all_equal and must_differ(setup):
        raise equal_draws(drawn.prepared.name, procedure.draws)
    assert first is not None
    delivered = first if moments is None else moments.mean_image()
    if procedure.delivery == "medoid":
        delivered = _closest(delivered, drawn, setup, read)
    indecision = accumulator.finish(Context(delivered, low_resolution, procedure.scale, second))
    give_back()
    model = ", ".join(sorted({one.model for one in drawn.outcomes if one.model})) or None
    return Evaluation(delivered, indecision, model, tuple(notes), low_resolution)


def calibration_curves(
    drawn: Drawn,
    setup: Setup,
    read: Callable[[int], bytes],
    truth: Image,
    tolerances: Sequence[float],
    second: Image | None = None,
) -> list[RiskCurve]:
    """The risk curves of one photograph: the largest trusted error, then the share wrong by each tolerance."""
    low_resolution = degrade(truth, setup.procedure.scale) if setup.indecision.needs_input else None
    found = evaluate(drawn, setup, read, low_resolution, second)
    fidelity = setup.fidelity.map(truth, found.delivered)
    return RiskCurve.family(found.indecision, fidelity, bound=setup.fidelity.bound, tolerances=tolerances)


def decoded_draws(drawn: Drawn, setup: Setup, read: Callable[[int], bytes]) -> Iterator[Image]:
    """The draws of one picture in order, each (H, W, 3) uint8 on the delivered grid."""
    for index in range(setup.procedure.draws):
        yield _decode(drawn, setup, read, index, {})


def _decode(drawn: Drawn, setup: Setup, read: Callable[[int], bytes], index: int, notes: dict[str, None]) -> Image:
    def pixels_of(k: int) -> tuple[Image, tuple[str, ...]]:
        return drawn_pixels(read(k), drawn.prepared.tasks[k], setup)

    try:
        pixels, remarks = pixels_of(index)
    except PayloadError:
        if not setup.adapter.capabilities.local:
            raise
        raise incomplete(list(_invalid(drawn, pixels_of, index)), local=True) from None
    notes.update(dict.fromkeys(remarks))
    return pixels if setup.perturbation is None else setup.perturbation.undo(pixels, index, setup.procedure.scale)


def _invalid(drawn: Drawn, pixels_of: Callable[[int], object], first: int) -> Iterator[Outcome]:
    """Local draws from `first` on that are no pictures: they were not decoded before, to decode them only once."""
    for outcome in drawn.outcomes[first:]:
        try:
            pixels_of(outcome.task.index)
        except PayloadError as error:
            yield replace(outcome, state="invalid", error=PayloadError(clean(str(error))))


def _equal(one: Image, other: Image) -> bool:
    """Whether two pictures are the same; found out in the first rows where they are not, as nearly always."""
    return all(np.array_equal(one[top : top + 64], other[top : top + 64]) for top in range(0, one.shape[0], 64))


def _closest(mean: Image, drawn: Drawn, setup: Setup, read: Callable[[int], bytes]) -> Image:
    """The draw nearest to the rounded mean: up to that rounding the medoid under squared distance. Ties: the first."""
    best: Image | None = None
    least = -1
    for index in range(setup.procedure.draws):
        pixels = _decode(drawn, setup, read, index, {})
        distance = int(np.square(pixels.astype(np.int32) - mean).sum(dtype=np.int64))
        if best is None or distance < least:
            best, least = pixels, distance
    assert best is not None
    return best
