"""Two draws of one small picture from the vendor itself, compared with the adapter's claims."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import ENDED
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.pair_facts import pair_facts
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.stages.draws import drawn_picture, output_check
from blackbox_conformal.study.stages.first_answers import whole_faults
from blackbox_conformal.study.stages.prepare import Prepared, prepare_input
from blackbox_conformal.study.stages.settings import Setup, set_up
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.text import dollars, name_of
from blackbox_conformal.support.types import Image
from blackbox_conformal.testing.static_contract import CheckResult
from blackbox_conformal.vendor.adapter import Adapter

PATIENCE_S = 300.0  # Seconds to wait for one draw: the user looks on, and a paid draw can be fetched later.
SHOWN = "the picture that was sent comes back, at the promised size"

_SIDE = 128


def prepare_check(
    adapter: Adapter, *, picture: Path | None = None, scale: int | None = None, seed: int = 0
) -> tuple[Setup, Prepared]:
    """Prepare `picture`, or one of this package, for drawing; send nothing.

    A vendor that says it never varies is asked for one draw, every other for two.
    """
    setup = set_up(
        adapter, scale=scale, draws=1 if adapter.capabilities.deterministic else 2, score="bicubic-gap", seed=seed
    )
    limits = adapter.capabilities
    side = min(max(_SIDE, limits.min_side or 0), limits.max_side or _SIDE * 64)
    source = image_png(check_picture(side)) if picture is None else picture
    name = "check-picture" if picture is None else name_of(picture)
    return setup, prepare_input(source, name, setup)


def check_picture(side: int) -> Image:
    """Make a scene with edges, curves, texture and flat places: (side, side, 3) uint8, always the same."""
    row, column = np.mgrid[0:side, 0:side] / side
    sky = np.stack([90 + 100 * row, 140 + 60 * row, 220 - 40 * row], axis=-1)
    hill = row > 0.62 + 0.08 * np.sin(7 * column)
    sky[hill] = np.stack([60 + 40 * column, 110 + 30 * np.sin(90 * (row + column)), 50 + 20 * row], axis=-1)[hill]
    sky[(row - 0.25) ** 2 + (column - 0.7) ** 2 < 0.012] = (250, 235, 150)
    wall = (np.abs(column - 0.3) < 0.13) & (row > 0.45) & (row < 0.75)
    sky[wall] = (170, 80, 60)
    sky[wall & ((np.floor(row * 40) + np.floor(column * 40)) % 4 == 0)] = (235, 225, 205)
    return sky.clip(0, 255).astype(np.uint8)


def check_live(job: Job) -> list[CheckResult]:
    """Draw the one picture of a job, and compare the results with the adapter's claims.

    Draws that the run folder already holds are not paid again.
    """
    setup = job.setup
    job.confirm()
    limits = replace(job.limits, job_deadline_s=min(job.limits.job_deadline_s or PATIENCE_S, PATIENCE_S))
    with Sampler(
        setup.adapter, job.folder, limits, check=output_check(setup), listener=job.listeners.listener
    ) as sampler:
        job.listeners.on_sampler(sampler)
        outcomes = sorted(sampler.draw(job.tasks), key=lambda outcome: outcome.task.index)
        failed = [outcome for outcome in outcomes if outcome.state != "stored"]
        if failed:
            return [
                CheckResult(SHOWN, False, f"draw {failed[0].task.index} {ENDED[failed[0].state]}: {failed[0].error}")
            ]
        files = [sampler.read(outcome) for outcome in outcomes]
        answers = [
            drawn_picture(file, outcome.task, setup, setup.sent(sent_pixels(outcome.task.upload)))
            for file, outcome in zip(files, outcomes, strict=True)
        ]
    pixels = [answer.pixels for answer in answers]
    fits = [answer.resemblance.edges for answer in answers if answer.resemblance.edges is not None]
    height, width = pixels[0].shape[:2]
    cached = sum(outcome.cached for outcome in outcomes)
    shown = f"edges correlate with the input's at {min(fits):.3f}" if fits else "too flat to be compared"
    detail = f"{len(pixels)} of {width}×{height}; {shown}" + (f"; {cached} of them drawn before" if cached else "")
    adapter, container, upload = setup.adapter, inspect(files[0]), outcomes[0].task.upload
    lossless, form = not (container.lossy and adapter.capabilities.lossless_output), container.format
    if not lossless:
        form = (
            f"a lossy {form} came, whose noise counts as difference between draws: ask the vendor for PNG,"
            " or declare lossless_output=False (lossless = false in a recipe)"
        )
    booked, price = [outcome.cost_usd for outcome in outcomes], adapter.price_for(upload.width, upload.height)
    cost, within = f"booked at {' and '.join(dollars(each) for each in dict.fromkeys(booked))} a draw", True
    if price is None:
        cost = f"no price is declared; {cost}. Give -p price-usd=… to set a budget"
    else:
        declared = " to ".join(dollars(usd) for usd in dict.fromkeys((price.low_usd, price.high_usd)))
        within = max(booked, default=Decimal(0)) <= price.high_usd
        cost += f"; declared {declared}" if within else f"; the adapter declares {declared}. Give -p price-usd=…"
    # The named model alone: the sampler itself stops when a second model answers.
    model = outcomes[0].model or "it names none, so that a silent change of it cannot be seen"
    return [
        CheckResult(SHOWN, True, detail),
        _as_a_whole(sent_pixels(outcomes[0].task.upload), pixels[0]),
        CheckResult("the format is as declared", lossless, form),
        _draws_differ(pixels, deterministic=adapter.capabilities.deterministic),
        CheckResult("it costs what is declared", within, cost),
        CheckResult("the model is named", True, model),
    ]


def _as_a_whole(sent: Image, answer: Image) -> CheckResult:
    facts = pair_facts(sent, answer)
    faults = whole_faults(facts)
    told = "; ".join(fact.sentence for fact in faults or facts.facts) or "no difference beyond what is usual"
    return CheckResult("colours and place are those of what was sent", not faults, told)


def _draws_differ(pixels: Sequence[Image], *, deterministic: bool) -> CheckResult:
    name = "draws of one picture differ"
    if deterministic:
        return CheckResult(
            name, True, "one draw, as this vendor never varies as it is configured; several need --perturbation"
        )
    if len({pixels_digest(draw) for draw in pixels}) == 1:
        return CheckResult(
            name,
            False,
            "both draws are the same picture: the vendor takes no seed, or answers equal requests from a cache. "
            "Several draws need --perturbation dihedral",
        )
    gap = np.abs(pixels[0].astype(np.int16) - pixels[1])
    return CheckResult(name, True, f"by {gap.mean():.2f} of 255 on average, {gap.max()} at most")
