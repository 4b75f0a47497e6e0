"""Draw photographs, measure them and calibrate on them, once they are enough for the guarantee."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import cycle, islice, pairwise

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.audits.input_shift import centred_ranks
from blackbox_conformal.method.audits.mask_worth import DetailByScore
from blackbox_conformal.method.audits.permutation import random_orders
from blackbox_conformal.method.facts.levels import PairSizes
from blackbox_conformal.method.guarantees.by_cluster import in_tiles
from blackbox_conformal.method.guarantees.by_score import for_each, groups_of
from blackbox_conformal.method.guarantees.guarantee import Guarantee, number_in_words
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
from blackbox_conformal.method.guarantees.marked import CEILING
from blackbox_conformal.method.images.calibration_images import CalibrationImage, KnownPhotograph
from blackbox_conformal.method.images.duplicates import Distinct
from blackbox_conformal.method.images.metadata import time_shot
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve import DEFAULT_TOLERANCE, DETAIL, Losses, RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.whole_errors import SquaredErrors, WholeErrors
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.plan.planning import plan_job
from blackbox_conformal.study.run_folder import write_manifest
from blackbox_conformal.study.stages.draws import Drawn
from blackbox_conformal.study.stages.evaluate import calibration_curves
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup, member
from blackbox_conformal.study.unseen_photographs import together
from blackbox_conformal.support.text import printable

# Ask whether photographs are crops or a burst of the same ones, by their names, times and inputs.

_LAST = re.compile(r"(?:\d+|(?<=[\d _.-])[A-Za-z])\)?$")
"""A number at the end, or a letter after a number or a separator."""

LEVEL, PERMUTATIONS = 0.001, 1999
FEWEST_NAMES = 3  # With fewer, two cameras or two places would do.
BURST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Question:
    """Photographs that may be parts of the same ones, by name, and the sign that tells so."""

    groups: tuple[tuple[str, ...], ...]
    sign: str

    @property
    def words(self) -> str:
        """Ask, naming the first few."""
        shown = ["/".join(map(printable, names[:SHOWN])) + "/…" * (len(names) > SHOWN) for names in self.groups[:SHOWN]]
        more = f" and {len(self.groups) - SHOWN} more" if len(self.groups) > SHOWN else ""
        return (
            f"are these parts of the same photographs, or bursts? {', '.join(shown)}{more}: {self.sign}. Each counts "
            "as an independent photograph"
        )


def question_of(pictures: Sequence[Prepared]) -> Question | None:
    """Return what to ask about these photographs; None where nothing suggests parts of the same ones."""
    named = [_LAST.sub("", picture.name) for picture in pictures]
    members = defaultdict(list)
    for name, picture in zip(named, pictures, strict=True):
        members[name].append(picture)
    several = [group for group in members.values() if len(group) > 1]
    at_once = []
    for group in several:
        timed = [(time_shot(one.path), one.name) for one in group if one.path is not None]
        known = sorted((time, name) for time, name in timed if time is not None)
        # Only neighbours in time need be compared.
        pairs = [(one[1], next_one[1]) for one, next_one in pairwise(known) if next_one[0] - one[0] <= BURST]
        at_once.append(tuple(dict.fromkeys(name for pair in pairs for name in pair)))
    if any(at_once):
        return Question(tuple(filter(None, at_once)), "they were shot within a second of each other")
    largest = max(Counter(named).values(), default=0)
    # With few names, or one that covers half of the photographs, a difference may have many reasons.
    if len(several) < FEWEST_NAMES or 2 * largest > len(pictures) or _p_value(pictures, named) > LEVEL:
        return None
    groups = tuple(tuple(picture.name for picture in group) for group in several)
    return Question(groups, "those of like names are more alike than chance explains")


def _p_value(pictures: Sequence[Prepared], named: Sequence[str]) -> float:
    names, group = np.unique(named, return_inverse=True)
    members = (np.arange(len(names))[:, None] == group).astype(np.float64)
    sizes = members.sum(axis=1, keepdims=True)
    colours = [picture.sketch.thumbnail.reshape(-1, 3).mean(axis=0, dtype=np.float32) for picture in pictures]
    seen = [np.concatenate([one.statistics.values[0], mean]) for one, mean in zip(pictures, colours, strict=True)]
    ranks = centred_ranks(np.stack(seen)).astype(np.float64)

    def between(orders: NDArray[np.int64]) -> NDArray[np.float64]:
        # Squared rank sums by size, as in Kruskal and Wallis (1952), summed over all features.
        found: NDArray[np.float64] = ((members @ ranks[orders]) ** 2 / sizes).sum(axis=(1, 2))
        return found

    # Sums of the same ranks in another order may differ by rounding.
    least = between(np.arange(len(group))[None])[0] * (1 - 1e-12)
    as_large = sum(int((between(orders) >= least).sum()) for orders in random_orders(len(group), PERMUTATIONS, 0))
    return (1 + as_large) / (1 + PERMUTATIONS)


@dataclass(frozen=True, slots=True)
class ChosenBound:
    """The guarantee with the best bound."""

    rule: Guarantee
    trusted_share: float  # Mean share of the tuning photographs it trusts, calibrated on as many like them.


def chosen_bound(rule: Guarantee, curves: CurveSet, alpha: float, n: int) -> ChosenBound | None:
    """Choose the bound of `rule` that trusts most of tuning photographs, which never calibrate.

    A bound that is fixed before calibration costs no validity; see docs/guarantees.md.

    `n`: How many photographs will calibrate, taken to be like the tuning photographs.
    Returns: `ChosenBound | None`: None where `rule` leaves no bound open, or none trusts anything. Ties: the first.
    """
    if not rule.alternatives():
        return None
    # The tuning photographs over and over, so that the bound is judged at the number that will calibrate.
    as_many = CurveSet.from_curves(list(islice(cycle(curves), n)))
    best: ChosenBound | None = None
    for tried in rule.alternatives():
        threshold = tried.threshold(as_many, alpha)
        # A threshold of -inf trusts nothing of any picture.
        trusted = float(np.mean(curves.trusted_shares_at(threshold))) if threshold > -math.inf else 0.0
        if trusted > (0.0 if best is None else best.trusted_share):
            best = ChosenBound(tried, trusted)
    return best


SHOWN = 3  # How many names a message shows.


def checked_rule(
    names: Sequence[str],
    setup: Setup,
    guarantee: str | Guarantee,
    alpha: float | None,
    groups: Mapping[str, str] | None,
    tiles: Mapping[str, str] | None,
    score_groups: int = 0,
) -> Guarantee:
    """Return the guarantee for photographs with these names, which are enough for `alpha`."""
    if score_groups and (groups or tiles or setup.procedure.vendors_that_end):
        raise UsageError(
            "expected score groups without groups, tiles or a cascade, each of which has groups of its own. Leave "
            "--score-groups out (score_groups in Python)"
        )
    if groups is not None and setup.procedure.vendors_that_end:
        raise UsageError(
            "expected no groups beside a cascade: its photographs are grouped by the vendor that they end at. Leave "
            "--groups out (groups in Python)"
        )
    check_groups(groups, names)
    rule = rule_for(guarantee, names, tiles)
    refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    tolerance = max(rule.losses.tolerances, default=0.0)
    if tolerance >= setup.metric.capped_bound:
        raise UsageError(
            f"expected a tolerance below {setup.metric.capped_bound:g}, the largest error that counts; got "
            f"{tolerance:g}, which no pixel can exceed, so nothing would be promised. Name a smaller one: "
            "--guarantee false-trust:tolerance=…"
        )
    refuse_detail(rule, setup)
    check_enough(rule, len(names), alpha, setup.metric.capped_bound, score_groups or 1)
    return rule


def rule_for(guarantee: str | Guarantee, names: Sequence[str], tiles: Mapping[str, str] | None) -> Guarantee:
    """Return the guarantee for pictures with these names; tiles of one photograph count once."""
    rule: Guarantee = member("guarantees", guarantee)
    if tiles is None:
        return rule
    without = [name for name in names if name not in tiles]
    # The number of photographs would be unknown.
    if without:
        raise UsageError(
            f"expected the photograph of every calibration picture; {len(without)} of {len(names)} have none: "
            f"{_few(without)}. Write one tile,photograph line for each; a picture that is no tile is its own photograph"
        )
    return in_tiles(rule, [tiles[name] for name in names])


def stored_losses(rule: Guarantee, setup: Setup) -> Losses:
    """Return a calibration's stored losses: the losses of `rule`, and the share wrong by the usual tolerance.

    Where metric and score are shares of detail, shares of detail, too.
    """
    losses = rule.losses
    usual = CEILING if setup.score.is_share and setup.metric.counts_detail else None
    return replace(
        losses,
        tolerances=tuple(sorted({DEFAULT_TOLERANCE, *losses.tolerances})),
        ceiling=usual if losses.ceiling is None else losses.ceiling,
    )


def refuse_detail(rule: Guarantee, setup: Setup) -> None:
    """Refuse a guarantee about detail without whole inputs, or without a ceiling in the score's unit."""
    if rule.threshold_ceiling is None:
        return
    inner, kind = rule.innermost, rule.needs.curve_kind
    name = inner.plugin_name()
    setup.detail_metric.require_degradation(setup.procedure.mixture)
    if not setup.score.is_share and "ceiling" not in inner.model_fields_set:
        raise UsageError(
            f"expected a score that is a share for the ceiling {rule.threshold_ceiling:g} of {kind}; got "
            f"{setup.score.plugin_name()}, which has another unit. Give --score predicted-invention, or the score from "
            f"which on no pixel may be clear, in its unit: --guarantee {name}:{f'of={kind},' * (name != kind)}ceiling=…"
        )


def check_enough(rule: Guarantee, n: int, alpha: float | None, bound: float, parts: int = 1) -> None:
    """Refuse a level that `n` photographs, or those of the smallest of `parts` groups by score, cannot reach.

    This costs nothing yet.
    """
    if n < for_each(1, parts) and parts > 1:
        raise CalibrationError(
            f"expected at least {for_each(1, parts)} photographs for {parts} groups by score; got {n}"
        )
    if n < 1:
        raise CalibrationError("expected at least one calibration photograph; got none. Name files or folders")
    if alpha is None:
        return
    check_beside(rule, n, bound, parts)
    largest = rule.loss_bound(bound)
    rule.check_level(alpha, largest)
    n = rule.counted(n)
    needed = for_each(rule.minimum_images(alpha, largest), parts)
    if n < needed:
        each = f" in {parts} groups" if parts > 1 else ""
        raise CalibrationError(
            f"alpha={alpha:g} needs at least {number_in_words(needed)} calibration photographs{each} for a loss "
            f"bounded by {largest:g}; got {n}, so {number_in_words(needed - n)} are missing. Add photographs or raise "
            "alpha"
        )


def check_beside(rule: Guarantee, n: int, bound: float, parts: int = 1) -> None:
    """Refuse so few photographs that the second promise allows nothing at any level; errors as `check_enough`."""
    if rule.beside is None:
        return
    other, level = rule.beside
    missing = for_each(other.minimum_images(level, bound), parts) - rule.counted(n)
    if missing > 0:
        name, there = rule.innermost.plugin_name(), rule.counted(n)
        each = f" in {parts} groups" if parts > 1 else ""
        raise CalibrationError(
            f"largest_error={level:g} of {name} needs at least {number_in_words(missing + there)} calibration "
            f"photographs{each}; got {there}. Add {number_in_words(missing)}, or promise less: --guarantee {name}"
        )


def check_groups(groups: Mapping[str, str] | None, names: Sequence[str]) -> str | None:
    """Note photographs without a group; None when each has one, or no groups are given."""
    without = [name for name in names if groups is not None and name not in groups]
    if groups is None or not without:
        return None
    if len(without) == len(names):
        raise UsageError(
            f"expected groups of these photographs, {_few(names)}; got groups of {_few(list(groups))}. Write one "
            "photograph,group line for each photograph, by the name of its file"
        )
    return (
        f"{len(without)} of {len(names)} photographs have no group: {_few(without)}; "
        "within a group they do not calibrate"
    )


def _few(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """A calibration and what it took."""

    calibration: Calibration
    calls: int
    cached: int
    cost_usd: Decimal
    failed: int


def calibrate_job(
    job: Job,
    *,
    guarantee: str | Guarantee | None = None,
    alpha: float | None = None,
    groups: Mapping[str, str] | None = None,
    tiles: Mapping[str, str] | None = None,
    score_groups: int = 0,
    tuning: Sequence[KnownPhotograph] = (),
    overruled: int = 0,
) -> CalibrationRun:
    """Draw a job's missing draws, compute the photographs' curves and put the calibration together.

    `guarantee`, `alpha`: None: the usual guarantee; no level that photographs must be enough for.
    `groups`, `tiles`: Stem of a photograph's file → its group, or its photograph; every tile needs an entry.
    `score_groups`: How many groups there are by median score; 0: none.
    `tuning`: Photographs that choices were made on.
    `overruled`: How many photographs were looked at although the user says that nothing was chosen by them.
    """
    setup, promised = job.setup, job.setup.promised(guarantee)
    names, bound = [picture.name for picture in job.pictures], setup.metric.capped_bound
    rule = checked_rule(names, setup, promised, alpha, groups, tiles, score_groups)
    # With too few photographs for the promise beside, nothing could be trusted at any level.
    check_beside(rule, len(names), bound, score_groups or 1)
    tuning = together(tuning, setup.score.taught_by)
    _refuse_tuning(job.pictures, tuning)
    job.confirm(lambda: plan_job(job, rule))
    specification, known = promised.specification(), {one.truth for one in tuning}
    history = write_manifest(job.folder, setup, job.pictures, known, overruled, guarantee=specification)
    found = job.gathered("calibrating", partial(_measure, stored_losses(rule, setup)))
    if not found:
        raise CalibrationError("expected photographs that the cascade's rule passes on; it passes on none of these")
    ends = [setup.procedure.ends_at(drawn.asked) or (groups or {}).get(drawn.prepared.name) for drawn, _ in found]
    inputs = [drawn.prepared.statistics for drawn, _ in found]
    families, answers, whole, sizes, squares, detail = zip(*(seen for _, seen in found), strict=True)
    if score_groups:
        medians = [float(answer.median_score[0]) for answer in answers]
        keys = [(median, drawn.prepared.input_digest) for median, (drawn, _) in zip(medians, found, strict=True)]
        ends = groups_of(keys, score_groups)
    images = [_image(drawn, group, tiles or {}) for (drawn, _), group in zip(found, ends, strict=True)]
    errors, *others = map(list, zip(*families, strict=True))
    refused = _refuse_useless(job, images, errors)
    kinds = {"shares": ("share",), "all_but": ("all-but",), "local": ("local",), "detail": DETAIL}
    calibration = Calibration.from_curves(
        setup.procedure,
        bound,
        images,
        errors,
        **{field: [curves for curves in others if curves[0].kind in of_field] for field, of_field in kinds.items()},
        guarantee=specification,
        answers=answers,
        squared_errors=squares,
        whole_errors=whole,
        pair_sizes=sizes,
        detail_by_score=detail,
        inputs=inputs,
        tuning=tuning,
        vendor_models=tuple(sorted(job.vendor_models)),
        history=history,
        score_groups=score_groups,
    )
    return CalibrationRun(calibration, job.calls, job.cached, job.cost_usd, refused)


def _measure(
    losses: Losses, ready: Ready
) -> tuple[list[RiskCurve], Answers, WholeErrors, PairSizes, SquaredErrors, DetailByScore]:
    setup = ready.setup
    if ready.drawn.refusal is not None:
        worst, unknown = losses.worst(setup.metric.capped_bound), (SquaredErrors.unknown(1), DetailByScore.unknown(1))
        return worst, Answers.unknown(1), WholeErrors.refused(), PairSizes.unknown(1), *unknown
    truth, low = ready.truth_and_input("calibrated")
    return calibration_curves(ready.drawn, setup, ready.read, truth, low, losses, ready.second)


def _refuse_useless(job: Job, images: Sequence[CalibrationImage], errors: Sequence[RiskCurve]) -> int:
    refused = sum(image.refused is not None for image in images)
    if refused == len(images):
        raise CalibrationError(
            f"the vendor refused all {refused} photographs: {str(images[0].refused).removesuffix('.')}. If a setting "
            f"such as the address or the model was wrong, correct it. Refusals count until `blackbox-conformal ledger "
            f"reopen --state refused --run {job.folder}` has these draws asked for again"
        )
    if job.setup.adapter.capabilities.local and not any(curve.losses.any() for curve in errors):
        raise CalibrationError(
            "expected answers that differ from the photographs; all are equal to them, so that everything would be "
            "trusted. Name the folder of the vendor's answers with -p path=FOLDER, and not that of the photographs"
        )
    return refused


def _refuse_tuning(pictures: Sequence[Prepared], tuning: Sequence[KnownPhotograph]) -> None:
    tuned_on = Distinct(("a tuning photograph", photograph.as_sketch) for photograph in tuning)
    leaked = [picture.name for picture in pictures if tuned_on.twin(picture.sketch) is not None]
    if leaked:
        raise CalibrationError(
            f"{len(leaked)} of these photographs were used for tuning and cannot calibrate, first "
            f"{printable(leaked[0])}. Leave them out, by --tuning FILE (tuning=FILE in Python) where a FILE "
            "names them"
        )


def _image(drawn: Drawn, group: str | None, tiles: Mapping[str, str]) -> CalibrationImage:
    picture = drawn.prepared
    assert picture.truth_digest is not None
    return CalibrationImage(
        name=picture.name,
        truth=picture.truth_digest,
        sketch=picture.sketch.text,
        input=picture.input_digest,
        height=picture.size[0],
        width=picture.size[1],
        refused=None if drawn.refusal is None else str(drawn.refusal),
        reopened=drawn.reopened,
        group=group,
        cluster=tiles.get(picture.name),
        fitted=picture.fitted,
        kind=picture.kind,
    )
