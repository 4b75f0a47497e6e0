"""One self-contained HTML file: template, style, script and pictures in one, with nothing fetched.

Foreign text reaches the file only through autoescaping. As a second guard, a policy in the page forbids every script,
style and address that is not the report's own.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import fields
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from blackbox_conformal import __version__
from blackbox_conformal.audits.findings import Audit
from blackbox_conformal.audits.random_splits import CAUTION
from blackbox_conformal.audits.verdict import FIXED
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.files import write_new
from blackbox_conformal.pipeline.prices.spending import read_spending
from blackbox_conformal.reports.page import build_page, read_manifest
from blackbox_conformal.reports.preview import SIDE, base64_text
from blackbox_conformal.reports.report_store import ReportStore, preview_of_result
from blackbox_conformal.reports.slider_levels import MAXIMUM_STOPS, choose_stops, thresholds_of
from blackbox_conformal.text import printable

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.products import Result

MANY = 60
"""With more pictures than this, masks are shown at half the scale and the slider has half the stops. A page of 200
pictures of 2048×2048 then stays below 30 MB."""


def write_report(
    run: Path,
    calibration: Calibration,
    audited: Audit | None,
    results: Sequence["Result"],
    path: Path,
    *,
    alpha: float,
    force: bool = False,
) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run
        The run folder: its ledger, manifest and stored pictures are used where they exist.
    audited
        An audit of `calibration`; None: the one stored in the run folder, if there is one.
    results
        Masked pictures; those that `run` keeps for the report are added.
    alpha
        The level that the report opens at.

    Raises
    ------
    UsageError
        `path` exists with other content and `force` is not set, or `alpha` is not above 0.
    """
    if not (math.isfinite(alpha) and alpha > 0):
        raise UsageError(f"expected alpha to be a finite number above 0; got {alpha!r}")
    store = ReportStore(run, calibration, (alpha,))
    audited = audited if audited is not None else store.audit()
    wanted = [alpha, *(level.alpha for level in audited.levels)] if audited is not None else [alpha]
    readers = [*store.previews("result"), *store.previews("audit")]
    mask_side, most = (SIDE, MAXIMUM_STOPS) if len(results) + len(readers) <= MANY else (SIDE // 2, MAXIMUM_STOPS // 2)
    stops = choose_stops(calibration, wanted, most)
    thresholds = thresholds_of(stops)
    fresh = [preview_of_result(result, thresholds) for result in results]
    identities = {preview.identity for preview in fresh}
    # Read one at a time, so that only one stored preview is in memory.
    stored = (read() for read in readers)
    previews = chain(fresh, (kept for kept in stored if kept.kind == "audit" or kept.identity not in identities))
    page = build_page(
        calibration,
        audited,
        previews,
        read_spending(run),
        read_manifest(run),
        stops,
        alpha,
        mask_side,
        store.splits(),
    )
    variables = {field.name: getattr(page, field.name) for field in fields(page)}
    return write_new(path, render("report", caution=CAUTION, fixed=FIXED, **variables).encode(), force=force)


_PARTS = {
    "report": ("report.html.jinja", "chart.html.jinja", "report.css", "report.js"),
    "comparison": ("comparison.html.jinja", "report.css", "comparison.css"),
    "inputs": ("inputs.html.jinja", "chart.html.jinja", "report.css"),
    "watch": ("watch.html.jinja", "chart.html.jinja", "report.css", "watch.css"),
}


def render(name: str, **variables: Any) -> str:
    """The page called `name` as text: its template with its styles and its script, if it has one."""
    folder = resources.files("blackbox_conformal.reports") / "templates"
    texts = {part: (folder / part).read_text("utf-8") for part in _PARTS[name]}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, printable=printable, base64=base64_text)
    environment.tests["nan"] = math.isnan
    environment.globals["version"] = __version__
    style = "".join(text for part, text in texts.items() if part.endswith(".css"))
    script = "".join(text for part, text in texts.items() if part.endswith(".js"))
    return environment.get_template(f"{name}.html.jinja").render(
        **variables, style=Markup(style), script=Markup(script), policy=policy(style, script)
    )


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy that allows exactly this style, this script, and pictures inside the page."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def number(value: float | None, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else ("∞" if math.isinf(value) else f"{value:.{digits}f}")


def percent(share: float | None) -> str:
    """A share for people."""
    if share is None or math.isnan(share):
        return "–"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def _hash(text: str) -> str:
    return "sha256-" + base64_text(hashlib.sha256(text.encode()).digest())
