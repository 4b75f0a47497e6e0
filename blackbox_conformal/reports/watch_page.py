"""A watch as one self-contained HTML file: evidence visit by visit, canaries before and after, what changed, alarms."""

import math
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.images.read import read_image
from blackbox_conformal.plots import Chart, Series
from blackbox_conformal.reports.encoded import reduced
from blackbox_conformal.reports.html import render
from blackbox_conformal.reports.seal import is_page, write_page
from blackbox_conformal.sampling.ledger.places import store_of
from blackbox_conformal.sampling.ledger.sample_store import Store
from blackbox_conformal.watching.concluding import current_state
from blackbox_conformal.watching.features import FEATURES
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import LiveEvidence, live_evidence, live_findings
from blackbox_conformal.watching.records import Canary, Visit, WatchDraw, Watched
from blackbox_conformal.watching.watch_file import WatchFile, watch_path

MOST_SHOWN = 16
"""Canaries whose pictures are shown."""

MOST_POINTS, FEW = 400, 60
"""Most points of a curve, and most that have a mark each."""

SIDE = 360
"""Most pixels of a side that is shown."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A canary: its first known draw and its latest fresh one, as WebP; None where a picture is not to be had."""

    name: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature: its middle shift at the latest visit, also in standard deviations of earlier ones; its evidence."""

    name: str
    shift: float
    deviations: float
    evidence: float


def write_watch_page(
    calibration: Calibration,
    file: Path,
    run: Path,
    path: Path,
    *,
    trusted: Collection[str] = (),
    force: bool = False,
) -> Path:
    """Write the page of the latest watch of a calibration.

    Parameters
    ----------
    file, run
        Its file, which the watch lies beside, and the run folder that holds the answers.
    trusted
        Public keys whose signatures of the watch count beside the calibration's own.

    Raises
    ------
    UsageError
        There is neither a visit nor a masked picture to show, or `path` exists, is no unchanged page of a watch of
        this calibration, and `force` is not set.
    """
    with WatchFile(watch_path(file), make=False) as opened:
        standing, digest = opened.check(calibration, trusted), calibration.digest
        watch = opened.latest(digest)
        visits = [] if watch is None else [visit for visit in opened.visits(watch) if visit.ended_at]
        live = LiveEvidence() if watch is None else live_evidence(opened, watch)
        if watch is None or standing is None or not (visits or live.inputs):
            raise UsageError(
                "expected a visit to show; none was made. Run `blackbox-conformal watch` without --page-only first"
            )
        last = visits[-1].id if visits else 0
        found = [each for each in opened.findings(last) if each.layer not in ("inputs", "answers")]
        with closing(store_of(run)) as store:
            pairs = _pairs(opened.canaries(watch)[:MOST_SHOWN], visits, store) if visits else []
        page = render(
            "watch",
            file=str(file),
            state=current_state(opened, digest),
            standing=standing.words,
            watch=watch,
            level=Level(watch.level, watch.live),
            visits=visits,
            findings=[*found, *live_findings(opened, watch)],
            charts=[*([evidence_chart(opened, watch)] if visits else []), *live_charts(live)],
            pictures=len(live.inputs),
            moved=moved(visits, opened.highest(last)) if visits else [],
            pairs=pairs,
            states=opened.states(digest),
        )
    return write_page(page, _about(calibration), path, force=force)


def refuse_foreign(path: Path, calibration: Calibration) -> None:
    """Refuse, before a visit, to overwrite a file that is not an earlier page of a watch of this calibration.

    Raises
    ------
    UsageError
        There is such a file at `path`.
    """
    if path.exists() and not is_page(path, _about(calibration)):
        raise UsageError(
            f"{path} exists and is not a page of a watch of this calibration as it was written; give --force or "
            "another --page"
        )


def _about(calibration: Calibration) -> str:
    return f"watch of {calibration.digest}"


def evidence_chart(file: WatchFile, watch: Watched) -> Chart:
    """The largest evidence of a feature after each visit, beside the line of an alarm, both as powers of ten."""
    needed = math.log(Level(watch.level, watch.live).needed(len(FEATURES)))
    return _chart("Canaries: evidence against an unchanged vendor", "visit", file.evidence(watch), needed, "an alarm")


def live_charts(live: LiveEvidence) -> list[Chart]:
    """The same after each picture that was masked: of its input, and of the answer to it; none where none was."""
    if not live.inputs:
        return []
    inputs, answers = "Inputs: evidence that they drifted", "Answers: evidence against an unchanged vendor"
    return [
        _chart(inputs, "masked picture", live.inputs, live.inputs_alarm, "a warning"),
        _chart(answers, "masked picture", live.answers, live.answers_alarm, "an alarm"),
    ]


def _chart(title: str, one_by_one: str, logs: Sequence[float], needed: float, limit: str) -> Chart:
    """Evidence, given as natural logarithms, beside the line of its limit, both as powers of ten."""
    found, needed = [one / math.log(10) for one in logs], needed / math.log(10)
    last = float(max(len(found), 2))
    # Of many points the largest of each stretch is drawn, so that no alarm is lost.
    stretch = -(-len(found) // MOST_POINTS)
    places = [
        max(range(start, min(start + stretch, len(found))), key=found.__getitem__)
        for start in range(0, len(found), stretch)
    ]
    series = [
        Series(limit, "bound", ((1.0, needed), (last, needed))),
        Series(
            "evidence",
            "realised",
            tuple((place + 1.0, found[place]) for place in places),
            "dots" if len(found) <= FEW else "line",
        ),
    ]
    top = max([needed, *found]) * 1.1
    low = min([0.0, *found])
    return Chart(
        title,
        one_by_one,
        "power of ten",
        series,
        x_range=(1.0, last),
        y_range=(low, top),
        slider=False,
    )


def moved(visits: Sequence[Visit], highest: dict[str, float]) -> list[Moved]:
    """How far each feature moved at the latest visit, in the middle canary; the largest evidence first."""
    latest = visits[-1]
    past = [draw for visit in visits[: len(visits) // 2] for draw in _of(visit, "fresh")]
    rows = []
    for name in FEATURES:
        shifts, deviations = [0.0], [0.0]
        for draw in _of(latest, "fresh"):
            values = [one.features[name] for one in past if one.canary == draw.canary and one.features]
            if draw.features and values:
                shifts.append(draw.features[name] - float(np.mean(values)))
                spread = float(np.std(values))
                deviations.append(shifts[-1] / spread if spread else 0.0)
        shift, deviation = (float(np.median(each[1:] or each)) for each in (shifts, deviations))
        rows.append(Moved(name, shift, deviation, math.exp(min(highest.get(name, 0.0), 700.0))))
    return sorted(rows, key=lambda row: -row.evidence)


def _of(visit: Visit, purpose: str) -> list[WatchDraw]:
    return [draw for draw in visit.draws if draw.purpose == purpose]


def _pairs(canaries: Sequence[Canary], visits: Sequence[Visit], store: Store) -> list[Pair]:
    pairs = []
    for canary in canaries:
        before = [draw for draw in visits[0].draws if draw.known and draw.canary == canary.position]
        after = [draw for draw in _of(visits[-1], "fresh") if draw.canary == canary.position]
        pairs.append(Pair(canary.name, _picture(before[:1], store), _picture(after, store)))
    return pairs


def _picture(draws: Sequence[WatchDraw], store: Store) -> bytes | None:
    """The answer made small; None where there is none, or its file is gone or no picture."""
    for draw in draws:
        if draw.file is not None:
            try:
                pixels = read_image(store.examine(draw.file)).pixels
            except BlackboxConformalError:
                return None
            return reduced(pixels, max(1, -(-max(pixels.shape[:2]) // SIDE)))
    return None
