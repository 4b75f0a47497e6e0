"""The calibration: curves of n photographs under one procedure, and the file that carries them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from blackbox_conformal import __version__, member_text
from blackbox_conformal.agreement import check_agreement
from blackbox_conformal.blocks import Block, Faces, Figure, Table
from blackbox_conformal.calibration_content import from_content, to_content
from blackbox_conformal.calibration_file import FORMAT, VERSION, read_content
from blackbox_conformal.calibration_history import History
from blackbox_conformal.calibration_images import CalibrationImage, KnownPhotograph
from blackbox_conformal.calibration_summary import level_rows, photograph_rows, trusted_chart
from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import BlackboxConformalError, CalibrationError, FileFormatError
from blackbox_conformal.files import write_new
from blackbox_conformal.guarantees.by_cluster import in_tiles
from blackbox_conformal.guarantees.choose import guarantee as choose_guarantee
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.images.duplicates import Distinct, Sketch
from blackbox_conformal.images.input_statistics.rows import InputStatistics
from blackbox_conformal.procedure import Procedure
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.signature import Signature, Vouching
from blackbox_conformal.text import counted, printable

if TYPE_CHECKING:
    from blackbox_conformal.signing_key import SigningKey


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
    shares
        The same for the share of the picture that is trusted and wrong, one set for each stored tolerance.
    all_but
        The same for the largest trusted error but for a share of the picture, one set for each stored share.
    answers
        What the answers to each photograph were like, by which those to new pictures can be told to be other ones.
    inputs
        What the input of each photograph is like, by which new inputs can be told to be other ones.
    guarantee
        Name and parameters of the guarantee that `threshold` uses unless told otherwise.
    tuning
        Photographs that choices were made on; none of them is in `images`.
    vendor_models
        What the vendor called the models that answered, when it says so.
    history
        What its run folder knew when it was begun.
    made_with
        The version of this package that computed it.
    signature
        By whoever vouches for it; None where it is not signed.
    file
        Where it was read or first saved, which its watch lies beside; None where it is in no file.
    """

    procedure: Procedure
    bound: float
    images: tuple[CalibrationImage, ...]
    curves: CurveSet
    guarantee: dict[str, Any] = field(default_factory=lambda: {"name": "expected"})
    tuning: tuple[KnownPhotograph, ...] = ()
    vendor_models: tuple[str, ...] = ()
    shares: tuple[CurveSet, ...] = ()
    answers: Answers = field(default_factory=lambda: Answers.unknown(0))
    inputs: InputStatistics = field(default_factory=lambda: InputStatistics.unknown(0))
    all_but: tuple[CurveSet, ...] = ()
    history: History = field(default_factory=History)
    made_with: str = f"blackbox-conformal {__version__}"
    signature: Signature | None = field(default=None, compare=False)
    file: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name, kind in (("inputs", InputStatistics), ("answers", Answers)):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, kind.unknown(self.n))
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
        for curves in (self.curves, *self.shares, *self.all_but):
            if len(curves) != len(self.images):
                raise CalibrationError(f"expected one curve a photograph; got {len(curves)} for {len(self.images)}")
        if len(self.answers) != len(self.images):
            raise CalibrationError(f"expected answers of {self.n} photographs; got those of {len(self.answers)}")
        if len(self.inputs) != len(self.images):
            raise CalibrationError(f"expected statistics of {len(self.images)} inputs; got those of {len(self.inputs)}")

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
        **rest: Any,
    ) -> Self:
        """A calibration in canonical order (by truth digest), whatever order the photographs were drawn in."""
        order = sorted(range(len(images)), key=lambda index: images[index].truth)
        return cls(
            procedure,
            bound,
            tuple(images[index] for index in order),
            CurveSet.from_curves([curves[index] for index in order]),
            shares=tuple(CurveSet.from_curves([kind[index] for index in order]) for kind in shares),
            all_but=tuple(CurveSet.from_curves([kind[index] for index in order]) for kind in all_but),
            answers=Answers.together(answers)[order if answers else []],
            inputs=InputStatistics.together(inputs)[order if inputs else []],
            **rest,
        )

    def __repr__(self) -> str:
        vendor, rule = self.procedure.vendor.get("adapter"), self.guarantee.get("name")
        return (
            f"<Calibration of {vendor} ×{self.procedure.scale}: {self.n} photographs, "
            f"{counted(self.procedure.draws, 'draw')}, {rule}, bound {self.bound:g}, {self.digest[:19]}>"
        )

    @property
    def n(self) -> int:
        """Number of photographs."""
        return len(self.images)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that photographs are of, sorted; none where they were calibrated without."""
        return tuple(sorted({image.group for image in self.images if image.group}))

    def known(self, sketch: Sketch, pixels: str) -> str | None:
        """Which photograph of this calibration or of its tuning a picture shows, in words; None: none of them.

        Parameters
        ----------
        sketch
            The picture's sketch.
        pixels
            Digest of the pixels that the vendor is sent.
        """
        twin = self._distinct.twin(sketch)
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

    def comparable_inputs(self, group: str | None = None) -> InputStatistics:
        """What new inputs are compared with: the inputs of all photographs or of a group, one tile of each photograph.

        Tiles of one photograph are more alike than photographs. Which one stands for them follows from a digest, so it
        is like one that was drawn.
        """
        rows: dict[str, int] = {}
        for row, image in enumerate(self.images):
            if group in (None, image.group):
                rows.setdefault(image.cluster or image.truth, row)
        return self.inputs[list(rows.values())].known

    def rule(self, guarantee: str | Guarantee | None = None, **parameters: Any) -> Guarantee:
        """The guarantee asked for, or the one this calibration was made for; by cluster where tiles were calibrated.

        Parameters
        ----------
        guarantee
            An instance, or ``name`` or ``name:key=value``; further parameters may be keywords.
        """
        if isinstance(guarantee, Guarantee):
            rule = guarantee
        else:
            typed = dict(self.guarantee)
            name = typed.pop("name")
            if guarantee is not None:
                name, typed = member_text.parse(guarantee)
            rule = choose_guarantee(name, **{**typed, **parameters})
        clusters = [image.cluster for image in self.images if image.cluster is not None]
        return in_tiles(rule, clusters) if clusters and rule.tiles is None else rule

    def curves_for(self, rule: Guarantee) -> CurveSet:
        """The curves that `rule` is about; no picture is read.

        Raises
        ------
        CalibrationError
            Shares of wrong pixels were stored for other tolerances only, or no error can exceed the tolerance; or
            curves that leave out a share of the picture were stored for other shares only.
        """
        if rule.needs.curve_kind == "supremum":
            return self.curves
        if rule.needs.curve_kind == "all-but":
            return self._leaving_out(rule.left_out)
        tolerance = rule.stated_tolerance
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

    def _leaving_out(self, share: float | None) -> CurveSet:
        for curves in self.all_but:
            if curves.left_out == share:
                return curves
        stored = ", ".join(f"{curves.left_out:g}" for curves in self.all_but) or "none"
        raise CalibrationError(
            f"curves are stored that leave out this share of the picture: {stored}; asked for {share}. Calibrate "
            f"again with --guarantee all-but:share={share}: the draws are stored, so no call is made"
        )

    def bound_for(self, rule: Guarantee) -> float:
        """The largest loss of the curves that `rule` is about."""
        return rule.loss_bound(self.bound)

    def rule_of_group(self, group: str, rule: Guarantee | None = None) -> Guarantee:
        """The guarantee within one group of photographs: those that carry its name calibrate, the others do not.

        Raises
        ------
        CalibrationError
            The photographs were calibrated without groups, or none of them is of this one.
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
        return choose_guarantee("by-group", of=inner.pop("name"), parameters=inner, groups=groups, group_new=group)

    def threshold(self, alpha: float, guarantee: str | None = None, **parameters: Any) -> float:
        """The largest threshold that keeps the guarantee at `alpha`; -inf: nothing, +inf: everything can be trusted."""
        rule = self.rule(guarantee, **parameters)
        return rule.threshold(self.curves_for(rule), alpha)

    def risk(self, threshold: float) -> float:
        """The level that the guarantee gives at `threshold`."""
        rule = self.rule()
        return rule.risk(self.curves_for(rule), threshold)

    @cached_property
    def alphas(self) -> NDArray[np.float64]:
        """The levels at which the threshold changes, ascending."""
        rule = self.rule()
        return rule.levels(self.curves_for(rule))

    def blocks(self) -> Iterator[Block]:
        """The usual levels with their thresholds and trusted shares; for pandas the photographs, too."""
        columns = {"alpha": "{alpha:g}", "threshold": "{threshold:.4g}", "trusted share": "{trusted_share:share}"}
        yield Table("levels", columns, level_rows(self))
        yield Figure(lambda: [trusted_chart(self)])
        yield Table("photographs", {}, photograph_rows(self))

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the calibration's content."""
        return digest_json(to_content(self))

    def signed(self, key: SigningKey) -> Self:
        """The same calibration with a signature by `key`."""
        return replace(self, signature=key.sign(FORMAT, VERSION, self.digest))

    def vouching(self, trusted: Collection[str] = ()) -> Vouching:
        """Who vouches for it; `trusted`: the public keys that the reader trusts.

        Raises
        ------
        CheckFailedError
            The signature is broken.
        """
        return Vouching.of(self.signature, "the calibration", FORMAT, VERSION, self.digest, trusted)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the calibration file; nothing is overwritten without `force` unless it is the same calibration.

        A signature is added to a file without one, and a file with one is not replaced by the same without.

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
            earlier = Calibration.load(path) if path.exists() and not force else None
        if earlier is not None and earlier.digest != self.digest:
            earlier = None
        if self.file is None:
            object.__setattr__(self, "file", path.absolute())
        if earlier is not None and self.signature is None:
            return path
        signature = {} if self.signature is None else {"signature": self.signature.model_dump(mode="json")}
        content = {**to_content(self), "digest": self.digest, **signature}
        text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False)
        adding = earlier is not None and earlier.signature is None
        return write_new(path, text.encode() + b"\n", force=force or adding)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a calibration file; its signature is checked too where the extra ``sign`` is installed.

        Raises
        ------
        FileFormatError
            It is missing, damaged, edited, newer than this version, or built to harm.
        CheckFailedError
            Its signature is broken.
        """
        path = Path(path)
        content = read_content(path)
        digest = content.pop("digest")
        try:
            signature = content.pop("signature", None)
            if digest_json(content) != digest:
                raise FileFormatError("was changed after it was written: its digest does not match. Calibrate again")
            calibration = cls(
                **from_content(content),
                signature=None if signature is None else Signature(**signature),
                file=path.absolute(),
            )
            check_agreement(calibration)
            if signature is not None and calibration.digest != digest:
                raise FileFormatError(
                    "is signed and says what this version would not write. Calibrate again and sign that"
                )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise FileFormatError(f"{path}: expected a calibration of this version; {where}: {first['msg']}") from None
        except (BlackboxConformalError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise FileFormatError(f"{path}: {error}") from None
        calibration.vouching()
        return calibration
