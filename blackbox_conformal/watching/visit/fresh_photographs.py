"""Tests the risk itself on photographs that calibration never saw: a few at each visit, each once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.audits.confidence import p_above, stakes
from blackbox_conformal.method.audits.sequential import allowed_risk
from blackbox_conformal.method.audits.verdict import claim
from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
from blackbox_conformal.study.audit.audited_rule import Beside, audited_rule
from blackbox_conformal.study.audit.measure import Measure
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.memory import audit_bytes_a_pixel
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.text import counted, printable
from blackbox_conformal.support.wording import at_least, at_most
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.records import Finding, FreshMeasurement

# Whether the risk itself is above the guarantee's level, on photographs that calibration never saw.


@dataclass(frozen=True, slots=True)
class HarmTest:
    """The test of one level, fixed before any loss is seen."""

    alpha: float  # The level of the masks.
    allowed: float  # Mean loss in [0, 1] that a valid guarantee exceeds with probability `luck` at most.
    luck: float
    share: float  # Probability of a false alarm over all visits, `luck` included.
    bound: float
    stake: NDArray[np.float64]
    # The guarantee that turns losses into claimed ones, such as misses, and the largest loss; None: no need.
    rule: Guarantee | None = None
    largest: float = 1.0

    @classmethod
    def of(
        cls, known: Claim, alpha: float, share: float, rule: Guarantee | None = None, largest: float = 1.0
    ) -> "HarmTest":
        """Make the test of a claim whose `known` losses are the calibration's at the same threshold."""
        level = known.level / known.bound
        # A claim about calibration sets allows some above the level: half of the share pays for that luck.
        luck = share / 2 if known.averages else 0.0
        allowed = allowed_risk(level, len(known.losses), luck) if known.averages else level
        stake = stakes(known.losses, known.level, known.bound, mirrored=True)
        return cls(alpha, allowed, luck, share, known.bound, stake, rule, largest)

    def evidence(self, losses: NDArray[np.float64]) -> float:
        """Return the wealth of bets on the mean loss of each visit; ``1 / (share - luck)`` is an alarm."""
        # No calibration can exceed such a level, so no evidence can show it.
        if not losses.size or not 0 < self.allowed < 1:
            return 1.0
        # The reciprocal of a p-value is a wealth: the bets start at 1.
        return 1.0 / p_above(losses / self.bound, self.allowed, self.stake)

    def finding(self, visits: Sequence[NDArray[np.float64]]) -> Finding:
        """Judge the losses of each visit so far, (m,) each with m > 0."""
        if not visits:
            return Finding("harm", "cannot tell", "no fresh photograph was measured")
        claimed = visits
        if self.rule is not None:
            claimed = [self.rule.claim(losses, self.alpha, self.largest).losses for losses in visits]
        means = np.array([losses.mean() for losses in claimed])
        needed, evidence = 1.0 / (self.share - self.luck), self.evidence(means)
        taken = f"{counted(sum(map(len, visits)), 'fresh photograph')} of {counted(len(visits), 'visit')}"
        known = f"mean loss {means.mean():.3g} over {taken}, {at_most(self.allowed * self.bound)} is allowed"
        if evidence >= needed:
            return Finding("harm", "above", f"the risk is above alpha={self.alpha:g}: {known}", evidence)
        told = f"{known}; evidence of harm {at_least(evidence)}, {at_most(needed)} is an alarm"
        return Finding("harm", "same", told, evidence)


@dataclass(frozen=True)
class Reserve:
    """Photographs that calibration never saw, and the level of the masks."""

    calibration: Calibration
    paths: Sequence[Path]
    alpha: float
    each: int  # Photographs taken at a visit.

    @cached_property
    def rule(self) -> Guarantee:
        """Return the calibration's guarantee; refuse one whose harm cannot be tested."""
        rule = audited_rule(self.calibration)
        rule.refuse_unclaimed(False)
        rule.check_level(self.alpha, self.calibration.bound_for(rule))
        # Only these have a known bound on how far a calibration may lie above its level.
        if not rule.unit_curves(self.calibration.curves_for(rule)).rule.treats_photographs_alike:
            raise UsageError(
                "expected a guarantee that treats all photographs alike, since it is unknown how far above its level "
                "another one may lie by chance. Leave --fresh out, and use `audit`"
            )
        return rule

    @cached_property
    def beside(self) -> Beside | None:
        """Return the promise beside that the same masks keep; None: nothing is promised, or nothing trusted."""
        return next(iter(Beside.at(self.calibration, self.rule, (self.alpha,))), None)

    def tests(self, level: Level) -> list[HarmTest]:
        """Return the tests of the claim and of the promise beside, fixed without any fresh photograph.

        Both share the probability of a false alarm equally.
        """
        rule, beside = self.rule, self.beside
        curves, bound = self.calibration.curves_for(rule), self.calibration.bound_for(rule)
        units, share = rule.unit_curves(curves), level.harm / (1 if rule.beside is None else 2)
        known = claim(units.rule, units.curves.losses_at(rule.threshold(curves, self.alpha)), self.alpha, bound)
        tests = [HarmTest.of(known, self.alpha, share, units.rule, bound)]
        if beside is not None:
            tests.append(HarmTest.of(beside.known, beside.promised, share, beside.rule, beside.bound))
        return tests

    def job(self, setup: Setup, terms: Terms) -> Job:
        """Prepare all photographs of the reserve; refuse photographs that calibrated."""
        # First, so that nothing is bought that cannot be measured.
        refuse_bound(self.rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
        job = Job.of_photographs(setup, self.paths, terms, pixel_bytes=audit_bytes_a_pixel(1))
        for picture in job.pictures:
            source = self.calibration.known(picture.sketch, picture.input_digest)
            if source is not None:
                # A photograph that calibrated would show the error that its own threshold allowed.
                raise CalibrationError(
                    f"expected fresh photographs, which calibration has not seen; {printable(picture.name)} is {source}"
                    ". Leave it out of --fresh"
                )
        return job

    def measure(self, job: Job, planned: Sequence[FreshMeasurement]) -> list[FreshMeasurement]:
        """Measure the loss of each photograph of the job; buys missing draws."""
        rule = self.rule
        curves = self.calibration.curves_for(rule)
        measure = Measure(rule, curves, (self.alpha,), lambda *_: None, crops=False)
        losses: dict[str, tuple[float | None, float | None]] = {}
        with job.run(measure) as measured:
            for _, one in measured:
                assert one is not None
                beside = None if self.beside is None else self.beside.loss(one.picture)
                losses[one.picture.truth] = one.picture.losses[0], beside
                job.listeners.progress("measuring the risk", len(losses), len(job.pictures))
        found = [(each, *losses.get(each.truth, (None, each.beside))) for each in planned]
        return [replace(each, loss=loss, beside=beside) for each, loss, beside in found]


def next_photographs(pictures: Sequence[Prepared], used: set[str], count: int, alpha: float) -> list[FreshMeasurement]:
    """Return the photographs of a visit, in the order of their digests, in which no loss has a part."""
    # By digest: the choice must not depend on the photographs' content.
    unused = sorted((picture for picture in pictures if picture.truth_digest not in used), key=_digest)
    return [FreshMeasurement(_digest(picture), picture.name, alpha) for picture in unused[:count]]


def _digest(picture: Prepared) -> str:
    assert picture.truth_digest is not None
    return picture.truth_digest


def harm_finding(tests: Sequence[HarmTest], photographs: Sequence[FreshMeasurement], visited: int) -> Finding:
    """Return the finding about each promise on all fresh photographs so far; `visited`: photographs of this visit."""
    if not tests:
        return Finding("harm", "not watched", "no fresh photographs are given: add --fresh PHOTOGRAPHS --alpha LEVEL")
    main, *others = tests
    found = main.finding(_by_visit((each.visit, each.loss) for each in photographs))
    for test in others:
        beside = test.finding(_by_visit((each.visit, each.beside) for each in photographs))
        told = f"the largest error, promised beside: {beside.statement}"
        # Broken promises come first.
        first, second = (told, found.statement) if beside.verdict == "above" else (found.statement, told)
        worse = beside if beside.verdict == "above" and found.verdict != "above" else found
        found = replace(worse, statement=f"{first}; {second}")
    if not visited and found.verdict == "same":
        return replace(found, verdict="cannot tell", statement=f"no fresh photograph is left; {found.statement}")
    return found


def _by_visit(losses: Iterable[tuple[int, float | None]]) -> list[NDArray[np.float64]]:
    visits: dict[int, list[float]] = {}
    for visit, loss in losses:
        if loss is not None:
            visits.setdefault(visit, []).append(loss)
    return [np.array(measured) for measured in visits.values()]
