"""The calibration: curves of n photographs under one procedure, and the file that carries them.

Thresholds come from `guarantees`; no picture is read here, whatever level, guarantee or group is asked for.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackbox_conformal import __version__
from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import CalibrationError, FileFormatError
from blackbox_conformal.files import write_new
from blackbox_conformal.guarantees.base import Guarantee
from blackbox_conformal.guarantees.by_cluster import ByCluster, in_tiles
from blackbox_conformal.guarantees.choose import guarantee as choose_guarantee
from blackbox_conformal.images.duplicates import SKETCH_LETTERS, Distinct, Sketch
from blackbox_conformal.images.names import printable
from blackbox_conformal.procedure import Procedure
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet

FORMAT = "blackbox-conformal calibration"
VERSION = 2
MAXIMUM_FILE_BYTES = 2**30


class KnownPhotograph(BaseModel):
    """A photograph that was looked at: identity of its pixels, and the sketch by which its copies are recognised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    truth: str
    sketch: str = Field(pattern=f"^[A-Za-z0-9+/]{{{SKETCH_LETTERS}}}$", repr=False)

    @classmethod
    def of(cls, seen: Sketch) -> "KnownPhotograph":
        """The photograph that `seen` is the sketch of."""
        return KnownPhotograph(truth=seen.digest, sketch=seen.text)

    @property
    def seen(self) -> Sketch:
        """The sketch, ready to be compared.

        Raises
        ------
        FileFormatError
            The text is no sketch.
        """
        return Sketch.from_text(self.truth, self.sketch)


class CalibrationImage(KnownPhotograph):
    """One photograph: also identity of its input, and the vendor's refusal if it refused.

    `group` is that of the photograph, `cluster` the photograph that this one is a tile of, where they were given.
    """

    name: str
    input: str
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    refused: str | None = None
    group: str | None = None
    cluster: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["blackbox-conformal calibration"]
    version: int
    fingerprint: str
    procedure: dict[str, Any]
    bound: float
    guarantee: dict[str, Any]
    images: list[dict[str, Any]]
    curves: str
    shares: list[str]
    answers: str
    made_with: str
    tuning: list[dict[str, Any]]
    vendor_models: list[str]
    digest: str


@dataclass(frozen=True, repr=False)
class Calibration:
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
    answers
        What the answers to each photograph were like, by which those to new pictures can be told to be other ones.
    guarantee
        Name and parameters of the guarantee that `threshold` uses unless told otherwise.
    tuning
        Photographs that choices were made on; none of them is in `images`.
    vendor_models
        What the vendor called the models that answered, when it says so.
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

    def __post_init__(self) -> None:
        if not len(self.answers):
            object.__setattr__(self, "answers", Answers.unknown(len(self.images)))
        truths = [image.truth for image in self.images]
        if len(set(truths)) != len(truths):
            raise CalibrationError("a photograph stands twice in the calibration; each counts once")
        shared = {one.truth for one in self.tuning} & set(truths)
        if shared:
            raise CalibrationError(
                f"{len(shared)} photographs are both tuning and calibration photographs; a choice made on a photograph "
                "that calibrates voids the guarantee. Calibrate on the others"
            )
        if len({image.cluster is None for image in self.images}) > 1:
            raise CalibrationError("expected the photograph of every tile, or of none; some have none")
        for curves in (self.curves, *self.shares):
            if len(curves) != len(self.images):
                raise CalibrationError(f"expected one curve a photograph; got {len(curves)} for {len(self.images)}")
        if len(self.answers) != len(self.images):
            raise CalibrationError(
                f"expected answers of {len(self.images)} photographs; got those of {len(self.answers)}"
            )

    @classmethod
    def from_curves(
        cls,
        procedure: Procedure,
        bound: float,
        images: Sequence[CalibrationImage],
        curves: Sequence[RiskCurve],
        shares: Sequence[Sequence[RiskCurve]] = (),
        answers: Sequence[Answers] = (),
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
            answers=Answers.together(answers)[order if answers else []],
            **rest,
        )

    def __repr__(self) -> str:
        vendor, rule = self.procedure.vendor.get("adapter"), self.guarantee.get("name")
        return (
            f"<Calibration of {vendor} ×{self.procedure.scale}: {self.n} photographs, {self.procedure.draws} draws, "
            f"{rule}, bound {self.bound:g}, {self.digest[:19]}>"
        )

    @property
    def n(self) -> int:
        """Number of photographs."""
        return len(self.images)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that photographs are of, sorted; none where they were calibrated without."""
        return tuple(sorted({image.group for image in self.images if image.group}))

    def known(self, seen: Sketch, pixels: str) -> str | None:
        """Which photograph of this calibration or of its tuning a picture shows, in words; None: none of them.

        Parameters
        ----------
        seen
            The picture's sketch.
        pixels
            Digest of the pixels that the vendor is sent.
        """
        if pixels in self._inputs:
            return f"the input of calibration photograph {printable(self._inputs[pixels])}"
        twin = self._looked_at.twin(seen)
        if twin is None:
            return None
        return twin.name if twin.exact else f"a copy of {twin.name}: the two {twin.relation}"

    @cached_property
    def _inputs(self) -> dict[str, str]:
        return {image.input: image.name for image in self.images}

    @cached_property
    def _looked_at(self) -> Distinct:
        calibrating = ((f"calibration photograph {printable(one.name)}", one.seen) for one in self.images)
        return Distinct([*calibrating, *(("a tuning photograph", one.seen) for one in self.tuning)])

    def rule(self, guarantee: str | None = None, **parameters: Any) -> Guarantee:
        """The guarantee asked for, or the one this calibration was made for; by cluster where tiles were calibrated."""
        if guarantee is None:
            chosen = dict(self.guarantee)
            found = choose_guarantee(chosen.pop("name"), **{**chosen, **parameters})
        else:
            found = choose_guarantee(guarantee, **parameters)
        clusters = [image.cluster for image in self.images if image.cluster is not None]
        return in_tiles(found, clusters) if clusters and not isinstance(found, ByCluster) else found

    def curves_for(self, rule: Guarantee) -> CurveSet:
        """The curves that `rule` is about; no picture is read.

        Raises
        ------
        CalibrationError
            Shares of wrong pixels were stored for other tolerances only.
        """
        if rule.needs.curve_kind == "supremum":
            return self.curves
        plain: Any = rule
        while hasattr(plain, "inner"):
            plain = plain.inner
        tolerance = getattr(plain, "tolerance", None)
        fitting = [curves for curves in self.shares if tolerance is None or curves.tolerance == tolerance]
        if not fitting:
            stored = ", ".join(f"{curves.tolerance:g}" for curves in self.shares) or "none"
            raise CalibrationError(
                f"shares of wrong pixels are stored for tolerance {stored}; asked for "
                f"{'any' if tolerance is None else format(tolerance, 'g')}. Calibrate again with "
                "--guarantee false-trust:tolerance=…: the draws are stored, so no call is made"
            )
        return fitting[0]

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

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the calibration's content."""
        return digest_json(self._content())

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the calibration file; nothing is overwritten without `force` unless it is the same calibration."""
        text = json.dumps({**self._content(), "digest": self.digest}, sort_keys=True, indent=1, ensure_ascii=False)
        return write_new(Path(path), text.encode() + b"\n", force=force)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a calibration file.

        Raises
        ------
        FileFormatError
            It is missing, damaged, edited, newer than this version, or built to harm.
        """
        path = Path(path)
        content = _read(path)
        digest = content.pop("digest")
        if digest_json(content) != digest:
            raise FileFormatError(
                f"{path}: was changed after it was written: its digest does not match. Calibrate again"
            )
        try:
            procedure = Procedure(**content["procedure"])
            images = tuple(CalibrationImage(**image) for image in content["images"])
            tuning = tuple(KnownPhotograph(**one) for one in content["tuning"])
            curves = _unpacked(content["curves"])
            shares = tuple(map(_unpacked, content["shares"]))
            answers = Answers.from_bytes(base64.b64decode(content["answers"], validate=True))
        except (ValidationError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path}: expected a calibration of this version; {error}") from None
        if procedure.fingerprint != content["fingerprint"]:
            raise FileFormatError(f"{path}: the fingerprint is not that of its procedure; the file is damaged")
        if not curves.bounded_by(content["bound"]) or not all(kind.kind == "share" for kind in shares):
            raise FileFormatError(f"{path}: a curve exceeds the declared bound {content['bound']}; the file is damaged")
        return cls(
            procedure,
            content["bound"],
            images,
            curves,
            content["guarantee"],
            tuning,
            tuple(content["vendor_models"]),
            shares,
            answers,
        )

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.procedure.fingerprint,
            "procedure": self.procedure.model_dump(mode="json"),
            "bound": self.bound,
            "guarantee": self.guarantee,
            "images": [image.model_dump(mode="json") for image in self.images],
            "curves": _packed(self.curves),
            "shares": [_packed(curves) for curves in self.shares],
            "answers": base64.b64encode(self.answers.to_bytes()).decode(),
            "made_with": f"blackbox-conformal {__version__}",
            "tuning": [one.model_dump(mode="json") for one in sorted(self.tuning, key=lambda one: one.truth)],
            "vendor_models": sorted(self.vendor_models),
        }


def _packed(curves: CurveSet) -> str:
    return base64.b64encode(curves.to_bytes()).decode()


def _unpacked(text: str) -> CurveSet:
    return CurveSet.from_bytes(base64.b64decode(text, validate=True))


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise FileFormatError(f"{path}: expected a calibration below {MAXIMUM_FILE_BYTES} bytes; it is larger")
        content = json.loads(path.read_bytes(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise FileFormatError(f"{path}: expected a {FORMAT}; this is another file")
        if isinstance(content.get("version"), int) and content["version"] > VERSION:
            raise FileFormatError(
                f"{path}: was written in format {content['version']}, this version reads up to {VERSION}. "
                "Upgrade blackbox-conformal"
            )
        if isinstance(content.get("version"), int) and content["version"] < VERSION:
            raise FileFormatError(
                f"{path}: was written in format {content['version']}, before there was a release; this version reads "
                f"{VERSION}. Calibrate again: the draws are stored, so no call is made"
            )
        _File(**content)
    except OSError as error:
        raise FileFormatError(f"{path}: expected a readable calibration file; {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileFormatError(f"{path}: damaged calibration: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path}: expected JSON; {type(error).__name__}: the file is damaged") from None
    return content


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FileFormatError("a key stands twice in an object of the calibration file; it is damaged or hostile")
    return found


def _no_constant(name: str) -> float:
    raise FileFormatError(f"the calibration file holds {name}, which is no number; it is damaged or hostile")
