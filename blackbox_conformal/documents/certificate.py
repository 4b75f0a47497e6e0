"""The certificate of a mask: its guarantee, the assumptions, and the files that it covers."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from blackbox_conformal.documents.signature import Signature, Vouching
from blackbox_conformal.documents.stored import StoredPaper
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.documents.watch_head import WatchHead
from blackbox_conformal.errors import CheckFailedError
from blackbox_conformal.method.facts.statistics import is_whole_change, is_whole_fault
from blackbox_conformal.method.risk.whole_errors import SHOWN, Errors, SquaredErrors, WholeErrors
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.wording import at_most, complement, percent

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey


# An input with this p-value or less is in doubt; with too few inputs to compare, no p-value is so small.
DOUBT, FEWEST = 0.05, 19
UNNOTICED = 91  # Of 100 snapshots, the most that passed a comparison with 40 photographs of nature; see docs/inputs.md.


class InputCheck(BaseModel):
    """A comparison of an input with the `n` photographs of the calibration, or of one `group`.

    `p_value` is conformal: for an input like the calibration's it is at most e with probability at most e; ties make it
    larger. At `level` and below, the guarantee does not cover the input.

    `differs` names the statistic that differs most. `beyond`: a statistic lies farther outside the calibration's values
    than these are apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_value: float = Field(gt=0, le=1)
    level: float = Field(ge=0, lt=1)
    n: int = Field(ge=1)
    group: str | None = None
    statistics: dict[str, float]
    differs: str
    beyond: bool

    @property
    def outside(self) -> bool:
        """Tell whether the input is too unlike the calibration's for the guarantee to cover it."""
        return self.p_value <= self.level

    @property
    def reason(self) -> str | None:
        """Say why the guarantee does not cover the input; None if it does."""
        if not self.outside:
            return None
        return (
            f"the guarantee is for inputs like the calibration's and does not speak of this one: {self.differs} "
            f"(p = {self.p_value:.2g}, at most {self.level:g})"
        )

    @property
    def unsure(self) -> str:
        """Say why no test shows that the guarantee covers an input, although it may."""
        if not self.can_fail:
            return f"beside {self.n} inputs of the calibration no comparison can fail; {FEWEST} are enough for it"
        if self.doubtful:
            return f"{self.differs} (p = {self.p_value:.2g}); 1 in 20 inputs like theirs differs so much"
        return (
            f"nothing tells its input from theirs (p = {self.p_value:.2g}), nor did it for up to {UNNOTICED} of 100 "
            "pictures of other scenes that were made in the same way"
        )

    @property
    def can_fail(self) -> bool:
        """Tell whether the calibration has enough inputs for a p-value of `DOUBT`."""
        return self.n >= FEWEST

    @property
    def doubtful(self) -> bool:
        """Tell whether only 5 % of right inputs differ so much: then no quality is certified."""
        return self.p_value <= DOUBT

    @property
    def note(self) -> str | None:
        """Describe an input that differs much and is not marked; None for other inputs."""
        if self.outside or not self.beyond:
            return None
        said = f"{self.differs}: the guarantee is for inputs like the calibration's (p = {self.p_value:.2g})"
        # With n inputs the least p-value is 1 / (n + 1), so a lower level could never be reached.
        if not 0 < self.level < 1 / (self.n + 1):
            return said
        return (
            f"{said}. Beside only {self.n} calibration inputs no p-value can be as small as {self.level:g}, so it "
            "does not tell whether the guarantee speaks of this picture"
        )


_CERTAIN = 0.001


class ToldFact(BaseModel):
    """A way in which an answer differs from its input; see `Fact`. `places`: top, left, height and width in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    name: str
    size: float
    unit: str
    p_value: float
    sentence: str
    reading: str | None
    places: tuple[tuple[int, int, int, int], ...]
    values: dict[str, Any]

    @property
    def words(self) -> str:
        return self.sentence if self.reading is None else f"{self.sentence}, {self.reading}"


class AnswerCheck(BaseModel):
    """A comparison of the vendor's answer with its input: differences beyond those of `n` answers of the calibration.

    `n` = 0: beyond those of other vendors, since the calibration, or its `group`, keeps fewer than 20. An answer that
    came as they did has any fact with probability `level` at most. `facts`: the strangest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(ge=0)
    level: float = Field(gt=0, lt=1)
    group: str | None = None
    facts: tuple[ToldFact, ...] = ()

    @property
    def beside(self) -> str:
        """Say in words what the answer is compared with."""
        share = "any" if self.n < 100 else "99 %"
        return f"in {share} of the {self.n} answers of the calibration" if self.n else "honest vendors differ"

    @property
    def line(self) -> str | None:
        """Say in one line how the answer differs; None: not beyond what is usual."""
        if not self.facts:
            return None
        return self._told(self.facts[0])

    def _told(self, fact: ToldFact) -> str:
        more = len(self.facts) - 1
        others = f" ({counted(more, 'more fact')} in the certificate)" if more else ""
        return f"{fact.words}, more than {self.beside}{others}"

    def changed(self, scale: int) -> str | None:
        """Say that the vendor does to the whole of an answer what it did not in the calibration; None: it does not.

        Without own pairs only faults count that make an answer useless, since colours differ from vendor to vendor.
        """
        fact = self._changing(scale)
        if fact is None:
            return None
        why, then = "the vendor may no longer answer as it did there", "If other answers are so, calibrate again"
        if not self.n:
            why = "the calibration keeps too few answers to tell whether the vendor always does so"
            then = "Calibrate again, on 20 photographs or more"
        return f"the answer {self._told(fact)}: {why}, and the guarantee does not speak of this answer. {then}"

    def is_certain(self, scale: int) -> bool:
        """Tell whether `changed` is no chance: at most 1 in 400 honest answers differed so much (docs/checking.md)."""
        fact = self._changing(scale)
        return fact is not None and (fact.kind == "geometry" or fact.p_value <= _CERTAIN)

    def _changing(self, scale: int) -> ToldFact | None:
        faults = [fact for fact in self.facts if is_whole_fault(fact.name, fact.size, fact.values, scale)]
        if not self.n:
            return faults[0] if faults else None
        whole = [fact for fact in self.facts if is_whole_change(fact.name, fact.size)]
        # A transform with a name is what the colours differ by.
        return next((fact for fact in faults if whole), whole[0] if whole else None)


class StreamCheck(BaseModel):
    """A comparison of the pictures masked in one run folder with the calibration's `n` inputs (0: none are kept).

    `pictures` counts different ones, with this one (0: they cannot be compared). `evidence` speaks against one kind: 5
    % of streams of right pictures ever reach 20. `found` says why the guarantee does not cover this picture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(ge=0)
    pictures: int = Field(ge=0)
    evidence: float = Field(ge=0, allow_inf_nan=False)
    found: str | None = None


_SHOWN_AS = {
    "delivered": "the delivered picture",
    "consistent": "the delivered picture made consistent with the input",
    "reference": "the free reference",
    "enlargement": "plain enlargement",
}

_LEAST = 1e-4  # Squared grey levels; a smaller error counts as none.


class ShownErrors(BaseModel):
    """How near pictures are to the truth inside or outside the mask, on `photographs` of the calibration.

    `squared_errors`, by names of `SHOWN`: the squared errors of the pixels there, summed and divided by the number of
    all pixels, in squared grey levels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    photographs: int = Field(ge=1)
    squared_errors: dict[Literal["delivered", "consistent", "reference", "enlargement"], float]

    @classmethod
    def outside(cls, known: SquaredErrors, threshold: float) -> Self | None:
        """Measure where nothing is trusted at a threshold; None if nothing is known of the photographs."""
        return cls._of(len(known.known), known.above(threshold))

    @classmethod
    def inside(cls, known: SquaredErrors, threshold: float) -> Self | None:
        """Measure where the mask trusts at a threshold; None if nothing is known of the photographs."""
        errors, shares = known.below(threshold)
        return cls._of(len(shares), {name: float(row.mean()) for name, row in errors.items() if len(row)})

    @classmethod
    def _of(cls, photographs: int, errors: Mapping[str, float]) -> Self | None:
        # Four digits are the same on every machine.
        rounded = {name: float(f"{error:.4g}") for name, error in errors.items()}
        return cls(photographs=photographs, squared_errors=rounded) if photographs else None

    def trusted(self) -> str:
        """Choose the picture with the least error; on a tie the delivered picture, of which the guarantee speaks."""
        errors: Mapping[str, float] = dict(self.squared_errors.items())
        return min(SHOWN, key=lambda name: errors.get(name, math.inf))

    def shown(self, *, sharp: bool = False) -> str:
        """Choose the picture with the least error; with `sharp`, the most detailed that enlargement does not beat."""
        errors: Mapping[str, float] = dict(self.squared_errors.items())
        if sharp:
            return next(name for name in SHOWN if errors.get(name, math.inf) <= errors["enlargement"])
        # On a tie, plain enlargement wins.
        return min(reversed(SHOWN), key=lambda name: errors.get(name, math.inf))

    def words(self, name: str, *, enlarged: bool) -> str:
        """Describe a picture and its distance from the truth."""
        plain = "plain enlargement" if enlarged else "the input itself"
        here = f"the truth there on {counted(self.photographs, 'calibration photograph')}"
        errors: Mapping[str, float] = dict(self.squared_errors.items())
        if name == "enlargement":
            return f"{plain}, the nearest to {here} of {len(errors)} pictures"
        gain = 10 * math.log10(max(errors["enlargement"], _LEAST) / max(errors[name], _LEAST))
        return f"{_SHOWN_AS[name]}, {gain:.1f} dB nearer than {plain} to {here}"


_ANY = 1 - 1e-9  # Every picture's whole error is at most 1, to within rounding.
MISS_RATE = 0.1  # The largest share of new photographs for which one certified measure may be too good.


class CertifiedQuality(BaseModel):
    """The certified quality of the whole delivered picture: split conformal, each measure by itself.

    Each bound holds for a new photograph with `probability`; `photographs` calibrate it. `psnr` (dB, sRGB, peak 255)
    and `ssim` (of the luminance) are at least, `metric` (mean over all pixels) at most; None if nothing follows.
    `known`: the errors from the known picture, see `WholeErrors`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    statement: str
    probability: float = Field(gt=0, lt=1)
    photographs: int = Field(ge=1)
    psnr: float | None = Field(allow_inf_nan=False)
    ssim: float | None = Field(allow_inf_nan=False)
    metric: float | None = Field(allow_inf_nan=False)
    known: tuple[float, float, float]

    @classmethod
    def of(
        cls,
        calibrated: WholeErrors,
        known: Errors,
        bound: float,
        error: str,
        space: str = "sRGB",
        floor: float | None = None,
    ) -> "CertifiedQuality | None":
        """Certify a picture from its errors `known` from the known picture; None if nothing follows.

        `bound` and `error`: the largest error of the calibration's metric, and its name. `space`: the space in
        which PSNR is measured. `floor`: a PSNR in dB to compare with the certified PSNR.
        """
        squared, dissimilar, mean = np.sqrt(known) * calibrated.largest_ratios(MISS_RATE)
        # Bounds that every picture keeps say nothing. Rounded to the safe side, with digits on which all machines
        # agree.
        psnr = None if squared >= _ANY else _floor(-10 * math.log10(max(squared, 1e-10)), 2)
        ssim = None if dissimilar >= _ANY else _floor(1 - 2 * dissimilar, 3)
        metric = None if mean >= _ANY else float(at_most(bound * mean, 3))
        said = [
            f"a PSNR of at least {psnr:.2f} dB ({space})" if psnr is not None else "",
            f"a mean SSIM of at least {ssim:.3f}" if ssim is not None else "",
            f"a mean {error} of at most {metric:g}" if metric is not None else "",
        ]
        claims = [claim for claim in said if claim]
        if not claims:
            return None
        n = len(calibrated)
        statement = (
            f"If this input is like the {n} calibrated, the whole picture, clear and hatched, has {', '.join(claims)}: "
            f"each by itself with a probability of {percent(complement(MISS_RATE))} %. Of 100 new photographs like the "
            f"{n} calibrated, at least 90 on average have the quality that is stated of them; which ones do not, "
            "nothing tells."
        )
        if floor is not None and psnr is not None and psnr >= floor:
            statement += (
                f" The certified PSNR reaches the floor of {floor:g} dB: of 100 new photographs at most 10 on average "
                "are said to reach it and do not."
            )
        elif floor is not None:
            statement += f" No PSNR is certified that reaches the floor of {floor:g} dB."
        found = {"psnr": psnr, "ssim": ssim, "metric": metric, "known": tuple(map(float, known))}
        return cls(statement=statement, probability=1 - MISS_RATE, photographs=n, **found)

    @property
    def short(self) -> str:
        """Write PSNR and SSIM in a few words, or the mean error."""
        said = [
            f"PSNR at least {self.psnr:.2f} dB" if self.psnr is not None else "",
            f"SSIM at least {self.ssim:.3f}" if self.ssim is not None else "",
        ]
        bounds = ", ".join(filter(None, said)) or f"mean error at most {self.metric:g}"
        return f"{bounds} (if like the calibration's, each with a probability of {percent(complement(MISS_RATE))} %)"


def _floor(number: float, digits: int) -> float:
    return math.floor(number * 10.0**digits) / 10.0**digits


class Certificate(BaseModel):
    """The JSON file beside a mask; a field is None if nothing is known or follows.

    Attributes
    ----------
    status
        ``guaranteed``: the statement allows for pictures of another kind, and this one looks like the calibration's.
        ``if-like-calibration``: it holds if the input is like the calibration's. ``outside-calibration``: the input, or
        the answer, is not, so the statement does not cover this mask. ``abstains``: nothing could be trusted.
        ``not-judged``: nothing tells whether the answer shows the input, and nothing is trusted. `reason` says why.
    promise, statement, assumptions
        The guarantee in at most 25 words (None: in a certificate made before); in full; its conditions, one sentence
        each.
    threshold, threshold_hex
        A pixel is trusted if its score is below this (``"inf"``: every pixel; None: none); exactly, in hexadecimal.
    input_bound
        What the input alone says of this picture, without calibration, if the metric allows such a bound.
    psnr
        The PSNR over trusted pixels that follows, if the metric allows one.
    outside, inside, quality
        How near to the truth a safe picture is where nothing is trusted; how good the whole delivered picture is.
    leakage
        What still holds if a tenth of the calibration photographs were in the vendor's training set.
    draw_seeds, seed_rule
        The seed of each draw in order, and how the seeds follow from the root seed in `procedure`.
    input_check, stream_check
        How the input, and the pictures masked in the same run folder, compare with the calibration's.
    answer_check
        How the vendor's answer differs from its input, beyond what is usual; None: in a certificate made before, and
        for declared bands and inputs below 32 pixels a side.
    drift, doubt
        What the calibration's watch found about inputs; why the way of answering leaves the guarantee in doubt.
    batch_check
        In certificates older than `stream_check`: what was masked together.
    missing_images
        The least number of calibration photographs that the level still needs; 0 if it is reachable.
    calibration_signature, signature
        The maker's on the calibration, and the issuer's on this certificate.
    watch
        The head of the calibration's watch file when this was issued.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["guaranteed", "if-like-calibration", "outside-calibration", "abstains", "not-judged"]
    promise: str | None = None
    statement: str
    assumptions: tuple[str, ...]
    reason: str | None = None
    guarantee: dict[str, Any]
    theorem: str
    alpha: float = Field(allow_inf_nan=False)
    rule: Literal["trusted where score < threshold; a pixel without a score is never trusted"] = (
        "trusted where score < threshold; a pixel without a score is never trusted"
    )
    threshold: float | Literal["inf"] | None
    threshold_hex: str
    trusted_share: float
    n_calibration: int
    missing_images: int
    bound: float
    score_kind: str
    calibration_digest: str
    fingerprint: str
    procedure: dict[str, Any]
    draw_seeds: tuple[int, ...] | None = None
    seed_rule: str | None = None
    vendor_model: str | None
    input: dict[str, Any]
    outputs: dict[str, Any]
    input_check: InputCheck | None = None
    stream_check: StreamCheck | None = None
    answer_check: AnswerCheck | None = None
    batch_check: dict[str, Any] | None = None
    drift: str | None = None
    doubt: str | None = None
    input_bound: str | None = None
    psnr: str | None = None
    leakage: str | None = None
    outside: ShownErrors | None = None
    inside: ShownErrors | None = None
    quality: CertifiedQuality | None = None
    notes: tuple[str, ...] = ()
    calibration_signature: Signature | None = None
    watch: WatchHead | None = None
    signature: Signature | None = None

    def __repr__(self) -> str:
        share = f"{self.trusted_share:.1%} trusted"
        return f"<Certificate {self.status}: alpha={self.alpha:g}, {share}, n={self.n_calibration}>"

    __str__ = __repr__

    @property
    def stated(self) -> str:
        """Say in one sentence what holds for the mask: the statement with its condition, or why there is none."""
        match self.status:
            case "outside-calibration":
                return f"No guarantee: {self.reason}."
            case "not-judged":
                return f"Nothing is trusted: {self.reason}."
            case "if-like-calibration":
                n = self.n_calibration if self.input_check is None else self.input_check.n
                return f"If this input is like the {n} calibrated ({self.reason}): {self.statement}"
        return self.statement

    @property
    def is_promised(self) -> bool:
        """Tell whether the statement speaks of this mask, if only on a condition."""
        return self.status in ("guaranteed", "if-like-calibration")

    @property
    def short(self) -> str:
        """Say in short what holds for the mask, or why nothing does."""
        return self.promise if self.promise and (self.is_promised or self.status == "abstains") else self.stated

    @property
    def differs(self) -> str | None:
        """Say in one line how the answer differs from its input beyond what is usual; None: it does not."""
        return None if self.answer_check is None else self.answer_check.line

    @property
    def places(self) -> list[tuple[int, int, int, int]]:
        """Return top, left, height and width of each place where the answer differs so."""
        return [] if self.answer_check is None else [place for fact in self.answer_check.facts for place in fact.places]

    @property
    def changed(self) -> bool:
        """Tell whether the vendor's answer alone takes the guarantee: the reason is what it differs by."""
        check = self.answer_check
        return check is not None and self.reason == check.changed(int(self.procedure["scale"])) is not None

    @property
    def reaches_floor(self) -> bool | None:
        """Tell whether the certified PSNR reaches the floor of the cascade; None if none is declared."""
        vendor = self.procedure.get("vendor", {})
        floor = vendor["parameters"].get("floor") if vendor.get("adapter") == "cascade" else None
        if floor is None:
            return None
        return self.quality is not None and self.quality.psnr is not None and self.quality.psnr >= floor

    @property
    def digest(self) -> str:
        """Return ``sha256:…`` of everything but the signature."""
        return CERTIFICATES.digest(self)

    def marked(self, found: str) -> Self:
        """Return the certificate for answers which show that the guarantee does not cover the picture."""
        update: dict[str, Any] = {"notes": (*self.notes, found)}
        if self.stream_check is not None and self.is_promised:
            stream = self.stream_check.model_copy(update={"found": found})
            update |= {"status": "outside-calibration", "reason": found, "stream_check": stream, "quality": None}
            if "safe" in self.outputs:
                safe = self.outputs["safe"] | {"statement": f"nothing is promised of any part of it: {found}"}
                update["outputs"] = self.outputs | {"safe": safe}
        return self.model_copy(update=update)

    def doubted(self, found: str) -> Self:
        """Return the certificate for an answer whose way leaves the guarantee in doubt."""
        update: dict[str, Any] = {"notes": (*self.notes, found), "doubt": found}
        if self.status in ("guaranteed", "if-like-calibration"):
            update |= {"status": "if-like-calibration", "reason": found}
        return self.model_copy(update=update)

    def signed(self, key: "SigningKey") -> Self:
        """Return the same certificate with a signature by `key`."""
        return self.model_copy(update={"signature": CERTIFICATES.signature(self, key)})

    def vouching(self, trusted: Trusted = ()) -> Vouching:
        """Tell who issued the certificate; `trusted` holds the public keys that the reader trusts.

        Raises
        ------
        CheckFailedError
            The signature is broken.
        """
        return CERTIFICATES.vouching(self, trusted)

    def calibration_vouching(self, trusted: Trusted = ()) -> Vouching:
        """Tell who signed the calibration behind the certificate; errors as for `vouching`."""
        signature, of = self.calibration_signature, "the calibration that the certificate names"
        # Any version: the certificate outlives the format of its calibration.
        return Vouching.of(signature, of, "blackbox-conformal calibration", None, self.calibration_digest, trusted)

    def to_json(self) -> str:
        """Write the file's text, indented, with a digest of its content and its signature, if any."""
        return CERTIFICATES.paper_text(self)

    @classmethod
    def from_json(cls, text: str) -> "Certificate":
        """Read a certificate and check its digest; `vouching` checks its signature.

        Raises
        ------
        FileFormatError
            The text is no certificate of this package, is newer, or was edited.
        """
        return CERTIFICATES.parse(text.encode())

    @property
    def pictured(self) -> str:
        """Return the output that is the delivered picture; a gateway calls it ``picture``."""
        return "picture" if "picture" in self.outputs else "image"

    def verify(self, folder: Path) -> None:
        """Check that the certificate's files lie in `folder` unchanged.

        Raises
        ------
        CheckFailedError
            The certificate names no image or no mask, a file is missing, or a digest differs.
        """
        missing = sorted({self.pictured, "mask"} - self.outputs.keys())
        if missing:
            raise CheckFailedError(f"expected a certificate of an image and its mask; it names no {', '.join(missing)}")
        for kind, entry in self.outputs.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
                raise CheckFailedError(f"expected file and digest of the {kind} in the certificate; got {entry!r}")
            # The name alone: a certificate must not point out of its folder.
            path = folder / Path(entry["file"]).name
            try:
                digest = digest_bytes(path.read_bytes())
            except (OSError, ValueError):
                raise CheckFailedError(
                    f"expected the {kind} {path.name} beside its certificate; it is missing or cannot be read"
                ) from None
            if digest != entry.get("digest"):
                raise CheckFailedError(
                    f"the {kind} {path.name} was changed: expected {entry.get('digest')}, got {digest}"
                )


class _StoredCertificates(StoredPaper[Certificate]):
    earlier = {2: ", which called masks guaranteed whose inputs were not compared"}

    def _fields(self, document: Certificate) -> dict[str, Any]:
        # Older certificates lack these fields.
        later = {
            "calibration_signature",
            "watch",
            "outside",
            "inside",
            "doubt",
            "quality",
            "stream_check",
            "answer_check",
        }
        later |= {"batch_check", "promise"}
        fields = super()._fields(document)
        return {name: value for name, value in fields.items() if name not in later or value is not None}


CERTIFICATES = _StoredCertificates(
    Certificate,
    "certificate",
    3,
    anew="Make it anew, in the same run folder without any payment: blackbox-conformal mask INPUT --calibration FILE "
    "--alpha ALPHA --force",
    indent=2,
)
