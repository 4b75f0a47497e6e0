"""`tune`: choose a score on some photographs, calibrate it on the others."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, bill, share, spent, summary

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.stages.settings import Setup
    from blackbox_conformal.pipeline.tune import Candidate
    from blackbox_conformal.scores.base import Score

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
    from dataclasses import dataclass, replace

    from blackbox_conformal.cli import consent, next_steps, session
    from blackbox_conformal.cli.existing import refuse_other_calibration
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.images.read import read_image
    from blackbox_conformal.pipeline.calibrate import run_calibration
    from blackbox_conformal.pipeline.job import Job, job_keys
    from blackbox_conformal.pipeline.kept import keep_calibration
    from blackbox_conformal.pipeline.looked_at import NAME, LookedAt, looked_at, never_looked_at
    from blackbox_conformal.pipeline.plan import memory_bytes, plan
    from blackbox_conformal.pipeline.prices.budget import agreed_limits
    from blackbox_conformal.pipeline.split import split
    from blackbox_conformal.pipeline.stages.prepare import prepare_photographs
    from blackbox_conformal.pipeline.stages.room import refuse_large
    from blackbox_conformal.pipeline.stages.settings import member
    from blackbox_conformal.pipeline.tune import (
        bytes_a_pixel,
        default_candidates,
        parse_candidates,
        specification_text,
        tune,
    )

    @dataclass(frozen=True)
    class Item:
        path: Path
        digest: str

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    limits = session.build_limits(options)
    second = options["second_adapter"] is not None
    typed = options["candidates"] or default_candidates(options["draws"], second=second)
    chosen = parse_candidates(typed, options["draws"])
    setup = _setup(options, chosen)
    member("guarantees", "expected").check_level(options["alpha"], setup.metric.bound)
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    refuse_large(paths, options["memory"], pixel_bytes=bytes_a_pixel(len(chosen)))
    items = [Item(path, read_image(path).digest) for path in paths]
    calibrating, tuning = split(items, max(1, math.floor(options["tuning_share"] * len(items))), options["seed"] or 0)
    run = session.folder_of(options, setup.procedure)
    out = Path(options["out"] or run / (NAME if options["only_choose"] else "calibration.json"))
    if options["only_choose"] and out.exists():
        LookedAt.load(out)
    with screen.progress(), session.interruptible(screen) as on_sampler:
        everything = prepare_photographs(paths, setup, screen.step, memory_bytes=options["memory"])
        earlier = looked_at(run)
        if not options["only_choose"]:
            unseen = {one.path for one in never_looked_at(everything, earlier)}
            calibrating = [one for one in calibrating if one.path in unseen]
        if not (options["force"] or options["only_choose"]):
            truths = {one.path: one.truth_digest or "" for one in everything}
            parts = [{truths[one.path] for one in part} for part in (calibrating, tuning)]
            parts[1] |= {one.truth for one in earlier}
            refuse_other_calibration(out, None, *parts)
        if options["only_choose"]:
            kept = {one.path for one in tuning}
            everything = [one for one in everything if one.path in kept]
        expected = plan(setup, everything, member("guarantees", "expected"), run=run, limits=limits)
        expected = replace(expected, memory_bytes=memory_bytes(everything, bytes_a_pixel(len(chosen))))
        expected = Job(setup, everything, run, limits).with_second(expected)
        tasks = [task for picture in everything for task in picture.tasks]
        consent.look_before_drawing(screen, setup, tasks, run, expected.calls, options)
        consent.confirm_spending(screen, expected, options, consent.say_plan)
        limits = agreed_limits(limits, expected, [run], job_keys(setup, everything))
        found = tune(
            setup,
            [one.path for one in tuning],
            chosen,
            options["alpha"],
            len(calibrating),
            run=run,
            limits=limits,
            memory_bytes=options["memory"],
            listener=screen.event,
            progress=screen.step,
            on_sampler=on_sampler,
        )
        calls, cached, cost = found.calls, found.cached, found.cost_usd
        screen.table(
            f"Candidates at alpha={found.alpha:g}, on {len(tuning)} tuning photographs",
            ["score", "trusted share", f"paid calls for {len(calibrating)} photographs"],
            [[one.candidate.label, share(one.trusted_share), str(one.calls)] for one in found.scored],
        )
        cheaper = found.cheapest(NEARLY)
        if cheaper.calls < found.best.calls:
            screen.note(
                f"note: {cheaper.candidate.label} trusts {share(cheaper.trusted_share)} for {cheaper.calls} calls "
                f"instead of {found.best.calls}, and {len(tuning)} photographs hardly tell the two apart; --candidate "
                f"{cheaper.candidate.label} chooses it"
            )
        best = found.best.candidate
        score = specification_text(best.score)
        path = None
        if options["only_choose"]:
            LookedAt(score=score, draws=best.draws, alpha=found.alpha, photographs=found.tuning).keep(out)
        else:
            tuned = _setup({**options, "draws": best.draws}, [best], best.score)
            result = run_calibration(
                tuned,
                [one.path for one in calibrating],
                run=run,
                alpha=options["alpha"],
                limits=limits,
                memory_bytes=options["memory"],
                tuning=list({one.truth: one for one in (*found.tuning, *earlier)}.values()),
                listener=screen.event,
                progress=screen.step,
                on_sampler=on_sampler,
            )
            path = keep_calibration(run, result.calibration, out, force=options["force"])
            calls, cached, cost = calls + result.calls, cached + result.cached, cost + result.cost_usd
    known = bill(cost, calls, setup.adapter, setup.second)
    screen.say(
        summary(
            {
                "best": f"{found.best.candidate.label}: --score {score} --draws {best.draws}",
                "calls": f"{calls} made, {cached} draws were stored, {spent(known)}",
                "calibration": f"none was asked for; {out} says which {len(tuning)} photographs were looked at"
                if path is None
                else f"{path.resolve()}, on the {len(calibrating)} other photographs",
            }
        )
    )
    if options["only_choose"]:
        second = best.score.needs_second
        screen.say(next_steps.next_command(*next_steps.calibrate_with(score, best.draws, out, run, second=second)))
    elif path is not None:
        words = next_steps.with_calibration("audit", "other-photographs", path, setup.adapter, options)
        screen.say(next_steps.next_command(*words))
    screen.data(
        {
            "best": {"score": score, "draws": best.draws},
            "alpha": found.alpha,
            "n_tuning": len(tuning),
            "n_calibration": len(calibrating),
            "candidates": [
                {"score": one.candidate.label, "trusted_share": one.trusted_share, "calls": one.calls}
                for one in found.scored
            ],
            "calls": calls,
            "cached": cached,
            "cost_usd": None if known is None else float(known),
            "calibration": None if path is None else str(path.resolve()),
            "tuning": str(out.resolve()) if options["only_choose"] else None,
        }
    )


def _setup(options: dict[str, Any], candidates: "Sequence[Candidate]", score: "Score | None" = None) -> "Setup":
    """What `options` describe, with `score`; with the second vendor where one of `candidates` compares with it."""
    from blackbox_conformal.cli import session
    from blackbox_conformal.errors import UsageError
    from blackbox_conformal.pipeline.tune import specification_text

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
