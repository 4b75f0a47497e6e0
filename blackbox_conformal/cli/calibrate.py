"""`calibrate`: draw the samples, compute the curves, write the calibration file; with `--dry-run` it is `plan`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli import from_options, next_steps, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, bill, spent
from blackbox_conformal.cli.from_options import photograph_paths, read_groups, refuse_other_calibration
from blackbox_conformal.cli.sign import load_signing_key
from blackbox_conformal.study.settings_table import CalibrateSettings
from blackbox_conformal.support.text import LONGEST_MESSAGE, counted, name_of, printable
from blackbox_conformal.support.wording import at_most, share

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.method.audits.mask_worth import MaskWorth
    from blackbox_conformal.method.guarantees.guarantee import Choice, Guarantee
    from blackbox_conformal.method.images.calibration_images import CalibrationImage
    from blackbox_conformal.method.metrics.metric import Metric
    from blackbox_conformal.study.calibrate.calibrating import CalibrationRun, Question
    from blackbox_conformal.study.job import Job


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(shared.ClusterOptions, shared.JobOptions):
    images: tuple[str, ...] = shared.photographs()
    guarantee: str | None = shared.setting()
    alpha: tuple[float, ...] = shared.setting(multiple=True)
    out: str | None = shared.declared(
        "--out",
        type=shared.NEW_FILE,
        no_keyword="`Calibration.save` names its file",
        help="Calibration file.  [default: <run>/calibration.json]",
    )
    groups: str | None = shared.setting(type=shared.FILE)
    tiles: str | None = shared.setting(type=shared.FILE)
    score_groups: int | None = shared.setting()
    tuning: tuple[str, ...] = shared.setting(type=shared.FILE, multiple=True)
    nothing_chosen: bool = shared.setting()
    sign_with: str | None = shared.sign_with()
    canaries: int | None = shared.declared(
        "--canaries",
        type=values.whole(1, 256),
        metavar="K",
        no_keyword="`watch` begins a watch",
        help="Choose K of IMAGES as canaries for `watch`, by how far small changes of a vendor would move their draws.",
    )
    dry_run: bool = shared.declared(
        "--dry-run", is_flag=True, main=True, no_keyword="`plan` does it", help="Only say what it would cost."
    )
    full: bool = shared.full()
    force: bool = shared.force()


@shared.command(
    "calibrate",
    CalibrateOptions,
    CalibrateSettings,
    examples=(
        "blackbox-conformal calibrate photographs/ --adapter embedded --alpha 0.1",
        "blackbox-conformal calibrate photographs/ --adapter replicate -p model=OWNER/NAME --max-cost 5",
    ),
)
def command(screen: Screen, options: CalibrateOptions) -> None:
    """Draw the samples of IMAGES (files or folders of photographs) and write the calibration file.

    The same command again resumes and pays nothing twice.
    """
    from blackbox_conformal.method.guarantees.high_probability import holding_together
    from blackbox_conformal.study.calibrate.calibrating import calibrate_job, check_groups, checked_rule, rule_for
    from blackbox_conformal.study.run_folder import keep_calibration
    from blackbox_conformal.study.unseen_photographs import Unseen
    from blackbox_conformal.support import catalog

    setup = from_options.build_setup(options, options.guarantee)
    from_options.note_address(screen, setup)
    run = from_options.folder_of(options, setup.procedure)
    if not options.dry_run:
        from_options.refuse_without_key(options, setup, run)
    out = Path(options.out or run / "calibration.json")
    guarantee, alpha = setup.promised(options.guarantee), min(options.alpha, default=None)
    if len(set(options.alpha)) > 1:
        guarantee = holding_together(guarantee, options.alpha)
    groups, tiles = read_groups(options.groups), read_groups(options.tiles)
    paths = photograph_paths(options.images)
    names = [name_of(path) for path in paths]
    by_score = options.score_groups or 0
    checked_rule(names, setup, guarantee, None if options.dry_run else alpha, groups, tiles, by_score)
    remark = check_groups(groups, names)
    if remark:
        screen.note(f"note: {remark}")
    key = None if options.dry_run else load_signing_key(screen, options.sign_with)
    here = replace(options, cluster=None) if options.dry_run else options
    with from_options.job_terms(screen, here, run) as terms:
        job = from_options.photograph_job(screen, setup, paths, terms, tiles=tiles)
        files, taught = list(map(Path, options.tuning)), job.setup.score.taught_by
        unseen = Unseen.of(job.pictures, job.folder, taught, files, nothing_chosen=options.nothing_chosen)
        from_options.show_left_out(screen, len(job.pictures), len(job.pictures) - len(unseen.pictures))
        job = job.only(unseen.pictures)
        sure = options.yes or options.dry_run
        parts = None if tiles else from_options.ask_about_parts(screen, job.pictures, sure=sure)
        if options.dry_run:
            from blackbox_conformal.cli.plan import inspect, present

            rule = rule_for(guarantee, [picture.name for picture in job.pictures], tiles)
            inspect(screen, job, options)
            present(screen, job, rule, alpha, score_groups=by_score)
            return
        if not options.force:
            truths = {picture.truth_digest or "" for picture in job.pictures}
            refuse_other_calibration(out, setup.procedure, truths, {photograph.truth for photograph in unseen.known})
        result = calibrate_job(
            job,
            guarantee=guarantee,
            alpha=alpha,
            groups=groups,
            tiles=tiles,
            score_groups=by_score,
            tuning=unseen.known,
            overruled=unseen.overruled,
        )
    calibration = result.calibration if key is None else result.calibration.signed(key)
    keep_calibration(run, calibration, out, force=options.force)
    if options.canaries is not None:
        catalog.hook("watch").begin_watch(job, calibration, out, options.canaries, key)
        screen.note(f"note: {options.canaries} canaries are chosen; `watch` draws each of them once a visit")
    _show(screen, options, job, result, out, parts)


def _show(
    screen: Screen,
    options: CalibrateOptions,
    job: "Job",
    result: "CalibrationRun",
    path: Path,
    parts: "Question | None",
) -> None:
    from blackbox_conformal.method.guarantees.guarantee import usual_levels
    from blackbox_conformal.method.guarantees.high_probability import levels_together
    from blackbox_conformal.vendor.refusals import same_words

    calibration, setup, run, in_all = result.calibration, job.setup, job.folder, job.in_all
    rule = calibration.rule()
    bound, n = calibration.bound_for(rule), rule.counted(calibration.n)
    levels = sorted(levels_together(rule) or {*usual_levels(bound, rule), *options.alpha})
    cost = bill(result.cost_usd, result.calls, setup.adapter, setup.second)
    tiles = f" in {calibration.n} tiles" if options.tiles else ""
    mixture = setup.procedure.mixture
    refused = f", {result.failed} refused by the vendor and counted as the worst loss" if result.failed else ""
    level = _say_promises(screen, options, calibration, levels)
    of_all = {}
    if in_all is not None:
        shown = spent(None if in_all.unpriced else in_all.spent_usd)
        of_all["in all"] = f"{in_all.calls} calls, {shown} for these draws on this ledger, by all that share it"
    screen.summary(
        {
            "calibration": str(path.resolve()),
            "photographs": f"{n}{tiles}, {counted(setup.procedure.draws, 'draw')} each{refused}",
            "inputs": "given with them" if mixture.given else f"made from them by {mixture.text}",
            "calls": f"{result.calls} made, {result.cached} draws were stored, {spent(cost)}"
            + ("" if in_all is None else " by this command"),
            **of_all,
            "loss bound": f"{bound:g}: alpha reaches down to {at_most(_reachable_alpha(calibration))}",
        }
    )
    together = bool(levels_together(rule))
    if not options.alpha and not together:
        kind = "invention you can live with" if rule.threshold_ceiling is not None else "error you can live with"
        screen.say(f"Which alpha? Take the {kind}, not the share you like (-v shows shares).")
        if rows := _sizes(calibration, setup.metric, levels):
            screen.columns(rows)
    if listed := levels if screen.verbose or together else sorted(set(options.alpha)):
        _show_thresholds(screen, calibration, listed)
    if screen.verbose or together:
        screen.say(_on_picking(calibration, levels))
    # Refused photographs are grouped by the vendor's words, the most frequent first.
    alike: dict[str, list[CalibrationImage]] = {}
    for image in calibration.images:
        if image.refused is not None:
            alike.setdefault(same_words(image.refused), []).append(image)
    refusals = [
        {
            "photographs": len(images),
            "names": [printable(image.name) for image in images],
            "words": printable(str(images[0].refused).removesuffix("."), LONGEST_MESSAGE),
        }
        for images in sorted(alike.values(), key=len, reverse=True)
    ]
    reopened = sum(image.reopened for image in calibration.images)
    _remark(screen, job, calibration, refusals, reopened)
    worth = None if level is None else calibration.worth(rule, level)
    from_options.show_worth(screen, worth, shares=bool(listed))
    _show_next(screen, options, job, path, level, worth)
    screen.data(
        {
            "calibration": str(path.resolve()),
            "fingerprint": calibration.procedure.fingerprint,
            "n": n,
            "draws": setup.procedure.draws,
            "bound": bound,
            "n_tuning": len(calibration.tuning),
            "calls": result.calls,
            "cached": result.cached,
            "cost_usd": None if cost is None else float(cost),
            "failed": result.failed,
            "reopened": reopened,
            "history": calibration.history.model_dump(),
            "parts": [] if parts is None else [list(names) for names in parts.groups],
            "refusals": refusals,
            "thresholds": _thresholds(calibration, rule, levels),
            "groups": {
                group: _thresholds(calibration, calibration.rule_of_group(group), levels)
                for group in calibration.groups
            },
            "advice": worth and worth.advice,
            "worth": worth and worth.document,
            "run": str(run.resolve()),
        }
    )


def _reachable_alpha(calibration: "Calibration") -> float:
    bound, n = calibration.bound_for(calibration.rule()), calibration.n
    return max(rule.reachable_alpha(rule.counted(n), bound) for rule in calibration.rules_by_score())


def _say_promises(
    screen: Screen, options: CalibrateOptions, calibration: "Calibration", levels: Sequence[float]
) -> float | None:
    from blackbox_conformal.study.stages.certify import rules_of_masks

    # Returned is the level to mask at.
    level = level_to_mask_at(calibration, options.alpha, levels)
    # In a cascade, the pictures of each vendor have a promise of their own.
    if level is not None and not calibration.procedure.vendors_that_end:
        said, lead = sorted(set(options.alpha)) or [level], "" if options.alpha else f"With --alpha {level:g}: "
        for rule in rules_of_masks(calibration, calibration.rule()):
            from_options.say_promises(screen, calibration, rule, said, full=options.full, lead=lead)
    return level


def _remark(
    screen: Screen, job: "Job", calibration: "Calibration", refusals: list[dict[str, Any]], reopened: int
) -> None:
    # Readers of the thresholds should know refusals, and the notes that certificates will carry.
    from blackbox_conformal.study.mask.mask_request import own_bound_is_known

    setup, run = job.setup, job.folder
    if own_bound_is_known(setup, calibration.rule()):
        screen.note(
            f"note: only for inputs made exactly by {setup.procedure.mixture.text}: with --guarantee "
            "expected:bound_from=input each mask takes a bound of its own picture for the loss bound, so that it "
            "trusts no less, and with few photographs much more; calibrating again makes no call"
        )
    if getattr(setup.adapter, "inputs", None) == "":
        screen.note(
            f"note: the inputs are taken to be what {setup.procedure.mixture.text} makes of the photographs: another "
            "scale or degradation would pass unnoticed. If you have those that were enlarged, give them with -p "
            "inputs=FOLDER, and they are compared"
        )
    if refusals:
        # Answers from this machine's disk are in no ledger.
        words = ["--state", "refused", *next_steps.run_named(str(run))]
        lists, reopens = (shlex.join(["blackbox-conformal", "ledger", each, *words]) for each in ("ls", "reopen"))
        why = f"; `{lists}` lists them, and `{reopens}` has them asked for again"
        why = "" if setup.adapter.capabilities.local else why
        told = []
        for one in refusals:
            more = f" and {len(one['names']) - 3} more" if len(one["names"]) > 3 else ""
            told.append(f"{one['photographs']} ({', '.join(one['names'][:3])}{more}), {one['words']}")
        screen.note(f"note: refused, and counted as the worst loss: {'; '.join(told)}{why}")
    if reopened:
        screen.note(
            f"note: {counted(reopened, 'refusal')} had been reopened, and the calibration says so: the guarantee is"
            " about pictures whose refusals are reopened alike"
        )
    for remark in (*calibration.history.notes, *filter(None, [setup.procedure.seed_note])):
        screen.note(f"note: {remark}; certificates say so")


def _show_next(
    screen: Screen, options: CalibrateOptions, job: "Job", path: Path, level: float | None, worth: "MaskWorth | None"
) -> None:
    if worth is not None and worth.warning is not None and worth.instead and ":" not in (options.adapter or ":"):
        screen.next(*next_steps.compare_with(worth.instead, options.adapter or "", worth.alpha))
    if level is None:
        screen.say("Next: add photographs, since nothing is trusted at these levels, and calibrate again")
        return
    words = next_steps.with_calibration("mask", "small.png", path, job.setup.adapter, options)
    words += [] if path.parent.resolve() == job.folder.resolve() else ["--run", str(job.folder)]
    screen.next(*words, "--alpha", f"{level:g}", *next_steps.limit_for_one(job.setup))


def level_to_mask_at(calibration: "Calibration", asked: Sequence[float], levels: Sequence[float]) -> float | None:
    """Return the level asked for, else the usual, else the smallest, that trusts something; None if no level does."""
    from blackbox_conformal.method.guarantees.guarantee import usual_level

    rule, rules = calibration.rule(), calibration.rules_by_score()
    usual = usual_level(calibration.bound_for(rule), rule)
    first = asked if len(set(asked)) == 1 else [usual]
    thresholds = {level: min(_choice(calibration, one, level).threshold for one in rules) for level in levels}
    trusting = {
        level for level, threshold in thresholds.items() if calibration.curves.trusted_shares_at(threshold).any()
    }
    return next((level for level in (*first, usual, *levels) if level in trusting), None)


def _sizes(calibration: "Calibration", metric: "Metric", levels: Sequence[float]) -> list[list[str]]:
    # If no level is possible, say what each lacks.
    from blackbox_conformal.method.guarantees.corollaries import greys_apart
    from blackbox_conformal.method.risk.curve import SHARES

    rule, possible, impossible = calibration.rule(), list[list[str]](), list[list[str]]()
    for level in levels:
        nothing = _nothing(_choice(calibration, rule, level))
        size, greys = rule.innermost.briefly(level, metric.error_in_short), greys_apart(metric, level)
        if greys is not None and rule.needs.curve_kind not in SHARES:
            size = f"grey {greys[0]} that came back as {greys[1]}"
        (impossible if nothing else possible).append([f"  {level:g}:", nothing or size])
    return possible or impossible


def _choice(calibration: "Calibration", rule: "Guarantee", level: float) -> "Choice":
    # The promise beside the guarantee counts if the guarantee allows nothing.
    if rule.beside is not None:
        beside = rule.beside[0].choose(calibration.curves, rule.beside[1])
        if beside.reason is not None:
            return beside
    return rule.choose(calibration.curves_for(rule), level)


def _nothing(choice: "Choice") -> str | None:
    from blackbox_conformal.method.guarantees.guarantee import number_in_words

    if choice.threshold > float("-inf"):
        return None
    photographs = "photograph" if choice.missing_images == 1 else "photographs"
    return f"nothing: {number_in_words(choice.missing_images)} {photographs} missing"


def _show_thresholds(screen: Screen, calibration: "Calibration", levels: Sequence[float]) -> None:
    if not calibration.own_groups:
        screen.table(
            "Thresholds",
            ["alpha", "trust pixels whose score is below", "trusted share of the calibration pictures"],
            [_row(calibration, calibration.rule(), level) for level in levels],
        )
    rules = {group: calibration.rule_of_group(group) for group in calibration.groups}
    if rules:
        screen.table(
            "Thresholds within groups",
            ["group", "photographs", "alpha", "trust pixels whose score is below", "trusted share of the group"],
            [
                [printable(group), str(rule.counted(calibration.n)), *_row(calibration, rule, level, group)]
                for group, rule in rules.items()
                for level in levels
            ],
        )


def _on_picking(calibration: "Calibration", levels: Sequence[float]) -> str:
    from blackbox_conformal.method.guarantees.high_probability import HighProbability, holding_together, levels_together
    from blackbox_conformal.support.catalog import specification_text

    rule = calibration.rule()
    if levels_together(rule):
        return "These levels hold together: you may look at the shares and then pick one."
    alike = HighProbability.of_the_loss_of(rule)
    listed = holding_together(alike, [level for level in levels if level > 0])
    photographs = rule.counted(calibration.n)
    reached = [level for level in levels if listed.fewest_images(level, calibration.bound) <= photographs]
    typed = " ".join([specification_text(alike), *(f"--alpha {level:g}" for level in reached)])
    return (
        f"Choose alpha by the {'error' if rule.threshold_ceiling is None else 'invention'} you accept, not by this "
        f"table: choosing the share you like voids the guarantee, since the {len(levels)} levels do not hold together."
        + (f" For levels that do: --guarantee {typed}" if len(reached) > 1 else "")
    )


def _thresholds(calibration: "Calibration", rule: "Guarantee", levels: Sequence[float]) -> dict[str, Any]:
    from blackbox_conformal.method.risk.trust import threshold_json

    return {f"{level:g}": threshold_json(_choice(calibration, rule, level).threshold) for level in levels}


def _row(calibration: "Calibration", rule: "Guarantee", level: float, group: str | None = None) -> list[str]:
    choice = _choice(calibration, rule, level)
    if nothing := _nothing(choice):
        return [f"{level:g}", nothing, share(0.0)]
    shares = calibration.curves.trusted_shares_at(choice.threshold)
    of_group = shares[[group in (None, image.group) for image in calibration.images]]
    threshold = "everything" if choice.threshold == float("inf") else f"{choice.threshold:.6g}"
    return [f"{level:g}", threshold, share(float(of_group.mean()))]
