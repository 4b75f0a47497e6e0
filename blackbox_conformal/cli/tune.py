"""`tune`: choose a score on some photographs, calibrate it on the others."""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, bill, share, spent, summary

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.calibrating import CalibrationRun
    from blackbox_conformal.pipeline.job import Job
    from blackbox_conformal.pipeline.planning import Plan
    from blackbox_conformal.pipeline.stages.prepare import Prepared
    from blackbox_conformal.pipeline.stages.settings import Setup
    from blackbox_conformal.pipeline.tuning import Candidate, Tuning
    from blackbox_conformal.sampling.sampler import Sampler
    from blackbox_conformal.scores.score import Score

NEARLY = 0.01
"""Trusted share that no reasonable number of tuning photographs tells apart."""


@click.command("tune")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True))
@shared.procedure
@shared.option("--alpha", type=shared.Level(), required=True, help="The level at which candidates are compared.")
@shared.option("--candidate", "candidates", multiple=True, metavar="NAME[:k=v,…][@DRAWS]", help="Repeatable; else all.")
@shared.option(
    "--tuning-share",
    type=click.FloatRange(0.05, 0.9),
    default=0.3,
    show_default=True,
    help="Share of the photographs that candidates are compared on.",
)
@shared.option(
    "--only-choose",
    is_flag=True,
    help="Do not calibrate the best candidate: keep which photographs were looked at, for `calibrate`.",
)
@shared.spending
@shared.memory
@shared.option(
    "--out",
    type=click.Path(dir_okay=False),
    help="Calibration file, or with --only-choose the tuning file.  [default: in <run>]",
)
@shared.force
@shared.output
def command(images: tuple[str, ...], **options: Any) -> None:
    """Compare scores on a part of IMAGES, then calibrate the best on the rest, which was never looked at."""
    from blackbox_conformal.cli import session
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.run_folder import TuningRecord
    from blackbox_conformal.pipeline.stages.settings import member
    from blackbox_conformal.pipeline.tuning import default_candidates, parse_candidates, tune_job

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    second = options["second_adapter"] is not None
    typed = options["candidates"] or default_candidates(options["draws"], second=second)
    chosen = parse_candidates(typed, options["draws"])
    setup = _setup(options, chosen)
    member("guarantees", "expected").check_level(options["alpha"], setup.metric.bound)
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    run = session.folder_of(options, setup.procedure)
    out = _out(options, run)
    if options["only_choose"] and out.exists():
        TuningRecord.load(out)
    with screen.progress(), session.interruptible(screen) as on_sampler:
        job, calibrating, tuning = _prepared(screen, setup, paths, run, out, chosen, options, on_sampler)
        found = tune_job(job.only(tuning), chosen, options["alpha"], len(calibrating))
        _show_candidates(screen, found, len(tuning), len(calibrating))
        result = None
        if options["only_choose"]:
            best = found.best.candidate
            kept = TuningRecord(score=_typed(best), draws=best.draws, alpha=found.alpha, photographs=found.tuning)
            kept.keep(out)
        else:
            result = _calibrated(job.only(calibrating), found, out, options)
    _show(screen, found, result, setup, run, out, len(tuning), len(calibrating), options)


def _out(options: dict[str, Any], run: Path) -> Path:
    """The calibration file, or with --only-choose the tuning file."""
    from blackbox_conformal.pipeline.run_folder import TUNING_FILE

    return Path(options["out"] or run / (TUNING_FILE if options["only_choose"] else "calibration.json"))


def _prepared(
    screen: Screen,
    setup: "Setup",
    paths: "Sequence[Path]",
    run: Path,
    out: Path,
    candidates: "Sequence[Candidate]",
    options: dict[str, Any],
    on_sampler: "Callable[[Sampler], None]",
) -> "tuple[Job, list[Prepared], list[Prepared]]":
    """The job that a person agreed to, the photographs that calibrate, and those that candidates are compared on.

    With --only-choose the job is on the latter alone.
    """
    from dataclasses import replace

    from blackbox_conformal.cli import consent, session
    from blackbox_conformal.cli.overwrite_guard import refuse_other_calibration
    from blackbox_conformal.pipeline.held_out import split_prepared
    from blackbox_conformal.pipeline.job import Job, Watch
    from blackbox_conformal.pipeline.planning import memory_bytes, plan
    from blackbox_conformal.pipeline.run_folder import tuning_photographs, unseen_by_tuning
    from blackbox_conformal.pipeline.stages.settings import member
    from blackbox_conformal.pipeline.tuning import bytes_a_pixel

    pixel_bytes = bytes_a_pixel(len(candidates))
    job = Job.of_photographs(
        setup,
        paths,
        run,
        session.build_limits(options),
        memory_bytes=options["memory"],
        pixel_bytes=pixel_bytes,
        ask=consent.asking(screen, options, consent.say_plan),
        watch=Watch(screen.event, screen.step, on_sampler),
    )
    held_out = max(1, math.floor(options["tuning_share"] * len(paths)))
    calibrating, tuning = split_prepared(job.pictures, held_out, options["seed"] or 0)
    if options["only_choose"]:
        job = job.only(tuning)
    else:
        earlier = tuning_photographs(run)
        unseen = {one.truth_digest for one in unseen_by_tuning(job.pictures, earlier)}
        calibrating = [one for one in calibrating if one.truth_digest in unseen]
        if not options["force"]:
            parts = [{one.truth_digest or "" for one in part} for part in (calibrating, tuning)]
            refuse_other_calibration(out, None, parts[0], parts[1] | {one.truth for one in earlier})
        job = job.only([*tuning, *calibrating])

    def planned() -> "Plan":
        found = plan(setup, job.pictures, member("guarantees", "expected"), run=run, limits=job.limits)
        return replace(found, memory_bytes=memory_bytes(job.pictures, pixel_bytes))

    job.confirm(planned)
    return job, calibrating, tuning


def _show_candidates(screen: Screen, found: "Tuning", n_tuning: int, n_calibration: int) -> None:
    """Every candidate, and a cheaper one that is nearly as good."""
    screen.table(
        f"Candidates at alpha={found.alpha:g}, on {n_tuning} tuning photographs",
        ["score", "trusted share", f"paid calls for {n_calibration} photographs"],
        [[one.candidate.label, share(one.trusted_share), str(one.calls)] for one in found.scored],
    )
    cheaper = found.cheapest(NEARLY)
    if cheaper.calls < found.best.calls:
        screen.note(
            f"note: {cheaper.candidate.label} trusts {share(cheaper.trusted_share)} for {cheaper.calls} calls "
            f"instead of {found.best.calls}, and {n_tuning} photographs hardly tell the two apart; --candidate "
            f"{cheaper.candidate.label} chooses it"
        )


def _typed(candidate: "Candidate") -> str:
    from blackbox_conformal.pipeline.tuning import specification_text

    return specification_text(candidate.score)


def _calibrated(job: "Job", found: "Tuning", out: Path, options: dict[str, Any]) -> "CalibrationRun":
    """The best candidate, calibrated on the photographs of `job`, which were never looked at, and kept in `out`."""
    from blackbox_conformal.pipeline.calibrating import calibrate_job
    from blackbox_conformal.pipeline.run_folder import keep_calibration, tuning_photographs

    best = found.best.candidate
    tuned = _setup({**options, "draws": best.draws}, [best], best.score)
    tuning = list({one.truth: one for one in (*found.tuning, *tuning_photographs(job.folder))}.values())
    result = calibrate_job(job.chosen(tuned), alpha=options["alpha"], tuning=tuning)
    keep_calibration(job.folder, result.calibration, out, force=options["force"])
    return result


def _show(
    screen: Screen,
    found: "Tuning",
    result: "CalibrationRun | None",
    setup: "Setup",
    run: Path,
    out: Path,
    n_tuning: int,
    n_calibration: int,
    options: dict[str, Any],
) -> None:
    """What was chosen, what it took, and what to do next."""
    from blackbox_conformal.cli import next_steps

    best, score = found.best.candidate, _typed(found.best.candidate)
    steps: list[Tuning | CalibrationRun] = [found] if result is None else [found, result]
    calls, cached = sum(one.calls for one in steps), sum(one.cached for one in steps)
    known = bill(sum((one.cost_usd for one in steps), Decimal(0)), calls, setup.adapter, setup.second)
    path = None if result is None else out
    screen.say(
        summary(
            {
                "best": f"{best.label}: --score {score} --draws {best.draws}",
                "calls": f"{calls} made, {cached} draws were stored, {spent(known)}",
                "calibration": f"none was asked for; {out} says which {n_tuning} photographs were looked at"
                if path is None
                else f"{path.resolve()}, on the {n_calibration} other photographs",
            }
        )
    )
    if path is None:
        second = best.score.needs_second
        screen.say(next_steps.next_command(*next_steps.calibrate_with(score, best.draws, out, run, second=second)))
    else:
        words = next_steps.with_calibration("audit", "other-photographs", path, setup.adapter, options)
        screen.say(next_steps.next_command(*words))
    screen.data(
        {
            "best": {"score": score, "draws": best.draws},
            "alpha": found.alpha,
            "n_tuning": n_tuning,
            "n_calibration": n_calibration,
            "candidates": [
                {"score": one.candidate.label, "trusted_share": one.trusted_share, "calls": one.calls}
                for one in found.scored
            ],
            "calls": calls,
            "cached": cached,
            "cost_usd": None if known is None else float(known),
            "calibration": None if path is None else str(path.resolve()),
            "tuning": str(out.resolve()) if path is None else None,
        }
    )


def _setup(options: dict[str, Any], candidates: "Sequence[Candidate]", score: "Score | None" = None) -> "Setup":
    """What `options` describe, with `score`; with the second vendor where one of `candidates` compares with it."""
    from blackbox_conformal.cli import session
    from blackbox_conformal.errors import UsageError
    from blackbox_conformal.pipeline.tuning import specification_text

    comparing = next((one.score for one in candidates if one.score.needs_second), None)
    if score is None and comparing is None and options["second_adapter"] is not None:
        raise UsageError(
            "expected no --second-adapter, since no candidate compares with a second vendor; add --candidate "
            "second-opinion, or leave --second-adapter out"
        )
    score = score or comparing
    if score is not None:
        options = {**options, "score": specification_text(score)}
    if comparing is None:
        options = {**options, "second_adapter": None}
    return session.build_setup(options)
