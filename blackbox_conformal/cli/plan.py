"""`plan` and `calibrate --dry-run`: the price of a calibration, before a cent is spent."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import from_options, next_steps
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.consent import confirm_keys, stored_elsewhere
from blackbox_conformal.cli.console import Screen, limit_above
from blackbox_conformal.cli.from_options import photograph_paths
from blackbox_conformal.errors import IncompleteError, RunRefusedError, UsageError, VendorError
from blackbox_conformal.study.settings_table import INPUTS, PlanSettings
from blackbox_conformal.study.stages.defaults import SEVERAL_DRAWS
from blackbox_conformal.support.text import counted

if TYPE_CHECKING:
    from blackbox_conformal.method.audits.input_shift import InputShift
    from blackbox_conformal.method.audits.vendor_claim import VendorClaim
    from blackbox_conformal.method.guarantees.guarantee import Guarantee
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.study.plan.frontier import Wish
    from blackbox_conformal.study.plan.planning import Plan


def inspect(screen: Screen, job: "Job", options: shared.JobOptions) -> None:
    """Read what the vendor publishes about the model that draws will be bought from.

    This asks for no key that is missing or new to the vendor: the run does that.
    """
    from blackbox_conformal.drawing.free_requests import inspect_vendor, refuse_retired
    from blackbox_conformal.drawing.spending.estimate import missing_key
    from blackbox_conformal.drawing.task import asked_of

    second = () if job.setup.second is None else ((job.setup.second, job.second_tasks),)
    for adapter, tasks in (*asked_of(job.setup.adapter, job.tasks), *second):
        if not job.estimate().calls:
            continue
        refuse_retired(adapter)
        if adapter.inspect() is None or missing_key(adapter, tasks[0]):
            continue
        try:
            confirm_keys(screen, [adapter], options)
            told = inspect_vendor(adapter, job.limits)
        except RunRefusedError:
            raise
        except (IncompleteError, UsageError, VendorError) as error:
            told = f"what {adapter.name} publishes of its model could not be read: {error}"
        if told is not None:
            screen.note(f"note: {told}")


def present(
    screen: Screen,
    job: "Job",
    rule: "Guarantee",
    alpha: float | None,
    quoted: Mapping[tuple[int, int], Decimal] | None = None,
    shift: "InputShift | None" = None,
    wish: "Wish | None" = None,
    guarantee: str | None = None,
    claim: "VendorClaim | None" = None,
    score_groups: int | None = None,
) -> None:
    """Show the effort of a calibration, at quoted prices or else by the price list.

    Show also the comparison with pictures to be sent, and which promises are expected to keep a wish.
    """
    from blackbox_conformal.drawing.spending.estimate import missing_key
    from blackbox_conformal.method.guarantees.guarantee import number_in_words
    from blackbox_conformal.study.plan.planning import plan_job, with_last_audit

    adapter = job.setup.adapter
    planned = plan_job(job, rule, alpha=alpha, quoted=quoted)
    planned = with_last_audit(planned, job, claim)
    if score_groups:
        planned = planned.in_score_groups(score_groups, rule, job.setup.metric.capped_bound)
    if wish is not None:
        planned = planned.with_frontier(job.setup, wish, guarantee, next_steps.chosen_settings())
    show_plan(screen, planned, job, shift)
    if shift is not None:
        screen.show(shift.blocks(job.setup.procedure.mixture.text))
    short = 0 if alpha is None else planned.needed_n[f"{alpha:g}"] - planned.n
    if short > 0:
        missing = "1 photograph is" if short == 1 else f"{number_in_words(short)} photographs are"
        screen.say(f"alpha={alpha:g} is out of reach of the guarantee {rule.plugin_name()}: {missing} missing")
    if planned.calls:
        for remark in (
            missing_key(adapter, job.tasks[0]),
            stored_elsewhere(screen, adapter, job.tasks, job.folder, planned.cost_usd),
        ):
            if remark is not None:
                screen.note(f"note: {remark}")
    if shift is not None and shift.differ:
        if shift.more_than_size:
            given = click.get_current_context().params
            photographs = [word for image in given["images"] for word in ("--photographs", image)]
            scale = str(job.setup.procedure.scale)
            screen.next("inputs", given["inputs"], "--suggest", *photographs, "--scale", scale)
        return
    # A limit covers stored draws, too, but the estimate leaves out their cost.
    highest = None if planned.cost_usd is None or planned.cached else planned.cost_usd[1]
    followed = followed_row(screen, planned)
    paths = [*click.get_current_context().params["images"]]
    paths += ["more-photographs"] if followed is None and short > 0 else []
    words = next_steps.again("calibrate", without={"dry_run"}, paths=paths, added=followed)
    if highest and not {"--max-cost", "--max-calls", "--yes"} & set(words):
        words += ["--max-cost", limit_above(highest)]
    screen.next(*words)


def _pace(planned: "Plan", job: "Job") -> tuple[float, str] | None:
    # The seconds that the calls take, and the source of that figure; None if unknown.
    from blackbox_conformal.drawing.spending.spent import read_spending

    if planned.calls == 0:
        return 0.0, "nothing is to be drawn"
    workers = job.limits.for_vendor(job.setup.adapter.capabilities).first_workers
    earlier = read_spending(job.folder)
    latency = None if earlier is None else earlier.latency
    seconds = 0.0 if latency is None else planned.calls * latency.median / workers
    if planned.seconds and planned.seconds >= seconds:
        return planned.seconds, "at least, at the request rate"
    return None if latency is None else (seconds, f"as {latency.count} earlier draws took, {workers} at a time")


def show_plan(screen: Screen, planned: "Plan", job: "Job", shift: "InputShift | None" = None) -> None:
    pace, setup = _pace(planned, job), job.setup
    mixture, second = setup.procedure.mixture, int(setup.second is not None)
    a_mask = counted(setup.procedure.draws + second, "call")
    if setup.adapter.in_tiles:
        a_mask = "1 call, and 1 more for each tile that does not suffice"
    elif setup.adapter.members:
        a_mask = f"from 1 call to {len(setup.adapter.members)}, by the rules of the cascade"
    elif setup.procedure.draws == 1:
        a_mask += f"; {SEVERAL_DRAWS + second} with --draws {SEVERAL_DRAWS}, which trusts little or no more"
    screen.show(planned.blocks())
    screen.summary(
        {
            "inputs": "given with the photographs" if mixture.given else f"made of the photographs by {mixture.text}",
            **({} if setup.adapter.capabilities.local else {"a mask": a_mask}),
            "time": "unknown" if pace is None else f"about {pace[0]:.0f} s, {pace[1]}",
        }
    )
    seconds = None if pace is None else round(pace[0], 1)
    compared = {} if shift is None else {"inputs": shift.document()}
    screen.data({**planned.document(), "seconds": seconds, **compared})


def followed_row(screen: Screen, planned: "Plan") -> dict[str, str] | None:
    """Return the options of the row to follow, after saying what they change beside the level and what was typed.

    None if the photographs reach no row with the planned draws.
    """
    from blackbox_conformal.method.guarantees.guarantee import usual_level

    frontier = planned.frontier
    rows = [] if frontier is None else frontier.rows
    reached = [row for row in rows if row.n <= planned.n and row.draws == planned.draws]
    if not reached:
        return None
    # The row trusts most, of the first promise within reach, at the usual level or else the smallest.
    of_promise = [row for row in reached if row.promise == reached[0].promise]
    own = reached[0].promise.usual_level
    usual = usual_level(reached[0].way.metric.capped_bound) if own is None else own
    levels = {row.alpha for row in of_promise}
    level = usual if usual in levels else min(levels)
    row = max((row for row in of_promise if row.alpha == level), key=lambda row: row.prospect.share)
    delivery = {} if row.way.procedure.delivery == "first" else {"delivery": "consistent"}
    followed = {**row.options, **delivery, "alpha": f"{row.alpha:g}"}
    changes = {
        "guarantee": "another promise than the default",
        "metric": "another measure of error",
        "delivery": "the delivered picture is made consistent with its input",
    }
    typed = next_steps.chosen_settings()
    words = [
        f"--{name} {followed[name]} ({change})"
        for name, change in changes.items()
        if name in followed and name not in typed
    ]
    if words:
        screen.say(
            f"The next command is that of a row above, so it has {', '.join(words)}. Leave out what you do not want."
        )
    return followed


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
    claim: str | None = shared.setting()
    quote: bool = shared.setting()
    score_groups: int | None = shared.setting()

    @property
    def wish(self) -> "Wish | None":
        """Return what rows must keep; None if nothing is wished for."""
        from blackbox_conformal.study.plan.frontier import Wish

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
    from blackbox_conformal.drawing.free_requests import ask_quotes
    from blackbox_conformal.method.audits.input_shift import compare
    from blackbox_conformal.method.audits.vendor_claim import VendorClaim
    from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
    from blackbox_conformal.method.images.input_statistics import InputStatistics
    from blackbox_conformal.study.choose.input_comparison import read_statistics, reason_of_files
    from blackbox_conformal.study.plan.frontier import Wish
    from blackbox_conformal.study.plan.piloting import PilotRequest, plan_with_pilot
    from blackbox_conformal.study.plugins import load_adapter

    if options.stand_in and options.pilot is None:
        raise UsageError("expected --stand-in beside --pilot; got it alone. Add --pilot 20")
    claim = None if options.claim is None else VendorClaim.of(options.claim)
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
        if options.quote:
            confirm_keys(screen, [setup.adapter], options)
            quoted = ask_quotes(setup.adapter, [task.upload for task in job.tasks], job.limits, screen.step)
        inspect(screen, job, options)
        if options.pilot is not None:
            if options.inputs is not None or options.quote:
                raise UsageError(
                    "expected --pilot without --inputs and --quote; run `plan` with those first, without --pilot"
                )
            request = PilotRequest(
                photographs=options.pilot,
                wish=options.wish or Wish(),
                guarantee=options.guarantee,
                typed=next_steps.chosen_settings(),
                seed=options.seed or 0,
                claim=claim,
                stand_in=load_adapter("embedded") if options.stand_in else None,
            )
            piloted = plan_with_pilot(job, request)
    if piloted is not None:
        if options.score_groups:
            piloted = piloted.in_score_groups(options.score_groups, rule, setup.metric.capped_bound)
        present_pilot(screen, job, piloted)
        return
    shift = None
    if options.inputs is not None:
        formats: list[str] = []
        known = InputStatistics.together(picture.statistics for picture in job.pictures)
        new = read_statistics(photograph_paths([options.inputs]), screen.step, formats=formats)
        shift = replace(compare(known, new), files=reason_of_files(formats, setup.procedure))
    told = (options.wish, options.guarantee, claim, options.score_groups)
    present(screen, job, rule, options.alpha, quoted, shift, *told)
    if shift is not None:
        next_steps.refuse_shift(shift)


def present_pilot(screen: Screen, job: "Job", planned: "Plan") -> None:
    """Show the effort of calibrating on the remaining photographs, and the expected trust."""
    from blackbox_conformal.study.unseen_photographs import TUNING_FILE

    show_plan(screen, planned, job)
    highest = None if planned.cost_usd is None else planned.cost_usd[1]
    followed = followed_row(screen, planned)
    added = {"run": job.folder, "tuning": job.folder / TUNING_FILE, **(followed or {})}
    added |= {"max-cost": limit_above(highest)} if highest else {}
    screen.next(*next_steps.again("calibrate", without={"max_cost", "max_calls", "memory"}, added=added))
