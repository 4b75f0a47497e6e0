"""One self-contained HTML file: template, style, script and pictures in one, with nothing fetched.

Foreign text reaches the file only through autoescaping. As a second guard, a policy in the page forbids every script,
style and address but the report's own.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.spending.spent import read_spending
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.pages.notebook import LOOKS, PLOTS, environment, template_text
from blackbox_conformal.pages.report.encoded import base64_text
from blackbox_conformal.pages.report.error_pairs import SIDE
from blackbox_conformal.pages.report.page import build_page, read_manifest, sections
from blackbox_conformal.pages.report.preview import Preview
from blackbox_conformal.pages.report.report_store import ReportStore, preview_of_result
from blackbox_conformal.pages.report.slider_levels import choose_stops, opening_level, thresholds_of
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.run_folder import find_calibration
from blackbox_conformal.support.blocks import NUMBER, Block
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.text import dollars, printable
from blackbox_conformal.support.wording import share

# The last line of a page holds its subject and its own digest, so that an unchanged page is recognised.


def write_page(text: str, about: str, path: Path, *, force: bool = False) -> Path:
    """Write a page about `about`, such as ``report of sha256:…``; replace an unchanged page about the same."""
    return write_new(path, _sealed(text.encode(), about), force=force or is_page(path, about))


def is_page(path: Path, about: str) -> bool:
    """Whether `path` is an unchanged page about `about`."""
    try:
        return about_of(path.read_bytes()) == about
    except OSError:
        return False


def refuse_other(path: Path, about: str, what: str, option: str) -> None:
    """Refuse, before anything is drawn, to overwrite a file that is no unchanged page about `about`."""
    if path.exists() and not is_page(path, about):
        raise UsageError(f"{path} exists and is not {what} as it was written; give --force or another --{option}")


def about_of(content: bytes) -> str | None:
    """Return the subject of a page; None: it is no page, or was changed."""
    page, seal, line = content.rpartition(b"\n<!-- ")
    about = line.partition(b", ")[0].decode("ascii", "replace")
    return about if seal and content == _sealed(page, about) else None


def _sealed(page: bytes, about: str) -> bytes:
    return page + f"\n<!-- {about}, {digest_bytes(page)} -->\n".encode()


PAGE_PIXELS = 32 * 2**20
"""About the most pixels of a page's pictures together: 32 pictures of 1024×1024 (a page of 40 MB with photographs), 128
of 512×512 (46 MB), or 512 of 256×256 (52 MB) and none beyond.
"""
_ABOUT = "report of "
SIDES = (SIDE, SIDE // 2, SIDE // 4)
MOST_PICTURES = PAGE_PIXELS // SIDES[-1] ** 2


def write_report(
    run: Path,
    calibration: Calibration,
    audited: Audit | None,
    results: Sequence[Result],
    path: Path,
    *,
    alpha: float,
    force: bool = False,
) -> Path:
    """Write the report of a run.

    `run`: The run folder, whose ledger, manifest and stored pictures are used if they exist.
    `audited`: An audit of `calibration`; None: the one stored in the run folder, if there is one.
    `results`: Masked pictures; the pictures that `run` keeps for the report are added.
    `alpha`: The level that the report opens at.
    """
    if not (math.isfinite(alpha) and alpha > 0):
        raise UsageError(f"expected alpha to be a finite number above 0; got {alpha!r}")
    store = ReportStore(run, calibration, (alpha,))
    audited = audited if audited is not None else store.audit()
    wanted = [alpha, *(level.alpha for level in audited.levels)] if audited is not None else [alpha]
    worst_first = [] if audited is None or not audited.levels else [one.truth for one in audited.worst(0, audited.n)]
    stored = [*store.previews("audit", worst_first), *store.previews("result")]
    count = min(len(results) + len(stored), MOST_PICTURES)
    side = next((side for side in SIDES if count * side**2 <= PAGE_PIXELS), SIDES[-1])
    stops = choose_stops(calibration, wanted)
    text = render(
        "report",
        **build_page(
            calibration,
            audited,
            islice(_previews(results, stored, thresholds_of(stops)), MOST_PICTURES),
            read_spending(run),
            read_manifest(run),
            stops,
            alpha,
            side,
            store.splits(),
            max(len(results) + len(stored) - MOST_PICTURES, 0),
        ),
    )
    return write_page(text, f"{_ABOUT}{calibration.digest}", path, force=force)


def is_own_report(content: bytes, calibration: Calibration) -> bool:
    """Whether `content` is an unchanged report of this calibration, which can be made again and so may be replaced."""
    return about_of(content) == f"{_ABOUT}{calibration.digest}"


def _previews(
    results: Sequence[Result], stored: Sequence[Callable[[], Preview]], thresholds: NDArray[np.float64]
) -> Iterator[Preview]:
    # One at a time, so that only one is in memory.
    fresh = set()
    for result in results:
        preview = preview_of_result(result, thresholds)
        fresh.add(preview.identity)
        yield preview
    for read in stored:
        preview = read()
        if preview.kind == "audit" or preview.identity not in fresh:
            yield preview


_PAGE = ("page.html.jinja", "blocks.html.jinja", "report.css")
_PARTS = {
    "report": (
        "report.html.jinja",
        "blocks.html.jinja",
        "viewer.html.jinja",
        "gallery.html.jinja",
        "report.css",
        "viewer.css",
        "level.js",
        "marks.js",
        "viewer.js",
        "gallery.js",
        "report.js",
    ),
    "page": _PAGE,
    "comparison": ("comparison.html.jinja", *_PAGE, "comparison.css"),
    "watch": ("watch.html.jinja", *_PAGE, "watch.css"),
}


def write_blocks(title: str, blocks: Iterable[Block], path: Path, about: str, *, force: bool = False) -> Path:
    """Write a page of blocks; replace an unchanged page about `about`."""
    return write_page(render_blocks(title, blocks), about, path, force=force)


def render_blocks(title: str, blocks: Iterable[Block], name: str = "page", **variables: Any) -> str:
    """Return a page of blocks, or the page called `name`, which adds to them; each title begins a section."""
    found = sections(block for block in blocks if block.only != "call")
    lead = found[0][1] if found and not found[0][0] else []
    return render(name, title=title, lead=lead, sections=found[bool(lead) :], **variables)


def render(name: str, **variables: Any) -> str:
    """Return the page called `name` as text: its template with its styles and its script, if it has one."""
    template, style, script = _page(name)
    return template.render(**variables, style=Markup(style), script=Markup(script), policy=policy(style, script))


@cache
def _page(name: str) -> tuple[jinja2.Template, str, str]:
    # Reading takes longer than filling in.
    texts = {part: template_text(part, "blackbox_conformal.pages.report") for part in _PARTS[name]}
    templates = environment({**texts, PLOTS: template_text(PLOTS)})
    templates.filters.update(number=number, percent=share, printable=printable, dollars=dollars, base64=base64_text)
    templates.filters["kind"] = lambda block: type(block).__name__
    templates.tests["numeric"] = NUMBER.match
    templates.globals.update(version=version("blackbox-conformal"), looks=LOOKS)
    style = "".join(text for part, text in texts.items() if part.endswith(".css"))
    scripts = "".join(text for part, text in texts.items() if part.endswith(".js"))
    # A block of their own: the scripts share names with each other, and none with the window.
    script = f'"use strict";\n{{\n{scripts}}}\n' if scripts else ""
    return templates.get_template(f"{name}.html.jinja"), style, script


def policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy for exactly this style, this script, and pictures inside the page."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def number(value: float | None, digits: int = 4) -> str:
    """Write a number for people; None: a dash."""
    return "–" if value is None or math.isnan(value) else ("∞" if math.isinf(value) else f"{value:.{digits}f}")


def _hash(text: str) -> str:
    return "sha256-" + base64_text(hashlib.sha256(text.encode()).digest())


# The report of a run from Python, as the command `report` writes it.


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
        A calibration, or the path of its file; by default the run folder's.
    alpha
        The level that the report opens at; by default chosen from the audit.
    out
        The file to write; by default ``report.html`` in the run folder.
    force
        Overwrite a file that is no report of this calibration, or was changed since.
    audit
        An audit of the calibration; by default the one that the command line kept in the run folder.
    results
        Masked pictures; the command line's, kept in the run folder, are added.
    ledger
        The address of the run's ledger, if it is in a database.

    Returns
    -------
    The path of the written file.

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
    calibration = calibration_of_run(run, calibration)
    audit = ReportStore(run, calibration).audit() if audit is None else audit
    alpha = level_to_open_at(calibration, audit, alpha)
    path = Path(out or run / "report.html")
    return write_report(run, calibration, audit, list(results), path, alpha=alpha, force=force)


def calibration_of_run(run: Path, calibration: Calibration | str | Path | None) -> Calibration:
    """Return the report's calibration: the given one, else the run folder's."""
    if not run.is_dir():
        raise UsageError(f"expected a run folder; {run} is none. `calibrate` makes one and says where")
    if calibration is None:
        return find_calibration(run)
    return calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)


def level_to_open_at(calibration: Calibration, audit: Audit | None, alpha: float | None) -> float:
    """Return `alpha` if it is given and possible, else a level chosen from the audit."""
    if alpha is None:
        return opening_level(calibration, [] if audit is None else [level.alpha for level in audit.levels])
    rule = calibration.rule()
    rule.check_level(alpha, calibration.bound_for(rule))
    return alpha
