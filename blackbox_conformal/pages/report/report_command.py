"""`report`: one self-contained HTML file from what a run folder holds; nothing is drawn, nothing is spent."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import from_options, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.cache import ledger_option
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import offer, typed, view_of
from blackbox_conformal.cli.run_folders import run_folder_of

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.method.audits.findings import Audit


@click.command("report")
@shared.option(
    "--run", type=shared.FOLDER, help="Run folder of calibrate, audit and mask.  [default: the only one there is]"
)
@shared.option("--calibration", type=shared.NAMED_FILE, help="Calibration file.  [default: that of the run]")
@shared.option(
    "--alpha",
    type=values.level,
    metavar="ALPHA",
    help="The level the report opens at.  [default: chosen from the audit]",
)
@shared.option("--out", type=shared.NEW_FILE, help="HTML file.  [default: <run>/report.html]")
@shared.option(
    "--force", is_flag=True, help="Overwrite a file that is no report of this calibration, or was changed since."
)
@ledger_option
@click.option("--open", "opened", is_flag=True, help="Open it. Does nothing without a terminal.")
@shared.output
def command(
    screen: Screen,
    run: str | None,
    calibration: str | None,
    alpha: float | None,
    out: str | None,
    force: bool,
    ledger: str | None,
    opened: bool,
) -> None:
    """Write one HTML file about a run: a summary, its pictures in a viewer, audit and cost.

    The file opens anywhere and fetches nothing. A slider moves the level of all masks. Pictures and audit figures are
    what `audit` and `mask` left in the run folder for this calibration.
    """
    from blackbox_conformal.drawing.ledger.addresses import LEDGERS
    from blackbox_conformal.pages.report.html import calibration_of_run, level_to_open_at, report
    from blackbox_conformal.pages.report.report_store import ReportStore
    from blackbox_conformal.study.run_folder import calibration_file

    if ledger is not None:
        LEDGERS.name(ledger)
    # A run that failed has no calibration, and so nothing to report.
    holds = "calibration.json" if calibration is None else ""
    folder = run_folder_of(None, screen.note, file=holds) if run is None else Path(run)
    about = calibration_of_run(folder, calibration)
    kept = ReportStore(folder, about)
    audit = kept.audit()
    level = level_to_open_at(about, audit, alpha)
    path = report(folder, calibration=about, alpha=level, out=out, force=force, audit=audit, ledger=ledger)
    masked, audited = len(kept.previews("result")), len(kept.previews("audit"))
    screen.summary(
        {
            "report": str(path.resolve()),
            "opens at": f"alpha = {level:g}",
            "audit": "none kept; run `audit` with this --run" if audit is None else f"{audit.verdict} on {audit.n}",
            "pictures": f"{masked} masked, {audited} audited",
            "size": f"{path.stat().st_size / 1e6:.1f} MB",
        }
    )
    offer(screen, path.resolve(), opened=opened)
    _suggest(screen, about, audit, Path(calibration or calibration_file(folder)), folder)
    screen.data(
        {
            "report": str(path.resolve()),
            "calibration": about.digest,
            "alpha": level,
            "audit": None if audit is None else audit.verdict,
            "masked": masked,
            "audited": audited,
        }
    )


def _suggest(screen: Screen, about: "Calibration", audit: "Audit | None", file: Path, run: Path) -> None:
    vendor = about.procedure.vendor
    if audit is not None and vendor["adapter"] == "folder":
        screen.next(*view_of(run, str(file)))
        return
    elsewhere = [] if file.parent.resolve() == run.resolve() else ["--run", str(run)]
    step, pictures = ("audit", "other-photographs") if audit is None else ("watch", "photographs")
    about_it = ("--calibration", str(file), *elsewhere, *from_options.blanks(vendor, step))
    plan = [] if audit is None else ["--plan"]
    screen.next(step, pictures, *about_it, *typed("ledger"), *plan)
