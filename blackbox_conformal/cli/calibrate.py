"""`calibrate`: draw the samples, compute the curves, write the calibration file.

`--dry-run` is `plan`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, bill, share, spent, summary

if TYPE_CHECKING:
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.guarantees.guarantee import Guarantee


@click.command("calibrate")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True))
@shared.procedure
@shared.guarantee
@shared.alpha
@shared.spending
@shared.memory
@shared.option("--out", type=click.Path(dir_okay=False), help="Calibration file.  [default: <run>/calibration.json]")
@shared.option("--groups", type=click.Path(exists=True, dir_okay=False), help="CSV of photograph,group lines.")
@shared.option(
    "--clusters",
    type=click.Path(exists=True, dir_okay=False),
    help="CSV of tile,photograph lines: tiles of one photograph count once.",
)
@shared.option(
    "--tuning",
    type=click.Path(exists=True, dir_okay=False),
    help="File of `tune --only-choose`: its photographs do not calibrate.  [default: <run>/tuning.json, if any]",
)
@shared.option("--dry-run", is_flag=True, help="Only say what it would cost.")
@shared.force
@shared.output
def command(images: tuple[str, ...], **options: Any) -> None:
    """Draw the samples of IMAGES (files or folders of photographs) and write the calibration file.

    The same command again resumes and pays nothing twice.
    """
    from blackbox_conformal.cli import consent, next_steps, session
    from blackbox_conformal.cli.overwrite_guard import refuse_other_calibration
    from blackbox_conformal.cli.plan import present
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.calibrating import calibrate_job, check_enough, check_groups, rule_for
    from blackbox_conformal.pipeline.job import Job, Watch
    from blackbox_conformal.pipeline.planning import usual_levels
    from blackbox_conformal.pipeline.run_folder import keep_calibration, tuning_photographs, unseen_by_tuning
    from blackbox_conformal.text import name_of, printable

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    setup = session.build_setup(options)
    guarantee = options["guarantee"] or "expected"
    limits = session.build_limits(options)
    run = session.folder_of(options, setup.procedure)
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    groups, clusters = read_groups(options["groups"]), read_groups(options["clusters"])
    names = [name_of(path) for path in paths]
    rule = rule_for(guarantee, names, clusters)
    remark = check_groups(groups, names)
    if remark:
        screen.note(f"note: {remark}")
    out = Path(options["out"] or run / "calibration.json")
    if not options["dry_run"]:
        check_enough(rule, len(paths), options["alpha"], setup.metric.bound)
    with screen.progress(), session.interruptible(screen) as on_sampler:
        ask = consent.asking(screen, options, consent.say_plan)
        watch = Watch(screen.event, screen.step, on_sampler)
        job = Job.of_photographs(setup, paths, run, limits, memory_bytes=options["memory"], ask=ask, watch=watch)
        tuning = tuning_photographs(run, Path(options["tuning"]) if options["tuning"] else None)
        unseen = unseen_by_tuning(job.pictures, tuning)
        if len(unseen) < len(names):
            screen.note(
                f"note: {len(names) - len(unseen)} of {len(names)} photographs were looked at by `tune` and do "
                "not calibrate"
            )
            job = job.only(unseen)
            rule = rule_for(guarantee, [picture.name for picture in unseen], clusters)
        if options["dry_run"]:
            present(screen, setup, job.pictures, rule, run, options)
            return
        if not options["force"]:
            truths = {picture.truth_digest or "" for picture in job.pictures}
            refuse_other_calibration(out, setup.procedure, truths, {one.truth for one in tuning})
        result = calibrate_job(
            job, guarantee=guarantee, alpha=options["alpha"], groups=groups, clusters=clusters, tuning=tuning
        )
    calibration = result.calibration
    path = keep_calibration(run, calibration, out, force=options["force"])
    levels = sorted(
        {*usual_levels(calibration.bound_for(rule)), *([] if options["alpha"] is None else [options["alpha"]])}
    )
    n = rule.counted(calibration.n)
    cost = bill(result.cost_usd, result.calls, setup.adapter, setup.second)
    screen.say(
        summary(
            {
                "calibration": str(path.resolve()),
                "photographs": (f"{n} in {calibration.n} tiles" if clusters else f"{n}")
                + f", {setup.procedure.draws} draws each"
                + (f", {result.failed} refused by the vendor and counted as the worst loss" if result.failed else ""),
                "calls": f"{result.calls} made, {result.cached} draws were stored, {spent(cost)}",
                "loss bound": f"{calibration.bound_for(rule):g}: alpha reaches down to "
                f"{rule.reachable_alpha(n, calibration.bound_for(rule)):.3g}",
            }
        )
    )
    screen.table(
        "Thresholds",
        ["alpha", "trust pixels whose score is below", "trusted share of the calibration pictures"],
        [_row(calibration, rule, level) for level in levels],
    )
    screen.say(
        "A level that is chosen because of these shares is chosen by looking at the calibration, and its guarantee no "
        "longer holds as stated: fix it before, or choose it on other photographs."
    )
    within = {group: calibration.rule_of_group(group) for group in calibration.groups}
    if within:
        screen.table(
            "Thresholds within groups",
            ["group", "photographs", "alpha", "trust pixels whose score is below", "trusted share of the group"],
            [
                [printable(group), str(own.counted(calibration.n)), *_row(calibration, own, level, group)]
                for group, own in within.items()
                for level in levels
            ],
        )
    reachable = [level for level in levels if calibration.threshold(level) != float("-inf")]
    if reachable:
        level = options["alpha"] if options["alpha"] in reachable else reachable[0]
        words = next_steps.with_calibration("mask", "small.png", path, setup.adapter, options)
        screen.say(next_steps.next_command(*words, "--alpha", f"{level:g}"))
    else:
        screen.say("Next: add photographs, since nothing is trusted at these levels, and calibrate again")
    if setup.procedure.seed_note:
        screen.note(f"note: {setup.procedure.seed_note}; certificates say so")
    screen.data(
        {
            "calibration": str(path.resolve()),
            "fingerprint": calibration.procedure.fingerprint,
            "n": n,
            "draws": setup.procedure.draws,
            "bound": calibration.bound_for(rule),
            "n_tuning": len(tuning),
            "calls": result.calls,
            "cached": result.cached,
            "cost_usd": None if cost is None else float(cost),
            "failed": result.failed,
            "thresholds": _thresholds(calibration, rule, levels),
            "groups": {group: _thresholds(calibration, own, levels) for group, own in within.items()},
            "run": str(run.resolve()),
        }
    )


def read_groups(path: str | None) -> dict[str, str] | None:
    """Photograph (its file's stem) → group, from a CSV file with one ``photograph,group`` line each."""
    import csv

    from blackbox_conformal.errors import UsageError

    if path is None:
        return None
    groups: dict[str, str] = {}
    with Path(path).open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if len(row) != 2 or not all(cell.strip() for cell in row):
                raise UsageError(f"{path}, line {number}: expected photograph,group; got {','.join(row)!r}")
            if Path(row[0].strip()).stem in groups:
                raise UsageError(f"{path}, line {number}: {row[0].strip()!r} is given a group twice")
            groups[Path(row[0].strip()).stem] = row[1].strip()
    return groups


def _thresholds(calibration: "Calibration", rule: "Guarantee", levels: Sequence[float]) -> dict[str, Any]:
    from blackbox_conformal.certificate import threshold_json

    curves = calibration.curves_for(rule)
    return {f"{level:g}": threshold_json(rule.threshold(curves, level)) for level in levels}


def _row(calibration: "Calibration", rule: "Guarantee", level: float, group: str | None = None) -> list[str]:
    """Level, threshold, and the trusted share of the calibration pictures, or of those of `group`."""
    from blackbox_conformal.guarantees.guarantee import number_in_words

    choice = rule.choose(calibration.curves_for(rule), level)
    if choice.threshold == float("-inf"):
        photographs = "photograph" if choice.missing_images == 1 else "photographs"
        return [f"{level:g}", f"nothing: {number_in_words(choice.missing_images)} {photographs} missing", share(0.0)]
    shares = calibration.curves.trusted_shares_at(choice.threshold)
    own = shares[[group in (None, image.group) for image in calibration.images]]
    threshold = "everything" if choice.threshold == float("inf") else f"{choice.threshold:.6g}"
    return [f"{level:g}", threshold, share(float(own.mean()))]
