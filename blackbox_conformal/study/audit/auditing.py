"""Measure a calibration on unseen photographs or on random splits of a pool, and test a vendor's claim."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import MISS_RATE
from blackbox_conformal.documents.claim import CLAIM_ANSWERS, CLAIM_MANIFESTS, ClaimAnswers, ClaimManifest, ClaimPaper
from blackbox_conformal.documents.time_stamp import judged
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.audits.control_variates import RandomPart
from blackbox_conformal.method.audits.detail_shares import DetailMeter
from blackbox_conformal.method.audits.findings import Audit, AuditedPicture
from blackbox_conformal.method.audits.quality import QualityMisses, quality_misses
from blackbox_conformal.method.audits.random_splits import Splits, split_audit
from blackbox_conformal.method.audits.sequential import AuditLook, AuditStop, LevelTest, Reason, level_test
from blackbox_conformal.method.audits.vendor_claim import ClaimAudit, ClaimedPhotograph, VendorClaim
from blackbox_conformal.method.audits.verdict import claim
from blackbox_conformal.method.guarantees.corollaries import error_in_words
from blackbox_conformal.method.guarantees.guarantee import Guarantee, audited_levels
from blackbox_conformal.method.guarantees.high_probability import levels_together
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.audit.audited_rule import Beside, audited_rule, photographs_of
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.study.audit.measure import Measure, OnPicture, WorstCrops
from blackbox_conformal.study.calibrate.calibrating import check_groups
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.random_part import in_random_order, of_free_pictures, refuse_paid
from blackbox_conformal.study.run_folder import is_first_look
from blackbox_conformal.study.stages.evaluate import claim_meter, drifted
from blackbox_conformal.study.stages.memory import audit_bytes_a_pixel
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import name_of, printable


class PhotographTurns:
    """An order of photographs without regard to results; the tiles of one photograph stay together.

    Photographs with stored draws come first, since they are free: a resumed or extended audit goes on where it ended.
    The others follow in the order of their digests.

    `tiles`: Picture's name → photograph that it is a tile of; None: each is its own.
    """

    def __init__(self, job: Job, tiles: Mapping[str, str] | None) -> None:
        units: dict[str, list[Prepared]] = {}
        for picture in sorted(job.pictures, key=lambda picture: picture.truth_digest or ""):
            units.setdefault(picture.input_digest if tiles is None else tiles[picture.name], []).append(picture)
        stored = job.answered_pictures()
        self._stored: list[list[Prepared]] = []
        self._waiting: list[list[Prepared]] = []
        for unit in units.values():
            free = stored.issuperset(picture.input_digest for picture in unit)
            (self._stored if free else self._waiting).append(unit)
        draws = job.setup.procedure.draws
        self._at_once = math.ceil(job.limits.for_vendor(job.setup.adapter.capabilities).first_workers / draws)
        self.given = len(units)

    def batches(self, stopping: "Stopping | ClaimLooks") -> Iterator[list[Prepared]]:
        """Yield the photographs to draw next, until `stopping` has a reason or none is left.

        A batch has as many as the audit needs at least, or as many as are drawn at once, where that is more.
        """
        if self._stored:
            yield [picture for unit in self._stored for picture in unit]
        while self._waiting and stopping.reason is None:
            count = max(self._at_once, stopping.needed(len(self._waiting)))
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            yield [picture for unit in batch for picture in unit]


class Stopping:
    """A look at the photographs audited so far, which says when there are enough."""

    def __init__(
        self, calibration: Calibration, rule: Guarantee, levels: Sequence[float], tiles: Mapping[str, str] | None
    ) -> None:
        curves = calibration.curves_for(rule)
        self._rule, self._levels, self._tiles = rule, levels, tiles
        self._bound = calibration.bound_for(rule)
        self._thresholds = [rule.threshold(curves, alpha) for alpha in levels]
        self._reasons = [rule.choose(curves, alpha).reason for alpha in levels]
        units = rule.unit_curves(curves)
        self._scale = self._bound
        self._tests: list[LevelTest] = []
        self._beside = Beside.at(calibration, rule, levels)
        promises = len(levels) * (1 if rule.beside is None else 2)
        for alpha, threshold in zip(levels, self._thresholds, strict=True):
            known = claim(units.rule, units.curves.losses_at(threshold), alpha, self._bound)
            self._scale = known.bound
            self._tests.append(level_test(known, alike=units.rule.treats_photographs_alike, levels=promises))
        self._losses: list[NDArray[np.float64]] = [np.zeros(0) for _ in levels]
        self._losses_beside: list[NDArray[np.float64]] = [np.zeros(0) for _ in self._beside]
        self._looks: list[AuditLook] = []
        self.reason: Reason | None = None
        """What was found; None: not enough."""

    def needed(self, most: int) -> int:
        """Return the least number of further photographs needed to stop, whatever they show; from 1 to `most`."""
        at_levels = zip(self._tests, self._losses, self._thresholds, strict=True)
        trusting = [(test, losses) for test, losses, threshold in at_levels if threshold > -math.inf]
        trusting += [(one.test, losses) for one, losses in zip(self._beside, self._losses_beside, strict=True)]
        if not trusting or self._rule.bound_source != "metric":
            # A picture's own bound that proves wrong ends the audit at any time.
            return 1
        confirming = max(test.fewest_to_confirm(losses, most) for test, losses in trusting)
        against = min(test.fewest_against(losses, most) for test, losses in trusting)
        return max(1, min(confirming, against, most))

    def look(self, audited: Sequence[AuditedPicture]) -> None:
        """Look at all photographs audited so far."""
        table = np.array([picture.losses for picture in audited], dtype=np.float64)
        shown = np.array([picture.shares for picture in audited]) > 0
        names = None if self._tiles is None else [self._tiles[picture.name] for picture in audited]
        numbered = list(enumerate(self._levels))
        claims = [claim(self._rule, table[:, index], alpha, self._bound, names) for index, alpha in numbered]
        self._losses = [claimed.losses / self._scale for claimed in claims]
        bounds = tuple(test.bound(losses) * self._scale for test, losses in zip(self._tests, self._losses, strict=True))
        self._looks.append(AuditLook(len(self._losses[0]), bounds))
        confirmed = []
        for index, _ in numbered:
            empty = not (shown[:, index] | (table[:, index] > 0)).any()
            if self._thresholds[index] > -math.inf or not empty:
                tested = self._reasons[index] is None or not empty
                confirmed.append(tested and bounds[index] <= claims[index].level)
        beside = [one.claimed(audited, names) for one in self._beside]
        self._losses_beside = [claimed.losses / claimed.bound for claimed in beside]
        for one, losses in zip(self._beside, self._losses_beside, strict=True):
            confirmed.append(one.test.bound(losses) <= one.test.level)
        against = any(p <= test.share for p, test in zip(self._p_against, self._tests, strict=True))
        against |= any(
            one.test.p_against(losses) <= one.test.share
            for one, losses in zip(self._beside, self._losses_beside, strict=True)
        )
        if against or any(picture.broken_bound for picture in audited):
            self.reason = "contradicted"
        elif confirmed and all(confirmed):
            self.reason = "confirmed"

    @property
    def _p_against(self) -> tuple[float, ...]:
        return tuple(test.p_against(losses) for test, losses in zip(self._tests, self._losses, strict=True))

    def stop(self, given: int) -> AuditStop:
        """Say how it went, after the last look at the `given` photographs."""
        looks = tuple(self._looks)
        early = looks[-1].units < given
        return AuditStop(given, looks, self.reason if early else None, self._p_against, self._tests[0].share)


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """A calibration's guarantee and levels to audit."""

    calibration: Calibration
    rule: Guarantee  # A guarantee of `calibration` (see `audited_rule`).
    levels: tuple[float, ...]  # Ascending.
    # The group of all photographs; None: any. In a cascade, photographs that end at another vendor are left out once
    # drawn.
    group: str | None = None
    # Picture's name → photograph that it is a tile of; a photograph then counts once.
    tiles: Mapping[str, str] | None = None
    groups: Mapping[str, str] | None = None  # Picture's name → group whose risk is shown; the guarantee stays as it is.

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        alphas: Collection[float] = (),
        *,
        guarantee: str | Guarantee | None = None,
        group: str | None = None,
        tiles: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> "AuditRequest":
        """Audit the levels `alphas`, or the levels that hold together, or the usual ones."""
        rule = audited_rule(calibration, guarantee, group, tiles)
        rule.unit_curves(calibration.curves_for(rule))
        rule.refuse_unclaimed(tiles is not None)
        bound = calibration.bound_for(rule)
        levels = tuple(sorted(set(alphas or levels_together(rule) or audited_levels(bound, rule))))
        for alpha in levels:
            rule.check_level(alpha, bound)
        return cls(calibration, rule, levels, group, tiles, groups)

    @property
    def curves(self) -> CurveSet:
        """Return the curves that the guarantee is about."""
        return self.calibration.curves_for(self.rule)


def audit_photographs(
    request: AuditRequest,
    setup: Setup,
    paths: Sequence[Path],
    terms: Terms,
    *,
    on_picture: OnPicture = lambda *_: None,
    crops: WorstCrops | None = None,
    stop: bool = True,
    paid: int | None = None,
) -> Audit:
    """Measure a calibration on photographs that it has not seen.

    `stop`: Draw photographs in turn, and end once the guarantee is confirmed or contradicted. Otherwise, and where all
      draws are on this machine, every photograph is measured.
    `paid`: Buy the vendor's answers to so many photographs, drawn at random by the calibration's seed, and not fewer;
      free pictures answer all. None: buy all.
    `on_picture`: Gets each photograph's pixels and maps, in worker threads.
    `crops`: Keeps the surroundings of the worst pixels.
    """
    if not paths:
        raise CalibrationError("expected at least one audit photograph; got none")
    calibration, rule, levels = request.calibration, request.rule, request.levels
    names = [name_of(path) for path in paths]
    refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    photographs_of(rule, names, request.tiles)
    check_groups(request.groups, names)
    models, pixel_bytes = calibration.vendor_models, audit_bytes_a_pixel(len(levels))
    job = Job.of_photographs(setup, paths, terms, models=models, pixel_bytes=pixel_bytes, tiles=request.tiles)
    sources = [(picture.name, calibration.known(picture.sketch, picture.input_digest)) for picture in job.pictures]
    used = [(printable(name), source) for name, source in sources if source is not None]
    if used:
        name, source = used[0]
        which = "" if source == f"calibration photograph {name}" else f", which is {source}"
        raise CalibrationError(
            f"expected photographs that calibration has not seen; {len(used)} of {len(job.pictures)} were used for it, "
            f"first {name}{which}. Leave them out"
        )
    everything, seed = job, setup.procedure.root_seed
    ordered = in_random_order(job.pictures, seed)
    if paid is not None:
        refuse_paid(setup, paid, len(ordered), parts=request.tiles is not None or request.group is not None)
        job = everything.only(ordered[:paid])
    job.confirm()
    keep = crops or WorstCrops(0)
    detail = None if setup.bands else DetailMeter(setup.procedure.mixture)
    crop, own = keep.most > 0, calibration.group_by_itself
    measure = Measure(rule, request.curves, levels, on_picture, crop, detail, request.group, own)
    in_turn = stop and paid is None and not setup.adapter.capabilities.local
    found, ending = _measured(job, measure, request, keep, stop=in_turn)
    part = None
    if paid is not None:
        free = of_free_pictures(everything, ordered, measure.losses_of, "measuring free pictures")
        part = RandomPart.of([(one.name, one.truth_digest or "") for one in ordered], free, seed)
        place = {picture.truth: index for index, picture in enumerate(part.pictures)}
        found.sort(key=lambda one: place[one[0].truth])
    audited = [picture for picture, _ in found]
    photographs = photographs_of(rule, [picture.name for picture in audited], request.tiles)
    drift = None
    if photographs is None:
        thresholds = [rule.threshold(request.curves, alpha) for alpha in levels]
        drift = drifted(calibration, [answers for _, answers in found], thresholds, request.group)
    looked_at = [picture.truth for picture in audited]
    if part is not None:
        looked_at += [f"free:{picture.truth}" for picture in part.pictures[len(audited) :]]
    first_look = is_first_look(job.folder, looked_at)
    audit = conclude(
        calibration,
        rule,
        levels,
        audited,
        clusters=photographs,
        stop=ending,
        first_look=first_look,
        groups=request.groups,
        part=part,
    )
    quality: tuple[QualityMisses, ...] = ()
    # Tiles and whole photographs are not exchangeable.
    if (photographs is not None) == any(image.cluster is not None for image in calibration.images):
        one_each = dict(zip(photographs or [picture.truth for picture in audited], audited, strict=True))
        ratios = [picture.ratios for picture in one_each.values()]
        calibrated, fixed = calibration.whole_errors_of(request.group), ending is None and first_look
        quality = quality_misses(calibrated, ratios, MISS_RATE, fixed=fixed)
    return replace(audit, calls=job.calls, cached=job.cached, drift=drift, quality=quality)


def _measured(
    job: Job, measure: Measure, request: AuditRequest, keep: WorstCrops, *, stop: bool
) -> tuple[list[tuple[AuditedPicture, Answers]], AuditStop | None]:
    found: list[tuple[AuditedPicture, Answers]] = []
    turns, stopping, elsewhere = None, None, 0
    if stop:
        turns = PhotographTurns(job, request.tiles)
        stopping = Stopping(request.calibration, request.rule, request.levels, request.tiles)
    for batch in [job.pictures] if turns is None or stopping is None else turns.batches(stopping):
        with job.only(batch).run(measure) as measured:
            for _, one in measured:
                if one is None:
                    elsewhere += 1
                    continue
                found.append((one.picture, one.answers))
                for crop in one.crops:
                    keep.offer(*crop)
                job.listeners.progress("auditing", len(found), len(job.pictures))
        if stopping is not None and found:
            stopping.look([picture for picture, _ in found])
    if not found:
        raise CalibrationError(
            f"expected photographs of {request.group}; all {elsewhere} are of other groups. Name more photographs"
        )
    found.sort(key=lambda one: one[0].truth)
    return found, None if turns is None or stopping is None else stopping.stop(turns.given - elsewhere)


def audit_splits(
    calibration: Calibration,
    alphas: Sequence[float] | None = None,
    *,
    audited: Audit | None = None,
    splits: int = 100,
    share: float | None = None,
    seed: int = 0,
    guarantee: str | Guarantee | None = None,
    group: str | None = None,
    tiles: Mapping[str, str] | None = None,
) -> Splits:
    """Split a pool at random, calibrate on a part and measure the rest, from curves alone.

    `calibration`: Its photographs are the pool.
    `audited`: An audit of the calibration with the same guarantee: its photographs join the pool.
    `share`: The share of the pool that calibrates; None: 0.7, or as many as `calibration` has when others join.
    `guarantee`, `group`, `tiles`: As for `AuditRequest`; tiles are split whole.
    """
    rule = audited_rule(calibration, guarantee, group, tiles)
    curves = calibration.curves_for(rule)
    alphas = alphas or levels_together(rule) or audited_levels(calibration.bound_for(rule), rule)
    error = error_in_words(calibration.procedure.metric)
    if audited is None:
        share = 0.7 if share is None else share
        return split_audit(rule, curves, alphas, splits=splits, share=share, seed=seed, error=error)
    names = [picture.name for picture in audited.pictures]
    photographs = photographs_of(rule, names, tiles)
    rule.refuse_unclaimed(photographs is not None)
    together = CurveSet.from_curves([*curves, *(picture.curve for picture in audited.pictures)])
    extended, calibrating = rule.extended(photographs, len(names))
    return split_audit(
        extended,
        together,
        alphas,
        splits=splits,
        n_calibration=(calibrating or len(curves)) if share is None else None,
        share=share or 0.7,
        seed=seed,
        error=error,
    )


def settings_of_claim(settings: Mapping[str, Any], manifest: ClaimManifest | None) -> dict[str, Any]:
    """Return the settings for a claim: it is about pictures, not masks, so the lightest score does.

    Inputs are made as a manifest says, unless `settings` say otherwise.
    """
    for name in ("score", "metric"):
        if settings.get(name) is not None:
            raise UsageError(
                f"expected no {name} beside a claim, which is about pictures and not about masks; leave {name} out"
            )
    made = {} if manifest is None else manifest.made
    return {**made, **{name: value for name, value in settings.items() if value is not None}, "score": "texture"}


class ClaimLooks:
    """A look at the photographs drawn so far, which says when they decide a claim; see `PhotographTurns.batches`."""

    def __init__(self, claim: VendorClaim, given: int) -> None:
        self._claim, self._given, self._test = claim, given, claim.test()
        self.found: list[ClaimedPhotograph] = []
        self.reason: str | None = None
        """What was found; None: not enough."""

    def needed(self, most: int) -> int:
        """Return the least number of further photographs needed to decide, whatever they show; from 1 to `most`."""
        least, greatest = self._claim.losses([one.measured for one in self.found])
        support, against = self._test.fewest_to_confirm(greatest, most), self._test.fewest_against(least, most)
        return max(1, min(support, against, most))

    def look(self) -> ClaimAudit:
        """Conclude from all photographs looked at so far."""
        ordered = tuple(sorted(self.found, key=lambda one: one.truth))
        audit = ClaimAudit(self._claim, ordered, self._given)
        self.reason = None if audit.verdict == "undecided" else audit.verdict
        return audit


def read_claim(text: str) -> tuple[VendorClaim, ClaimManifest | None]:
    """Read a claim as typed, or the file of a manifest, which names one."""
    if not text.endswith(".json"):
        return VendorClaim.of(text), None
    manifest = CLAIM_MANIFESTS.read(Path(text))
    manifest.vouching()
    return VendorClaim.of(manifest.claim), manifest


def read_answers(path: str | Path, manifest: ClaimManifest | None, trusted: Trusted = ()) -> ClaimAnswers:
    """Read the answers that a vendor signed, to this manifest and, if keys are `trusted`, by one of them."""
    if manifest is None:
        raise UsageError(
            "expected the manifest that these answers are to; got a claim alone. Give "
            "--claim inputs/claim-manifest.json"
        )
    answers = CLAIM_ANSWERS.read(Path(path))
    answers.refuse_manifest(manifest)
    answers.vouching(judged(Path(path), answers.signature, trusted)).require(printable(path), trusted=bool(trusted))
    return answers


def put_to_photographs(
    claim: VendorClaim,
    setup: Setup,
    paths: Sequence[Path],
    terms: Terms,
    manifest: ClaimManifest | None = None,
    signed: ClaimAnswers | None = None,
) -> ClaimAudit:
    """Test a claim about a vendor's pictures on photographs, and stop buying once it is decided.

    With a manifest the photographs must be those that it names, and all are measured, so that nobody chose among them.
    With answers that the vendor `signed` only those count. The document and its page to print are written into the run
    folder.
    """
    if not paths:
        raise CalibrationError("expected at least one photograph; got none")
    measure = claim_meter(setup)
    job = Job.of_photographs(setup, paths, terms)
    if manifest is not None:
        manifest.refuse_others({picture.truth_digest or "": picture.input_digest for picture in job.pictures})
    job.confirm()
    turns = PhotographTurns(job, None)
    deciding = ClaimLooks(claim, turns.given)
    for batch in turns.batches(deciding) if manifest is None else [job.pictures]:
        with job.only(batch).run(measure) as measured:
            for drawn, one in measured:
                picture, answer = drawn.prepared, drawn.outcomes[0].digest if one else None
                truth = picture.truth_digest or ""
                deciding.found.append(ClaimedPhotograph(picture.name, truth, picture.input_digest, answer, one))
                job.listeners.progress("auditing", len(deciding.found), len(job.pictures))
        audit = deciding.look()
    if signed is not None:
        signed.refuse_others(audit.photographs)
    paper = ClaimPaper.of(audit, setup.procedure, manifest, signed)
    file = paper.keep(job.folder)
    catalog.hook("pages").write_blocks(
        paper.statement, paper.blocks(), file.with_suffix(".html"), f"claim of {paper.digest}", force=True
    )
    return replace(audit, calls=job.calls, cached=job.cached, file=file)
