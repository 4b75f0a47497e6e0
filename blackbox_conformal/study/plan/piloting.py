"""Draw a pilot, a few of the user's own photographs, to see what each promise trusts before the rest is paid.

Photographs by which anything was chosen, even only how many more to draw, give no guarantee. So a pilot's photographs
go into the run folder's tuning file, which keeps them from calibrating.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.control_variates import LEAST, PaidForetold
from blackbox_conformal.method.audits.vendor_claim import FEWEST as FEWEST_OF_CLAIM
from blackbox_conformal.method.audits.vendor_claim import ClaimForetold, VendorClaim
from blackbox_conformal.method.guarantees.guarantee import Guarantee, usual_level
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.plan.expected_shares import measured_shares
from blackbox_conformal.study.plan.frontier import FEWEST, Pilot, Wish, pilot_frontier, piloted_promises
from blackbox_conformal.study.plan.planning import Plan, plan_job
from blackbox_conformal.study.plan.promises import Curves, measured_curves, promises_detail, ways
from blackbox_conformal.study.random_part import of_free_pictures, refuse_paid
from blackbox_conformal.study.stages.defaults import default_score
from blackbox_conformal.study.stages.evaluate import claim_meter
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup, member
from blackbox_conformal.study.unseen_photographs import Unseen, note_looked_at, split_prepared, together
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.vendor.adapter import Adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotRequest:
    """A user's request for a pilot."""

    photographs: int
    wish: Wish  # What the rows must fulfil.
    guarantee: str | Guarantee | None  # The named guarantee to plan for; None: compare all.
    typed: Collection[str]  # The settings of the procedure that the user chose; these are not varied.
    seed: int = 0  # Chooses the photographs, together with their content.
    claim: VendorClaim | None = None  # A vendor's claim, whose test is to be foretold.
    stand_in: Adapter | None = None  # A vendor that draws in place of the planned one.

    def ways(self, setup: Setup) -> list[Setup]:
        """Return the set-up and the set-ups to compare with it; none draws more often."""
        draws = () if {"draws", "score"} & set(self.typed) else (1,)
        found = ways(setup, draws, deliver_consistent="delivery" not in self.typed)
        if self.guarantee is not None or "score" in self.typed or not promises_detail(setup) or self.wish.alpha:
            return found
        # Other promises are compared with the score that is usual for them.
        errors = member("scores", default_score(setup.procedure.draws, setup.procedure.scale))
        return [*found, *(way.with_score(errors, way.procedure.draws) for way in found)]

    def refuse(self, job: Job) -> None:
        """Refuse a request that a pilot cannot answer, before anything is paid."""
        if not FEWEST <= self.photographs < len(job.pictures):
            raise UsageError(
                f"expected --pilot (pilot in Python) to be {FEWEST} or more and fewer than the {len(job.pictures)} "
                f"photographs, since those of the pilot do not calibrate; got {self.photographs}"
            )
        if self.claim is not None:
            claim_meter(job.setup)
            if self.stand_in is not None or self.photographs < FEWEST_OF_CLAIM:
                raise UsageError(
                    f"expected --claim beside a pilot of at least {FEWEST_OF_CLAIM} pictures of the vendor that makes "
                    f"it; got {'--stand-in' if self.stand_in else self.photographs}. Give --pilot {FEWEST_OF_CLAIM} "
                    "without --stand-in"
                )
        compared = [one for some in piloted_promises(job.setup, self.guarantee, self.wish) for one in some]
        if not compared:
            raise UsageError(
                f"a pilot does not measure {self.guarantee}; leave --guarantee out to see those that it measures"
            )
        measured = measured_shares(of_detail=compared[0].of_detail)
        usual = [way if "score" in self.typed else measured.as_measured(way) for way in self.ways(job.setup)]
        if self.stand_in is not None and not any(map(measured.fits, usual)):
            raise UsageError(
                "expected the usual score, metric, scale and degradation beside --stand-in: how far other vendors are "
                "from it was measured with those alone. Leave --stand-in out"
            )


def plan_with_pilot(job: Job, request: PilotRequest) -> Plan:
    """Draw some of a job's photographs, and plan the calibration on the others.

    Stored draws are not paid again.
    """
    request.refuse(job)
    _, looked_at = split_prepared(job.pictures, request.photographs, request.seed)
    photographs = sorted((KnownPhotograph.of(one.sketch) for one in looked_at), key=lambda one: one.truth)
    taught = together(job.setup.score.taught_by, photographs)
    calibrating = Unseen.of(job.pictures, job.folder, taught, everywhere=True).pictures
    if request.stand_in is None:
        pilot = job.only(looked_at)
    else:
        paths = [picture.path for picture in looked_at if picture.path is not None]
        free = replace(job.terms.limits, max_cost_usd=None, max_calls=None)
        terms = replace(job.terms, folder=job.folder / f"{request.stand_in.name}-stand-in", limits=free)
        pilot = Job.of_photographs(job.setup.with_stand_in(request.stand_in), paths, terms)
    pilot.confirm(lambda: plan_job(pilot, job.setup.promised(request.guarantee)))
    _, more = piloted_promises(job.setup, request.guarantee, request.wish)
    compared = request.ways(pilot.setup)
    work = partial(measured_curves, pilot, compared, more=more)
    measured = pilot.gathered("pilot", work, [way.score for way in compared])
    found = {drawn.prepared.input_digest: of_ways for drawn, of_ways in measured}
    # Way by way, and in each kind by kind, the curves of all photographs.
    curves: list[Curves] = [
        [CurveSet.from_curves(kind) for kind in zip(*of_way, strict=True)]
        for of_way in zip(*(found[digest] for digest in sorted(found)), strict=True)
    ]
    note_looked_at(job.folder, looked_at, specification_text(job.setup.score), job.setup.procedure.draws)
    planned = plan_job(job.only(calibrating), job.setup.promised(request.guarantee), alpha=request.wish.alpha)
    spent = Pilot(
        photographs=len(photographs),
        calls=pilot.calls,
        cached=pilot.cached,
        cost_usd=pilot.cost_usd,
        stand_in=None if request.stand_in is None else request.stand_in.name,
    )
    usd = request.wish.usd
    left = replace(
        request.wish,
        usual=usual_level(job.setup.metric.bound),
        guarantee=job.setup.usual_guarantee,
        usd=None if usd is None else max(Decimal(0), usd - spent.cost_usd),
    )
    frontier = pilot_frontier(
        curves, request.ways(job.setup), left, planned.usd_a_draw, planned.n, request.guarantee, spent
    )
    claim = None
    if request.claim is not None:
        figures = [one for _, one in pilot.gathered("detail of the pilot", claim_meter(pilot.setup))]
        claim = ClaimForetold.of(request.claim, figures, "the pilot's pictures")
    return replace(planned, frontier=frontier, paid=_foretold(pilot, looked_at, curves[0], request), claim=claim)


def _foretold(pilot: Job, photographs: Sequence[Prepared], known: Curves, request: PilotRequest) -> PaidForetold | None:
    """Foretell how many answers an audit must buy, from the pilot's losses at its own threshold.

    None where an audit would not take free pictures, another vendor drew, or the pilot is too small for any threshold.
    """
    setup = pilot.setup
    rule, count = setup.promised(request.guarantee), len(photographs)
    if request.stand_in is not None:
        return None
    try:
        refuse_paid(setup, LEAST, count)
    except UsageError:
        return None
    kinds = [curves.kind for curves in known]
    if rule.needs.curve_kind not in kinds or rule.miss_rate is not None or rule.bound_source != "metric":
        return None
    place, alpha = kinds.index(rule.needs.curve_kind), request.wish.alpha
    alpha = usual_level(rule.loss_bound(setup.metric.capped_bound), rule) if alpha is None else alpha
    threshold = rule.threshold(known[place], alpha)
    if rule.beside is not None:
        threshold = min(threshold, rule.beside[0].threshold(known[0], rule.beside[1]))
    if threshold == -math.inf:
        return None
    work = partial(measured_curves, pilot, [setup])
    free = of_free_pictures(pilot, photographs, work, "free pictures of the pilot")
    table = np.array(
        [
            [of_ways[0][place].loss(threshold) for of_ways in free[one.truth_digest or ""].values()]
            for one in sorted(photographs, key=lambda one: one.input_digest)
        ]
    )
    return PaidForetold.of(known[place].losses_at(threshold), table)
