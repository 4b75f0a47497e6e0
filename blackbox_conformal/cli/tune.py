"""`tune`: choose a score on some photographs, calibrate it on the others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import next_steps, session
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, bill, share, spent
from blackbox_conformal.cli.interrupts import watching
from blackbox_conformal.cli.named_files import photograph_paths, refuse_other_calibration
from blackbox_conformal.errors import UsageError

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.calibrating import CalibrationRun
    from blackbox_conformal.pipeline.job import Job, Watch
    from blackbox_conformal.pipeline.planning import Plan
    from blackbox_conformal.pipeline.stages.prepare import Prepared
    from blackbox_conformal.pipeline.stages.settings import Setup
    from blackbox_conformal.pipeline.tuning import Candidate, Tuning

NEARLY = 0.01
"""Trusted share that no reasonable number of tuning photographs tells apart."""


@dataclass(frozen=True, kw_only=True)
class TuneOptions(shared.JobOptions):
    """What `tune` is given."""

    images: tuple[str, ...]
    alpha: float
    candidates: tuple[str, ...]
    tuning_share: float
    only_choose: bool
    out: str | None
    force: bool


@click.command("tune")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True))
@shared.procedure
@shared.option("--alpha", type=shared.Level(), required=True, help="The level at which candidates are compared.")
@shared.option(
    "--candidate",
    "candidates",
    multiple=True,
    metavar="NAME[:k=v,…][@DRAWS]",
    help="A score to compare; repeatable.  [default: all that fit]",
)
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
@shared.collected(TuneOptions)
def command(screen: Screen, options: TuneOptions) -> None:
    """Compare scores on a part of IMAGES, then calibrate the best on the rest, which was never looked at."""
    from blackbox_conformal.pipeline.run_folder import TUNING_FILE, TuningRecord
    from blackbox_conformal.pipeline.stages.settings import member
    from blackbox_conformal.pipeline.tuning import default_candidates, parse_candidates, tune_job

    second = options.second_adapter is not None
    typed = options.candidates or default_candidates(options.draws, second=second)
    candidates = parse_candidates(typed, options.draws)
    if second and not any(candidate.score.needs_second for candidate in candidates):
        raise UsageError(
            "expected no --second-adapter, since no candidate compares with a second vendor; add --candidate "
            "second-opinion, or leave --second-adapter out"
        )
    setup = _setup(options, candidates)
    member("guarantees", "expected").check_level(options.alpha, setup.metric.bound)
    run = session.folder_of(options, setup.procedure)
    out = Path(options.out or run / (TUNING_FILE if options.only_choose else "calibration.json"))
    if options.only_choose and out.exists():
        TuningRecord.load(out)
    with watching(screen) as watch:
        parts = _agreed(screen, options, setup, run, out, candidates, watch)
        tuning = tune_job(parts.tuning_job, candidates, options.alpha, len(parts.calibrating))
        _show_candidates(screen, tuning, parts)
        if options.only_choose:
            best = tuning.best.candidate
            record = TuningRecord(score=_score(best), draws=best.draws, alpha=tuning.alpha, photographs=tuning.tuning)
            record.keep(out)
            result = None
        else:
            result = _calibrated(parts.job.only(parts.calibrating), tuning, out, options)
    _show(screen, options, setup, parts, tuning, result, out)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A job that a person agreed to: photographs that calibrate, and those that candidates are compared on."""

    job: "Job"
    calibrating: "Sequence[Prepared]"
    tuning: "Sequence[Prepared]"

    @property
    def tuning_job(self) -> "Job":
        """The job on the photographs that candidates are compared on."""
        return self.job.only(self.tuning)


def _agreed(
    screen: Screen,
    options: TuneOptions,
    setup: "Setup",
    run: Path,
    out: Path,
    candidates: "Sequence[Candidate]",
    watch: "Watch",
) -> _Parts:
    """Split the photographs and ask a person; with --only-choose for the tuning photographs alone."""
    from blackbox_conformal.pipeline.held_out import split_prepared
    from blackbox_conformal.pipeline.planning import memory_bytes, plan
    from blackbox_conformal.pipeline.stages.settings import member
    from blackbox_conformal.pipeline.tuning import bytes_a_pixel

    paths = photograph_paths(options.images)
    pixel_bytes = bytes_a_pixel(len(candidates))
    job = session.photograph_job(screen, options, setup, paths, run, watch, pixel_bytes)
    held_out = max(1, math.floor(options.tuning_share * len(paths)))
    calibrating, tuning = split_prepared(job.pictures, held_out, options.seed or 0)
    if not options.only_choose:
        calibrating = _unseen(options, run, out, calibrating, tuning)
    job = job.only(tuning if options.only_choose else [*tuning, *calibrating])

    def planned() -> "Plan":
        estimate = plan(setup, job.pictures, member("guarantees", "expected"), run=run, limits=job.limits)
        return replace(estimate, memory_bytes=memory_bytes(job.pictures, pixel_bytes))

    job.confirm(planned)
    return _Parts(job, calibrating, tuning)


def _unseen(
    options: TuneOptions, run: Path, out: Path, calibrating: "Sequence[Prepared]", tuning: "Sequence[Prepared]"
) -> "list[Prepared]":
    """The photographs of `calibrating` that no earlier `tune` looked at; refuses to overwrite another calibration."""
    from blackbox_conformal.pipeline.run_folder import tuning_photographs, unseen_by_tuning

    earlier = tuning_photographs(run)
    unseen = {picture.truth_digest for picture in unseen_by_tuning([*calibrating, *tuning], earlier)}
    fresh = [picture for picture in calibrating if picture.truth_digest in unseen]
    if not options.force:
        truths, tuned = ({picture.truth_digest or "" for picture in part} for part in (fresh, tuning))
        refuse_other_calibration(out, None, truths, tuned | {photograph.truth for photograph in earlier})
    return fresh


def _calibrated(job: "Job", tuning: "Tuning", out: Path, options: TuneOptions) -> "CalibrationRun":
    """The best candidate, calibrated on the photographs of `job`, which were never looked at, and kept in `out`."""
    from blackbox_conformal.pipeline.calibrating import calibrate_job
    from blackbox_conformal.pipeline.run_folder import keep_calibration, tuning_photographs

    best = tuning.best.candidate
    setup = _setup(replace(options, draws=best.draws, score=_score(best)), [best])
    seen = list(
        {photograph.truth: photograph for photograph in (*tuning.tuning, *tuning_photographs(job.folder))}.values()
    )
    result = calibrate_job(job.chosen(setup), alpha=options.alpha, tuning=seen)
    keep_calibration(job.folder, result.calibration, out, force=options.force)
    return result


def _score(candidate: "Candidate") -> str:
    """The score of a candidate, as it is typed."""
    from blackbox_conformal.pipeline.tuning import specification_text

    return specification_text(candidate.score)


def _setup(options: TuneOptions, candidates: "Sequence[Candidate]") -> "Setup":
    """What `options` describe; with the second vendor only where one of `candidates` compares with it."""
    comparing = next((candidate for candidate in candidates if candidate.score.needs_second), None)
    if comparing is not None:
        return session.build_setup(replace(options, score=_score(comparing)))
    return session.build_setup(replace(options, second_adapter=None))


def _show_candidates(screen: Screen, tuning: "Tuning", parts: _Parts) -> None:
    """Every candidate, and a cheaper one that is nearly as good."""
    n_tuning = len(parts.tuning)
    screen.table(
        f"Candidates at alpha={tuning.alpha:g}, on {n_tuning} tuning photographs",
        ["score", "trusted share", f"paid calls for {len(parts.calibrating)} photographs"],
        [[scored.candidate.label, share(scored.trusted_share), str(scored.calls)] for scored in tuning.scored],
    )
    cheaper = tuning.cheapest(NEARLY)
    if cheaper.calls < tuning.best.calls:
        screen.note(
            f"note: {cheaper.candidate.label} trusts {share(cheaper.trusted_share)} for {cheaper.calls} calls "
            f"instead of {tuning.best.calls}, and {n_tuning} photographs hardly tell the two apart; --candidate "
            f"{cheaper.candidate.label} chooses it"
        )


def _show(
    screen: Screen,
    options: TuneOptions,
    setup: "Setup",
    parts: _Parts,
    tuning: "Tuning",
    result: "CalibrationRun | None",
    out: Path,
) -> None:
    """What was chosen, what it took, and what to do next; without a calibration, `out` is the tuning file."""
    best, run = tuning.best.candidate, parts.job.folder
    n_tuning, n_calibration = len(parts.tuning), len(parts.calibrating)
    steps: list[Tuning | CalibrationRun] = [tuning] if result is None else [tuning, result]
    calls, cached = sum(step.calls for step in steps), sum(step.cached for step in steps)
    cost = bill(sum((step.cost_usd for step in steps), Decimal(0)), calls, setup.adapter, setup.second)
    screen.summary(
        {
            "best": f"{best.label}: --score {_score(best)} --draws {best.draws}",
            "calls": f"{calls} made, {cached} draws were stored, {spent(cost)}",
            "calibration": f"none was asked for; {out} says which {n_tuning} photographs were looked at"
            if result is None
            else f"{out.resolve()}, on the {n_calibration} other photographs",
        }
    )
    if result is None:
        second = best.score.needs_second
        screen.next(*next_steps.calibrate_with(_score(best), best.draws, out, run, second=second))
    else:
        screen.next(*next_steps.with_calibration("audit", "other-photographs", out, setup.adapter, options))
    screen.data(
        {
            "best": {"score": _score(best), "draws": best.draws},
            "alpha": tuning.alpha,
            "n_tuning": n_tuning,
            "n_calibration": n_calibration,
            "candidates": [
                {
                    "score": scored.candidate.label,
                    "trusted_share": scored.trusted_share,
                    "calls": scored.calls,
                }
                for scored in tuning.scored
            ],
            "calls": calls,
            "cached": cached,
            "cost_usd": None if cost is None else float(cost),
            "calibration": None if result is None else str(out.resolve()),
            "tuning": str(out.resolve()) if result is None else None,
        }
    )
