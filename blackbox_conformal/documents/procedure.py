"""The procedure that a calibration is about: every choice between a picture and its trust mask.

Procedures with equal fingerprints are the same; a calibration is refused for any other.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from blackbox_conformal.errors import PluginError, ProcedureMismatchError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.bands import Bands
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.support import catalog
from blackbox_conformal.support.canonical import derived_seed, digest_json
from blackbox_conformal.support.types import Image

IMAGE_RULES = 1  # Raised whenever the conversion of a file to 8-bit sRGB changes its pixels.

_MOVED = (
    " Where no parameter names what is behind an address, another address is another vendor; give such a name (a "
    "label) before calibrating if the server may move."
)

_DELIVERY = r"^(first|mean|medoid|aligned|consistent:steps=([1-9]|10))$"
SeedPolicy = Literal["per-image", "shared"]
Fit = Literal["crop", "shrink"]

NO_MEMORY = (
    "No answer of the vendor depends on earlier calls: no memory of a session, no cache of an account and no "
    "adaptation to earlier pictures changes it."
)


def _identity(vendor: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(vendor.get("parameters", {}), dict):
        raise ValueError("expected a vendor's parameters by name")
    return vendor


class Procedure(BaseModel):
    """One procedure, in the form that is fingerprinted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # `Adapter.identity()`: adapter, version, every parameter that can change a picture.
    vendor: Annotated[dict[str, Any], AfterValidator(_identity)]
    scale: int = Field(ge=1, le=16)  # Whole-number magnification; 1 is restoration at the same size.
    draws: int = Field(ge=1, le=4096)  # M, the number of draws of each picture.
    # ``per-image``: derived from the picture, so fresh for each. ``shared``: the same M seeds for every picture,
    # `first_seed` onward, at calibration and in use alike.
    seeds: SeedPolicy = "per-image"
    first_seed: int | None = None
    # With the picture, the source of per-image seeds and the degradation's random numbers; 0 if unused.
    root_seed: int = 0
    # For a vendor that always answers the same: the transformation that is applied to the input and undone on the
    # output, and the package and version that brought it (None: ours); or None.
    perturbation: str | None = None
    perturbation_package: str | None = None
    # Identity of the vendor whose picture the score compares with, or None.
    second_opinion: dict[str, Any] | None = None
    # How the delivered picture follows from the draws: ``first``, ``mean``, ``medoid``, ``aligned``, or
    # ``consistent:steps=N``, the first draw after N steps of back-projection to its input.
    delivery: str = Field(default="first", pattern=_DELIVERY)
    # How inputs are made from photographs: steps with every parameter, as `Mixture.specification` gives them.
    degradation: str = "bicubic"
    # How photographs first meet a vendor's limits: ``crop`` takes the middle, ``shrink`` makes them smaller, None
    # refuses them.
    fit: Fit | None = None
    # Name and parameters of score and metric.
    score: dict[str, Any]
    metric: dict[str, Any]
    # The file of weights that the score names by digest, which the fingerprint covers; None if it names none.
    score_weights: bytes | None = Field(default=None, exclude=True, repr=False)
    image_rules: int = IMAGE_RULES

    @property
    def fingerprint(self) -> str:
        """Return ``sha256:…`` over the canonical JSON of every field."""
        # Every field, because whatever could change a mask belongs to the procedure.
        return digest_json(self.model_dump(mode="json"))

    def differences(self, other: Self) -> list[str]:
        """List each field in which `other` differs, as ``name: ours → theirs``."""
        return _differences("", self.model_dump(mode="json"), other.model_dump(mode="json"))

    def require(self, actual: Self) -> None:
        differences = self.differences(actual)
        if differences:
            moved = _MOVED if any(difference.startswith("vendor.address") for difference in differences) else ""
            raise ProcedureMismatchError(
                "this calibration was made for another procedure, so its guarantee does not hold here. "
                f"Calibrated → asked for: {'; '.join(differences)}.{moved} Use the calibrated settings or calibrate "
                "again"
            )

    def build_score(self) -> Score:
        weights = {} if self.score_weights is None else {"weights": self.score_weights}
        score: Score = catalog.of_specification("scores", self.score, **weights)
        return score

    def require_degradation(self, text: str) -> None:
        """Refuse inputs that were made otherwise than `text` says."""
        declared = Mixture.of_text(text).at(self.scale)
        # Compared as specifications, because one degradation can be typed in two ways.
        if declared.specification != self.mixture.at(self.scale).specification:
            raise ProcedureMismatchError(
                f"this calibration is for inputs made by {self.mixture.text}; got --degradation {declared.text!r}, and "
                "its guarantee does not hold for those. Leave --degradation out (degradation in Python), or calibrate "
                "with it"
            )

    @property
    def bands(self) -> Bands | None:
        """Return what the numbers of pictures mean, if the parameter `bands` declares it; None for 8-bit sRGB."""
        text = self.vendor.get("parameters", {}).get("bands")
        return Bands.of_text(text) if isinstance(text, str) and text else None

    @property
    def mixture(self) -> Mixture:
        """Return how inputs are made from photographs."""
        return Mixture.of_text(self.degradation)

    def degraded(self, truth: Image, digest: str) -> Image:
        """Make the input of a photograph: (H / scale, W / scale, 3) uint8, the same each time.

        `truth`: (H, W, 3) uint8 with sides that are multiples of the scale. `digest`: the photograph's identity, the
        source of its random numbers.
        """
        return self.mixture.apply(truth, self.scale, self.root_seed, digest)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """List what the guarantee takes for granted of vendor, inputs and photographs, one sentence each."""
        try:
            degradation, given = self.mixture.text, self.mixture.given
        except (UsageError, PluginError):
            # A step that is missing or broken can still be named.
            degradation, given = self.degradation, False
        made = f"Inputs are made like those of the calibration: {degradation}."
        if given:
            made = "Inputs came about like those of the calibration, which were given with their photographs."
        bands = None if self.bands is None else f"Pictures have {self.bands.words}."
        more = [bands, self.fit_assumption, self.delivery_assumption, self.fallback_assumption]
        return (made, NO_MEMORY, *filter(None, more))

    @property
    def fallback_assumption(self) -> str | None:
        """Say what the guarantee is about if a cascade's later vendor cannot be had; None without a cascade."""
        if not (self.vendor.get("parameters") or {}).get("available"):
            return None
        return (
            "The guarantee is about pictures that the rule of the cascade passes on to a vendor that cannot be had, "
            "and that vendor's absence has nothing to do with the picture."
        )

    @property
    def vendors_that_end(self) -> int:
        """Count the vendors of a cascade at which a picture may end, each with its own threshold; 0 without."""
        parameters = self.vendor.get("parameters") or {}
        vendors = parameters.get("vendors", ())
        # If one vendor draws again, all its draws are down together.
        several = self.vendor.get("adapter") == "cascade" and any(each != vendors[0] for each in vendors)
        return len(vendors) if several and not parameters.get("available") else 0

    def ends_at(self, asked: int) -> str | None:
        """Return the group of pictures whose last vendor is at `asked` (from 0); None if all pictures are one group."""
        return f"vendor {asked + 1} of {self.vendors_that_end}" if self.vendors_that_end else None

    @property
    def floor(self) -> float | None:
        """Return the PSNR in dB that a cascade is to deliver; None if none is declared."""
        is_cascade = self.vendor.get("adapter") == "cascade"
        return self.vendor["parameters"].get("floor") if is_cascade else None

    @property
    def back_projections(self) -> int:
        """Count the steps of back-projection of the first draw before delivery; 0 by another rule."""
        return int(self.delivery.partition("steps=")[2] or 0)

    @property
    def delivery_assumption(self) -> str | None:
        """Say what the guarantee is about if the vendor's picture is changed before delivery; else None."""
        if self.delivery == "aligned":
            return (
                "The guarantee is about the delivered picture, not about the vendor's own: it is the draw, moved back "
                "by whole pixels where it lies moved against its input; the edge that is then missing is repeated and "
                "has the highest score."
            )
        if not (count := self.back_projections):
            return None
        return (
            "The guarantee is about the delivered picture, not about the vendor's own: it is the first draw, made "
            f"consistent with its input by {count} step{'s' * (count > 1)} of back-projection."
        )

    @property
    def fit_assumption(self) -> str | None:
        """Say what the guarantee is about if photographs were made to fit; else None."""
        done = {"crop": "cropped to their middle", "shrink": "made smaller by bicubic"}
        return self.fit and (
            f"Photographs that break the vendor's limits on sizes were {done[self.fit]} first. The guarantee is about "
            "pictures like the photographs after that."
        )

    @property
    def seed_note(self) -> str | None:
        """Describe a root seed that the user chose; None for the usual one."""
        if self.root_seed == 0:
            return None
        return (
            f"the root seed is {self.root_seed}, not the usual 0: nothing shows whether other seeds were tried on "
            "these photographs before this one was kept"
        )

    def seed_rule(self, seed_range: tuple[int, int]) -> str:
        """Say how `seed` follows from the names in a certificate."""
        low, high = seed_range
        if self.seeds == "shared":
            return f"draw k has the seed {low} + ({self.first_seed or 0} + k - {low}) mod {high - low + 1}"
        return (
            f"draw k has the seed {low} + h mod {high - low + 1}, where h is the first 8 bytes, little-endian, of the "
            f"SHA-256 of 'blackbox-conformal seed {self.root_seed} DIGEST k', and DIGEST that of the input's pixels"
        )

    def seed(self, picture: str, index: int, seed_range: tuple[int, int] | None) -> int | None:
        """Return the seed of draw `index` of the picture with digest `picture`; None if the vendor takes none."""
        if seed_range is None:
            return None
        low, high = seed_range
        if self.seeds == "shared":
            # The same M seeds for all pictures, wrapped round at the end of the vendor's range.
            return low + ((self.first_seed or 0) + index - low) % (high - low + 1)
        # From the picture's digest: fresh for each picture, and the same whenever it is drawn again.
        return derived_seed(self.root_seed, picture, index, seed_range)


def delivery_rule(text: str) -> str:
    """Return the delivery rule in fingerprinted form: ``consistent`` is ``consistent:steps=2``."""
    rule = "consistent:steps=2" if text == "consistent" else text
    if not re.fullmatch(_DELIVERY, rule):
        raise UsageError(
            "expected --delivery (delivery in Python) to be first, mean, medoid, aligned, or consistent:steps=N with "
            f"N from 1 to 10, such as consistent:steps=2; got {text!r}"
        )
    return rule


def _differences(path: str, ours: Any, theirs: Any) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            line
            for key in sorted(ours.keys() | theirs.keys())
            for line in _differences(f"{path}.{key}".lstrip("."), ours.get(key), theirs.get(key))
        ]
    return [] if ours == theirs else [f"{path}: {ours!r} → {theirs!r}"]
