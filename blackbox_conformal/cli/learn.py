"""`tune --learn`: weights of the score price for the user's own kind of photographs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import next_steps, session
from blackbox_conformal.cli.console import Screen, share
from blackbox_conformal.cli.interrupts import watching
from blackbox_conformal.cli.named_files import photograph_paths
from blackbox_conformal.errors import UsageError

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter
    from blackbox_conformal.cli.tune import TuneOptions
    from blackbox_conformal.pipeline.job import Job, Watch
    from blackbox_conformal.pipeline.learning import Learning
    from blackbox_conformal.pipeline.stages.settings import Setup

CHOOSING = ("alpha", "want_share", "guarantee", "candidates", "tuning_share", "only_choose", "score", "perturbation")
"""Options of `tune` that choose among scores; learning makes one."""


def learn(screen: Screen, options: "TuneOptions") -> None:
    """Learn from the photographs' free outputs, write the weights, and say how to calibrate with them."""
    from blackbox_conformal.files import write_new
    from blackbox_conformal.pipeline.learning import learn_job
    from blackbox_conformal.pipeline.run_folder import TUNING_FILE, TuningRecord
    from blackbox_conformal.scores._price_network import network_of

    _refuse_choosing()
    setup = _setup(options)
    run = session.folder_of(options, setup.procedure)
    _refuse_unnameable(Path(options.out) if options.out else run)
    tuning = run / TUNING_FILE
    if tuning.exists():
        TuningRecord.load(tuning)
    with watching(screen) as watch:
        job = _job(options, setup, run, watch)
        session.say_fitted(screen, job)
        learning = learn_job(job, options.seed or 0)
    content, score, weights = learning.learned.content, "price", None
    if content is not None:
        digest = network_of(content).digest
        weights = Path(options.out) if options.out else run / f"price-{digest.removeprefix('sha256:')[:12]}.npz"
        score = f"price:weights={weights}"
    # Kept before there is anything that they could be forgotten for.
    record = TuningRecord(score=score, draws=setup.procedure.draws, alpha=None, photographs=learning.photographs)
    record.keep(tuning)
    if weights is not None and content is not None:
        write_new(weights, content, force=options.force)
    _show(screen, job, learning, weights, tuning)
    screen.next(*next_steps.calibrate_learned(score, tuning, run, setup.adapter))


def _setup(options: "TuneOptions") -> "Setup":
    """The set-up that the options describe, with the score price."""
    from blackbox_conformal.scores.price import Price

    setup = session.build_setup(replace(options, score=None, second_adapter=None, perturbation=None))
    refused = Price().refused_at(setup.procedure.scale)
    if refused is not None:
        raise UsageError(
            f"{refused}; got scale {setup.procedure.scale}. Leave --learn out: `tune` chooses among others"
        )
    return setup.with_score(Price(), options.draws)


def _job(options: "TuneOptions", setup: "Setup", run: Path, watch: "Watch") -> "Job":
    """The job of the outputs that are free: those of the folder, or else of the embedded vendor."""
    from blackbox_conformal.pipeline.learning import job_to_learn

    stand_in = _stand_in(options.outputs, setup.procedure.scale)
    terms = session.job_terms(options, run / f"{stand_in.name}-stand-in", watch, lambda *_: None)
    free = replace(terms, limits=replace(terms.limits, max_cost_usd=None, max_calls=None))
    return job_to_learn(setup.with_score(setup.score, 1), stand_in, photograph_paths(options.images), free)


def _stand_in(outputs: str | None, scale: int) -> "Adapter":
    from blackbox_conformal.plugins import load_adapter

    if outputs is not None:
        return load_adapter("folder", path=outputs, label=Path(outputs).name or "outputs", scale=str(scale))
    embedded = load_adapter("embedded")
    if scale not in embedded.capabilities.scale_factors:
        raise UsageError(
            f"expected --outputs FOLDER with outputs of scale {scale} to learn from, since the embedded vendor "
            "magnifies by 4 only. Add --outputs outputs"
        )
    return embedded


def _refuse_choosing() -> None:
    """Refuse options that choose among scores beside --learn."""
    context = click.get_current_context()
    typed = [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name in (*CHOOSING, "second_adapter")
        and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    ]
    if typed:
        raise UsageError(
            f"expected --learn without {' and '.join(typed)}, since it makes weights of the score price and chooses "
            "nothing. Leave out what is not for it; `calibrate` takes the level and the guarantee"
        )


def _refuse_unnameable(path: Path) -> None:
    """Refuse a path that no score could name."""
    from blackbox_conformal.catalog import parse

    try:
        named = parse(f"price:weights={path}")[1].get("weights")
    except UsageError:
        named = None
    if named != str(path):
        raise UsageError(
            f"expected a path without commas and single brackets, which --score price:weights=FILE can name; got "
            f"{path}. Give --run run"
        )


def _show(screen: Screen, job: "Job", learning: "Learning", weights: Path | None, tuning: Path) -> None:
    learned = learning.learned
    screen.summary(
        {
            "learned from": f"{learning.teaching} photographs, outputs of {job.setup.adapter.name}, at no cost",
            "trusted": f"{share(learned.after)} of {learning.measuring} photographs kept apart, before "
            f"{share(learned.before)}, on average over levels",
            "weights": "none: those of the package are as good for these photographs"
            if weights is None
            else str(weights.resolve()),
            "photographs": f"{len(learning.photographs)}; {tuning} keeps them from calibrating",
        }
    )
    screen.data(
        {
            "weights": None if weights is None else str(weights.resolve()),
            "score": "price" if weights is None else f"price:weights={weights}",
            "outputs_of": job.setup.adapter.name,
            "n_teaching": learning.teaching,
            "n_measuring": learning.measuring,
            "share_before": learned.before,
            "share_after": learned.after,
            "teaching_share_before": learned.taught_before,
            "teaching_share_after": learned.taught_after,
            "tuning": str(tuning.resolve()),
        }
    )
