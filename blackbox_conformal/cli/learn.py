"""`tune --learn`: weights of the score learned for the user's own kind of photographs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import from_options, next_steps
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import listening
from blackbox_conformal.cli.named_files import photograph_paths
from blackbox_conformal.errors import UsageError

if TYPE_CHECKING:
    from blackbox_conformal.cli.tune import TuneOptions

CHOOSING = (
    *("alpha", "want_share", "guarantee", "candidates", "tuning_share", "only_choose", "nothing_chosen"),
    *("score", "perturbation"),
)
"""Options of `tune` that choose among scores; learning makes one."""


def learn(screen: Screen, options: "TuneOptions") -> None:
    """Learn from the photographs' free outputs, write the weights, and say how to calibrate with them."""
    from blackbox_conformal.study.choose.learning import job_to_learn, learn_job, setup_to_learn
    from blackbox_conformal.study.looked_at import TUNING_FILE
    from blackbox_conformal.support.member_text import specification_text

    _refuse_choosing()
    plain = replace(options, score=None, second_adapter=None, perturbation=None)
    setup = setup_to_learn(from_options.build_setup(plain))
    run = from_options.folder_of(options, setup.procedure)
    out = Path(options.out) if options.out else None
    _refuse_unnameable(out or run)
    with listening(screen) as listeners:
        terms = from_options.job_terms(options, run, listeners, lambda *_: None)
        job = job_to_learn(setup, options.outputs, photograph_paths(options.images), terms)
        from_options.say_fitted(screen, job)
        learning = learn_job(job, run, options.seed or 0, out, force=options.force)
    score = specification_text(learning.score)
    screen.show(learning.blocks())
    screen.say(f"{run / TUNING_FILE} keeps these photographs from calibrating.")
    screen.data({**learning.document(), "tuning": str((run / TUNING_FILE).resolve())})
    screen.next(*next_steps.calibrate_learned(score, run / TUNING_FILE, run))


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
            f"expected --learn without {' and '.join(typed)}, since it makes weights of the score learned and chooses "
            "nothing. Leave out what is not for it; `calibrate` takes the level and the guarantee"
        )


def _refuse_unnameable(path: Path) -> None:
    """Refuse a path that no score could name."""
    from blackbox_conformal.support.member_text import parse

    try:
        named = parse(f"learned:weights={path}")[1].get("weights")
    except UsageError:
        named = None
    if named != str(path):
        raise UsageError(
            f"expected a path without commas and single brackets, which --score learned:weights=FILE can name; got "
            f"{path}. Give --run run"
        )
