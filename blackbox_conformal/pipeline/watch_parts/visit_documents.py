"""What a visit is asked for and what it gives, and who signs it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.pipeline.watch_parts.fresh_photographs import Reserve
from blackbox_conformal.signing_key import SigningKey
from blackbox_conformal.watching.findings import Finding, State
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import LiveEvidence
from blackbox_conformal.watching.log import Standing
from blackbox_conformal.watching.records import Canary, Entry
from blackbox_conformal.watching.watch_file import WatchFile


@dataclass(frozen=True, slots=True)
class VisitRequest:
    """What is watched.

    Attributes
    ----------
    file
        The calibration's file; the watch is kept beside it.
    images
        Photographs to choose canaries from, those of the calibration; needed at the first visit alone.
    canaries, level
        How many, and how often a false alarm may ever be raised; None: as the watch was begun, or the usual ones.
    reserve
        Fresh photographs by which the risk itself is measured; None: it is not.
    max_cost_in_all
        The most that all visits may cost together, US dollars.
    key
        Signs what is written; needed where the calibration is signed.
    trusted
        Public keys whose signatures of earlier visits count beside the calibration's own and that of `key`.
    """

    calibration: Calibration
    file: Path
    images: Sequence[Path] = ()
    canaries: int | None = None
    level: float | None = None
    reserve: Reserve | None = None
    max_cost_in_all: Decimal | None = None
    key: SigningKey | None = None
    trusted: Collection[str] = ()

    def check(self, file: WatchFile) -> Standing | None:
        """How far the watch file reaches and who vouches for it; errors as for `WatchFile.check`."""
        own = () if self.key is None else (self.key.key,)
        return file.check(self.calibration, {*self.trusted, *own})


@dataclass(frozen=True, slots=True, repr=False)
class VisitResult:
    """What a visit found and took.

    Attributes
    ----------
    number
        Of the visit, from 1; of the last one where none was made, since the calibration is suspended or void, and 0
        where live pictures raised the alarm before the first.
    state
        The calibration's state, and what it changed to where this visit changed it.
    evidence
        After each visit the logarithm of the largest wealth of a feature's martingale.
    standing
        How far the watch file reaches after it, and who vouches for it.
    live
        The evidence after each picture that was masked.
    """

    number: int
    findings: tuple[Finding, ...]
    state: State
    changed: Entry | None
    made: bool
    level: Level
    canaries: tuple[Canary, ...]
    evidence: tuple[float, ...]
    standing: Standing
    live: LiveEvidence
    calls: int = 0
    cached: int = 0
    cost_usd: Decimal = Decimal(0)

    def __repr__(self) -> str:
        verdicts = ", ".join(f"{each.layer} {each.verdict}" for each in self.findings)
        return f"<VisitResult {self.number}: {self.state}; {verdicts}>"


def refuse_unsigned_visit(calibration: Calibration, key: SigningKey | None) -> None:
    """Refuse to write into the watch of a signed calibration without a key, since what is written would not count.

    Raises
    ------
    UsageError
        The calibration is signed and there is no key.
    """
    if calibration.signature is not None and key is None:
        raise UsageError(
            f"expected --sign-with FILE, since the calibration is signed by {calibration.signature.signer}: its watch "
            "counts where it is signed with the same key, or with one that those who mask give with --trust"
        )
