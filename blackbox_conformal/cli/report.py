"""`report`: one self-contained HTML file from what a run folder holds; nothing is drawn, nothing is spent."""

from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, summary
from blackbox_conformal.cli.next_steps import open_line


@click.command("report")
@shared.option(
    "--run", type=click.Path(file_okay=False), required=True, help="Run folder of calibrate, audit and mask."
)
@shared.option("--calibration", type=click.Path(dir_okay=False), help="Calibration file.  [default: that of the run]")
@shared.option("--alpha", type=shared.Level(), help="The level the report opens at.  [default: chosen from the audit]")
@shared.option("--out", type=click.Path(dir_okay=False), help="The file.  [default: <run>/report.html]")
@shared.force
@shared.output
def command(**options: Any) -> None:
    """Write one HTML file about a run: guarantee, cost, audit, pictures, a slider over the level.

    The file opens anywhere and fetches nothing. Pictures and audit figures are those that `audit` and `mask` left in
    the run folder for this calibration.
    """
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.errors import UsageError
    from blackbox_conformal.pipeline.run_folder import find_calibration
    from blackbox_conformal.reports.html import write_report
    from blackbox_conformal.reports.report_store import ReportStore
    from blackbox_conformal.reports.slider_levels import opening_level

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    run = Path(options["run"])
    if not run.is_dir():
        raise UsageError(f"expected a run folder; {run} is none. `calibrate` makes one and says where")
    calibration = Calibration.load(options["calibration"]) if options["calibration"] else find_calibration(run)
    if options["alpha"] is not None:
        rule = calibration.rule()
        rule.check_level(options["alpha"], calibration.bound_for(rule))
    store = ReportStore(run, calibration)
    audited = store.audit()
    audited_levels = [level.alpha for level in audited.levels] if audited is not None else []
    alpha = opening_level(calibration, audited_levels) if options["alpha"] is None else options["alpha"]
    path = write_report(
        run,
        calibration,
        audited,
        [],
        Path(options["out"] or run / "report.html"),
        alpha=alpha,
        force=options["force"],
    )
    masked, unseen = len(store.previews("result")), len(store.previews("audit"))
    screen.say(
        summary(
            {
                "report": str(path.resolve()),
                "opens at": f"alpha = {alpha:g}",
                "audit": "none kept; run `audit` with this --run"
                if audited is None
                else f"{audited.verdict} on {audited.n}",
                "pictures": f"{masked} masked, {unseen} audited",
                "open": open_line(path.resolve()),
                "size": f"{path.stat().st_size / 1e6:.1f} MB",
            }
        )
    )
    screen.data(
        {
            "report": str(path.resolve()),
            "calibration": calibration.digest,
            "alpha": alpha,
            "audit": None if audited is None else audited.verdict,
            "masked": masked,
            "audited": unseen,
        }
    )
