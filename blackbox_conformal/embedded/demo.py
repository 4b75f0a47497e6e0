"""`demo`: the whole method on real photographs, drawn from a real HTTP server on loopback.

Every step is what `calibrate`, `mask`, `audit` and `report` do; only the photographs and the level are chosen here.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import values
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import listening
from blackbox_conformal.cli.next_steps import offer
from blackbox_conformal.support.text import counted, name_of
from blackbox_conformal.support.wording import share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blackbox_conformal.method.audits.findings import Audit
    from blackbox_conformal.method.images.photographs import Photograph
    from blackbox_conformal.study.calibrate.calibrating import CalibrationRun
    from blackbox_conformal.study.listeners import Listeners
    from blackbox_conformal.study.mask.products import Products, Result
    from blackbox_conformal.study.stages.settings import Setup

SIDE = 512  # Most pixels of a photograph's side, so that the demonstration takes about two minutes.


@dataclass(frozen=True, slots=True)
class _Demonstration:
    """The results of the demonstration, and their paths."""

    run: "CalibrationRun"
    audited: "Audit"
    masked: "Result"
    products: "Products"
    calibration: Path
    report: Path


@click.command("demo")
@click.option(
    "--images",
    multiple=True,
    type=shared.PicturesPath(exists=True),
    help="Photographs to use instead of those that come with the package; repeatable.",
)
@click.option(
    "--out",
    type=shared.FOLDER,
    help="Folder for all that is written.  [default: blackbox-conformal-demo, with -TASK for another task]",
)
@click.option(
    "--task",
    type=click.Choice(["upscale", "colourise", "denoise"]),
    default="upscale",
    show_default=True,
    help="What the vendor does: make pictures four times larger (with Real-ESRGAN's network realesr-general-x4v3), "
    "colour grey ones, or remove noise.",
)
@click.option("--draws", type=values.whole(1, 64), help="Draws of each picture.  [default: 1; 8 with --task colourise]")
@click.option(
    "--alpha",
    type=values.level,
    help="The level: the risk that is accepted.  [default: follows from the number of photographs]",
)
@shared.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option("--full", is_flag=True, help="Say the guarantee with its conditions, and what the audit found.")
@click.option("--open", "opened", is_flag=True, help="Open the report. Does nothing without a terminal.")
@shared.output
def command(
    screen: Screen,
    images: tuple[str, ...],
    out: str | None,
    task: str,
    draws: int | None,
    alpha: float | None,
    force: bool,
    full: bool,
    opened: bool,
) -> None:
    """Calibrate the embedded vendor, mask a photograph it has not seen, audit on others. No key, no network."""
    from blackbox_conformal.embedded.demonstration import TASKS
    from blackbox_conformal.method.images.photographs import demo_photographs, find_photographs
    from blackbox_conformal.method.kernels._jit import warm_up
    from blackbox_conformal.study.plugins import load_adapter
    from blackbox_conformal.study.stages.settings import set_up

    started = time.monotonic()
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    choice = TASKS[task]
    adapter = load_adapter("embedded", task=task, model=choice.model)
    setup = set_up(adapter, draws=draws or choice.draws, score=choice.score, metric=choice.metric)
    folder = out or "blackbox-conformal-demo" + ("" if task == "upscale" else f"-{task}")
    photographs = find_photographs([Path(image) for image in images]) if images else demo_photographs()
    with listening(screen) as listeners:
        made = _demonstrate(
            setup, photographs, Path(folder).resolve(), alpha, listeners, slack=choice.slack, force=force
        )
    _show(screen, task, setup, made, time.monotonic() - started, opened=opened, full=full)


def _demonstrate(
    setup: "Setup",
    sources: "Sequence[Photograph]",
    folder: Path,
    alpha: float | None,
    listeners: "Listeners",
    *,
    slack: float,
    force: bool,
) -> _Demonstration:
    from blackbox_conformal.embedded.demonstration import held_out_count, level_for, reduced_photographs, write_input
    from blackbox_conformal.study.audit.auditing import AuditRequest, audit_photographs
    from blackbox_conformal.study.calibrate.calibrating import calibrate_job
    from blackbox_conformal.study.job import Job, Terms
    from blackbox_conformal.study.mask.mask_request import MaskRequest
    from blackbox_conformal.study.mask.masking import mask_pictures
    from blackbox_conformal.study.mask.products import write_products
    from blackbox_conformal.study.stages.prepare import prepare_input
    from blackbox_conformal.study.unseen_photographs import split
    from blackbox_conformal.support import catalog

    photographs = reduced_photographs(sources, folder / "photographs", SIDE, listeners.progress, force=force)
    calibrating, unseen = split(
        photographs, held_out_count(len(photographs)), digest=lambda photograph: photograph.digest
    )
    bound = setup.promised(None).loss_bound(setup.metric.capped_bound)
    level = level_for(len(calibrating), bound, slack) if alpha is None else alpha
    run = folder / "run"
    terms = Terms(run, listeners=listeners)
    job = Job.of_photographs(setup, [photograph.path for photograph in calibrating], terms)
    result = calibrate_job(job, alpha=level)
    calibration = result.calibration
    path = calibration.save(run / "calibration.json", force=force)
    store = catalog.hook("pages").report_material(run, calibration, (level,))
    request = AuditRequest.of(calibration, [level])
    paths = [photograph.path for photograph in unseen]
    audited = audit_photographs(request, setup, paths, terms, on_picture=store.audited, stop=False)
    store.keep_audit(audited)
    # The report opens with the photograph of the largest loss, so this one shows the method at its worst, too.
    losses = {one.truth: one.losses[0] for one in audited.pictures}
    shown = max(sorted(unseen, key=lambda one: one.path), key=lambda photograph: losses[photograph.digest])
    picture = write_input(shown, folder / "input", setup.procedure, force=force)
    name = name_of(shown.path)
    prepared = {0: prepare_input(picture, name, setup)}
    wanted = MaskRequest.of(calibration, level)
    (masked,) = mask_pictures(terms, setup, [(name, picture)], prepared, wanted)
    products = write_products(masked, folder / "masked", force=force)
    report = catalog.hook("pages").write_report(
        run, calibration, audited, [], folder / "report.html", alpha=level, force=force
    )
    return _Demonstration(result, audited, masked, products, path, report)


def _what_a_mask_takes(setup: "Setup") -> str:
    draws = setup.procedure.draws
    if draws == 1:
        return "A mask takes one call, the one that makes the picture."
    return f"A mask takes {draws} calls, since {setup.score.plugin_name()} looks at where draws differ."


def _show(
    screen: Screen, task: str, setup: "Setup", made: _Demonstration, seconds: float, *, opened: bool, full: bool
) -> None:
    from blackbox_conformal.method.audits.verdict import EXPLAINED
    from blackbox_conformal.method.risk.trust import threshold_json
    from blackbox_conformal.support.text import vendor_title

    certificate, level, calibration = made.masked.certificate, made.audited.levels[0], made.run.calibration
    threshold, draws = float.fromhex(certificate.threshold_hex), counted(setup.procedure.draws, "draw")
    files = {
        "overlay": str(made.products.overlay),
        "mask": str(made.products.mask),
        "certificate": str(made.products.certificate),
        "calibration": str(made.calibration),
    }
    screen.say("")
    screen.say(certificate.short)
    if full:
        screen.say(certificate.stated)
    screen.summary(
        {
            "calibrated": f"{vendor_title(setup.procedure.vendor)}, told to {task}; inputs by "
            f"{setup.procedure.mixture.text}; {draws} of each of {calibration.n} photographs "
            f"({made.run.calls} calls made, {made.run.cached} stored)",
            "trusted": f"{share(certificate.trusted_share)} of {made.masked.name}; "
            f"{share(level.trusted_share)} of {made.audited.n} photographs that calibration has not seen",
            "realised risk": f"{level.judgement.risk:.3f} on them, against alpha = {level.alpha:g}",
            **files,
            "report": str(made.report),
            "seconds": f"{seconds:.0f}",
        }
    )
    screen.say(EXPLAINED[level.judgement.verdict])
    if full:
        screen.say(level.sentence)
    screen.say(_what_a_mask_takes(setup))
    offer(screen, made.report, opened=opened)
    screen.next("plan", "photographs/", "--adapter", "NAME")
    screen.say(
        "`plan` says what a calibration of your own vendor costs; `blackbox-conformal list adapters` shows names."
    )
    screen.data(
        {
            **files,
            "report": str(made.report),
            "task": task,
            "alpha": level.alpha,
            "threshold": threshold_json(threshold),
            "n_calibration": calibration.n,
            "n_audit": made.audited.n,
            "trusted_share": level.trusted_share,
            "realised_risk": level.judgement.risk,
            "seconds": round(seconds, 1),
        }
    )
