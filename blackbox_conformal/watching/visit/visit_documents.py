"""The request and result of a visit, and the check that a visit is signed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from math import log
from pathlib import Path

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.documents.trust_policy import Trusted, TrustPolicy
from blackbox_conformal.documents.watch_head import WatchStanding
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.blocks import Block, Faces, Figure, How, Note, Table
from blackbox_conformal.support.plots import Chart, Series
from blackbox_conformal.support.text import dollars
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import LiveEvidence, live_evidence, live_findings
from blackbox_conformal.watching.records import Canary, Entry, Finding, State, Watched
from blackbox_conformal.watching.visit.canaries import FEATURES
from blackbox_conformal.watching.visit.fresh_photographs import Reserve
from blackbox_conformal.watching.watch_file import WatchFile

# Evidence over visits or pictures, as a chart and as a line of bars.

MOST_POINTS, FEW = 400, 60
"""Most points of a curve, and most points that are drawn as dots."""

_BARS = "▁▂▃▄▅▆▇█"
_LATEST = 60  # Visits or pictures in a line of bars.


@dataclass(frozen=True, slots=True)
class EvidenceHistory:
    """The evidence of one layer after each visit or picture."""

    layer: str
    title: str
    each: str  # "visit" or "picture".
    # Natural logarithms of the evidence, and of the evidence that raises an alarm.
    logs: Sequence[float]
    needed: float
    limit: str  # Name of the alarm.

    @property
    def bars(self) -> str:
        """Draw the latest evidence as bars up to the alarm, on a logarithmic scale; empty for fewer than two."""
        if len(self.logs) < 2:
            return ""
        # The bottom of the logarithmic scale is no evidence at all.
        heights = (min(max(one / self.needed, 0.0), 1.0) for one in self.logs[-_LATEST:])
        drawn = "".join(_BARS[round(height * (len(_BARS) - 1))] for height in heights)
        return f"{self.layer:9} {drawn}  {self.each} by {self.each}; full height is an alarm"

    @property
    def chart(self) -> Chart:
        """Draw the evidence and its limit as powers of ten."""
        found, needed = [one / math.log(10) for one in self.logs], self.needed / math.log(10)
        last = float(max(len(found), 2))
        # The largest point of each stretch is drawn, so that no alarm is lost.
        # Stretches are rounded up, so that the last one is never left out.
        stretch = -(-len(found) // MOST_POINTS)
        places = [
            max(range(start, min(start + stretch, len(found))), key=found.__getitem__)
            for start in range(0, len(found), stretch)
        ]
        points = tuple((place + 1.0, found[place]) for place in places)
        style = "dots" if len(found) <= FEW else "line"
        series = [
            Series(self.limit, "bound", ((1.0, needed), (last, needed))),
            Series("evidence", "realised", points, style),
        ]
        # Room above the highest point, so that it does not lie on the edge.
        ends = min([0.0, *found]), max([needed, *found]) * 1.1
        one_by_one = "masked picture" if self.each == "picture" else self.each
        return Chart(self.title, one_by_one, "power of ten", series, x_range=(1.0, last), y_range=ends, slider=False)


@dataclass(frozen=True, slots=True)
class VisitRequest:
    """A wish for a visit."""

    calibration: Calibration
    file: Path  # Path of the calibration; its watch lies beside it.
    images: Sequence[Path] = ()  # Calibration photographs to choose canaries from; only the first visit needs them.
    # Number of canaries, and probability of ever raising a false alarm; None: as the watch began, or the usual ones.
    canaries: int | None = None
    level: float | None = None
    reserve: Reserve | None = None  # Fresh photographs that measure the risk itself; None: it is not measured.
    max_cost_in_all: Decimal | None = None  # Most that all visits together may cost, US dollars.
    key: SigningKey | None = None  # Signs new entries; a signed calibration needs it.
    trusted: Trusted = ()  # Further public keys whose signatures of earlier visits count.

    def check(self, file: WatchFile) -> WatchStanding | None:
        """Check the watch file; errors as for `WatchFile.check`."""
        return file.check(self.calibration, TrustPolicy.of(self.trusted).with_own(self.key))


@dataclass(frozen=True, slots=True, repr=False)
class VisitResult(Faces):
    """The findings and cost of a visit."""

    # Number of the visit, from 1. If the state allows no visit, number of the last visit; 0: there was none.
    number: int
    findings: tuple[Finding, ...]
    # The calibration's state, and its new state if this visit changed it.
    state: State
    changed: Entry | None
    made: bool
    level: Level
    canaries: tuple[Canary, ...]
    evidence: tuple[float, ...]  # After each visit, the logarithm of the largest wealth of a feature's martingale.
    standing: WatchStanding  # How far the watch file reaches now, and who vouches for it.
    live: LiveEvidence  # The evidence after each masked picture.
    calls: int = 0
    cached: int = 0
    cost_usd: Decimal = Decimal(0)
    features: int = len(FEATURES)  # Among how many features the level is split; watches of earlier versions have fewer.

    def __repr__(self) -> str:
        verdicts = ", ".join(f"{each.layer} {each.verdict}" for each in self.findings)
        return f"<VisitResult {self.number}: {self.state}; {verdicts}>"

    @property
    def headline(self) -> str:
        """Say the outcome in words that stand out."""
        if self.state == "void":
            return "VOID: the risk is above what the guarantee allows"
        if self.state == "suspended":
            return "CHANGED: the vendor is not what was calibrated; the calibration is suspended"
        if any(each.verdict == "cannot tell" for each in self.findings):
            return "COULD NOT TELL whether the vendor changed"
        return "SAME: nothing says that the vendor changed"

    def blocks(self, of: str = "") -> Iterator[Block]:
        """Show the state, the verdict of every layer, the evidence, and the cost."""
        changed, standing, live = self.changed, self.standing, self.live
        data = {
            "visit": self.number,
            "made": self.made,
            "state": self.state,
            "changed": None if changed is None else {"at": changed.at, "reason": changed.reason},
            "level": self.level.whole,
        }
        yield Note(f"{self.headline}  {of}".rstrip(), data, only="call")
        rows = [asdict(each) for each in self.findings]
        columns: dict[str, How] = {
            "layer": "{layer}",
            "looks at": lambda row: _ABOUT[row["layer"]],
            "verdict": "{verdict}",
            "found": "{statement}",
        }
        yield Table("findings", columns, rows, title=f"What each layer found, at visit {self.number}")
        canaries = [{name: getattr(one, name) for name in ("name", "upload", "sensitivity")} for one in self.canaries]
        yield Table("canaries", {}, canaries)
        yield Table("evidence", {}, [{"log_wealth": one} for one in self.evidence])
        for history in self._histories:
            yield Note(history.bars, only="call")
        yield Note(f"{self.level.sentence[0].upper()}{self.level.sentence[1:]}.")
        said = {
            "live_evidence": {"inputs": list(live.inputs), "answers": list(live.answers)},
            "head": standing.head.model_dump(mode="json"),
            "signed": {**standing.vouching.to_json(), "entries": standing.vouched},
        }
        yield Note(f"The watch file: {standing.words}.", said)
        if self._histories:
            yield Figure([history.chart for history in self._histories], title="Evidence")
        bill = {"calls": self.calls, "cached": self.cached, "cost_usd": self.cost_usd}
        took = f"{self.calls} calls made, {self.cached} draws were stored, {dollars(self.cost_usd)} spent"
        halted = "Nothing was sent: after an alarm nothing is bought until the calibration is accepted or made anew."
        yield Note(took if self.made else halted, bill, only="call")

    @property
    def _histories(self) -> list[EvidenceHistory]:
        live, needed = self.live, log(self.level.needed(self.features))
        unchanged = "evidence against an unchanged vendor"
        found = [
            EvidenceHistory("canaries", f"Canaries: {unchanged}", "visit", self.evidence, needed, "an alarm"),
            EvidenceHistory(
                "inputs", "Inputs: evidence that they drifted", "picture", live.inputs, live.inputs_alarm, "a warning"
            ),
            EvidenceHistory(
                "answers", f"Answers: {unchanged}", "picture", live.answers, live.answers_alarm, "an alarm"
            ),
        ]
        return [history for history in found if history.logs]


_ABOUT = {
    "identity": "what the vendor says of itself",
    "pixels": "answers to equal requests",
    "canaries": "answers of a vendor that varies",
    "harm": "the risk itself",
    "inputs": "inputs of the pictures that are masked",
    "answers": "answers to them, given their inputs",
}


def last_result(file: WatchFile, watch: Watched, state: State, standing: WatchStanding) -> VisitResult:
    """Read the findings of the last visit; buys nothing."""
    ended = [each for each in file.visits(watch) if each.ended_at]
    kept = [each for visit in ended[-1:] for each in file.findings(visit.id)]
    return VisitResult(
        number=len(ended),
        findings=(*(each for each in kept if each.layer not in ("inputs", "answers")), *live_findings(file, watch)),
        state=state,
        changed=None,
        made=False,
        level=Level(watch.level, watch.live),
        canaries=tuple(file.last_canaries(watch.calibration)),
        evidence=tuple(file.evidence(watch)) if ended else (),
        standing=standing,
        live=live_evidence(file, watch),
        features=len(file.highest(ended[-1].id) if ended else ()) or len(FEATURES),
    )


def refuse_unsigned_visit(calibration: Calibration, key: SigningKey | None) -> None:
    """Refuse to watch a signed calibration without a key: unsigned entries would not count."""
    if calibration.signature is not None and key is None:
        raise UsageError(
            f"expected --sign-with FILE, since the calibration is signed by {calibration.signature.signer}: its watch "
            "counts where it is signed with the same key, or with one that those who mask give with --trust"
        )
