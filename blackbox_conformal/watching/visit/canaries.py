"""Chooses the pictures that are sent at every visit, by how far small changes of a vendor would move their answers."""

import io
import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import PayloadError, UsageError
from blackbox_conformal.method.facts.levels import NOT_COMPARED
from blackbox_conformal.method.images.making_inputs import block_means
from blackbox_conformal.method.pair_facts import pair_sizes
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.stages.draws import drawn_picture, output_check
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.types import Image
from blackbox_conformal.vendor.adapter import Upload
from blackbox_conformal.watching.records import Canary, Purpose, Visit, WatchDraw, Watched

# Features of an answer to a canary: a few numbers, each of which a change of a vendor moves up or down.

FEATURES = (
    "lightness",
    "warmth",
    "tint",
    "contrast",
    "saturation",
    "sharpness",
    "detail",
    "colour detail",
    "blocks",
    "faithfulness",
    "strangeness",
)
"""Mean luminance; mean of red less blue; mean of green less the others; standard deviation of luminance; mean distance
from grey; mean step between neighbours; mean square of the finest detail; mean step of colour; how much larger steps
are on the grid of JPEG; mean difference of the picture, made small again, from the upload, all in grey levels; how far
all differences from the upload reach, see `PairSizes`.
"""

_LUMINANCE = np.array([0.299, 0.587, 0.114])
_GRID = 8
_DIGITS = 9  # Significant digits kept, so that equal pictures have equal features on every machine.
Plane = NDArray[np.float64]


def features(pixels: Image, sent: Image) -> dict[str, float]:
    """Measure `FEATURES`.

    `pixels`: (k h, k w, 3) uint8, the answer.
    `sent`: (h, w, 3) uint8, the upload.
    """
    strangeness = np.nan_to_num(pair_sizes(sent, pixels).strangeness[0], nan=NOT_COMPARED)
    return {**_moved(pixels, sent), FEATURES[-1]: float(strangeness)}


def _moved(pixels: Image, sent: Image) -> dict[str, float]:
    """Measure what planted changes move: all but the last, which takes long."""
    colours = pixels.astype(np.float64)
    luminance = colours @ _LUMINANCE
    warmth = colours[..., 0] - colours[..., 2]
    tint = colours[..., 1] - (colours[..., 0] + colours[..., 2]) / 2
    across, down = _steps(luminance)
    wide = np.pad(luminance, 1, mode="edge")
    around = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
    values = (
        luminance.mean(),
        warmth.mean(),
        tint.mean(),
        luminance.std(),
        (np.abs(warmth) + np.abs(tint)).mean(),
        across.mean() + down.mean(),
        float(np.square(luminance - around).mean()),
        sum(step.mean() for plane in (warmth, tint) for step in _steps(plane)),
        _blocks(across.mean(axis=0)) + _blocks(down.mean(axis=1)),
        np.abs(block_means(pixels, sent.shape[1], sent.shape[0]).astype(np.float64) - sent).mean(),
    )
    # Two machines may differ in the last digits.
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in zip(FEATURES[:-1], values, strict=True)}


def _steps(plane: Plane) -> tuple[Plane, Plane]:
    across, down = np.abs(np.diff(plane, axis=1)), np.abs(np.diff(plane, axis=0))
    return (across if across.size else np.zeros((1, 1))), (down if down.size else np.zeros((1, 1)))


def _blocks(steps: Plane) -> float:
    # JPEG works in blocks of 8 x 8, so its damage lies on every eighth line.
    crossing = np.arange(1, len(steps) + 1) % _GRID == 0
    return float(steps[crossing].mean() - steps[~crossing].mean()) if crossing.any() else 0.0


# How far small changes of a vendor move its answers: good canaries move far, and a watch finds changes that move them.

_LEAST_SPREAD = 1e-6  # Grey levels: the spread of equal draws, so that nothing is divided by 0.


def _curved(pixels: Image, change: Callable[[np.ndarray], np.ndarray]) -> Image:
    table = np.rint(np.clip(change(np.arange(256) / 255.0), 0, 1) * 255).astype(np.uint8)
    curved: Image = table[pixels]
    return curved


def _jpeg(pixels: Image) -> Image:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return np.asarray(PillowImage.open(buffer).convert("RGB"))


def _softened(pixels: Image) -> Image:
    # A fortieth towards the neighbours' mean, as a weaker network would.
    wide = np.pad(pixels.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
    return np.rint(pixels + 0.025 * (around - pixels)).astype(np.uint8)


CHANGES: Mapping[str, Callable[[Image], Image]] = {
    "jpeg 95": _jpeg,
    "gamma 1.02": lambda pixels: _curved(pixels, lambda level: level**1.02),
    "contrast 0.98": lambda pixels: _curved(pixels, lambda level: 0.5 + 0.98 * (level - 0.5)),
    "softened": _softened,
}
"""Changes to plant in a draw, such as a vendor may make without a word."""


def sensitivity(draws: Sequence[Image], sent: Image) -> float:
    """Return how far planted changes move a picture's features, in standard deviations of its draws.

    The least change counts. A single draw has no spread: its result is in grey levels.

    `draws`: (k h, k w, 3) uint8 each, at least one.
    `sent`: (h, w, 3) uint8.
    """
    return float(min(np.abs(shift).max() for shift in _shifts(draws, sent).values()))


@dataclass(frozen=True, slots=True)
class Planted:
    """The `feature` that a `change` moves most in the median canary, and how far, in standard deviations."""

    change: str
    feature: str
    shift: float


def planted(canaries: Sequence[tuple[Sequence[Image], Image]]) -> list[Planted]:
    """Plant each of `CHANGES` in canaries.

    `canaries`: At least one, each with at least two draws, (k h, k w, 3) uint8, and its upload, (h, w, 3) uint8. Draws
      that chose the canary lie too close together, so give others.
    """
    shifts, found = [_shifts(draws, sent) for draws, sent in canaries], []
    for change in CHANGES:
        moved = np.median([each[change] for each in shifts], axis=0)
        most = int(np.abs(moved).argmax())
        found.append(Planted(change, FEATURES[most], float(moved[most])))
    return found


def _shifts(draws: Sequence[Image], sent: Image) -> dict[str, NDArray[np.float64]]:
    measured = np.array([list(_moved(draw, sent).values()) for draw in draws])
    # One draw has no spread, so its shifts are in grey levels.
    spread = np.ones(measured.shape[1]) if len(draws) < 2 else np.maximum(measured.std(axis=0, ddof=1), _LEAST_SPREAD)
    return {
        name: (np.array(list(_moved(change(draws[0]), sent).values())) - measured[0]) / spread
        for name, change in CHANGES.items()
    }


# The draws of one visit, and their tasks for the sampler.

REPEATS = 6  # How often a request is repeated to see whether the vendor repeats itself.
_MOST_CALIBRATED = 32

FIRST_INDEX = 4096  # Number of the first draw of a visit, beyond any procedure's own draws.
_NUMBERS = 2**31


def planned_draws(setup: Setup, watch: Watched, canaries: Sequence[Canary], visits: Sequence[Visit]) -> list[WatchDraw]:
    """Plan the draws of the visit after `visits`.

    The first visit also draws the pictures that later pixels are compared with, unless the calibration drew them. A
    request is repeated until it is known whether the vendor repeats itself. Draws are numbered from a random start, so
    that a watch whose file was lost never takes old draws in the ledger for new ones.
    """
    # Past every draw of a procedure, and at random: a lost watch file must not meet its old draws in the ledger.
    numbers = itertools.count(FIRST_INDEX + secrets.randbelow(_NUMBERS))
    seeds = setup.adapter.capabilities.seed_range

    def new(canary: Canary, purpose: Purpose) -> WatchDraw:
        index = next(numbers)
        return WatchDraw(canary.position, purpose, index, setup.procedure.seed(canary.upload, index, seeds))

    def repeat(of: WatchDraw) -> WatchDraw:
        return WatchDraw(of.canary, "repeat", next(numbers), of.seed)

    draws: list[WatchDraw] = []
    chosen, most = draws_to_choose_by(setup), min(setup.procedure.draws, _MOST_CALIBRATED)
    for canary in canaries if not visits else ():
        calibrated = []
        for index in range(1 if setup.perturbation is not None else most) if watch.first_draws_calibrated else ():
            seed = setup.procedure.seed(canary.upload, index, seeds)
            purpose: Purpose = "chosen" if index < chosen else "reference"
            calibrated.append(WatchDraw(canary.position, purpose, index, seed))
        draws += calibrated or [new(canary, "reference")]
    if watch.repeats_itself is None:
        references = [draw for draw in [*(visits[0].draws if visits else ()), *draws] if draw.known]
        # The calibration's draws already tell whether a vendor without seeds repeats itself.
        told_by_references = not visits and len(calibrated_draws(references)) >= 2 * len(canaries)
        if setup.adapter.capabilities.seedable or not told_by_references:
            # Only new draws: a vendor that changed since its calibration may still repeat itself.
            draws += [repeat(references[0]) for _ in range(REPEATS)]
    elif watch.repeats_itself and setup.adapter.capabilities.seedable:
        # In turn, so that each canary is repeated now and then.
        canary = canaries[len(visits) % len(canaries)]
        draws.append(repeat(next(draw for draw in visits[0].draws if draw.canary == canary.position)))
    return [*draws, *(new(canary, "fresh") for canary in canaries)]


def calibrated_draws(draws: Sequence[WatchDraw]) -> list[WatchDraw]:
    """Return the draws of a visit that are the calibration's own, and stored."""
    return [draw for draw in draws if draw.known and draw.index < FIRST_INDEX]


def draws_to_choose_by(setup: Setup) -> int:
    """Return how many of a picture's calibration draws choose canaries: half, at least one.

    Under a perturbation only the first draw does, since no other answers the same upload.
    """
    # The other half did not choose, and so measures fairly.
    return 1 if setup.perturbation is not None else max(1, min(setup.procedure.draws, _MOST_CALIBRATED) // 2)


def task_of(canary: Canary, draw: WatchDraw) -> Task:
    """Return the sampler's task for a draw."""
    upload = Upload(canary.name, canary.upload, canary.png, canary.width, canary.height)
    return Task(upload, draw.index, draw.seed)


CANDIDATES = 64  # Photographs whose stored draws are measured.


def choose_canaries(job: Job, count: int) -> tuple[list[Canary], bool]:
    """Choose `count` canaries of a job, most sensitive first; also return whether their first draws are stored.

    Planted changes decide if enough pictures are drawn, as in a calibration; otherwise digests do. Buys nothing.
    """
    if len(job.pictures) < count:
        raise UsageError(
            f"expected at least {count} photographs to choose canaries from; got {len(job.pictures)}. Name more, or "
            f"give --canaries {len(job.pictures)}"
        )
    # By digest: the same photographs give the same canaries on every machine.
    ordered = sorted(job.pictures, key=lambda picture: picture.input_digest)
    stored = job.answered_pictures()
    # Reading stored draws takes time.
    drawn = [picture for picture in ordered if picture.input_digest in stored][:CANDIDATES]
    setup, measured = job.setup, list[tuple[Prepared, float]]()
    if len(drawn) >= count:
        with Sampler(setup.adapter, job.folder, job.limits, check=output_check(setup)) as sampler:
            for done, picture in enumerate(drawn):
                job.listeners.progress("choosing canaries", done, len(drawn))
                pictures = stored_draws(setup, sampler, picture.tasks[: draws_to_choose_by(setup)])
                if pictures is not None:
                    measured.append((picture, sensitivity(*pictures)))
        job.listeners.progress("choosing canaries", len(drawn), len(drawn))
    if len(measured) < count:
        return [_canary(picture, None) for picture in ordered[:count]], False
    measured.sort(key=lambda each: -each[1])
    return [_canary(picture, value) for picture, value in measured[:count]], True


def stored_draws(setup: Setup, sampler: Sampler, tasks: Sequence[Task]) -> tuple[list[Image], Image] | None:
    """Return a canary's stored pictures, in order, and its upload; None: one cannot be used."""
    outcomes = sorted(sampler.draw(tasks), key=lambda outcome: outcome.task.index)
    if any(outcome.state != "stored" for outcome in outcomes):
        return None
    sent = sent_pixels(tasks[0].upload)
    shown = setup.sent(sent)
    try:
        return [drawn_picture(sampler.read(each), each.task, setup, shown).pixels for each in outcomes], sent
    except PayloadError:
        return None


def _canary(picture: Prepared, value: float | None) -> Canary:
    upload = picture.tasks[0].upload
    return Canary(picture.name, upload.digest, upload.png, upload.width, upload.height, value)
