"""`audit`: a calibration measured on photographs that it has not seen; exit 3 when they contradict it."""

from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, share


@click.command("audit")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True))
@shared.option("--calibration", required=True, type=click.Path(exists=True, dir_okay=False), help="Calibration file.")
@shared.option("--alpha", "alphas", type=shared.Level(), multiple=True, help="Level to audit; repeatable.")
@shared.vendor
@shared.spending
@shared.output
def command(images: tuple[str, ...], **options: Any) -> None:
    """Realised risk, trusted share and PSNR on IMAGES (photographs that calibration has not seen)."""
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.cli import session
    from blackbox_conformal.errors import CheckFailedError
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.audit import DEFAULT_LEVELS, audit_calibration, audit_json
    from blackbox_conformal.report.store import ReportStore

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    calibration = Calibration.load(options["calibration"])
    adapter = session.open_calibrated_vendor(calibration, options)
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    run = session.folder_of(options, calibration.procedure)
    levels = tuple(options["alphas"] or DEFAULT_LEVELS)
    store = ReportStore(run, calibration, levels)
    with screen.progress(), session.interruptible(screen) as on_sampler:
        session.confirm_draws(screen, adapter, calibration, paths, options)
        found = audit_calibration(
            adapter,
            paths,
            calibration,
            levels,
            on_picture=store.audited,
            second=session.open_second_vendor(options, calibration.procedure.second_opinion),
            run=run,
            limits=session.limits_after_consent(
                session.build_limits(options), len(paths) * calibration.procedure.draws, run
            ),
            seed=options["seed"],
            listener=screen.event,
            progress=screen.step,
            on_sampler=on_sampler,
        )
    store.keep_audit(found)
    show_audit(screen, found)
    screen.data(audit_json(found))
    if found.verdict == "contradicted":
        raise CheckFailedError(
            f"the guarantee is contradicted by {found.n} unseen photographs: they are not of the same population, or "
            "the vendor has changed. Do not use this calibration"
        )


def show_audit(screen: Screen, found: Any) -> None:
    """The audit, for people."""
    rows = []
    for level in found.levels:
        low, high = level.judgement.interval
        rows.append(
            [
                f"{level.alpha:g}",
                f"{level.judgement.risk:.4f}",
                f"{low:.3f} to {high:.3f}",
                share(level.trusted_share),
                share(level.empty_share),
                f"{level.psnr_trusted:.2f}",
                f"{level.psnr_all:.2f}",
                level.judgement.verdict,
            ]
        )
    screen.table(
        f"Audit on {found.n} unseen photographs: {found.verdict}",
        ["alpha", "risk", "90 % interval", "trusted", "empty masks", "PSNR trusted", "PSNR all", "verdict"],
        rows,
    )
