"""`demo`: the whole method on real photographs, drawn from a real HTTP server on loopback.

Every step is what `calibrate`, `mask`, `audit` and `report` do; nothing here is special to the demonstration but the
choice of photographs and of the level.
"""

import math
import threading
import time
from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, share, summary
from blackbox_conformal.cli.next_steps import next_command, open_line

SIDE = 512
"""Photographs are reduced to at most this many pixels a side, so that it takes about two minutes."""

SLACK = 1.25
"""The level is this much above the smallest that the number of photographs could ever reach."""


@click.command("demo")
@click.option("--images", multiple=True, type=click.Path(exists=True), help="Photographs to use instead; repeatable.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="blackbox-conformal-demo",
    show_default=True,
    help="Folder for all that is written.",
)
@click.option("--draws", type=click.IntRange(2, 64), default=8, show_default=True, help="Draws of each picture.")
@click.option("--alpha", type=shared.Level(), help="The level.  [default: fixed by the number of photographs]")
@shared.force
@shared.output
def command(images: tuple[str, ...], out: str, draws: int, alpha: float | None, force: bool, **options: Any) -> None:
    """Calibrate the embedded vendor, mask a photograph it has not seen, audit on others. No key, no network."""
    from blackbox_conformal.certificate import threshold_json
    from blackbox_conformal.cli import session
    from blackbox_conformal.images.photographs import demo_photographs, find_photographs
    from blackbox_conformal.images.read import read_image
    from blackbox_conformal.kernels._jit import warm_up
    from blackbox_conformal.pipeline.auditing import audit_calibration
    from blackbox_conformal.pipeline.calibrating import check_enough, run_calibration
    from blackbox_conformal.pipeline.demonstration import held_out_count, level_for, reduced_photographs, write_input
    from blackbox_conformal.pipeline.held_out import split
    from blackbox_conformal.pipeline.masking import apply_calibration
    from blackbox_conformal.pipeline.products import write_products
    from blackbox_conformal.pipeline.stages.settings import member, set_up
    from blackbox_conformal.plugins import load_adapter
    from blackbox_conformal.reports.html import write_report
    from blackbox_conformal.reports.report_store import ReportStore
    from blackbox_conformal.text import name_of

    started = time.monotonic()
    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    folder = Path(out).resolve()
    adapter = load_adapter("embedded")
    setup = set_up(adapter, draws=draws)
    found = find_photographs([Path(image) for image in images]) if images else demo_photographs()
    with screen.progress(), session.interruptible(screen) as on_sampler:
        photographs = reduced_photographs(found, folder / "photographs", SIDE, screen.step, force=force)
        calibrating, unseen = split(photographs, held_out_count(len(photographs)))
        rule_level = level_for(len(calibrating), setup.metric.bound, SLACK) if alpha is None else alpha
        check_enough(member("guarantees", "expected"), len(calibrating), rule_level, setup.metric.bound)
        run = folder / "run"
        result = run_calibration(
            setup,
            [one.path for one in calibrating],
            run=run,
            alpha=rule_level,
            listener=screen.event,
            progress=screen.step,
            on_sampler=on_sampler,
        )
        calibration = result.calibration
        calibration_path = calibration.save(run / "calibration.json", force=force)
        store = ReportStore(run, calibration, (rule_level,))
        audited = audit_calibration(
            adapter,
            [one.path for one in unseen],
            calibration,
            [rule_level],
            on_picture=store.audited,
            run=run,
            listener=screen.event,
            progress=screen.step,
        )
        masked_input = write_input(unseen[0], folder / "input", setup.procedure.scale, force=force)
        masked = apply_calibration(
            adapter,
            [(name_of(unseen[0].path), masked_input)],
            calibration,
            rule_level,
            run=run,
            listener=screen.event,
            progress=screen.step,
        )[0]
        products = write_products(masked, folder / "masked", force=force)
        store.keep_audit(audited)
        store.masked(masked, read_image(masked_input).pixels)
        report = write_report(run, calibration, audited, [], folder / "report.html", alpha=rule_level, force=force)
    seconds = time.monotonic() - started
    level = audited.levels[0]
    threshold = float.fromhex(masked.certificate.threshold_hex)
    screen.say(
        "\n"
        + summary(
            {
                "calibrated": f"the embedded ×{setup.procedure.scale} vendor, {draws} draws of each of {calibration.n} "
                f"photographs ({result.calls} calls made, {result.cached} stored)",
                "guarantee": masked.certificate.statement,
                "threshold": "nothing can be trusted" if threshold == -math.inf else f"{threshold:.6g}",
                "trusted": f"{share(masked.certificate.trusted_share)} of {masked.name}; "
                f"{share(level.trusted_share)} of {audited.n} photographs that calibration has not seen",
                "realised risk": f"{level.judgement.risk:.3f} on them, against alpha = {rule_level:g} "
                f"(loss bound {calibration.bound:g}; {level.judgement.verdict})",
                "overlay": str(products.overlay),
                "mask": str(products.mask),
                "certificate": str(products.certificate),
                "calibration": str(calibration_path),
                "report": f"{report}  (open it: {open_line(report)})",
                "seconds": f"{seconds:.0f}",
            }
        )
    )
    screen.say(next_command("plan", "photographs/", "--adapter", "NAME"))
    screen.say(
        "`plan` says what a calibration of your own vendor costs; `blackbox-conformal adapters list` shows names."
    )
    screen.data(
        {
            "calibration": str(calibration_path),
            "report": str(report),
            "mask": str(products.mask),
            "overlay": str(products.overlay),
            "certificate": str(products.certificate),
            "alpha": rule_level,
            "threshold": threshold_json(threshold),
            "n_calibration": calibration.n,
            "n_audit": audited.n,
            "trusted_share": level.trusted_share,
            "realised_risk": level.judgement.risk,
            "seconds": round(seconds, 1),
        }
    )
