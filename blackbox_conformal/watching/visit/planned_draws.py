"""What one visit draws, and the tasks that say so to the sampler."""

import itertools
import secrets
from collections.abc import Iterator, Sequence

from blackbox_conformal.drawing.task import Task
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.vendor.adapter import Upload
from blackbox_conformal.watching.records import Canary, Purpose, Visit, WatchDraw, Watched

REPEATS = 6
"""Times that one request is asked to see whether the vendor repeats itself."""

_MOST_CALIBRATED = 32

FIRST_INDEX = 4096
"""Draws of visits are numbered from here on: no procedure has so many draws, so that none is taken for its own."""

_NUMBERS = 2**31


def planned_draws(setup: Setup, watch: Watched, canaries: Sequence[Canary], visits: Sequence[Visit]) -> list[WatchDraw]:
    """The draws of the visit that follows `visits`.

    The first one also draws what later pixels are compared with, where the calibration has not, and a request is
    repeated until it is known whether the vendor repeats itself. Numbers of draws begin at random, so that a watch
    whose file was lost never takes old draws in the ledger for new ones.
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
    if not visits:
        for canary in canaries:
            calibrated = list(_calibrated(setup, canary)) if watch.first_draws_calibrated else []
            draws += calibrated or [new(canary, "reference")]
    if watch.repeats_itself is None:
        references = [draw for draw in [*(visits[0].draws if visits else ()), *draws] if draw.known]
        # Draws of the calibration tell already whether a vendor without seeds repeats itself.
        told_by_references = not visits and len(calibrated_draws(references)) >= 2 * len(canaries)
        if setup.adapter.capabilities.seedable or not told_by_references:
            # New ones alone, so that a vendor which changed since its calibration is still known to repeat itself.
            draws += [repeat(references[0]) for _ in range(REPEATS)]
    elif watch.repeats_itself and setup.adapter.capabilities.seedable:
        # A canary after the other, so that each is repeated now and then.
        canary = canaries[len(visits) % len(canaries)]
        draws.append(repeat(next(draw for draw in visits[0].draws if draw.canary == canary.position)))
    return [*draws, *(new(canary, "fresh") for canary in canaries)]


def calibrated_draws(draws: Sequence[WatchDraw]) -> list[WatchDraw]:
    """Those of a visit's draws that are the calibration's own, and stored."""
    return [draw for draw in draws if draw.known and draw.index < FIRST_INDEX]


def draws_to_choose_by(setup: Setup) -> int:
    """How many of a calibration's draws of a picture are looked at to choose canaries: half of them, at least one.

    Under a perturbation it is the first, since no other is an answer to the same upload.
    """
    # Half of the draws choose canaries; the other half, which did not choose, measure them fairly.
    return 1 if setup.perturbation is not None else max(1, min(setup.procedure.draws, _MOST_CALIBRATED) // 2)


def _calibrated(setup: Setup, canary: Canary) -> Iterator[WatchDraw]:
    """The calibration's own draws of the canary."""
    chosen = draws_to_choose_by(setup)
    for index in range(1 if setup.perturbation is not None else min(setup.procedure.draws, _MOST_CALIBRATED)):
        seed = setup.procedure.seed(canary.upload, index, setup.adapter.capabilities.seed_range)
        yield WatchDraw(canary.position, "chosen" if index < chosen else "reference", index, seed)


def task_of(canary: Canary, draw: WatchDraw) -> Task:
    """What the sampler is asked for."""
    upload = Upload(canary.name, canary.upload, canary.png, canary.width, canary.height)
    return Task(upload, draw.index, draw.seed)
