"""Several vendors as one: a picture goes on to the next where an answer does not suffice by a rule."""

import json
import threading
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from blackbox_conformal.errors import AdapterError, PayloadError, UsageError
from blackbox_conformal.support import catalog
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.vendor.adapter import Adapter, Capabilities, Draw, Flow, Judge, Price, Upload


class CascadeRule(BaseModel):
    """When an answer suffices, by one score of it: where its trusted share is large, or its mean score on one side.

    Attributes
    ----------
    score
        The score as it is typed, or with everything that follows from how inputs are made.
    below, at_least
        An answer suffices where the share of pixels whose score is below the one is at least the other.
    at_most, at_least
        Or where the mean score is at most the one, or at least the other, such as the share of detail that
        `predicted-invention` expects to be invented.
    passed_on
        How many of the photographs that it was fitted on it passed on, and how many these were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: str | dict[str, Any] = "predicted-invention"
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    passed_on: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.at_least is None) == (self.at_most is None) or (self.below is not None and self.at_least is None):
            raise ValueError("expected at_most alone, at_least alone, or below and at_least")
        return self

    def suffices(self, figure: float) -> bool:
        """Whether an answer with this trusted share, or mean score, is delivered."""
        return figure <= self.at_most if self.at_most is not None else figure >= (self.at_least or 0)


class Cascade(Adapter):
    """Asks several vendors, the cheapest first: the first answer that suffices by its rule is delivered.

    The whole is one procedure: calibrated, audited and watched like one vendor, while every member keeps its price,
    pace and receipts. A picture that a member refuses goes on; where the last one refuses it, the answer before is
    delivered. One draw is taken of each picture.
    """

    name = "cascade"
    documentation = "https://docs.python.org/3/library/tomllib.html"
    evidence = "own-software"
    transient = frozenset({"file"})

    file: str = Field(default="", description="TOML file that names the vendors and the rules between them.")
    vendors: tuple[Adapter, ...] = Field(
        default=(), description="Vendors, cheapest first, each with `adapter` and `parameters`, as JSON."
    )
    rules: tuple[CascadeRule, ...] = Field(
        default=(), description="For each vendor but the last, when its answer suffices, as JSON."
    )
    available: int = Field(
        default=0,
        ge=0,
        description="So many vendors are asked, for a fallback: of pictures that their rules pass on. 0 = all.",
    )

    _figures: dict[tuple[int, str, str], float] = PrivateAttr(default_factory=dict)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _judge: Judge | None = PrivateAttr(default=None)

    READ: ClassVar[tuple[str, ...]] = ("vendors", "rules")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        """What the file says in place of what was given."""
        if not (isinstance(given, dict) and given.get("file")):
            return given
        path = Path(given["file"])
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"expected a TOML file with vendors and rules at {path}; {error}") from None
        if set(told) - set(cls.READ):
            raise ValueError(f"expected [[vendors]] and [[rules]] alone in {path}; got {', '.join(sorted(told))}")
        return {"file": given["file"], "available": given.get("available", 0), **told}

    @field_validator("vendors", mode="before")
    @classmethod
    def _load(cls, given: Any) -> tuple[Adapter, ...]:
        given = _from_json(given)
        return tuple(each if isinstance(each, Adapter) else _loaded(each) for each in given)

    @field_validator("rules", mode="before")
    @classmethod
    def _rules(cls, given: Any) -> Any:
        return _from_json(given)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.vendors) < 2 or len(self.rules) != len(self.vendors) - 1:
            raise ValueError(
                f"expected two or more vendors and a rule for each but the last; got {len(self.vendors)} and "
                f"{len(self.rules)}. Name a TOML file with them: -p file=cascade.toml"
            )
        if self.available >= len(self.vendors):
            raise ValueError(f"expected fewer vendors to be available than the {len(self.vendors)} there are")
        if any(vendor.members for vendor in self.vendors):
            raise ValueError("expected vendors that are no cascades themselves: name all of them in one")
        if not self.capabilities.scale_factors:
            raise ValueError("expected vendors that share a magnification; these share none")
        return self

    @property
    def members(self) -> tuple[Adapter, ...]:
        """The vendors."""
        return self.vendors[: self.available or None]

    @property
    def capabilities(self) -> Capabilities:
        """What all of them can do; from the price of the first to that of all."""
        able = [vendor.capabilities for vendor in self.members]
        if not able:
            return Capabilities(scale_factors=())
        factors = set(able[0].scale_factors).intersection(*(each.scale_factors for each in able))
        sizes = {each.output_size for each in able}
        return Capabilities(
            scale_factors=tuple(factor for factor in able[0].scale_factors if factor in factors),
            min_side=_most(each.min_side for each in able),
            max_side=_least(each.max_side for each in able),
            max_input_pixels=_least(each.max_input_pixels for each in able),
            max_upload_bytes=_least(each.max_upload_bytes for each in able),
            min_output_side=_most(each.min_output_side for each in able),
            max_output_side=_least(each.max_output_side for each in able),
            max_output_pixels=_least(each.max_output_pixels for each in able),
            max_aspect=_least(each.max_aspect for each in able),
            price=_together([each.price for each in able]),
            lossless_output=all(each.lossless_output for each in able),
            output_size="any" if "any" in sizes else "resample" if "resample" in sizes else "exact",
            local=all(each.local for each in able),
            degradation=able[0].degradation,
            retired=next((each.retired for each in able if each.retired), ""),
        )

    @property
    def base_url(self) -> str:
        """None: each vendor has its own."""
        return ""

    def price_for(self, width: int, height: int) -> Price | None:
        """From the price of the first vendor to that of all."""
        return _together([vendor.price_for(width, height) for vendor in self.members])

    def given_input(self, name: str) -> Path | None:
        """The one that the first vendor has."""
        return self.vendors[0].given_input(name)

    def suited(self, judge: Judge) -> Self:
        """The same with the whole specification of each rule's score, which `judge` computes."""
        rules = [
            rule.model_copy(update={"score": judge.specified(rule.score)}) if isinstance(rule.score, str) else rule
            for rule in self.rules
        ]
        suited = self.model_copy(update={"rules": tuple(rules)})
        suited._figures, suited._lock, suited._judge = {}, threading.Lock(), judge
        return suited

    def figure(self, place: int, upload: Upload, answer: bytes) -> float:
        """What the rule of the vendor at `place` looks at in its answer; computed once."""
        rule, size = self.rules[place], self.vendors[place].capabilities.output_size
        if self._judge is None or isinstance(rule.score, str):
            raise UsageError("expected how inputs are made before answers are judged; calibrate, mask or fit with it")
        key = place, upload.digest, digest_bytes(answer)
        with self._lock:
            found = self._figures.get(key)
        if found is None:
            found = self._judge.figure(rule.score, rule.below, upload, answer, size)
            with self._lock:
                self._figures[key] = found
        return found

    def suffices(self, place: int, upload: Upload, answer: bytes) -> bool:
        """By the rule; what is no picture is told where it is delivered."""
        try:
            return self.rules[place].suffices(self.figure(place, upload, answer))
        except PayloadError:
            return True

    def speaks_of(self, upload: Upload, answer: bytes) -> bool:
        """Of all pictures; where the last vendors are not asked, of those that the last rule passes on."""
        return not (self.available and self.suffices(self.available - 1, upload, answer))

    def without_last(self) -> Self:
        """The same without its last vendor."""
        return self.model_copy(update={"available": len(self.members) - 1})

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """Nothing: its vendors draw."""
        raise AdapterError("expected the vendors of a cascade to be asked one by one; the cascade itself was")

    def identity(self) -> dict[str, Any]:
        """The identities of its vendors in order, and the rules."""
        told: dict[str, Any] = {
            "vendors": [vendor.identity() for vendor in self.vendors],
            "rules": [rule.model_dump(mode="json") for rule in self.rules],
        }
        told |= {"available": self.available} if self.available else {}
        return {"adapter": self.name, "adapter_version": self.version, "parameters": told}


def _from_json(given: Any) -> Any:
    """A value as it is, or the JSON that a text of the command line holds."""
    return json.loads(given) if isinstance(given, str) else given


def _loaded(given: Any) -> Adapter:
    """The vendor that a file names: one of an installed package, never code to import."""
    name = given.get("adapter") if isinstance(given, dict) else None
    if not isinstance(name, str) or ":" in name:
        raise ValueError(
            f"expected the name of an installed adapter; got {name!r}. Give your own to bc.cascade in Python"
        )
    chosen: type[Any] = catalog.member("adapters", name)
    parameters = {key: value for key, value in given.get("parameters", {}).items() if value is not None}
    try:
        adapter: Adapter = catalog.build(chosen, f"adapter {name}", parameters)
    except UsageError as error:
        raise ValueError(f"{error}. Name the file of the cascade with -p file=cascade.toml") from None
    return adapter


def _least(figures: Any) -> Any:
    return min((figure for figure in figures if figure is not None), default=None)


def _most(figures: Any) -> Any:
    return max((figure for figure in figures if figure is not None), default=None)


def _together(prices: list[Price | None]) -> Price | None:
    """From the first price to all; None where one is not known."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    sources = "; ".join(dict.fromkeys(price.source for price in known))
    return Price(known[0].low_usd, sum((price.high_usd for price in known), start=known[0].low_usd * 0), sources)


ADAPTER = Cascade
