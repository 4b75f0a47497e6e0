"""The calibration: curves of n photographs under one procedure, and its file."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from blackbox_conformal.documents.agreement import check_refused, check_vendor, require_name, twice
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.documents.signature import Signature, Vouching
from blackbox_conformal.documents.stored import StoredPaper
from blackbox_conformal.documents.time_stamp import judged
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.errors import BlackboxConformalError, CalibrationError, FileFormatError
from blackbox_conformal.method.audits.mask_worth import DetailByScore, MaskWorth
from blackbox_conformal.method.facts.levels import LEAST_PAIRS, NOT_COMPARED, Levels, PairSizes, shipped
from blackbox_conformal.method.guarantees.by_cluster import in_tiles
from blackbox_conformal.method.guarantees.by_score import NAMES, Key, group_of, groups_of
from blackbox_conformal.method.guarantees.guarantee import Guarantee, Needs, usual_level
from blackbox_conformal.method.guarantees.guarantee import guarantee as choose_guarantee
from blackbox_conformal.method.images.calibration_images import CalibrationImage, History, KnownPhotograph
from blackbox_conformal.method.images.duplicates import Distinct, Sketch
from blackbox_conformal.method.images.input_statistics import SIZE, InputStatistics
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve import DETAIL, PARAMETERS, RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet, StoredCurves
from blackbox_conformal.method.risk.whole_errors import SquaredErrors, WholeErrors
from blackbox_conformal.support import catalog
from blackbox_conformal.support.blocks import Block, Faces, Figure, Note, Table
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.plots import Chart, Series
from blackbox_conformal.support.text import counted, printable, vendor_title

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey

# Levels of the table, as far as the guarantee can promise them.
_LEVELS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
_STEPS = 100  # Levels of the plot.


def _packed(kind: Any) -> tuple[PlainValidator, PlainSerializer]:
    return (
        PlainValidator(lambda text: kind.from_bytes(base64.b64decode(text, validate=True))),
        PlainSerializer(lambda rows: base64.b64encode(rows.to_bytes()).decode()),
    )


_Answers = Annotated[Answers, *_packed(Answers)]
_InputStatistics = Annotated[InputStatistics, *_packed(InputStatistics)]
_SquaredErrors = Annotated[SquaredErrors, *_packed(SquaredErrors)]
_WholeErrors = Annotated[WholeErrors, *_packed(WholeErrors)]
_DetailByScore = Annotated[DetailByScore, *_packed(DetailByScore)]
_PairSizes = Annotated[PairSizes, PlainValidator(PairSizes.from_columns), PlainSerializer(lambda rows: rows.columns)]
_ADDED = ("squared_errors", "whole_errors", "pair_sizes", "detail_by_score")  # Older files lack these.
_ROWS = ("inputs", "answers", *_ADDED)


@dataclass(frozen=True, repr=False)
class Calibration(Faces):
    """Curves of n photographs under one procedure.

    Attributes
    ----------
    procedure
        What was calibrated; only the same procedure may use it.
    bound
        B, the largest value the metric can take.
    images
        The photographs, in the order of `curves`.
    curves
        One risk curve a photograph: the largest error among trusted pixels.
    shares, all_but, local
        Curves of other losses: the share of the picture that is trusted and wrong, by tolerance; the largest trusted
        error but for a share of the picture, by share; the mean over squares of their largest trusted error, by side.
    detail
        Curves of shares of detail, if the metric counts it: ``marked`` and ``clear-share``.
    answers, inputs
        Statistics of answers and inputs, to recognise new ones that differ.
    squared_errors
        Errors of pictures that may be shown, by which a safe picture is chosen.
    whole_errors
        Errors of whole delivered pictures, which certify the quality of new ones.
    pair_sizes
        How the first draw of each photograph differs from its input, which tells what is usual of this vendor.
    detail_by_score
        Right and invented detail of the vendor's pictures and of the free reference, by which masks are worth more or
        less.
    guarantee
        Name and parameters of the guarantee that `threshold` uses by default.
    tuning
        Photographs that choices were made on; none is in `images`.
    vendor_models
        The vendor's names of the models that answered, if it says them.
    history
        What its run folder knew when the run began.
    score_groups
        How many groups its photographs are in by their median scores, each with its own threshold; 0: none.
    made_with
        The version of this package that computed it.
    signature, file
        The signature that vouches for it; where it was read or first saved, beside its watch. None if there is none.
    """

    procedure: Procedure
    bound: float
    images: tuple[CalibrationImage, ...]
    curves: StoredCurves
    guarantee: dict[str, Any] = field(default_factory=lambda: {"name": "expected"})
    tuning: tuple[KnownPhotograph, ...] = ()
    vendor_models: tuple[str, ...] = ()
    shares: tuple[StoredCurves, ...] = ()
    answers: _Answers = field(default_factory=partial(Answers.unknown, 0))
    inputs: _InputStatistics = field(default_factory=partial(InputStatistics.unknown, 0))
    squared_errors: _SquaredErrors = field(default_factory=partial(SquaredErrors.unknown, 0))
    whole_errors: _WholeErrors = field(default_factory=partial(WholeErrors.unknown, 0))
    pair_sizes: _PairSizes = field(default_factory=partial(PairSizes.unknown, 0))
    detail_by_score: _DetailByScore = field(default_factory=partial(DetailByScore.unknown, 0))
    all_but: tuple[StoredCurves, ...] = ()
    detail: tuple[StoredCurves, ...] = ()
    local: tuple[StoredCurves, ...] = ()
    history: History = field(default_factory=History)
    score_groups: int = 0
    made_with: str = f"blackbox-conformal {version('blackbox-conformal')}"
    signature: Signature | None = field(default=None, compare=False)
    file: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in _ROWS:
            # Older files lack these rows: nothing is known of any photograph.
            if not len(rows := getattr(self, name)):
                object.__setattr__(self, name, type(rows).unknown(self.n))
        truths = [image.truth for image in self.images]
        if len(set(truths)) != len(truths):
            raise CalibrationError("a photograph stands twice in the calibration; each counts once")
        if shared := {photograph.truth for photograph in self.tuning} & set(truths):
            raise CalibrationError(
                f"{len(shared)} photographs are both tuning and calibration photographs; a choice made on a photograph "
                "that calibrates voids the guarantee. Calibrate on the others"
            )
        if len({image.cluster is None for image in self.images}) > 1:
            raise CalibrationError("expected the photograph of every tile, or of none; some have none")
        for curves in self.every_curves:
            if len(curves) != len(self.images):
                raise CalibrationError(f"expected one curve a photograph; got {len(curves)} for {len(self.images)}")
        for name in _ROWS:
            if len(rows := getattr(self, name)) != self.n:
                raise CalibrationError(f"expected {name} of {self.n} photographs; got those of {len(rows)}")

    @classmethod
    def from_curves(
        cls,
        procedure: Procedure,
        bound: float,
        images: Sequence[CalibrationImage],
        curves: Sequence[RiskCurve],
        shares: Sequence[Sequence[RiskCurve]] = (),
        all_but: Sequence[Sequence[RiskCurve]] = (),
        answers: Sequence[Answers] = (),
        inputs: Sequence[InputStatistics] = (),
        squared_errors: Sequence[SquaredErrors] = (),
        whole_errors: Sequence[WholeErrors] = (),
        pair_sizes: Sequence[PairSizes] = (),
        detail_by_score: Sequence[DetailByScore] = (),
        detail: Sequence[Sequence[RiskCurve]] = (),
        local: Sequence[Sequence[RiskCurve]] = (),
        **rest: Any,
    ) -> Self:
        """Build a calibration in canonical order (by truth digest), whatever order photographs were drawn in."""
        order = sorted(range(len(images)), key=lambda index: images[index].truth)

        def sets(kinds: Sequence[Sequence[RiskCurve]]) -> tuple[CurveSet, ...]:
            return tuple(CurveSet.from_curves([kind[index] for index in order]) for kind in kinds)

        return cls(
            procedure,
            bound,
            tuple(images[index] for index in order),
            CurveSet.from_curves([curves[index] for index in order]),
            shares=sets(shares),
            all_but=sets(all_but),
            detail=sets(detail),
            local=sets(local),
            answers=Answers.together(answers)[order if answers else []],
            inputs=InputStatistics.together(inputs)[order if inputs else []],
            squared_errors=SquaredErrors.together(squared_errors)[order if squared_errors else []],
            whole_errors=WholeErrors.together(whole_errors)[order if whole_errors else []],
            pair_sizes=PairSizes.together(pair_sizes)[order if pair_sizes else []],
            detail_by_score=DetailByScore.together(detail_by_score)[order if detail_by_score else []],
            **rest,
        )

    def __repr__(self) -> str:
        vendor, rule = vendor_title(self.procedure.vendor), self.guarantee.get("name")
        return (
            f"<Calibration of {vendor} ×{self.procedure.scale}: {self.n} photographs, "
            f"{counted(self.procedure.draws, 'draw')}, {rule}, bound {self.bound:g}, {self.digest[:19]}>"
        )

    @property
    def n(self) -> int:
        """Return the number of photographs."""
        return len(self.images)

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the groups of the photographs, sorted; empty if they have none."""
        return tuple(sorted({image.group for image in self.images if image.group}))

    @property
    def own_groups(self) -> tuple[str, ...]:
        """Return the groups, each with its threshold, that a picture belongs to by itself; empty: one threshold.

        They are the vendors of a cascade that a picture may end at, or parts of the range of median scores.
        """
        ends = range(self.procedure.vendors_that_end)
        return NAMES.get(self.score_groups) or tuple(filter(None, map(self.procedure.ends_at, ends)))

    def group_by_itself(self, asked: int, digest: str, answers: Answers) -> str | None:
        """Return which of `own_groups` a picture belongs to, by the last vendor asked, its input and its answers."""
        if not self.score_groups:
            return self.procedure.ends_at(asked)
        cuts = [key for key, image in zip(self.score_keys, self.images, strict=True) if image.group is None]
        return group_of((float(answers.median_score[0]), digest), cuts, self.score_groups)

    @property
    def score_keys(self) -> list[Key]:
        """Return what groups each photograph by its median score."""
        inputs = [image.input for image in self.images]
        return list(zip(self.answers.median_score.tolist(), inputs, strict=True))

    def known(self, sketch: Sketch, pixels: str) -> str | None:
        """Say which photograph of this calibration or its tuning a picture shows; None if it shows none.

        `sketch` belongs to the picture; `pixels` is the digest of the vendor's input.
        """
        twin = self._distinct.twin(sketch)
        # The photograph itself first, because its own name says most.
        if twin is not None and twin.exact:
            return twin.name
        if pixels in self._inputs:
            return f"the input of calibration photograph {printable(self._inputs[pixels])}"
        return None if twin is None else f"a copy of {twin.name}: the two {twin.relation}"

    @cached_property
    def _inputs(self) -> dict[str, str]:
        return {image.input: image.name for image in self.images}

    @cached_property
    def _distinct(self) -> Distinct:
        calibrating = (
            (f"calibration photograph {printable(photograph.name)}", photograph.as_sketch) for photograph in self.images
        )
        return Distinct([*calibrating, *(("a tuning photograph", photograph.as_sketch) for photograph in self.tuning)])

    @property
    def every_curves(self) -> tuple[CurveSet, ...]:
        """Return the curves of every stored loss, the largest error first."""
        return self.curves, *self.shares, *self.all_but, *self.local, *self.detail

    def comparable_inputs(self, group: str | None = None) -> InputStatistics:
        """Return inputs to compare new ones with, of all photographs or a group, one tile of each."""
        return self.inputs[self._one_each(group)].known

    def watched_answers(self, rows: Sequence[int]) -> Answers:
        """Return the answers to photographs as watched pictures have them; older files know no strangeness."""
        strangeness = self.pair_sizes.strangeness
        if not np.isnan(strangeness).all():
            strangeness = np.nan_to_num(strangeness, nan=NOT_COMPARED)
        return self.answers[rows].watched(strangeness[list(rows)])

    def whole_errors_of(self, group: str | None = None) -> WholeErrors:
        """Return the errors of whole delivered pictures, for the photographs of `comparable_inputs`."""
        return self.whole_errors[self._one_each(group)].known

    def usual_differences(self, group: str | None = None) -> Levels:
        """Return how its answers usually differ from their inputs, for the photographs of `comparable_inputs`.

        Beside fewer than `LEAST_PAIRS`, or in older files, that of other vendors, whose `own` is None.
        """
        if group not in self._usual:
            pairs = self.pair_sizes[self._one_each(group)].known.named
            about = f"the {len(pairs)} answers of its calibration"
            self._usual[group] = Levels.of(pairs, about) if len(pairs) >= LEAST_PAIRS else shipped()
        return self._usual[group]

    @cached_property
    def _usual(self) -> dict[str | None, Levels]:
        return {}

    def _one_each(self, group: str | None) -> list[int]:
        # Tiles of one photograph are more alike than photographs, so one tile of each is chosen, by a digest, as if at
        # random.
        rows: dict[str, int] = {}
        for row, image in enumerate(self.images):
            if group in (None, image.group):
                # A photograph without tiles stands for itself.
                rows.setdefault(image.cluster or image.truth, row)
        return list(rows.values())

    def errors_shown(self, group: str | None = None) -> SquaredErrors:
        """Return the errors of pictures that may be shown, for all photographs or a group."""
        return self.squared_errors[[row for row, image in enumerate(self.images) if group in (None, image.group)]]

    def worth(self, rule: Guarantee, alpha: float) -> MaskWorth:
        """Measure on these photographs what masks of `rule` at `alpha` are worth beside pictures that cost nothing."""
        rows = [row for row, image in enumerate(self.images) if rule.own_group in (None, image.group)]
        tiles = [self.images[row].cluster or self.images[row].truth for row in rows]
        procedure, metric = self.procedure, catalog.of_specification("metrics", self.procedure.metric)
        consistent = procedure.mixture.linear and not metric.averages_colours and procedure.delivery == "first"
        instead = ("--delivery consistent",) * consistent
        instead += ("--score unsupported",) * (procedure.score["name"] == "predicted-invention")
        threshold = min(one.threshold(self.curves_for(one), alpha) for one in self.rules_by_score(rule))
        errors = self.squared_errors[rows]
        detail, enlarged = self.detail_by_score[rows], procedure.scale > 1
        return MaskWorth.of(alpha, threshold, errors, detail, tiles, instead, enlarged=enlarged)

    def rule(self, guarantee: str | Guarantee | None = None, **parameters: Any) -> Guarantee:
        """Return the requested guarantee, or the calibration's own; by cluster if tiles were calibrated.

        `guarantee` is an instance, ``name`` or ``name:key=value``; keywords add parameters.
        """
        if isinstance(guarantee, Guarantee):
            rule = guarantee
        else:
            typed = dict(self.guarantee)
            name = typed.pop("name")
            if guarantee is not None:
                name, typed = catalog.parse(guarantee)
            rule = choose_guarantee(name, **{**typed, **parameters})
            if rule.needs.curve_kind == "share" and rule.stated_tolerance is None:
                rule = rule.naming(self.curves_for(rule).tolerance)
        # Calibrated in tiles, any guarantee holds for photographs only by their clusters.
        clusters = [image.cluster for image in self.images if image.cluster is not None]
        return in_tiles(rule, clusters) if clusters and rule.tiles is None else rule

    def curves_for(self, rule: Guarantee) -> CurveSet:
        """Return the curves that `rule` is about; no picture is read.

        Raises
        ------
        CalibrationError
            Shares of wrong pixels were stored for other tolerances only, or no error can exceed the tolerance; or
            curves that leave out a share of the picture were stored for other shares only, or curves of detail for
            another ceiling or not at all.
        """
        if rule.needs.curve_kind == "supremum":
            return self.curves
        if rule.needs.curve_kind in ("all-but", "local"):
            return self._made_with(rule.needs)
        if rule.needs.curve_kind in DETAIL:
            curves = self._of_detail(rule)
            if rule.beside is None:
                return curves.up_to(math.inf)
            other, level = rule.beside
            choice = other.choose(self.curves, level)
            if choice.reason is not None:
                raise CalibrationError(
                    f"largest_error={level:g} of {rule.innermost.plugin_name()} cannot be kept, and {choice.reason}"
                )
            return curves.up_to(choice.threshold)
        tolerance = rule.stated_tolerance
        # Every pixel keeps a tolerance as large as the bound, so its curves say nothing.
        telling = [curves for curves in self.shares if curves.tolerance is not None and curves.tolerance < self.bound]
        fitting = [curves for curves in telling if tolerance is None or curves.tolerance == tolerance]
        if not fitting:
            stored = ", ".join(f"{curves.tolerance:g}" for curves in telling) or "none"
            raise CalibrationError(
                f"shares of pixels wrong by a tolerance below {self.bound:g} are stored for {stored}; asked for "
                f"{'any' if tolerance is None else format(tolerance, 'g')}. Calibrate again with "
                "--guarantee false-trust:tolerance=…: the draws are stored, so no call is made"
            )
        return fitting[0]

    def _made_with(self, needs: Needs) -> CurveSet:
        every = [curves for curves in (*self.all_but, *self.local) if curves.kind == needs.curve_kind]
        made_with = [getattr(curves, PARAMETERS[needs.curve_kind]) for curves in every]
        if needs.parameter in made_with:
            return every[made_with.index(needs.parameter)]
        name = {"all-but": "share", "local": "side"}[needs.curve_kind]
        stored = ", ".join(f"{value:g}" for value in made_with) or "none"
        raise CalibrationError(
            f"curves of {needs.curve_kind} are stored for this {name}: {stored}; asked for {needs.parameter:g}. "
            f"Calibrate again with --guarantee {needs.curve_kind}:{name}={needs.parameter:g}: the draws are stored, so "
            "no call is made"
        )

    def _of_detail(self, rule: Guarantee) -> CurveSet:
        ceiling, kind = rule.threshold_ceiling, rule.needs.curve_kind
        for curves in self.detail:
            if (curves.kind, curves.ceiling) == (kind, ceiling):
                return curves
            if (curves.kind, kind, curves.ceiling) == ("marked-by-area", "marked", ceiling):
                return curves.marked(max(image.height * image.width for image in self.images))
        stored = ", ".join(sorted({f"{curves.ceiling:g}" for curves in self.detail if curves.kind == kind})) or "none"
        raise CalibrationError(
            f"curves of {kind} are stored for the ceiling {stored}; asked for {ceiling:g}. Calibrate again with "
            f"--guarantee {kind}:ceiling={ceiling:g}: the draws are stored, so no call is made"
        )

    def bound_for(self, rule: Guarantee) -> float:
        """Return the largest loss that the curves of `rule` can take."""
        return rule.loss_bound(self.bound)

    def rule_of_group(self, group: str, rule: Guarantee | None = None) -> Guarantee:
        """Return the guarantee within one group: only photographs with its name calibrate.

        Raises CalibrationError if no photograph has this group.
        """
        groups = tuple(image.group or "" for image in self.images)
        if not any(groups):
            raise CalibrationError("these photographs were calibrated without groups; calibrate with --groups FILE")
        if group not in self.groups:
            raise CalibrationError(
                f"expected one of the groups that were calibrated, {', '.join(map(printable, self.groups))}; got "
                f"{printable(group)}, of which nothing is known, so nothing could be trusted"
            )
        inner = {key: value for key, value in (rule or self.rule()).specification().items() if value is not None}
        kind = "by-score" if self.score_groups else "by-vendor" if self.own_groups else "by-group"
        return choose_guarantee(kind, of=inner.pop("name"), parameters=inner, groups=groups, group_new=group)

    def rules_by_score(self, rule: Guarantee | None = None) -> list[Guarantee]:
        """Return the guarantee within each group by score, or as it is where there are none."""
        rule = rule or self.rule()
        own = self.own_groups if self.score_groups and rule.own_group is None else ()
        return [self.rule_of_group(group, rule) for group in own] or [rule]

    def threshold(self, alpha: float, guarantee: str | None = None, **parameters: Any) -> float:
        """Return the largest threshold that keeps the guarantee at `alpha`; -inf trusts nothing, +inf everything.

        With groups by score it is the smallest of theirs, at which the guarantee of each holds.
        """
        rules = self.rules_by_score(self.rule(guarantee, **parameters))
        return min(rule.threshold(self.curves_for(rule), alpha) for rule in rules)

    def risk(self, threshold: float) -> float:
        """Return the level that the guarantee gives at `threshold`."""
        return max(rule.risk(self.curves_for(rule), threshold) for rule in self.rules_by_score())

    @cached_property
    def alphas(self) -> NDArray[np.float64]:
        """Return the levels at which the threshold changes, ascending."""
        return np.unique(np.concatenate([rule.levels(self.curves_for(rule)) for rule in self.rules_by_score()]))

    def blocks(self) -> Iterator[Block]:
        """Yield thresholds and trusted shares of usual levels, and what masks are worth; for pandas the photographs."""
        columns = {"alpha": "{alpha:g}", "threshold": "{threshold:.4g}", "trusted share": "{trusted_share:share}"}
        yield Table("levels", columns, self._level_rows())
        rule = self.rule()
        worth = self.worth(rule, usual_level(self.bound_for(rule), rule))
        yield Note(worth.words(), {"worth": worth.document})
        yield Figure(lambda: [self._trusted_chart()])
        said = ("name", "width", "height", "group", "cluster", "fitted", "refused", "reopened")
        errors = self.curves.losses_at(math.inf)
        photographs = [
            {**{name: getattr(image, name) for name in said[:3]}, "largest_error": float(error)}
            | {name: getattr(image, name) for name in said[3:]}
            for image, error in zip(self.images, errors, strict=True)
        ]
        yield Table("photographs", {}, photographs)

    def _trusted_chart(self) -> Chart:
        levels = self.alphas[np.isfinite(self.alphas) & (self.alphas > 0)]
        # The level from which everything is trusted, else the largest level.
        last = float(levels[-1]) if levels.size else math.inf
        end = min(self.bound_for(self.rule()), 1.1 * last)
        rows = self._level_rows([end * step / _STEPS for step in range(1, _STEPS + 1)])
        known = [(row["alpha"], row["trusted_share"]) for row in rows if row["trusted_share"] is not None]
        series = Series("mean over the calibration photographs", "realised", ((0.0, 0.0), *known), "step")
        axes: dict[str, Any] = {"x_range": (0.0, end), "y_range": (0.0, 1.0), "percent": True}
        return Chart("Trusted share", "alpha", "trusted", [series], **axes)

    def _level_rows(self, levels: Sequence[float] = ()) -> list[dict[str, Any]]:
        possible = [level for level in levels or _LEVELS if level < self.bound_for(self.rule())]
        rows = []
        for level in possible:
            threshold, trusted = self.threshold(level), None
            if self.curves.area_scores.size:
                # A refused photograph has no pixels to trust.
                trusted = float(np.mean(np.nan_to_num(self.curves.trusted_shares_at(threshold))))
            rows.append({"alpha": level, "threshold": threshold, "trusted_share": trusted})
        return rows

    @cached_property
    def digest(self) -> str:
        """Return ``sha256:…`` of the calibration's content."""
        return CALIBRATIONS.digest(self)

    def signed(self, key: SigningKey) -> Self:
        """Return the same calibration with a signature by `key`."""
        return replace(self, signature=CALIBRATIONS.signature(self, key))

    def vouching(self, trusted: Trusted = ()) -> Vouching:
        """Tell who vouches for the calibration; `trusted` holds the public keys that the reader trusts.

        Raises
        ------
        CheckFailedError
            The signature is broken.
        """
        return CALIBRATIONS.vouching(self, judged(self.file, self.signature, trusted))

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the calibration file; without `force`, overwrite only the same calibration.

        A signature is added to a file without one; a signed file is not replaced by the same without its signature.

        Raises
        ------
        UsageError
            The file exists with other content.
        CheckFailedError
            The calibration was changed since it was signed.
        """
        self.vouching()
        path = Path(path)
        earlier = None
        with suppress(BlackboxConformalError):
            # Only a readable file of this very calibration, unsigned, may be added to.
            earlier = Calibration.load(path) if path.exists() and not force else None
        if earlier is not None and earlier.digest != self.digest:
            earlier = None
        # The watch lies beside the first file; a copy saved elsewhere does not move it.
        if self.file is None:
            object.__setattr__(self, "file", path.absolute())
        if earlier is not None and self.signature is None:
            return path
        adding = earlier is not None and earlier.signature is None
        return write_new(path, CALIBRATIONS.paper_text(self).encode(), force=force or adding)

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a calibration file; check its signature, too, if the extra ``sign`` is installed.

        Raises
        ------
        FileFormatError
            The file is missing, damaged, edited, newer than this version, or built to harm.
        CheckFailedError
            Its signature is broken.
        """
        path = Path(path)
        calibration = CALIBRATIONS.read(path)
        object.__setattr__(calibration, "file", path.absolute())
        calibration.vouching()
        return calibration


class _StoredCalibrations(StoredPaper[Calibration]):
    def _fields(self, document: Calibration) -> dict[str, Any]:
        fields, procedure = super()._fields(document), document.procedure
        # A file does not say where it lies.
        del fields["file"]
        weights = None if procedure.score_weights is None else base64.b64encode(procedure.score_weights).decode()
        fields |= {"fingerprint": procedure.fingerprint, "score_weights": weights}
        # Older files lack these fields and must keep their digest.
        fields |= {"history": document.history.content or None}
        for name in _ADDED:
            fields |= {} if len(getattr(document, name).known) else {name: None}
        fields |= {name: fields[name] or None for name in ("all_but", "detail", "local", "score_groups")}
        # In one order, whatever the order of choosing and answering.
        fields["tuning"].sort(key=lambda photograph: photograph["truth"])
        fields["vendor_models"].sort()
        return {name: value for name, value in fields.items() if value is not None}

    def _document(self, fields: dict[str, Any]) -> Calibration:
        fingerprint, weights = fields.pop("fingerprint", None), fields.pop("score_weights", None)
        if weights is not None:
            weights = base64.b64decode(weights, validate=True)
        fields["procedure"] = {**fields["procedure"], "score_weights": weights}
        calibration = super()._document(fields)
        # Computed again, because a file may lie about itself.
        if calibration.procedure.fingerprint != fingerprint:
            raise FileFormatError("the fingerprint is not that of its procedure; the file is damaged")
        check_agreement(calibration)
        return calibration


CALIBRATIONS = _StoredCalibrations(
    Calibration,
    "calibration",
    3,
    anew="Calibrate again, since the draws are stored and no call is made, or name the file that `calibrate` wrote",
    limit=2**30,
    sort_keys=True,
)


def check_agreement(calibration: Calibration) -> None:
    """Refuse a calibration that no run of this program could have written.

    A file may come from anyone: values that follow from the metric are computed again, and no name in the file runs as
    code.
    """
    procedure = calibration.procedure
    check_vendor(procedure.vendor, "vendor")
    if procedure.second_opinion is not None:
        check_vendor(procedure.second_opinion, "second opinion")
    require_name("scores", procedure.score)
    procedure.build_score()
    if procedure.perturbation is not None:
        catalog.member("images.perturbation", procedure.perturbation)
    require_name("metrics", procedure.metric)
    # From the metric, not the file: too small a bound would void the guarantee.
    _check_bound(calibration, catalog.of_specification("metrics", procedure.metric))
    # Reading showed that it exists, but the reader takes more white space than a terminal should.
    if not (calibration.procedure.mixture.chains and calibration.procedure.degradation.isprintable()):
        raise FileFormatError(
            f"expected how inputs are made; got {calibration.procedure.degradation!r}. The file was edited"
        )
    _check_images(calibration)
    for curves in calibration.every_curves:
        check_refused(calibration.images, curves)
    parameters = dict(calibration.guarantee)
    name = parameters.pop("name", None)
    if not isinstance(name, str):
        raise FileFormatError(f"expected the name of a guarantee; got {name!r}")
    rule = choose_guarantee(name, **parameters)
    if rule.own_bound is not None:
        # The bound of one new picture says nothing of the photographs that calibrate.
        raise FileFormatError("expected no bound of a new photograph in a calibration file; got one")
    for name, values in rule.by_photograph.items():
        if len(values) != len(calibration.images):
            raise FileFormatError(f"expected {name} of {len(calibration.images)} photographs; got {len(values)}")
    of_each = [image.group for image in calibration.images]
    if (count := calibration.score_groups) and (
        count not in NAMES or procedure.vendors_that_end or of_each != groups_of(calibration.score_keys, count)
    ):
        raise FileFormatError("expected the groups of its photographs' median scores; got others. The file was edited")
    taught = {photograph.truth for photograph in calibration.procedure.build_score().taught_by}
    if count := len(taught & {image.truth for image in calibration.images}):
        raise FileFormatError(
            f"{count} of its photographs taught the weights of its score, so they give it no guarantee. The file was "
            "edited"
        )


def _check_bound(calibration: Calibration, metric: Metric) -> None:
    bound = metric.capped_bound
    if not calibration.bound == calibration.curves.bound == bound or calibration.curves.kind != "supremum":
        raise FileFormatError(
            f"expected the bound of the metric {metric.plugin_name()}, {bound:g}; the file says "
            f"{calibration.bound:g} and its curves {calibration.curves.bound:g}. It is damaged or was edited. "
            "Calibrate again"
        )
    tolerances = [curves.tolerance for curves in calibration.shares]
    if any(curves.kind != "share" or curves.bound != 1.0 for curves in calibration.shares) or twice(tolerances):
        raise FileFormatError("expected one set of shares of wrong pixels for each tolerance; got others")
    for kind, name, every in (("all-but", "left_out", calibration.all_but), ("local", "side", calibration.local)):
        made_with = [getattr(curves, name) for curves in every]
        if any((curves.kind, curves.bound) != (kind, bound) for curves in every) or twice(made_with):
            what = "share left out" if kind == "all-but" else "side"
            raise FileFormatError(f"expected one set of curves with the metric's bound for each {what}; got others")
    detail = [(curves.kind, curves.bound) for curves in calibration.detail]
    if twice(detail) or not {*detail} <= {(kind, 1.0) for kind in (*DETAIL, "marked-by-area")}:
        raise FileFormatError("expected shares of detail, one set of curves of a kind; got others")


def _check_images(calibration: Calibration) -> None:
    truths = [image.truth for image in calibration.images]
    # One order, so that one calibration has one file.
    if truths != sorted(truths):
        raise FileFormatError("expected photographs in the order of their digests; the file was edited")
    if twice([image.input for image in calibration.images]):
        raise FileFormatError("two photographs have the same input; each must count once. The file was edited")
    scale = calibration.procedure.scale
    if any(image.height % scale or image.width % scale for image in calibration.images):
        raise FileFormatError(f"expected photographs of whole multiples of {scale} pixels; the file was edited")
    sizes = calibration.inputs.column(SIZE)
    pixels = [image.height * image.width // scale**2 for image in calibration.images]
    # Single precision, as the statistics are stored.
    if np.any(np.abs(sizes - np.log2(pixels)) > 1e-5):
        raise FileFormatError(
            "expected statistics of inputs of the photographs' sizes; got others. The file was edited"
        )
    everything = [*calibration.images, *calibration.tuning]
    sketches = [photograph.sketch for photograph in everything]
    if len(set(sketches)) < len(sketches):
        # Blank pictures may look the same; others that look the same are one picture.
        counts = Counter(sketches)
        if any(counts[photograph.sketch] > 1 and not photograph.as_sketch.flat for photograph in everything):
            raise FileFormatError("two photographs have the same sketch; each must count once. The file was edited")
