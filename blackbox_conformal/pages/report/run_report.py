"""The report of a run from Python, as the command `report` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.pages.report.html import is_own_report, write_report
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.slider_levels import opening_level
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.result_files import KeptResults
from blackbox_conformal.study.run_folder import find_calibration


def report(
    run: str | Path,
    *,
    calibration: Calibration | str | Path | None = None,
    alpha: float | None = None,
    out: str | Path | None = None,
    force: bool = False,
    audit: Audit | None = None,
    results: Sequence[Result] = (),
    ledger: str | None = None,
) -> Path:
    """Write one self-contained HTML file about a run: a summary, its pictures in a viewer, audit and cost.

    Parameters
    ----------
    run
        The run folder of `calibrate`, `audit` and `mask`. Nothing is drawn and nothing is spent.
    calibration
        A calibration, or the path of its file; by default that of the run folder.
    alpha
        The level that the report opens at; by default chosen from the audit.
    out
        The file; by default ``report.html`` in the run folder.
    force
        Overwrite a file that is no report of this calibration, or was changed since.
    audit
        An audit of the calibration; by default the one that the command line kept in the run folder.
    results
        Masked pictures, beside those that the command line kept in the run folder.
    ledger
        The address of the run's ledger, where that is in a database.

    Returns
    -------
    The file that was written.

    Raises
    ------
    UsageError
        The folder does not exist or holds no calibration, the level cannot be, or another file exists.

    Examples
    --------
    >>> audit = bc.audit(vendor, "unseen", calibration, alpha=0.9, run="run", max_cost=5)
    >>> bc.report("run", calibration=calibration, audit=audit, results=[result])
    PosixPath('run/report.html')
    """
    run = Path(run)
    if ledger is not None:
        LEDGERS.name(ledger)
    calibration = calibration_of(run, calibration)
    audit = ReportStore(run, calibration).audit() if audit is None else audit
    alpha = level_to_open_at(calibration, audit, alpha)
    path = Path(out or run / "report.html")
    written = write_report(run, calibration, audit, list(results), path, alpha=alpha, force=force)
    kept = KeptResults.of(run)
    if kept is not None:
        kept.keep([written], force=force, replaceable=lambda there, _: is_own_report(there, calibration))
    return written


def calibration_of(run: Path, calibration: Calibration | str | Path | None) -> Calibration:
    """The calibration that a report is about: the given one, else that of the run folder."""
    if not run.is_dir():
        raise UsageError(f"expected a run folder; {run} is none. `calibrate` makes one and says where")
    if calibration is None:
        return find_calibration(run)
    return calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)


def level_to_open_at(calibration: Calibration, audit: Audit | None, alpha: float | None) -> float:
    """`alpha` where it is given and possible, else a level chosen from the audit."""
    if alpha is None:
        return opening_level(calibration, [] if audit is None else [level.alpha for level in audit.levels])
    rule = calibration.rule()
    rule.check_level(alpha, calibration.bound_for(rule))
    return alpha
