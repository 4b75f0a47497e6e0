"""`tune`: choose a score on some photographs, or with --learn fit one to them, and calibrate it on the others."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.cli import from_options, next_steps
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, bill, spent
from blackbox_conformal.cli.from_options import photograph_paths, refuse_other_calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.settings_table import LearnSettings, TuneSettings, described

if TYPE_CHECKING:
    from blackbox_conformal.study.calibrate.calibrating import CalibrationRun
    from blackbox_conformal.study.choose.scored import Tuning
    from blackbox_conformal.study.choose.tuning import ToTune, TuningJob


_CHOOSING = (
    *("alpha", "want_share", "guarantee", "candidates", "tuning_share", "only_choose", "nothing_chosen"),
    "perturbation",
)
"""Options of `tune` that choose among scores; learning makes one."""


@dataclass(frozen=True, kw_only=True)
class TuneOptions(shared.ClusterOptions, shared.JobOptions):
    images: tuple[str, ...] = shared.photographs()
    alpha: float | None = shared.alpha()
    want_share: float | None = shared.setting()
    guarantee: str | None = shared.setting()
    candidates: tuple[str, ...] = shared.setting()
    tuning_share: float = shared.setting()
    only_choose: bool = shared.setting()
    nothing_chosen: bool = shared.setting()
    learn: bool = shared.declared(
        "--learn",
        is_flag=True,
        main=True,
        no_keyword="`learn_score` does it",
        help="Instead: fit a score to IMAGES, learned at no cost or the one of --score. They never calibrate; the "
        "weights go to a file.",
    )
    outputs: str | None = shared.setting(described(LearnSettings)["outputs"], type=shared.EXISTING_FOLDER)
    out: str | None = shared.declared(
        "--out",
        type=shared.NEW_FILE,
        no_keyword=shared.SCREEN,
        help="Calibration file, with --only-choose the tuning file, with --learn the weights.  [default: in <run>]",
    )
    force: bool = shared.force()


@shared.command(
    "tune",
    TuneOptions,
    TuneSettings,
    examples=(
        "blackbox-conformal tune photographs/ --adapter replicate -p model=OWNER/NAME --alpha 0.1 --max-cost 5",
        "blackbox-conformal tune photographs/ --adapter embedded --learn",
    ),
)
def command(screen: Screen, options: TuneOptions) -> None:
    """Compare scores on a part of IMAGES, then calibrate the best on the rest, which was never looked at.

    With --want-share the level is chosen there, too. With --learn a score is made instead of chosen.
    """
    from blackbox_conformal.study.choose.tuning import ToTune, TuningJob
    from blackbox_conformal.study.run_folder import keep_calibration
    from blackbox_conformal.study.unseen_photographs import TUNING_FILE, TuningRecord
    from blackbox_conformal.support.catalog import specification_text

    if options.learn:
        _learn(screen, options)
        return
    if options.outputs is not None:
        raise UsageError("expected --outputs beside --learn; got it alone. Add --learn")
    to_tune = ToTune.of(
        lambda score, guarantee: from_options.build_setup(
            options if score is None else replace(options, score=specification_text(score)), guarantee
        ),
        options.candidates,
        options.draws,
        second=options.second_adapter is not None,
        alpha=options.alpha,
        want_share=options.want_share,
        guarantee=options.guarantee,
    )
    setup, candidates, rule = to_tune.setup, to_tune.candidates, to_tune.rule
    run = from_options.folder_of(options, setup.procedure)
    from_options.refuse_without_key(options, setup, run)
    out = Path(options.out or run / (TUNING_FILE if options.only_choose else "calibration.json"))
    if options.only_choose and out.exists():
        TuningRecord.load(out)
    with from_options.job_terms(screen, options, run) as terms:
        paths = photograph_paths(options.images)
        job = TuningJob.of_photographs(
            setup,
            paths,
            terms,
            candidates=candidates,
            share=options.tuning_share,
            seed=options.seed or 0,
            only_choose=options.only_choose,
            nothing_chosen=options.nothing_chosen,
        )
        if not options.only_choose and not options.force:
            truths, tuned = ({picture.truth_digest or "" for picture in part} for part in (job.calibrating, job.tuning))
            refuse_other_calibration(out, None, truths, tuned | {photograph.truth for photograph in job.known})
        from_options.note_photographs(screen, job.whole)
        from_options.show_left_out(
            screen, len(paths), 0 if options.only_choose else len(paths) - len(job.whole.pictures)
        )
        from_options.ask_about_parts(screen, job.whole.pictures, sure=options.yes)
        tuning = job.choose(candidates, options.alpha, rule, options.want_share)
        screen.show(tuning.blocks())
        if options.only_choose:
            tuning.record.keep(out)
            result = None
        else:
            result = job.calibrate(tuning, rule)
            keep_calibration(run, result.calibration, out, force=options.force)
    _show(screen, options, to_tune, job, tuning, result, out)


def _show(
    screen: Screen,
    options: TuneOptions,
    to_tune: "ToTune",
    job: "TuningJob",
    tuning: "Tuning",
    result: "CalibrationRun | None",
    out: Path,
) -> None:
    from blackbox_conformal.support.catalog import specification_text

    setup, rule = to_tune.setup, to_tune.rule
    best, run = tuning.best.candidate, job.whole.folder
    n_tuning, n_calibration = len(job.tuning), len(job.calibrating)
    calls, cached = job.whole.calls, job.whole.cached
    cost = bill(job.whole.cost_usd, calls, setup.adapter, setup.second)
    screen.summary(
        {
            "calls": f"{calls} made, {cached} draws were stored, {spent(cost)}",
            "calibration": f"none was asked for; {out} says which {n_tuning} photographs were looked at"
            if result is None
            else f"{out.resolve()}, on the {n_calibration} other photographs",
        }
    )
    worth = None if result is None else result.calibration.worth(result.calibration.rule(), tuning.alpha)
    for remark in () if result is None else result.calibration.history.notes:
        screen.note(f"note: {remark}; certificates say so")
    from_options.show_worth(screen, worth)
    if result is None:
        promise = None if tuning.bound is None else specification_text(tuning.bound.rule)
        if options.guarantee is None and setup.with_score(best.score, best.draws).promised(None) != rule:
            # The comparison's promise, because the score alone would bring another.
            promise = specification_text(rule)
        chosen = {"guarantee": promise, "score": specification_text(best.score), "draws": best.draws}
        words = next_steps.again(
            "calibrate",
            without={"out", "memory", *(() if best.score.needs_second else ("second_adapter", "second_parameters"))},
            added={**chosen, "run": run, "tuning": out},
        )
    else:
        words = next_steps.with_calibration("audit", "other-photographs", out, setup.adapter, options)
    screen.next(*words, *([] if options.alpha is not None else ["--alpha", f"{tuning.alpha:g}"]))
    screen.data(
        {
            **tuning.document(),
            "n_calibration": n_calibration,
            "calls": calls,
            "cached": cached,
            "cost_usd": None if cost is None else float(cost),
            "calibration": None if result is None else str(out.resolve()),
            "worth": worth and worth.document,
            "tuning": str(out.resolve()) if result is None else None,
        }
    )


def _learn(screen: Screen, options: TuneOptions) -> None:
    from blackbox_conformal.study.choose.learning import USUAL, asks_vendor, job_to_learn, learn_job, setup_to_learn
    from blackbox_conformal.study.stages.settings import member
    from blackbox_conformal.study.unseen_photographs import TUNING_FILE
    from blackbox_conformal.support.catalog import parse, specification_text

    if typed := shared.typed_flags((*_CHOOSING, "second_adapter")):
        raise UsageError(
            f"expected --learn without {' and '.join(typed)}, since it makes weights of a score and chooses nothing. "
            "Leave out what is not for it; `calibrate` takes the level and the guarantee"
        )
    score = member("scores", options.score or USUAL)
    asks = asks_vendor(score, options.outputs)
    plain = replace(options, score=None, second_adapter=None, perturbation=None)
    setup = setup_to_learn(from_options.build_setup(plain), score)
    run = from_options.folder_of(options, setup.procedure)
    if asks:
        from_options.refuse_without_key(options, setup, run)
    out = Path(options.out) if options.out else None
    path = out or run
    try:
        named = parse(f"{USUAL}:weights={path}")[1].get("weights")
    except UsageError:
        named = None
    if named != str(path):
        raise UsageError(
            f"expected a path without commas and single brackets, which --score {USUAL}:weights=FILE can name; got "
            f"{path}. Give --run run"
        )
    with from_options.job_terms(
        screen, replace(options, cluster=None), run, None if asks else lambda *_: None
    ) as terms:
        job = job_to_learn(setup, options.outputs, photograph_paths(options.images), terms)
        from_options.note_photographs(screen, job)
        learning = learn_job(job, score, run, options.seed or 0, out, force=options.force)
    score = specification_text(learning.score)
    screen.show(learning.blocks())
    screen.say(f"{run / TUNING_FILE} keeps these photographs from calibrating.")
    screen.data({**learning.document(), "tuning": str((run / TUNING_FILE).resolve())})
    elsewhere = {"out", "force", "memory", "max_cost", "max_calls"}
    added = {"score": score, "run": run, "tuning": run / TUNING_FILE}
    screen.next(*next_steps.again("calibrate", without=elsewhere, paths=["other-photographs"], added=added))
