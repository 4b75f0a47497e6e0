"""Hold a request for masks: calibration, level, guarantee and group, and the verdict of the calibration's watch."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import InputCheck
from blackbox_conformal.documents.trust_policy import Trusted, TrustPolicy
from blackbox_conformal.documents.watch_head import WatchState
from blackbox_conformal.drawing.spending.estimate import costs
from blackbox_conformal.errors import ProcedureMismatchError, UsageError
from blackbox_conformal.method.audits.input_shift import OUTLYING, check_level
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee, number_in_words
from blackbox_conformal.method.guarantees.instance_bound import reason_of_nothing, refuse_bound
from blackbox_conformal.method.images.input_statistics import SIZE
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.from_keywords import calibrated
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.certify import check_input, rule_at_size, rules_of_masks
from blackbox_conformal.study.stages.draws import Drawn
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup, set_up_as
from blackbox_conformal.support import catalog
from blackbox_conformal.vendor.adapter import Adapter


@dataclass(frozen=True, slots=True)
class MaskRequest:
    """A request for masks: calibration, guarantee, level and conditions."""

    calibration: Calibration
    rule: Guarantee  # A guarantee of `calibration`, within `group` where one is named.
    alpha: float
    group: str | None = None
    empty_masks: bool = False  # Pay for the pictures also where every mask is known to be empty.
    outside: float = OUTLYING  # An input with this p-value or a lower one is outside the guarantee; 0: none is.
    # What every certificate says of the calibration's watch; None where it has no watch.
    watched: WatchState | None = None
    file: Path | None = None  # The calibration's file, which has the watch beside it; None: it has no watch.
    trusted: Trusted = ()  # Public keys whose signatures of the watch count beside the calibration's own.
    # For pictures that a cascade passes on to a vendor that cannot be had; None: they have no mask.
    fallback: "tuple[Setup, MaskRequest] | None" = None

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        alpha: float,
        guarantee: str | Guarantee | None = None,
        group: str | None = None,
        *,
        empty_masks: bool = False,
        outside: float = OUTLYING,
        file: Path | None = None,
        trusted: Trusted = (),
    ) -> "MaskRequest":
        """Return the request for masks with a guarantee, the calibration's own unless another is named."""
        watched = None if file is None else catalog.hook("watch").refuse_suspended(file, calibration, trusted)
        rule = calibration.rule(guarantee)
        if group is not None and calibration.own_groups:
            raise UsageError(
                f"expected no --group (group in Python): a picture is in {' or '.join(calibration.own_groups)} by "
                f"itself; got {group}. Leave it out"
            )
        if group is not None:
            rule = calibration.rule_of_group(group, rule)
        rules_of_masks(calibration, rule)
        rule.threshold(calibration.curves_for(rule), alpha)
        return cls(calibration, rule, alpha, group, empty_masks, check_level(outside), watched, file, trusted)

    def falling_back(self, vendor: Adapter, fallback: "Calibration | str | Path | None") -> "MaskRequest":
        """Add the fallback that a calibration of `vendor` without its last member gives; None: without."""
        if fallback is None:
            return self
        loaded = fallback if isinstance(fallback, Calibration) else Calibration.load(fallback)
        setup = set_up_as(vendor.without_last(), loaded.procedure)
        own = self.calibration
        second = loaded.procedure.second_opinion in (None, own.procedure.second_opinion)
        models, theirs = _by_place(own), _by_place(loaded)
        if not second or any(models.get(place, set()) - names for place, names in theirs.items()):
            raise ProcedureMismatchError(
                "the fallback was calibrated with another second vendor, or other models of the first vendors, than "
                "the calibration. Calibrate both again"
            )
        given = MaskRequest.of(loaded, self.alpha, empty_masks=self.empty_masks, outside=self.outside, file=loaded.file)
        return replace(self, fallback=(setup, given))

    def rule_of(self, drawn: Drawn, answers: Answers) -> Guarantee:
        """Return the guarantee of a picture's mask, by the group that it is in by itself and by its size."""
        group = self.calibration.group_by_itself(drawn.asked, drawn.prepared.input_digest, answers)
        rule = next((rule for rule in self.rules if rule.own_group == group), self.rules[0])
        return rule_at_size(self.calibration, rule, float(drawn.prepared.statistics.column(SIZE)[0]))

    @property
    def rules(self) -> list[Guarantee]:
        """Return the guarantees of its masks; see `rules_of_masks`."""
        return rules_of_masks(self.calibration, self.rule) if self.rule.own_group is None else [self.rule]

    def now(self) -> "MaskRequest":
        """Return the same request in the watch's present state; errors as for `of`."""
        if self.file is None:
            return self
        watched = catalog.hook("watch").refuse_suspended(self.file, self.calibration, self.trusted, whole=False)
        return replace(self, watched=watched)

    def check(self, picture: Prepared) -> InputCheck | None:
        """Compare an input with the calibration's, before anything is paid."""
        return check_input(self.calibration, picture.statistics, self.outside, self.group)

    @property
    def nothing(self) -> str | None:
        """Say why no pixel of any picture can be trusted; None where some might be."""
        reasons = self.reasons_of_nothing
        return None if None in reasons else reasons[0]

    @property
    def reasons_of_nothing(self) -> list[str | None]:
        """Say for each of `rules` why it trusts nothing; None where it may."""
        return [reason_of_nothing(rule, self.calibration.curves_for(rule), self.alpha) for rule in self.rules]

    @property
    def curves(self) -> CurveSet:
        """Return the curves that the guarantee is about."""
        return self.calibration.curves_for(self.rule)


def _by_place(calibration: Calibration) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for which, _, model in (name.partition(": ") for name in calibration.vendor_models):
        found.setdefault(which.partition(" of ")[0], set()).add(model)
    return found


def masking_of(
    vendor: Adapter, calibration: Calibration | str | Path, alpha: float, settings: Mapping[str, Any]
) -> tuple[Terms, Setup, MaskRequest]:
    """Return terms, set-up and request for masks of `vendor` at this level, by keywords of `ApplySettings`."""
    loaded, terms = calibrated(calibration, settings)
    trust = TrustPolicy.read(settings.get("trust", ()))
    if trust:
        loaded.vouching(trust).require("the calibration", trusted=True)
    file = loaded.file if isinstance(calibration, Calibration) else Path(calibration)
    watched = None if settings.get("service") else file
    given = {name: settings[name] for name in ("guarantee", "group", "empty_masks", "outside") if name in settings}
    setup = set_up_as(vendor, loaded.procedure, settings.get("second_adapter"), settings.get("degradation"))
    # A service asks its watch before each picture.
    request = replace(MaskRequest.of(loaded, alpha, file=watched, trusted=trust, **given), file=file)
    if watched is None and file is not None:
        catalog.hook("watch").standing_of(file, loaded, trust)
    return terms, setup, request.falling_back(vendor, settings.get("fallback"))


LEVELS = tuple(digits / parts for parts in (1000, 100, 10) for digits in range(10, 100))
"""Levels of two digits, from 0.01 to 9.9."""


def refuse_paid_emptiness(job: Job, request: MaskRequest) -> None:
    """Refuse to pay for masks in which nothing can be trusted; stored and free draws pass.

    For a cascade, one vendor whose pictures get empty masks is enough, unless no photograph ended at it.
    """
    nothing = zip(request.rules, request.reasons_of_nothing, strict=True)
    n = request.calibration.n
    empty = [(rule, why) for rule, why in nothing if why is not None and rule.counted(n)]
    if not empty:
        return
    expected = job.estimate()
    if not costs(expected.calls, expected.cost_usd):
        return
    levels = [lowest_level(rule, request.calibration.curves_for(rule)) for rule, _ in empty]
    known = [level for level in levels if level is not None]
    better = f"give --alpha {max(known):g}, the lowest level at which something is trusted, or " if known else ""
    which = "every mask" if len(empty) == len(request.rules) else "every mask of a part of the pictures"
    reasons = "; ".join(why.removesuffix(".") for _, why in empty)
    raise UsageError(
        f"{which} would be empty, so nothing was sent: {reasons}. To go on, {better}add "
        "--empty-masks (empty_masks=True in Python) to pay for the pictures all the same"
    )


def lowest_level(rule: Guarantee, curves: CurveSet) -> float | None:
    """Return the lowest two-digit level at which `rule` can trust anything; None when there is none."""
    allowed = []
    for level in LEVELS:
        try:
            rule.threshold(curves, level)
        except UsageError:
            break
        allowed.append(level)
    first = bisect_left(allowed, True, key=lambda level: rule.threshold(curves, level) > -math.inf)
    return allowed[first] if first < len(allowed) else None


def ways_out(request: MaskRequest, setup: Setup, empty: int) -> str:
    """Say what to do about `empty` masks that trust nothing."""
    nothing = zip(request.rules, request.reasons_of_nothing, strict=True)
    rule, reason = next(((rule, why) for rule, why in nothing if why is not None), (request.rule, None))
    curves = request.calibration.curves_for(rule)
    ways = ["a larger level", "more calibration photographs"]
    if reason is not None:
        level, missing = lowest_level(rule, curves), rule.choose(curves, request.alpha).missing_images
        ways = [] if level is None else [f"a larger level (with this calibration from --alpha {level:g} on)"]
        ways.append(f"more calibration photographs (at least {number_in_words(missing)} more)")
    if own_bound_is_known(setup, rule):
        ways.append(
            f"only for inputs made exactly by {setup.procedure.mixture.text}: --guarantee expected:bound_from=input, "
            "which bounds each picture by itself and takes no further call"
        )
    ways.append(f"another guarantee: `blackbox-conformal plan PHOTOGRAPHS --alpha {request.alpha:g}` compares them")
    return f"{'A mask trusts' if empty == 1 else f'{empty} masks trust'} nothing. What helps: {'; '.join(ways)}."


def own_bound_is_known(setup: Setup, rule: Guarantee) -> bool:
    """Tell whether a plain `expected` could take a bound from input and delivered colours, and does not."""
    if rule != Expected():
        return False
    try:
        refuse_bound(Expected(bound_from="input"), setup.metric, setup.procedure.mixture, setup.procedure.scale)
    except UsageError:
        return False
    return True
