"""A vendor's claim put to photographs: drawn in turn, measured, and no more bought than decide it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.audits.detail_shares import DetailMeter, Measured
from blackbox_conformal.method.audits.vendor_claim import ClaimAudit, VendorClaim
from blackbox_conformal.method.metrics._detail import hides
from blackbox_conformal.study.audit.auditing import PhotographTurns
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.evaluate import evaluate
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup


def settings_of_claim(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings for a claim, which is about pictures and no mask, so that the lightest score does."""
    for name in ("score", "metric"):
        if settings.get(name) is not None:
            raise UsageError(
                f"expected no {name} beside a claim, which is about pictures and not about masks; leave {name} out"
            )
    return {**settings, "score": "texture"}


class ClaimLooks:
    """Says when enough photographs have been looked at; see `PhotographTurns.batches`."""

    def __init__(self, claim: VendorClaim, given: int) -> None:
        self._claim, self._given, self._test = claim, given, claim.test()
        self.found: list[tuple[str, str, Measured]] = []
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """What was found; None: not enough."""
        return self._reason

    def needed(self, most: int) -> int:
        """How many more photographs are needed at the very least to decide, whatever they show; from 1 to `most`."""
        least, greatest = self._claim.losses([measured for *_, measured in self.found])
        support, against = self._test.fewest_to_confirm(greatest, most), self._test.fewest_against(least, most)
        return max(1, min(support, against, most))

    def look(self) -> ClaimAudit:
        """What all photographs looked at so far say."""
        ordered = sorted(self.found, key=lambda one: one[0])
        names, measured = tuple(name for _, name, _ in ordered), tuple(one for *_, one in ordered)
        audit = ClaimAudit(self._claim, names, measured, self._given)
        self._reason = None if audit.verdict == "undecided" else audit.verdict
        return audit


@dataclass(frozen=True, slots=True)
class _Measure:
    """Measures detail; called in worker threads."""

    meter: DetailMeter

    def __call__(self, ready: Ready) -> Measured:
        if ready.drawn.refusal is not None:
            return {}
        truth, low = ready.truth_and_input("audited")
        delivered = evaluate(ready.drawn, ready.setup, ready.read, low).delivered
        return self.meter(ready.drawn.prepared.truth_digest or "", truth, low, delivered)


def put_to_photographs(claim: VendorClaim, setup: Setup, paths: Sequence[Path], terms: Terms) -> ClaimAudit:
    """Put a claim about a vendor's pictures to photographs, and stop buying as soon as it is decided."""
    if not paths:
        raise CalibrationError("expected at least one photograph; got none")
    if hides(setup.procedure.mixture):
        raise UsageError(
            "expected inputs without holes, since whatever fills a hole is added detail; leave the step "
            "that makes them out of --degradation"
        )
    job = Job.of_photographs(setup, paths, terms)
    job.confirm()
    turns = PhotographTurns(job, None)
    deciding, measure = ClaimLooks(claim, turns.given), _Measure(DetailMeter(setup.procedure.mixture))
    for batch in turns.batches(deciding):
        with job.only(batch).run(measure) as measured:
            for drawn, one in measured:
                picture = drawn.prepared
                deciding.found.append((picture.truth_digest or "", picture.name, one))
                job.listeners.progress("auditing", len(deciding.found), len(job.pictures))
        audit = deciding.look()
    return replace(audit, calls=job.calls, cached=job.cached)
