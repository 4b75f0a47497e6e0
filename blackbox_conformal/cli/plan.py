"""`plan`: what a calibration would cost before a cent is spent."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blackbox_conformal.cli import from_options, next_steps
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.keys import confirm_keys
from blackbox_conformal.cli.named_files import photograph_paths
from blackbox_conformal.cli.planned import followed_row, inspect, present, show_plan
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.keyword_arguments import INPUTS, PlanSettings

if TYPE_CHECKING:
    from blackbox_conformal.method.audits.input_shift import InputShift
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.study.plan.frontier_rows import Wish
    from blackbox_conformal.study.plan.planning import Plan


@dataclass(frozen=True, kw_only=True)
class PlanOptions(shared.JobOptions):
    images: tuple[str, ...] = shared.photographs()
    guarantee: str | None = shared.setting()
    alpha: float | None = shared.setting()
    inputs: str | None = shared.declared(
        "--inputs",
        type=shared.PicturesPath(exists=True),
        group=INPUTS,
        main=True,
        no_keyword="`compare_inputs` does it",
        help="Pictures that are to be sent later: compare them with the inputs made from IMAGES.",
    )
    want_share: float | None = shared.setting()
    pilot: int | None = shared.setting()
    stand_in: bool = shared.setting()
    quote: bool = shared.setting()

    @property
    def wish(self) -> "Wish | None":
        """What rows must keep; None where nothing is wished for."""
        from blackbox_conformal.study.plan.frontier_rows import Wish

        wish = Wish(alpha=self.alpha, share=self.want_share, usd=self.max_cost)
        return None if wish == Wish() else wish


@shared.command(
    "plan",
    PlanOptions,
    PlanSettings,
    examples=(
        "blackbox-conformal plan photographs/ --adapter stability --alpha 0.1",
        "blackbox-conformal plan photographs/ --adapter stability --want-share 0.5 --pilot 20 --max-cost 10",
    ),
)
def command(screen: Screen, options: PlanOptions) -> None:
    """Say what calibrating on IMAGES takes (calls, price, time, disk, memory) and which levels it reaches.

    With --max-cost, --alpha or --want-share also what share of a picture each promise is expected to trust.

    It spends nothing, except with --pilot. It sends only free questions, which need the vendor's key: what it
    publishes of the model, where it does, and with --quote its price.
    """
    from blackbox_conformal.drawing.quotes import ask_quotes
    from blackbox_conformal.method.guarantees.instance_bound import refuse_bound

    if options.stand_in and options.pilot is None:
        raise UsageError("expected --stand-in beside --pilot; got it alone. Add --pilot 20")
    setup = from_options.build_setup(options, options.guarantee)
    from_options.note_address(screen, setup)
    rule = setup.promised(options.guarantee)
    if options.alpha is not None:
        rule.check_level(options.alpha, rule.loss_bound(setup.metric.capped_bound))
    refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    run = from_options.folder_of(options, setup.procedure)
    quoted = piloted = None
    with from_options.job_terms(screen, options, run) as terms:
        paths = photograph_paths(options.images)
        job = from_options.photograph_job(screen, setup, paths, terms, to_draw=False)
        from_options.say_lossy(screen, job)
        if options.quote:
            confirm_keys(screen, [setup.adapter], options)
            quoted = ask_quotes(setup.adapter, [task.upload for task in job.tasks], job.limits, screen.step)
        inspect(screen, job, options)
        if options.pilot is not None:
            piloted = _with_pilot(job, options, options.pilot)
    if piloted is not None:
        present_pilot(screen, job, piloted)
        return
    shift = None if options.inputs is None else _compared(screen, job, options.inputs)
    present(screen, job, rule, options.alpha, quoted, shift, options.wish, options.guarantee)
    if shift is not None:
        next_steps.refuse_shift(shift)


def _compared(screen: Screen, job: "Job", inputs: str) -> "InputShift":
    """The pictures that are to be sent, beside the inputs of the job's photographs."""
    from blackbox_conformal.method.audits.input_shift import compare
    from blackbox_conformal.method.images.input_statistics.statistics import InputStatistics
    from blackbox_conformal.study.choose.input_comparison import read_statistics, reason_of_files

    formats: list[str] = []
    known = InputStatistics.together(picture.statistics for picture in job.pictures)
    new = read_statistics(photograph_paths([inputs]), screen.step, formats=formats)
    return replace(compare(known, new), files=reason_of_files(formats, job.setup.procedure))


def _with_pilot(job: "Job", options: PlanOptions, count: int) -> "Plan":
    """Draw the pilot, and plan by it."""
    from blackbox_conformal.study.plan.frontier_rows import Wish
    from blackbox_conformal.study.plan.piloting import PilotRequest, plan_with_pilot
    from blackbox_conformal.study.plugins import load_adapter

    if options.inputs is not None or options.quote:
        raise UsageError("expected --pilot without --inputs and --quote; run `plan` with those first, without --pilot")
    request = PilotRequest(
        photographs=count,
        wish=options.wish or Wish(),
        guarantee=options.guarantee,
        typed=next_steps.chosen_settings(),
        seed=options.seed or 0,
        stand_in=load_adapter("embedded") if options.stand_in else None,
    )
    return plan_with_pilot(job, request)


def present_pilot(screen: Screen, job: "Job", planned: "Plan") -> None:
    """Show what calibrating on the photographs that a pilot left would take and is expected to trust."""
    from blackbox_conformal.study.looked_at import TUNING_FILE

    show_plan(screen, planned, job)
    highest = None if planned.cost_usd is None else planned.cost_usd[1]
    followed = followed_row(screen, planned)
    screen.next(*next_steps.calibrate_after_pilot(job.folder, job.folder / TUNING_FILE, highest, followed))
