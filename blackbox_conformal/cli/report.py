"""`report`: one self-contained HTML file from what a run folder holds; nothing is drawn, nothing is spent."""

from pathlib import Path

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import open_line
from blackbox_conformal.errors import UsageError


@click.command("report")
@shared.option(
    "--run", type=click.Path(file_okay=False), required=True, help="Run folder of calibrate, audit and mask."
)
@shared.option("--calibration", type=click.Path(dir_okay=False), help="Calibration file.  [default: that of the run]")
@shared.option("--alpha", type=shared.Level(), help="The level the report opens at.  [default: chosen from the audit]")
@shared.option("--out", type=click.Path(dir_okay=False), help="The file.  [default: <run>/report.html]")
@shared.force
@shared.output
def command(
    screen: Screen, run: str, calibration: str | None, alpha: float | None, out: str | None, force: bool
) -> None:
    """Write one HTML file about a run: guarantee, cost, audit, pictures, a slider over the level.

    The file opens anywhere and fetches nothing. Pictures and audit figures are those that `audit` and `mask` left in
    the run folder for this calibration.
    """
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.pipeline.run_folder import find_calibration
    from blackbox_conformal.reports.html import write_report
    from blackbox_conformal.reports.report_store import ReportStore
    from blackbox_conformal.reports.slider_levels import opening_level

    folder = Path(run)
    if not folder.is_dir():
        raise UsageError(f"expected a run folder; {folder} is none. `calibrate` makes one and says where")
    about = Calibration.load(calibration) if calibration else find_calibration(folder)
    if alpha is not None:
        rule = about.rule()
        rule.check_level(alpha, about.bound_for(rule))
    store = ReportStore(folder, about)
    audit = store.audit()
    level = alpha
    if level is None:
        level = opening_level(about, [] if audit is None else [each.alpha for each in audit.levels])
    path = write_report(folder, about, audit, [], Path(out or folder / "report.html"), alpha=level, force=force)
    masked, audited = len(store.previews("result")), len(store.previews("audit"))
    screen.summary(
        {
            "report": str(path.resolve()),
            "opens at": f"alpha = {level:g}",
            "audit": "none kept; run `audit` with this --run" if audit is None else f"{audit.verdict} on {audit.n}",
            "pictures": f"{masked} masked, {audited} audited",
            "open": open_line(path.resolve()),
            "size": f"{path.stat().st_size / 1e6:.1f} MB",
        }
    )
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
