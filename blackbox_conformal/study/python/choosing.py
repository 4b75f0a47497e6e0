"""Offer `plan`, `compare` and `tune` to Python, which help to choose a vendor and its settings.

`settings_table` describes keywords that several functions take, and their documentation shows them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from blackbox_conformal.drawing.free_requests import ask_quotes
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.vendor_claim import VendorClaim
from blackbox_conformal.method.guarantees.guarantee import Guarantee, audited_levels
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.study.choose.comparing import compare_contestants
from blackbox_conformal.study.choose.comparison import Comparison
from blackbox_conformal.study.choose.contestants import Contest, Contestant, under_one_promise
from blackbox_conformal.study.choose.scored import Tuning
from blackbox_conformal.study.choose.tuning import ToTune, TuningJob
from blackbox_conformal.study.from_keywords import levels_of, named_keywords, read, refuse_unknown, setup_of, terms_of
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.plan.frontier import Wish
from blackbox_conformal.study.plan.piloting import PilotRequest, plan_with_pilot
from blackbox_conformal.study.plan.planning import Plan, plan_job, plan_number, with_last_audit
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.run_folder import run_folder
from blackbox_conformal.study.settings_table import (
    CompareSettings,
    PlanSettings,
    ProcedureSettings,
    TuneSettings,
    described,
)
from blackbox_conformal.study.stages.certify import warn_of_lossy
from blackbox_conformal.study.stages.defaults import DEFAULT_DRAWS
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.vendor.adapter import Adapter


@named_keywords
@photographs_as_files("photographs")
def plan(vendor: Adapter, photographs: Photographs | int, **settings: Unpack[PlanSettings]) -> Plan:
    """Return what calibrating on photographs would cost: calls, price, time, disk, memory and reachable levels.

    With `alpha`, `want_share` or `max_cost` also what share each promise is expected to trust (`Plan.frontier`).
    Nothing is spent, except with `pilot`. Nothing is sent either, unless `quote` asks the vendor itself.

    Parameters
    ----------
    photographs
        Files and folders, pictures in memory, or how many photographs there will be.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> bc.plan(vendor, "photographs")
    <Plan for 10 photographs, 1 draw each: 10 calls to make, …>
    >>> bc.plan(vendor, 100).needed_n["0.1"]
    19
    """
    setup = setup_of(vendor, settings)
    guarantee, alpha, pilot = settings.get("guarantee"), settings.get("alpha"), settings.get("pilot")
    quote, claimed = settings.get("quote", False), settings.get("claim")
    claim = None if claimed is None else VendorClaim.of(claimed)
    rule = setup.promised(guarantee)
    if alpha is not None:
        rule.check_level(alpha, rule.loss_bound(setup.metric.capped_bound))
    refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    wish = Wish(alpha=alpha, share=settings.get("want_share"), usd=terms.limits.max_cost_usd)

    def grouped(planned: Plan) -> Plan:
        count = settings.get("score_groups")
        return planned.in_score_groups(count, rule, setup.metric.capped_bound) if count else planned

    if isinstance(photographs, int):
        if quote or pilot or claim:
            raise UsageError(
                f"expected photographs beside {'quote=True' if quote else 'pilot' if pilot else 'claim'}, since they "
                "are drawn or a price may depend on their sizes; got their number"
            )
        planned = plan_number(setup, photographs, rule, terms.folder, terms.limits, alpha=alpha)
    else:
        job = Job.of_photographs(setup, photograph_paths(photographs), terms, to_draw=False)
        warn_of_lossy(job.pictures, setup.procedure)
        if pilot is not None:
            stand_in = load_adapter("embedded") if settings.get("stand_in") else None
            if stand_in is None:
                terms.refuse_unlimited(setup.adapter)
            request = PilotRequest(
                photographs=pilot,
                wish=wish,
                guarantee=guarantee,
                typed=settings,
                seed=settings.get("seed", 0),
                claim=claim,
                stand_in=stand_in,
            )
            return grouped(plan_with_pilot(job, request))
        uploads = [task.upload for task in job.tasks]
        quoted = ask_quotes(vendor, uploads, terms.limits, terms.listeners.progress) if quote else None
        planned = with_last_audit(plan_job(job, rule, alpha=alpha, quoted=quoted), job, claim)
    return grouped(planned if wish == Wish() else planned.with_frontier(setup, wish, guarantee, settings))


@named_keywords
@photographs_as_files("photographs")
def compare(
    vendors: Mapping[str, Adapter | tuple[Adapter, Mapping[str, Any]]],
    photographs: Photographs,
    alpha: float | Collection[float] | None = None,
    **settings: Unpack[CompareSettings],
) -> Comparison:
    """Compare vendors or settings on the same photographs: some photographs calibrate, the others are measured.

    Settings such as `draws` hold for every vendor, and limits for all vendors together. Without `run` each vendor has
    a folder of its own below ``runs``. `calibrate` then refuses the photographs: a choice made on them has no
    guarantee on them.

    Parameters
    ----------
    vendors
        Name in the table → vendor, or vendor and settings of its own, such as ``(vendor, {"score": "texture"})``.
    alpha
        The level to compare at, or several; by default the usual ones.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> vendors = {"spread": vendor, "texture": (vendor, {"score": "texture"})}
    >>> bc.compare(vendors, "photographs", alpha=0.9, draws=2, score="pixel-variance", max_cost=20)
    <Comparison of spread and texture: …>
    """
    if not isinstance(vendors, Mapping):
        raise UsageError(f"expected vendors by name, as in {{'one': vendor, 'other': vendor}}; got {vendors!r}")
    known = described(ProcedureSettings)

    def contestants_under(guarantee: str | Guarantee | None) -> list[Contestant]:
        found = []
        for label, vendor in vendors.items():
            adapter, own = vendor if isinstance(vendor, tuple) else (vendor, {})
            refuse_unknown("compare", own, known)
            setup = setup_of(adapter, {**settings, "guarantee": guarantee, **read(own, known)})
            found.append(Contestant(label, setup))
        return found

    contestants, rule = under_one_promise(contestants_under, settings.get("guarantee"))
    paths = photograph_paths(photographs)
    terms = terms_of(Path("runs"), settings)
    contest = Contest.of_photographs(
        contestants,
        paths,
        terms,
        held_out=round(len(paths) * settings["held_out"]),
        seed=settings.get("seed", 0),
        baselines=settings["baselines"],
        rule=rule,
        paid=settings.get("paid"),
    )
    warn_of_lossy(contest.jobs[0].pictures, contestants[0].setup.procedure)
    bound = rule.loss_bound(contestants[0].setup.metric.capped_bound)
    levels = levels_of(alpha) or audited_levels(bound, rule)
    for level in levels:
        rule.check_level(level, bound)
    return compare_contestants(contest, levels)


@named_keywords
@photographs_as_files("photographs")
def tune(
    vendor: Adapter, photographs: Photographs, alpha: float | None = None, **settings: Unpack[TuneSettings]
) -> Tuning:
    """Compare scores on a part of the photographs, then calibrate the best on the rest, which nobody looked at.

    Limits such as `max_cost` hold for comparing and calibrating together.

    Parameters
    ----------
    alpha
        The level at which candidates are compared.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.

    Examples
    --------
    >>> tuning = bc.tune(vendor, "photographs", 0.9, candidates=["pixel-variance", "texture"], draws=2, max_cost=20)
    >>> tuning
    <Tuning at alpha=0.9: … is the best of 2 candidates, …>
    >>> tuning.calibration
    <Calibration of …>
    """
    want_share, typed = settings.get("want_share"), settings.get("candidates") or ()

    def build(score: Score | None, guarantee: str | Guarantee | None) -> Setup:
        return setup_of(vendor, {**settings, "guarantee": guarantee, **({} if score is None else {"score": score})})

    found = ToTune.of(
        build,
        [typed] if isinstance(typed, str) else typed,
        settings.get("draws", DEFAULT_DRAWS),
        second=settings.get("second_adapter") is not None,
        alpha=alpha,
        want_share=want_share,
        guarantee=settings.get("guarantee"),
    )
    only_choose = settings.get("only_choose", False)
    job = TuningJob.of_photographs(
        found.setup,
        photograph_paths(photographs),
        terms_of(run_folder(Path("runs"), found.setup.procedure), settings),
        candidates=found.candidates,
        seed=settings.get("seed", 0),
        share=settings["tuning_share"],
        only_choose=only_choose,
        nothing_chosen=settings.get("nothing_chosen", False),
    )
    warn_of_lossy(job.whole.pictures, found.setup.procedure)
    tuning = job.choose(found.candidates, alpha, found.rule, want_share)
    if only_choose:
        return tuning
    calibration, whole = job.calibrate(tuning, found.rule).calibration, job.whole
    return replace(tuning, calls=whole.calls, cached=whole.cached, cost_usd=whole.cost_usd, calibration=calibration)
