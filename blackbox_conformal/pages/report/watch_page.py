"""A watch as one self-contained HTML file: evidence visit by visit, canaries before and after, changes, alarms."""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.drawing.ledger.backends import store_of
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.pages.report.encoded import reduced
from blackbox_conformal.pages.report.html import refuse_other, render_blocks, write_page
from blackbox_conformal.support.blocks import Block, How, Note, Table
from blackbox_conformal.support.text import counted, printable
from blackbox_conformal.watching.concluding import current_state
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.records import Entry, Visit, WatchDraw
from blackbox_conformal.watching.visit.canaries import FEATURES
from blackbox_conformal.watching.visit.visit_documents import last_result
from blackbox_conformal.watching.watch_file import WatchFile, watch_path

MOST_SHOWN = 16  # Canaries whose pictures are shown.
SIDE = 360  # Most pixels of a shown picture's side.


@dataclass(frozen=True, slots=True)
class CanaryPair:
    """A canary: its first known draw and its latest fresh one, as WebP; None: no picture can be had."""

    name: str
    before: bytes | None
    after: bytes | None


def write_watch_page(
    calibration: Calibration,
    file: Path,
    run: Path,
    path: Path,
    *,
    trusted: Trusted = (),
    force: bool = False,
) -> Path:
    """Write the page of the latest watch of a calibration.

    `file`, `run`: The calibration's file, which the watch lies beside, and the run folder with the answers.
    `trusted`: Public keys whose signatures of the watch count beside the calibration's own.
    """
    with WatchFile(watch_path(file), make=False) as opened:
        standing, digest = opened.check(calibration, trusted), calibration.digest
        watch = opened.latest(digest)
        visits = [] if watch is None else [visit for visit in opened.visits(watch) if visit.ended_at]
        state = current_state(opened, digest)
        result = None if watch is None or standing is None else last_result(opened, watch, state, standing)
        if watch is None or result is None or not (visits or result.live.inputs):
            raise UsageError(
                "expected a visit to show; none was made. Run `blackbox-conformal watch` without --page-only first"
            )
        with closing(store_of(run)) as store:
            pairs = []
            for canary in opened.canaries(watch)[:MOST_SHOWN] if visits else ():
                before = [draw for draw in visits[0].draws if draw.known and draw.canary == canary.position]
                after = [draw for draw in _of(visits[-1], "fresh") if draw.canary == canary.position]
                pairs.append(CanaryPair(canary.name, _picture(before[:1], store), _picture(after, store)))
        begun = f"Watch for {printable(file)}, begun {_moment(watch.begun_at)}"
        number = f"{counted(len(visits), 'visit')}, {counted(len(result.live.inputs), 'picture')} masked"
        blocks = [
            Note(f"{begun}: {number}."),
            Note(f"The calibration is {state}.", title="State"),
            *result.blocks(),
            *(_moved(visits, opened.highest(visits[-1].id), result.level) if visits else []),
            *_history(opened.states(digest)),
        ]
    page = render_blocks("Is the vendor still what was calibrated?", blocks, "watch", pairs=pairs)
    return write_page(page, _about(calibration), path, force=force)


def refuse_foreign(path: Path, calibration: Calibration) -> None:
    refuse_other(path, _about(calibration), "a page of a watch of this calibration", "page")


def _about(calibration: Calibration) -> str:
    return f"watch of {calibration.digest}"


def _moved(visits: Sequence[Visit], highest: dict[str, float], level: Level) -> Iterator[Block]:
    # In the middle canary at the latest visit, the largest evidence first.
    latest = visits[-1]
    past = [draw for visit in visits[: len(visits) // 2] for draw in _of(visit, "fresh")]
    rows: list[dict[str, Any]] = []
    # Watches of earlier versions have fewer.
    for name in (name for name in FEATURES if name in highest) if highest else FEATURES:
        shifts, deviations = [0.0], [0.0]
        for draw in _of(latest, "fresh"):
            values = [one.features[name] for one in past if one.canary == draw.canary and name in one.features]
            if name in draw.features and values:
                shifts.append(draw.features[name] - float(np.mean(values)))
                spread = float(np.std(values))
                deviations.append(shifts[-1] / spread if spread else 0.0)
        shift, deviation = (float(np.median(each[1:] or each)) for each in (shifts, deviations))
        evidence = math.exp(min(highest.get(name, 0.0), 700.0))
        rows.append({"feature": name, "shift": shift, "deviations": deviation, "evidence": evidence})
    rows.sort(key=lambda row: -row["evidence"])
    columns: dict[str, How] = {
        "feature": "{feature}",
        "shift": "{shift:+.3g}",
        "in standard deviations": "{deviations:+.1f}",
        f"highest evidence, {level.needed(len(rows)):.0f} is an alarm": "{evidence:.3g}",
    }
    yield Table("moved", columns, rows, title="What moved")
    yield Note(
        "How far each feature of the latest answers lies from that of the reference draws, in the middle canary."
    )


def _history(states: Sequence[Entry]) -> Iterator[Block]:
    title = "Alarms and what became of them"
    if not states:
        yield Note("No alarm was ever raised.", title=title)
        return
    columns: dict[str, How] = {"when": lambda row: _moment(row["at"]), "state": "{state}", "reason": "{reason}"}
    rows = [{"at": entry.at, "state": entry.state, "reason": entry.reason} for entry in states]
    yield Table("states", columns, rows, title=title)


def _moment(at: str) -> str:
    return f"{at[:10]} {at[11:16]} UTC"


def _of(visit: Visit, purpose: str) -> list[WatchDraw]:
    return [draw for draw in visit.draws if draw.purpose == purpose]


def _picture(draws: Sequence[WatchDraw], store: Store) -> bytes | None:
    for draw in draws:
        if draw.file is not None:
            try:
                pixels = read_image(store.examine(draw.file)).pixels
            except BlackboxConformalError:
                return None
            return reduced(pixels, max(1, -(-max(pixels.shape[:2]) // SIDE)))
    return None
