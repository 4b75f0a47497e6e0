"""Write the certificate of one mask, and check a certificate against its calibration."""

import json
import math
import re
import shlex
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import (
    MISS_RATE,
    AnswerCheck,
    Certificate,
    CertifiedQuality,
    InputCheck,
    ShownErrors,
    StreamCheck,
    ToldFact,
)
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.documents.signature import Signature
from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError
from blackbox_conformal.method.aligned import aligned, lies_at
from blackbox_conformal.method.audits.input_shift import place
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.facts.statistics import SHIFTS, is_whole_fault
from blackbox_conformal.method.guarantees.corollaries import in_short, leaked_level, psnr, statement
from blackbox_conformal.method.guarantees.guarantee import NOT_SIGNED, TREATED_ALIKE, Guarantee
from blackbox_conformal.method.guarantees.guarantee import guarantee as choose_guarantee
from blackbox_conformal.method.guarantees.instance_bound import input_statement, is_input_statement
from blackbox_conformal.method.guarantees.marked import COUNTED, COUNTED_BEFORE
from blackbox_conformal.method.images.deep_files import deep_size
from blackbox_conformal.method.images.encode import NO_SCORE, grey_levels
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.input_statistics import SIZE, InputStatistics
from blackbox_conformal.method.images.read import opacity_of, read_output
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.pair_facts import PairFacts, is_compared, pair_facts
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.trust import threshold_json, trusted_share
from blackbox_conformal.method.risk.whole_errors import Errors
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.study.stages.evaluate import Evaluation, known_errors
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.types import Image, Mask
from blackbox_conformal.support.wording import at_most, exactly


def check_input(
    calibration: Calibration, statistics: InputStatistics, level: float, group: str | None = None
) -> InputCheck | None:
    """Compare an input with the calibration's; None where the calibration keeps nothing of its inputs.

    `level`: At this p-value and below the guarantee does not hold.
    """
    placement = place(calibration.comparable_inputs(group), statistics)
    if placement is None:
        return None
    return InputCheck(
        p_value=placement.p_value,
        level=level,
        n=placement.n,
        group=group,
        statistics=statistics.named[0],
        differs=placement.sentence,
        beyond=placement.beyond,
    )


def checked_again(calibration: Calibration, check: InputCheck) -> InputCheck | None:
    """Repeat a check from the calibration and the statistics that `check` names."""
    try:
        statistics = InputStatistics.of_named(check.statistics)
    except ValueError as error:
        raise FileFormatError(f"expected the statistics of an input in the certificate; {error}") from None
    return check_input(calibration, statistics, check.level, check.group)


def answer_facts(calibration: Calibration, sent: Image, answer: Image, group: str | None = None) -> PairFacts | None:
    """Return how an answer, (H, W, 3), differs from its input, (h, w, 3), beside the calibration's own answers.

    None where it is not compared: declared bands, and small inputs.
    """
    if not is_compared(sent, answer):
        return None
    usual = calibration.usual_differences(group)
    found = pair_facts(sent, answer, usual, whole=False)
    told = {fact.kind for fact in found.facts if fact.name != "colour.transform"}
    if usual.own is None and calibration.procedure.delivery == "aligned" and lies_at(answer, sent) != (0, 0):
        # The delivered picture is moved back.
        return replace(found, facts=tuple(fact for fact in found.facts if fact.name not in SHIFTS))
    if usual.own is None or "colour" in told:
        return found
    # A transform with a name is no fact where the vendor's colours are as ever.
    return replace(found, facts=tuple(fact for fact in found.facts if fact.name != "colour.transform"))


def check_answer(calibration: Calibration, found: PairFacts | None, group: str | None = None) -> AnswerCheck | None:
    """Return what a certificate says of `answer_facts`."""
    usual = calibration.usual_differences(group)
    if found is None:
        return None
    # A fault of the whole explains what else is strange: a picture that moved is also softer where it lies.
    faults = [is_whole_fault(fact.name, fact.size, fact.values, found.scale) for fact in found.facts]
    order = sorted(range(len(faults)), key=lambda index: not faults[index])
    facts = tuple(ToldFact(**found.facts[index].document()) for index in order)
    return AnswerCheck(n=usual.own_pairs, level=found.judged.level, group=group, facts=facts)


NOT_JUDGED = (
    "the input is too flat, too small or too noisy to tell by it whether the vendor's answer shows it, and no pixel of "
    "an answer that may show something else is trusted"
)

SCORE_MAPS = ("score_map", "indecision")  # What a certificate may call its score map; earlier ones use the second word.
SIZE_FACTOR = 2  # A picture this many times smaller or larger, in pixels, than every photograph is worth a note.


@dataclass(frozen=True, slots=True)
class Comparisons:
    """How an input compares with the calibration's inputs.

    `own`, `stream`: The input alone, and all inputs that were masked in the run folder.
    `drift`, `doubt`: What the calibration's watch found, and what the way of answering leaves in doubt; None: nothing.
    `file_format`: Format of the input's file; empty without a file.
    `answer`: How the answer differs from the input.
    """

    own: InputCheck | None
    stream: StreamCheck
    drift: str | None = None
    file_format: str = ""
    doubt: str | None = None
    answer: AnswerCheck | None = None

    def larger(self, calibration: Calibration) -> str | None:
        """Say that the input has far more pixels than every calibrated one; None: it has not, or none is known."""
        times = 0.0 if self.own is None else times_the_largest(calibration, self.own.statistics[SIZE], self.own.group)
        told = f"it has {times:.1f} times the pixels of the largest, and pictures of other sizes are no like ones"
        return told if times > SIZE_FACTOR else None

    def unlike(self, procedure: Procedure) -> str | None:
        """Say why the guarantee does not hold for the input; None where it may."""
        own = None if self.own is None else self.own.reason
        changed = None if self.answer is None else self.answer.changed(procedure.scale)
        return format_reason(procedure, self.file_format) or self.stream.found or self.drift or own or changed

    def unsure(self, rule: Guarantee) -> str | None:
        """Say why the guarantee may not hold for the input; None where it holds.

        No test shows that an input is of the calibration's kind. So the guarantee holds only if its statement allows
        for a share of others, and if the comparison could have failed.
        """
        if self.own is None:
            return "the calibration keeps nothing of its inputs to compare with; a new one does"
        passed = self.own.can_fail and not self.own.doubtful
        return None if passed and rule.specification().get("outsiders") else self.own.unsure


def times_the_largest(calibration: Calibration, size: float, group: str | None = None) -> float:
    """Divide an input's pixels, from its `SIZE`, by the largest calibrated input's; 0 where none is known."""
    known = calibration.comparable_inputs(group).column(SIZE)
    return float(2 ** (size - known.max())) if known.size else 0.0


def rule_at_size(calibration: Calibration, rule: Guarantee, size: float) -> Guarantee:
    """Return the guarantee for an input of this `SIZE`: `marked` speaks by squares of one larger than calibrated."""
    if rule.plugin_name() != "marked" or times_the_largest(calibration, size) <= SIZE_FACTOR:
        return rule
    same = {name: value for name, value in rule.specification().items() if name not in ("name", "largest_error")}
    by_squares = calibration.rule("marked-in-squares", **same)
    # Files of earlier versions have no curves by squares.
    return by_squares if any(curves.kind == by_squares.needs.curve_kind for curves in calibration.detail) else rule


def format_reason(procedure: Procedure, file_format: str) -> str | None:
    """Say why the guarantee does not hold for a lossy file where the calibration's inputs were lossless.

    A picture seldom shows its compression; its file does.
    """
    made, steps = procedure.mixture.text, [step for chain in procedure.mixture.chains for step in chain.steps]
    # Inputs that were given may have come from lossy files themselves.
    if not _is_lossy(file_format) or any(step.given for step in steps):
        return None
    if file_format == "JPEG":
        if any(step.file_format == "JPEG" for step in steps):
            return None
        return (
            f"the input is a JPEG file, and those of the calibration were made without JPEG ({made}): "
            "the guarantee is for inputs that are made like them. Find a degradation with jpeg by "
            "`blackbox-conformal inputs FOLDER --suggest`, and calibrate with it"
        )
    # No step makes AVIF or HEIC, so any lossy step stands for them.
    if any(step.file_format for step in steps):
        return None
    return (
        f"the input is a {file_format} file, and those of the calibration were made without loss by a file format "
        f"({made}): the guarantee is for inputs that are made like them. Calibrate with {_with_jpeg(procedure.mixture)}"
    )


def lossy_note(formats: Sequence[str], made: Mixture, what: str = "photograph", *, typed: bool = True) -> str | None:
    """Warn where files are lossy and the inputs `made` are not; `typed`: propose an option, otherwise a keyword."""
    lossy = [each.removeprefix("lossy ") for each in formats if _is_lossy(each)]
    if not lossy or any(step.given or step.file_format for chain in made.chains for step in chain.steps):
        return None
    which = f"{len(lossy)} of {counted(len(formats), what)} {'is a' if len(lossy) == 1 else 'are'} lossy"
    return (
        f"{which} {'file' if len(lossy) == 1 else 'files'} ({', '.join(sorted(set(lossy)))}), and the inputs that "
        f"{made.text} makes are not: an input that is a JPEG, AVIF, HEIC or lossy WebP file will get no guarantee. "
        f"If you will mask such files, add {_with_jpeg(made, typed=typed)}"
    )


def warn_of_lossy(pictures: Sequence[Prepared], procedure: Procedure) -> None:
    """Give a program the warning of `lossy_note` before anything is paid."""
    formats = [picture.file_format for picture in pictures]
    if (note := lossy_note(formats, procedure.mixture, typed=False)) is not None:
        warnings.warn(note, stacklevel=3)


def _is_lossy(file_format: str) -> bool:
    return file_format == "JPEG" or file_format.startswith("lossy ")


def _with_jpeg(mixture: Mixture, *, typed: bool = True) -> str:
    text = mixture.followed_by("jpeg:60-95")
    return shlex.join(["--degradation", text]) if typed else f"degradation={text!r}"


def rules_of_masks(calibration: Calibration, rule: Guarantee) -> list[Guarantee]:
    """Return the guarantee of masks as a list: `rule`, or one for each of the calibration's `own_groups`."""
    own = calibration.own_groups
    if calibration.score_groups or not own:
        return calibration.rules_by_score(rule)
    if not all(image.group for image in calibration.images):
        raise CalibrationError(
            "this calibration of a cascade has one threshold for all its vendors, which breaks its promise while "
            "one of them is down. Calibrate again: the draws are stored, so no call is made"
        )
    first = calibration.rule_of_group(calibration.groups[0], rule)
    return [first.model_copy(update={"group_new": group}) for group in own]


def certify(
    calibration: Calibration,
    setup: Setup,
    rule: Guarantee,
    alpha: float,
    threshold: float,
    picture: Prepared,
    evaluation: Evaluation,
    mask: Mask,
    opacity: NDArray[np.uint8] | None,
    comparisons: Comparisons,
) -> Certificate:
    """Write the certificate of one mask before its files are written; `opacity`: alpha of the delivered picture."""
    seed_range = setup.adapter.capabilities.seed_range
    check = comparisons.own
    unlike = None if check is None else check.note
    cut = [f"{each}: colours that sRGB lacks are cut off" for each in picture.conversions if each.startswith("ICC")]
    size, seeds = size_note(calibration, picture.size), calibration.procedure.seed_note
    remarks = (size, unlike, *cut, seeds, hidden_note(opacity))
    kind = "spread between the vendor's own draws"
    if setup.perturbation is not None:
        kind = f"spread under known changes of the input ({calibration.procedure.perturbation}), not the vendor's own"
    elif setup.score.minimum_draws == 1:
        kind = "a one-draw score; the vendor was not asked twice"
    known = None
    if opacity is None and not np.isinf(calibration.whole_errors_of(rule.own_group).largest_ratios(MISS_RATE)).all():
        known = known_errors(evaluation.context, setup.score, setup.metric, setup.procedure.mixture)
    return Certificate(
        **claims(
            calibration,
            setup.metric,
            rule,
            alpha,
            threshold,
            comparisons,
            calibration.signature,
            judged=evaluation.judged,
            known=known,
        ),
        calibration_signature=calibration.signature,
        trusted_share=trusted_share(mask, opacity),
        score_kind=kind,
        draw_seeds=None if seed_range is None else tuple(task.seed or 0 for task in picture.tasks),
        seed_rule=None if seed_range is None else calibration.procedure.seed_rule(seed_range),
        vendor_model=evaluation.model,
        input={
            "name": picture.name,
            "pixels": picture.input_digest,
            "format": picture.file_format,
            "conversions": list(picture.conversions),
        },
        outputs={},
        input_bound=input_statement(
            setup.metric, evaluation.delivered, evaluation.low_resolution, setup.procedure.mixture
        ),
        notes=(*evaluation.notes, *filter(None, remarks), *calibration.history.notes),
    )


def claims(
    calibration: Calibration,
    metric: Metric,
    rule: Guarantee,
    alpha: float,
    threshold: float,
    comparisons: Comparisons,
    signature: Signature | None,
    *,
    judged: bool,
    known: Errors | None = None,
) -> dict[str, Any]:
    """Return a certificate's fields that follow from calibration, guarantee, level, threshold and comparisons alone.

    `signature`: the calibration's when the certificate was made. `judged`: see `Evaluation`. `known`: errors of the
    delivered picture from the known one; None: no quality is certified.
    """
    choice, procedure = rule.choose(calibration.curves_for(rule), alpha), calibration.procedure
    n, bound = calibration.n, calibration.bound_for(rule)
    promised = leakage = quality = None
    with suppress(UsageError):
        promised = psnr(rule, alpha, metric).statement
    if rule.allowing_leaked(leaked := math.ceil(n / 10)) is not None:
        level = rule.claimed_level(alpha, bound)
        leakage = (
            f"If {leaked} of the {n} calibration photographs were in the vendor's training set, the level is at most "
            f"{at_most(leaked_level(level, n, leaked), 4)} instead of {exactly(level)}."
        )
    doubtful = comparisons.own is not None and comparisons.own.doubtful
    if judged and known is not None and not doubtful and comparisons.unlike(procedure) is None:
        space = "sRGB" if procedure.bands is None else "of the declared range"
        calibrated, words = calibration.whole_errors_of(rule.own_group), metric.error_in_words
        quality = CertifiedQuality.of(calibrated, known, metric.capped_bound, words, space, procedure.floor)
    shown = calibration.errors_shown(rule.own_group)
    status, reason = "abstains", choice.reason
    if threshold > -math.inf or not judged:
        unlike, unsure = comparisons.unlike(procedure), comparisons.doubt
        if not rule.innermost.holds_at_every_size:
            unsure = unsure or comparisons.larger(calibration)
        unsure = unsure or comparisons.unsure(rule)
        status = "outside-calibration" if unlike else "if-like-calibration" if unsure else "guaranteed"
        reason = unlike or unsure or reason
        if not judged and not unlike:
            status, reason = "not-judged", NOT_JUDGED
    return {
        "status": status,
        "promise": in_short(rule, alpha, calibration.n, calibration.procedure.metric),
        "statement": statement(rule, alpha, calibration.n, calibration.procedure.metric),
        "assumptions": assumptions(rule, calibration.procedure, signature),
        "reason": reason,
        "input_check": comparisons.own,
        "stream_check": comparisons.stream,
        "answer_check": comparisons.answer,
        "drift": comparisons.drift,
        "guarantee": rule.specification(),
        "theorem": rule.theorem,
        "alpha": alpha,
        "threshold": threshold_json(threshold),
        "threshold_hex": threshold.hex(),
        "n_calibration": rule.counted(calibration.n),
        "missing_images": choice.missing_images,
        "bound": bound,
        "calibration_digest": calibration.digest,
        "fingerprint": calibration.procedure.fingerprint,
        "procedure": calibration.procedure.model_dump(mode="json"),
        "psnr": promised,
        "leakage": leakage,
        "outside": ShownErrors.outside(shown, threshold),
        "inside": ShownErrors.inside(shown, threshold),
        "quality": quality,
    }


def assumptions(rule: Guarantee, procedure: Procedure, signature: Signature | None) -> tuple[str, ...]:
    """List how the guarantee counts and what must be true for it; `signature`: the calibration's."""
    sentences = (*rule.definitions, *rule.assumptions, *procedure.assumptions)
    if signature is None:
        return sentences
    signed = (
        f"The calibration file is what its maker computed. It carries a signature by {signature.signer}: for those who "
        "trust this key, its owner vouches for the file."
    )
    return tuple(signed if sentence == NOT_SIGNED else sentence for sentence in sentences)


def contradictions(certificate: Certificate, calibration: Calibration) -> list[str]:
    """List each point on which certificate and calibration disagree; empty when they agree.

    Where the guarantee bounds the error by the picture itself, threshold, status and reason follow from the picture,
    and are not checked.
    """
    metric = catalog.of_specification("metrics", calibration.procedure.metric)
    specification = dict(certificate.guarantee)
    of_the_picture = "from the picture itself" in json.dumps(specification)
    if of_the_picture:
        specification = without_bound(specification)
    rule = choose_guarantee(str(specification.pop("name", None)), **specification)
    wrong = []
    groups, of_each = rule.by_photograph.get("groups"), tuple(image.group or "" for image in calibration.images)
    # Calibrations of earlier versions did not keep who answered which photograph.
    due = calibration.own_groups and (calibration.score_groups or all(of_each))
    if groups is not None and groups != of_each:
        wrong.append("groups are not those of the calibration's photographs")
    elif due and rule.own_group is None:
        wrong.append(f"guarantee speaks of none of {', '.join(calibration.own_groups)}")
    # A picture outside the calibration has its threshold all the same, unless it could not be judged either.
    outside = certificate.status == "outside-calibration"
    judged = certificate.threshold_hex != (-math.inf).hex() if outside else certificate.status != "not-judged"
    threshold = rule.threshold(calibration.curves_for(rule), certificate.alpha) if judged else -math.inf
    check = certificate.input_check
    if check is not None:
        check = checked_again(calibration, check)
    elif len(calibration.comparable_inputs()):
        raise FileFormatError("expected how the input compares with the calibration's; the certificate does not say it")
    named = certificate.calibration_signature
    known = len(calibration.comparable_inputs(None if check is None else check.group))
    stream = certificate.stream_check or StreamCheck(n=known, pictures=0, evidence=0.0)
    file_format = str(certificate.input.get("format"))
    stream = stream.model_copy(update={"n": known})
    answer = certificate.answer_check
    if answer is not None and answer.n != calibration.usual_differences(rule.compared_group).own_pairs:
        wrong.append(f"answer_check compares with {answer.n} answers, and the calibration keeps other ones")
    comparisons = Comparisons(check, stream, certificate.drift, file_format, certificate.doubt, answer)
    errors = None if certificate.quality is None else np.array(certificate.quality.known)
    implied = claims(
        calibration, metric, rule, certificate.alpha, threshold, comparisons, named, judged=judged, known=errors
    )
    if TREATED_ALIKE not in certificate.assumptions:
        # An earlier version did not say `TREATED_ALIKE`, and said `COUNTED` in other words.
        earlier = {TREATED_ALIKE: "", COUNTED: COUNTED_BEFORE}
        implied["assumptions"] = tuple(filter(None, (earlier.get(said, said) for said in implied["assumptions"])))
    if of_the_picture:
        named_by_it = ("status", "promise", "statement", "reason", "guarantee", "threshold", "threshold_hex")
        for name in (*named_by_it, "missing_images", "outside", "inside"):
            del implied[name]
    for name in ("promise", "inside"):
        # An earlier version did not say them.
        if getattr(certificate, name) is None:
            implied.pop(name, None)
    if certificate.stream_check is None:
        del implied["stream_check"]
        # A certificate without a stream check has its status from the pictures masked with it.
        if certificate.status in (implied["status"], "outside-calibration"):
            del implied["status"], implied["reason"]
        if certificate.quality is not None and implied["quality"] is not None:
            said = {"statement": certificate.quality.statement}
            implied["quality"] = implied["quality"].model_copy(update=said)
    found, other_signer = calibration.signature, []
    # A signature may be newer than the one that the certificate names.
    if named is not None and (found is None or (found.key, found.name) != (named.key, named.name)):
        signed = "it is not signed" if found is None else f"it is signed by {found.signer}"
        other_signer = [f"the calibration was signed by {named.signer}, and now {signed}"]
    stated = certificate.model_dump(mode="json")
    follows = Certificate.model_construct(**implied).model_dump(mode="json", include=set(implied))
    other_fields = [
        f"{name} is {stated[name]!r}, and {value!r} follows from the calibration"
        for name, value in follows.items()
        if stated[name] != value
    ]
    return [*other_signer, *_other_vendor(certificate, calibration), *wrong, *other_fields]


def picture_size(certificate: Certificate, content: bytes) -> tuple[int, int]:
    """Read the delivered picture's (height, width) from its header; `ImageError` where it has none."""
    with suppress(ValidationError, UsageError):
        if Procedure.model_validate(certificate.procedure).bands is not None:
            return deep_size(content)
    container = inspect(content)
    return container.height, container.width


def file_contradictions(certificate: Certificate, folder: Path) -> list[str]:
    """List where mask and score map in `folder` contradict the certificate."""
    certificate.verify(folder)
    content = {kind: (folder / Path(entry["file"]).name).read_bytes() for kind, entry in certificate.outputs.items()}
    delivered = content[certificate.pictured]
    opacity = opacity_of(delivered)
    mask = grey_levels(content["mask"], picture_size(certificate, delivered), 1)
    threshold, share, wrong = math.nan, trusted_share(mask, opacity), []
    with suppress(ValueError, OverflowError):
        threshold = float.fromhex(certificate.threshold_hex)
    if math.isnan(threshold) or certificate.threshold != threshold_json(threshold):
        return [f"threshold is {certificate.threshold!r}, and threshold_hex is {certificate.threshold_hex!r}"]
    if share != certificate.trusted_share:
        wrong.append(f"trusted_share is {certificate.trusted_share!r}, and {share!r} of the mask is white")
    if threshold == -math.inf and mask.any():
        wrong.append("nothing may be trusted, and the mask has white pixels")
    if opacity is not None and mask[opacity == 0].any():
        wrong.append("hidden pixels are white in the mask")
    for kind in content.keys() & set(SCORE_MAPS):
        scores, step = _scores_of(content[kind], mask.shape, certificate.outputs[kind])
        # Half a step, and what float64 may round away.
        if not _is_below(scores, 0.5001 * step, threshold, mask):
            wrong.append("the mask is not where the scores of the score map are below the threshold")
    return wrong


def mask_contradictions(
    certificate: Certificate, calibration: Calibration, folder: Path, delivered: Image, low: Image
) -> list[str] | None:
    """List where mask and score map in `folder` are not what the score gives for picture and input.

    None where the score needs more: further draws, another vendor's picture, declared bands, or a function that this
    program has not defined.
    """
    procedure = calibration.procedure
    score, (height, width) = procedure.build_score(), (procedure.scale * side for side in low.shape[:2])
    if delivered.shape[:2] != (height, width):
        return [f"the picture has not {procedure.scale} times as many pixels a side as the input"]
    # Another package's score may look at the draw, which differs from a picture that was made consistent.
    looks_at_draw = procedure.delivery == "consistent" and "package" in procedure.score
    # How far an answer was moved, and so where its edge was repeated, shows in the vendor's file alone.
    moved, kept = procedure.delivery == "aligned", "vendor" in certificate.outputs
    looks_at_draw |= moved and not kept
    if procedure.bands is not None or procedure.draws > 1 or score.needs_second or looks_at_draw:
        return None
    content = {kind: (folder / Path(entry["file"]).name).read_bytes() for kind, entry in certificate.outputs.items()}
    draw = read_output(content["vendor"], (height, width), resample=True).pixels if moved else delivered
    picture, repeated = aligned(draw, low) if moved else (draw, np.False_)
    if not np.array_equal(picture, delivered):
        return ["the picture is not the vendor's file moved back to where the input lies"]
    try:
        context = Context(delivered, low, procedure.scale, degradation=procedure.mixture.linear_part())
        found = np.where(repeated, np.float32(1), accumulated_map(score, [draw], context))
    except UsageError:
        return None
    opacity = opacity_of(content[certificate.pictured])
    scores = np.where(np.isfinite(found) & (True if opacity is None else opacity > 0), found, math.inf)
    threshold = float.fromhex(certificate.threshold_hex)
    # Files made on another processor may differ in the last digits.
    slack = 1e-5 * max(float(scores[np.isfinite(scores)].max(initial=0)), threshold if math.isfinite(threshold) else 0)
    wrong = []
    if calibration.score_groups:
        digest, near = str(certificate.input.get("pixels")), [np.asarray(found + by, "f4") for by in (-slack, slack)]
        groups = [calibration.group_by_itself(0, digest, Answers.of([], [0.0], one)) for one in near]
        if certificate.guarantee.get("group_new") not in groups:
            wrong.append(f"the median score of picture and input is in the {groups[0]} of the calibration's")
    if not _is_below(scores, slack, threshold, grey_levels(content["mask"], (height, width), 1)):
        wrong.append("the mask is not where the scores of picture and input are below the threshold")
    for kind in content.keys() & set(SCORE_MAPS):
        shown, step = _scores_of(content[kind], (height, width), certificate.outputs[kind])
        with np.errstate(invalid="ignore"):
            agree = (shown == scores) | (abs(shown - scores) <= slack + 0.5001 * step)
        if not agree.all():
            wrong.append("the score map is not the score of picture and input")
    return wrong


def _scores_of(content: bytes, size: tuple[int, int], scaling: Mapping[str, Any]) -> tuple[NDArray[Any], float]:
    """Return a score map's scores, infinite where there is none, and the step between levels; NaN if unreadable."""
    levels, offset, step = grey_levels(content, size, 16), scaling.get("offset"), scaling.get("step")
    if not (isinstance(offset, float) and isinstance(step, float) and math.isfinite(offset) and 0 < step < math.inf):
        return np.full(size, math.nan), math.nan
    scored = levels != NO_SCORE
    # Where all scores are equal the one level is exact.
    return np.where(scored, levels * step + offset, math.inf), step if levels[scored].any() else 0.0


def hidden_note(opacity: NDArray[np.uint8] | None) -> str | None:
    """Describe how a picture's alpha was treated; None without alpha."""
    if opacity is None:
        return None
    return (
        "the alpha channel of the input was enlarged plainly and put back; the vendor was sent the colours as stored. "
        f"The {np.mean(opacity == 0):.1%} of the pixels that alpha hides are never trusted, and the trusted share is "
        "of the others. The statement counts what is hidden as part of picture and mask; without it no largest trusted "
        "error is larger"
    )


def _is_below(scores: NDArray[Any], slack: float, threshold: float, mask: Mask) -> bool:
    """Tell whether `mask` may be where `scores`, known to within `slack`, lie below the threshold."""
    scored = np.isfinite(scores)
    sure, possible = scored & (scores + slack < threshold), scored & (scores - slack < threshold)
    # A score of infinity has no level, and is trusted at the threshold infinity.
    possible |= (scores == math.inf) & (threshold == math.inf)
    return bool((mask >= sure).all() and (mask <= possible).all()) and not np.isnan(scores).any()


def input_bound_contradiction(
    certificate: Certificate, delivered: Image | None, low_resolution: Image | None
) -> str | None:
    """Say that the bound from the input does not follow from this picture; None where it may.

    Without picture and input only the words are compared, not the two numbers in them.
    """
    stated = certificate.input_bound
    if stated is None and low_resolution is None:
        return None
    try:
        procedure = Procedure.model_validate(certificate.procedure)
    except ValidationError:
        return "procedure is none"
    metric = catalog.of_specification("metrics", procedure.metric)
    if delivered is not None and low_resolution is not None:
        implied = input_statement(metric, delivered, low_resolution, procedure.mixture)
        agrees = stated == implied
    else:
        agrees = metric.averages_colours and is_input_statement(str(stated), metric, procedure.mixture)
    return None if agrees else f"input_bound is {stated!r}, which does not follow from metric, degradation and picture"


def known_errors_agree(certificate: Certificate, calibration: Calibration, delivered: Image, low: Image) -> bool:
    """Tell whether picture and input, (h, w, 3), give the errors behind a certified quality."""
    if certificate.quality is None:
        return True
    procedure = calibration.procedure
    metric = catalog.of_specification("metrics", procedure.metric)
    found = known_errors(Context(delivered, low, procedure.scale), procedure.build_score(), metric, procedure.mixture)
    return bool(np.allclose(found, certificate.quality.known, rtol=1e-6, atol=0))


def answer_check_agrees(certificate: Certificate, calibration: Calibration, delivered: Image, low: Image) -> bool:
    """Tell whether picture and input, (h, w, 3), give the differences that the certificate tells; True: unknown."""
    stated, procedure = certificate.answer_check, calibration.procedure
    # Of other deliveries the answer itself is not at hand; older calibrations, and their certificates, have no pairs.
    if procedure.delivery != "first" or (stated is None and not len(calibration.pair_sizes.known)):
        return True
    group = None if stated is None else stated.group
    found = check_answer(calibration, answer_facts(calibration, low, delivered, group), group)
    if stated is None or found is None:
        return stated is found
    told, due = ([(fact.name, fact.places) for fact in check.facts] for check in (stated, found))
    size, due_size = ([fact.size for fact in check.facts] for check in (stated, found))
    return told == due and np.allclose(size, due_size, rtol=1e-3, atol=1e-3)


def due_notes(certificate: Certificate, calibration: Calibration, image: bytes) -> list[str]:
    """Return the notes that a delivered picture's certificate owes, by the picture's file."""
    check, of_size = certificate.input_check, size_note(calibration, picture_size(certificate, image))
    seed_note = calibration.procedure.seed_note
    found = (of_size, None if check is None else check.note, seed_note, hidden_note(opacity_of(image)))
    return [*(note for note in found if note is not None), *calibration.history.notes]


_PLACE = re.compile(r"\bvendor \d+ of \d+: ")


def _other_vendor(certificate: Certificate, calibration: Calibration) -> list[str]:
    """Say where the certificate's model or seeds do not follow from calibration and input.

    The vendor's range of seeds is taken from the certificate.
    """
    # A cascade's vendor that answered no photograph may answer a new picture, so its place is left out.
    known = {re.sub(_PLACE, "", each) for each in filter(None, calibration.vendor_models)}
    model = certificate.vendor_model and re.sub(_PLACE, "", certificate.vendor_model)
    wrong = []
    # One text names several models, whose names may have commas.
    if known and model not in (None, *known, ", ".join(sorted(known))) and not set(str(model).split(", ")) <= known:
        wrong.append(f"vendor_model is {model!r}, and the calibration's is {' or '.join(map(repr, sorted(known)))}")
    rule, seeds, procedure = certificate.seed_rule, certificate.draw_seeds, calibration.procedure
    found = re.search(r" has the seed (-?\d{1,20}) \+ .* mod (\d{1,20})\b", str(rule))
    if found is not None and int(found[2]):
        seed_range = int(found[1]), int(found[1]) + int(found[2]) - 1
        picture, indices = str(certificate.input.get("pixels")), range(procedure.draws)
        implied = tuple(procedure.seed(picture, index, seed_range) for index in indices)
        if (rule, seeds) == (procedure.seed_rule(seed_range), implied):
            return wrong
    if (rule, seeds) != (None, None):
        wrong.append(
            f"seed_rule is {rule!r}, and it or the draw_seeds do not follow from the calibration and the input"
        )
    return wrong


def without_bound(specification: Any) -> Any:
    """Return a guarantee's specification without the bound that it took from a picture."""
    if isinstance(specification, dict):
        return {key: without_bound(value) for key, value in specification.items() if key != "bound_new"}
    return specification


def size_note(calibration: Calibration, size: tuple[int, int]) -> str | None:
    """Warn of a picture whose (height, width) is far from every calibration photograph's; None where it is not."""
    by_area = sorted((image.height * image.width, image.width, image.height) for image in calibration.images)
    (least, *small), (most, *large) = by_area[0], by_area[-1]
    height, width = size
    if least <= SIZE_FACTOR * height * width and height * width <= SIZE_FACTOR * most:
        return None
    calibrated = f"{small[0]}×{small[1]}" + ("" if small == large else f" to {large[0]}×{large[1]}")
    return (
        f"the picture has {width}×{height} pixels, the calibration photographs {calibrated}: the guarantee is for "
        "pictures like them, and the vendor may treat other sizes differently"
    )
