"""Test a vendor's promise about its pictures, and decide as soon as enough photographs are seen.

"Invents no detail" cannot be tested: every enlargement is wrong somewhere. A stated share that still counts as none
makes it testable, and so are promises about restored or erased detail. Each photograph then has a loss in [0, 1], and
the promise is that their mean is at most a level. Bets decide both ways, and hold at every number of photographs at
once (Waudby-Smith and Ramdas 2024), so looking after each photograph costs nothing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import BETS, LEVEL, fewest, further, lower_bound, stakes, upper_bound
from blackbox_conformal.method.audits.detail_shares import PLAIN, VENDOR, Measured, detail_blocks
from blackbox_conformal.method.audits.sequential import LevelTest
from blackbox_conformal.method.audits.verdict import about
from blackbox_conformal.method.risk.betting import ROUNDING, growth
from blackbox_conformal.support import catalog
from blackbox_conformal.support.blocks import Block, Faces, Facts, How, Note, Table
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.wording import at_least, at_most, percent

FIGURES = {
    "invented": "at most {} % of the detail that the vendor adds is not in the truth",
    "erased": "at most {} % of the truth's detail is in plain enlargement and missing in the vendor's picture",
    "restored": "at least {} % of the detail that is missing in plain enlargement is restored",
}
"""Figures that a claim may be about, each a share of each photograph's detail, and the claim in words."""

MANY = "more than a million"
EXAMPLE = "--claim invented:at_most=0.2, or with in=0.95 for 95 % of photographs"

Verdict = Literal["supported", "contradicted", "undecided"]

SHOWN: dict[Verdict, str] = {
    "supported": "with 95 % confidence the claim holds for photographs like these",
    "contradicted": "with 95 % confidence the claim does not hold for photographs like these",
    "undecided": "these photographs neither support nor contradict the claim",
}


@dataclass(frozen=True, slots=True)
class VendorClaim:
    """A vendor's claimed performance, on average over photographs or in a share of them."""

    figure: str  # One of `FIGURES`.
    level: float  # The figure is at most this, or for ``restored`` at least; above 0 and below 1.
    within: float | None = None  # In which share of photographs, above 0 and below 1; None: on average over them.

    @classmethod
    def of(cls, text: str) -> Self:
        """Read the claim as typed, such as ``invented:at_most=0.2,in=0.95``."""
        figure, given = catalog.parse(text)
        side = "at_least" if figure == "restored" else "at_most"
        if figure not in FIGURES or side not in given or not given.keys() <= {side, "in"}:
            raise UsageError(
                f"expected invented:at_most=…, erased:at_most=… or restored:at_least=…, with in=… for a share of "
                f"photographs; got {text!r}. Such as {EXAMPLE}"
            )
        return cls(figure, _share(given[side], text), _share(given["in"], text) if "in" in given else None)

    @property
    def allowed(self) -> float:
        """Return the claimed upper limit of the mean loss."""
        if self.within is not None:
            return 1 - self.within
        return 1 - self.level if self.figure == "restored" else self.level

    @property
    def text(self) -> str:
        """Write the claim as it is typed."""
        side = "at_least" if self.figure == "restored" else "at_most"
        return f"{self.figure}:{side}={self.level!r}" + (f",in={self.within!r}" if self.within is not None else "")

    @property
    def sentence(self) -> str:
        """Say the claim in words."""
        where = "on average over photographs" if self.within is None else f"in {percent(self.within)} % of photographs"
        return f"{FIGURES[self.figure].format(percent(self.level))}, {where}"

    def share(self, measured: Measured) -> float | None:
        """Return the figure of one photograph, in [0, 1]; None where the vendor's picture could not be measured.

        Detail below one grey level a pixel counts as one, so that a picture with hardly any detail has a figure near 0
        or 1, not one of chance.
        """
        if VENDOR not in measured:
            return None
        vendor = measured[VENDOR]
        pixels = vendor.values / 3
        if self.figure == "invented":
            return min(1.0, vendor.invented / max(vendor.added, pixels))
        if self.figure == "erased":
            return min(1.0, max(0.0, vendor.lacked - measured[PLAIN].lacked) / max(vendor.detail, pixels))
        if vendor.missing < pixels:
            return 1.0
        return min(1.0, max(0.0, vendor.added - vendor.invented) / vendor.missing)

    def losses(self, measured: Sequence[Measured]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the least and the greatest loss of each photograph: they differ where it was not measured."""
        known = np.array([self.share(one) for one in measured], dtype=np.float64)
        if self.within is not None:
            missed = known < self.level if self.figure == "restored" else known > self.level
            found = np.where(np.isnan(known), np.nan, missed)
        else:
            found = 1 - known if self.figure == "restored" else known
        return np.where(np.isnan(found), 0.0, found), np.where(np.isnan(found), 1.0, found)

    def test(self) -> LevelTest:
        """Return the two tests, fixed before a photograph is seen."""
        even = stakes(None, self.allowed)
        return LevelTest(self.allowed, self.allowed, 0.0, LEVEL, even, even)

    def outlook(self) -> str:
        """Say how many photographs decide it, before one is seen."""
        allowed, none = self.allowed, np.zeros(1)
        right, wrong = fewest(none, allowed), fewest(none, 1 - allowed)
        better, worse = allowed / 2, min(2 * allowed, (1 + allowed) / 2)
        support, against = fewest(_two_valued(better), allowed), fewest(1 - _two_valued(worse), 1 - allowed)
        least = f"{MANY} photographs" if right is None else counted(right, "photograph")
        return (
            f"It takes at least {least} to support the claim, {wrong or MANY} to contradict it. "
            f"If the true figure is {self._figure(better)}, about {_about(support)} support it, or fewer; if it is "
            f"{self._figure(worse)}, about {_about(against)} contradict it, or fewer."
        )

    def _figure(self, loss: float) -> str:
        if self.within is not None:
            return f"kept in {100 * (1 - loss):.3g} % of photographs"
        return f"{100 * (1 - loss if self.figure == 'restored' else loss):.3g} %"


def _two_valued(mean: float) -> NDArray[np.float64]:
    """Return losses of 0 and 1: they vary most for this mean, and so need most photographs."""
    return (np.arange(1000) < round(1000 * mean)).astype(np.float64)


def _about(number: int | None) -> str:
    return MANY if number is None else about(number)


FEWEST = 20  # The least number of measured photographs that foretell anything.
MOST = 1000  # More photographs are not foretold.
_RUNS = 200
_RARELY_MORE = 0.9
"""The share of runs behind "in three of four cases": runs from few photographs vary less than pilots do."""


@dataclass(frozen=True, slots=True)
class ClaimForetold:
    """How many photographs decide a claim, if they are like those of a pilot or an audit.

    `about` suffice as often as not, `most` in three of four cases; None: more than `MOST`. `likely`: the verdict of
    nine in ten runs; None: there is none.
    """

    claim: str
    about: int | None
    most: int | None
    likely: Verdict | None
    source: str

    @classmethod
    def of(cls, claim: VendorClaim, measured: Sequence[Measured], source: str) -> Self:
        """Run the claim's own tests on photographs drawn from the `measured` ones, of which there may be few.

        Each run weighs them at random (Bayesian bootstrap), since others of the kind would have been measured as well.
        """
        if len(measured) < FEWEST:
            raise UsageError(
                f"expected at least {FEWEST} photographs, of a pilot or an audit, to foretell how many decide a claim; "
                f"got {len(measured)}. Add --pilot {FEWEST} (pilot={FEWEST})"
            )
        least, greatest = claim.losses(measured)
        weights = np.ones(len(least))
        if claim.within is not None:
            # What none of a few photographs shows may still happen: half a photograph each way (Jeffreys).
            least, greatest = np.append(least, (0.0, 1.0)), np.append(greatest, (0.0, 1.0))
            weights = np.append(weights, (0.5, 0.5))
        support, against = growth(greatest, claim.allowed, BETS), growth(1 - least, 1 - claim.allowed, BETS)
        rng, stops = np.random.default_rng(0), np.empty((_RUNS, 2))
        for run in range(_RUNS):
            drawn = rng.choice(len(least), MOST, p=rng.dirichlet(weights))
            stops[run] = _first(support[:, drawn]), _first(against[:, drawn])
        first = np.sort(stops.min(axis=1))
        about, most = (
            None if (number := first[math.ceil(share * _RUNS) - 1]) > MOST else int(number)
            for share in (0.5, _RARELY_MORE)
        )
        supported = float(np.mean(stops[:, 0] < stops[:, 1]))
        contradicted = float(np.mean(stops[:, 1] < stops[:, 0]))
        likely: Verdict | None = "supported" if supported >= _RARELY_MORE else None
        return cls(claim.text, about, most, "contradicted" if contradicted >= _RARELY_MORE else likely, source)

    def sentence(self, bill: Callable[[int], str]) -> str:
        """Say it in words; `bill` says what so many photographs take."""
        command = f"By {self.source} `audit --claim {self.claim}`"
        if self.about is None:
            return f"{command} as often as not takes more than {bill(MOST)}."
        most = (
            f"more than {bill(MOST)}, not seldom"
            if self.most is None
            else f"{bill(self.most)} at most, in three of four cases"
        )
        verdict = "" if self.likely is None else f" It is probably {self.likely}."
        return f"{command} takes about {bill(self.about)}; {most}. It stops at the first look that decides.{verdict}"


def _first(logs: NDArray[np.float64]) -> float:
    """Return after how many photographs the joint worth of bets, whose growth is (bets, n), decides; inf if never."""
    grown = np.cumsum(logs, axis=1)
    highest = grown.max(axis=0)
    reached = highest + np.log(np.exp(grown - highest).mean(axis=0)) >= math.log(1 / LEVEL) + ROUNDING
    return float(np.argmax(reached)) + 1 if reached.any() else math.inf


@dataclass(frozen=True, slots=True)
class ClaimedPhotograph:
    """A photograph that a claim was put to.

    `truth` and `input`: digests of its pixels and of the pixels sent. `answer`: digest of the answer's bytes, or None.
    `measured`: sums of detail, empty without an answer.
    """

    name: str
    truth: str
    input: str
    answer: str | None
    measured: Measured


@dataclass(frozen=True, slots=True)
class ClaimAudit(Faces):
    """The evidence about a vendor's claim: `photographs`, of `given`, were looked at; `cached` draws were stored.

    `file`: the document in the run folder, which `sign` and `verify` read; `page`, beside it, is for print.
    """

    claim: VendorClaim
    photographs: tuple[ClaimedPhotograph, ...]
    given: int
    calls: int = 0
    cached: int = 0
    file: Path | None = None

    @property
    def page(self) -> Path | None:
        return None if self.file is None else self.file.with_suffix(".html")

    @property
    def looked(self) -> int:
        return len(self.photographs)

    @property
    def measured(self) -> tuple[Measured, ...]:
        return tuple(one.measured for one in self.photographs)

    @property
    def interval(self) -> tuple[float, float]:
        """Return bounds for the mean loss of all such photographs, each at 95 %, at every number of photographs."""
        least, greatest = self.claim.losses(self.measured)
        return lower_bound(least), upper_bound(greatest)

    @property
    def verdict(self) -> Verdict:
        low, high = self.interval
        if low > self.claim.allowed:
            return "contradicted"
        return "supported" if high <= self.claim.allowed else "undecided"

    @property
    def found(self) -> tuple[float, float]:
        """Return the interval in the terms of the claim: of the figure, or of the share of photographs that keep it."""
        low, high = self.interval
        upwards = self.claim.figure == "restored" or self.claim.within is not None
        return (1 - high, 1 - low) if upwards else (low, high)

    @property
    def statement(self) -> str:
        """Say in one line what was claimed, what was found, and the verdict."""
        claim = self.claim
        level = 100 * (claim.level if claim.within is None else claim.within)
        low, high = (100 * end for end in self.found)
        found = f"{at_least(low, level=level)} to {at_most(high, level=level)} %"
        side = "at least" if claim.figure == "restored" else "at most"
        claimed = f"{claim.figure.capitalize()} detail: claimed {side} {percent(claim.level)} %"
        if claim.within is None:
            return f"{claimed}, found {found} on average, {self.verdict}"
        return f"{claimed} in {percent(claim.within)} % of photographs, found in {found} of them, {self.verdict}"

    def __repr__(self) -> str:
        return f"<ClaimAudit of {counted(self.looked, 'photograph')}: {self.verdict}>"

    def blocks(self) -> Iterator[Block]:
        claim, verdict = self.claim, self.verdict
        low, high = self.found
        shares = [claim.share(one) for one in self.measured]
        known = [share for share in shares if share is not None]
        of = "of photographs keep it" if claim.within is not None else "on average"
        ends = f"{at_least(100 * low)} to {at_most(100 * high)} % {of}, each end with 95 % confidence"
        yield Note(self.statement, {"statement": self.statement})
        yield Facts(
            {
                "claim": claim.sentence,
                "verdict": f"{verdict}: {SHOWN[verdict]}",
                "photographs": f"{self.looked} of {self.given}",
                "mean of these": f"{100 * float(np.mean(known)):.1f} %" if known else "not measured",
                "all such photographs": ends,
            },
            {
                "claim": asdict(claim) | {"sentence": claim.sentence},
                "verdict": verdict,
                "n": self.looked,
                "given": self.given,
                "interval": [low, high],
                "mean": float(np.mean(known)) if known else None,
                "calls": self.calls,
                "cached": self.cached,
            },
        )
        if self.file is not None:
            yield Note(
                "", {"document": str(self.file.resolve()), "page": str(self.file.resolve().with_suffix(".html"))}
            )
        if len(known) < self.looked:
            left = counted(self.looked - len(known), "photograph")
            yield Note(
                f"{left}: refused, or answered shifted against the input. To support the claim, each counts as missing "
                "it; to contradict it, as keeping it."
            )
        if verdict == "undecided":
            yield Note(self._more())
        columns: dict[str, How] = {"photograph": "{name}", "figure": "{figure:share}"}
        rows = [{"name": one.name, "figure": share} for one, share in zip(self.photographs, shares, strict=True)]
        yield Table("photographs", columns, rows, title="Every photograph", detail=True)
        yield from detail_blocks(self.measured)

    def _more(self) -> str:
        least, greatest = self.claim.losses(self.measured)
        losses = greatest if float(greatest.mean()) <= self.claim.allowed else least
        more = further(losses, self.claim.allowed)
        if more is None:
            return "No practical number of further photographs like these would decide it."
        return f"About {about(more)} further photographs like these would decide it."


def _share(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise UsageError(
            f"expected a share above 0 and below 1, since no number of photographs shows that something never happens; "
            f"got {text!r} in {whole!r}. Name the share that still counts as none, such as {EXAMPLE}"
        )
    return value
