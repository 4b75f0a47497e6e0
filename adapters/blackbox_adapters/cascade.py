"""Use several vendors as one: pictures, or tiles, go on to the next vendor where a rule finds an answer
insufficient."""

import json
import threading
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from blackbox_conformal.errors import AdapterError, PayloadError, UsageError
from blackbox_conformal.support import catalog
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.vendor.adapter import (
    FORETOLD_PSNR,
    Adapter,
    Box,
    Capabilities,
    Draw,
    Flow,
    Judge,
    Pasted,
    Price,
    Upload,
)

KEPT = 4096  # The number of answers whose figures, and pictures whose tiles, are remembered.
_LARGEST_FILE = 2**18
_AT_LEAST = ("min_side", "min_output_side")
_AT_MOST = ("max_side", "max_input_pixels", "max_upload_bytes", "max_output_side", "max_output_pixels", "max_aspect")


class CascadeRule(BaseModel):
    """When an answer suffices, by one score: its trusted share is large, or its mean score lies on one side.

    `score`: The score as typed, or with everything that follows from how inputs are made. ``foretold-psnr``: the
      answer's PSNR in dB against the free reference, from which the certified PSNR of the delivered picture follows.
    `below`, `at_least`: An answer suffices where the share of pixels with a score under `below` is at least `at_least`.
    `at_most`, `at_least`: Or where the mean score, such as the share of detail expected to be invented, is at most or
      at least this.
    `passed_on`: How many of the photographs that the rule was fitted on were passed on, and how many there were.
    `tile`: Parts of at most so many pixels of the input a side are judged one by one; insufficient ones go on.
    `margin`: Pixels of the input around a tile that are sent with it and cut off its answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: str | dict[str, Any] = "predicted-invention"
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    passed_on: tuple[int, int] | None = None
    tile: int | None = Field(default=None, ge=16)
    margin: int = Field(default=8, ge=0)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.at_least is None) == (self.at_most is None) or (self.below is not None and self.at_least is None):
            raise ValueError("expected at_most alone, at_least alone, or below and at_least")
        if self.tile is not None and self.passed_on is not None:
            raise ValueError("expected no passed_on beside tile: it counts pictures, and tiles go on")
        if self.score == FORETOLD_PSNR and self.below is not None:
            raise ValueError(f"expected at_least alone beside score = {FORETOLD_PSNR!r}; got below, too")
        return self

    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"tile", "margin"} if self.tile is None else None)

    def suffices(self, figure: float) -> bool:
        """Tell whether an answer with this trusted share, or mean score, is delivered."""
        return figure <= self.at_most if self.at_most is not None else figure >= (self.at_least or 0)


class Cascade(Adapter):
    """Asks several vendors, the cheapest first, and delivers the first answer that suffices by its rule.

    The whole is one procedure: calibrated, audited and watched like one vendor, while every member keeps its price,
    pace and receipts. A picture that a member refuses goes on; where the last one refuses it, the answer before is
    delivered. Each vendor draws once from each picture; a vendor that is named again draws again. With tiles in a rule,
    only parts of a picture go on, and their answers are pasted on the answer before.
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
    floor: float | None = Field(
        default=None, description="PSNR in dB: certificates say whether what they certify reaches it."
    )
    available: int = Field(
        default=0,
        ge=0,
        description="So many vendors are asked, for a fallback: of pictures that their rules pass on. 0 = all.",
    )

    _kept: OrderedDict[tuple[Any, ...], Any] = PrivateAttr(default_factory=OrderedDict)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _judge: Judge | None = PrivateAttr(default=None)

    READ: ClassVar[tuple[str, ...]] = ("floor", "vendors", "rules")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not (isinstance(given, dict) and given.get("file")):
            return given
        path = Path(given["file"])
        # A calibration keeps a cascade as values, not as text.
        typed = [name for name in cls.READ if isinstance(given.get(name), str)]
        if typed:
            raise ValueError(f"expected {' and '.join(typed)} in {path} alone; got -p {typed[0]}=… too. Leave it out")
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
            if len(content) > _LARGEST_FILE:
                raise ValueError(f"it is larger than {_LARGEST_FILE} bytes")
            told = tomllib.loads(content.decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"expected a TOML file with vendors and rules at {path}; {error}") from None
        if set(told) - set(cls.READ):
            raise ValueError(
                f"expected floor, [[vendors]] and [[rules]] alone in {path}; got {', '.join(sorted(told))}"
            )
        return {**{name: value for name, value in given.items() if name not in cls.READ}, **told}

    @field_validator("vendors", "rules", mode="before")
    @classmethod
    def _load(cls, given: Any, info: ValidationInfo) -> Any:
        given = json.loads(given) if isinstance(given, str) else given
        if info.field_name == "rules":
            return given
        return tuple(each if isinstance(each, Adapter) else _loaded(each) for each in given)

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
        if self.in_tiles and (len(self.vendors) > 2 or self.vendors[1].capabilities.local):
            raise ValueError("expected beside tile two vendors, of which the second is sent pictures")
        seen: list[dict[str, Any]] = []
        for vendor in self.vendors:
            if (same := vendor.identity()) in seen and vendor.capabilities.deterministic:
                raise ValueError(
                    f"expected {vendor.name} once, as it answers equal requests equally; got it again with the same "
                    "parameters. Leave it out the second time, or name a parameter that takes a seed"
                )
            seen.append(same)
        if not self.capabilities.scale_factors:
            raise ValueError("expected vendors that share a magnification; these share none")
        return self

    @property
    def members(self) -> tuple[Adapter, ...]:
        return self.vendors[: self.available or None]

    @property
    def capabilities(self) -> Capabilities:
        """Return the abilities that all vendors share; prices run from the first vendor's to the sum."""
        able = [vendor.capabilities for vendor in self.members]
        if not able:
            return Capabilities(scale_factors=())
        factors = set(able[0].scale_factors).intersection(*(each.scale_factors for each in able))
        sizes = {each.output_size for each in able}
        told = {
            name: [limit for each in able if (limit := getattr(each, name)) is not None]
            for name in (*_AT_LEAST, *_AT_MOST)
        }
        limits: dict[str, Any] = {
            name: max(own) if name in _AT_LEAST else min(own) for name, own in told.items() if own
        }
        return Capabilities(
            **limits,
            scale_factors=tuple(factor for factor in able[0].scale_factors if factor in factors),
            price=_together([each.price for each in able]),
            lossless_output=all(each.lossless_output for each in able),
            output_size="any" if "any" in sizes else "resample" if "resample" in sizes else "exact",
            local=all(each.local for each in able),
            degradation=able[0].degradation,
            retired=next((each.retired for each in able if each.retired), ""),
        )

    @property
    def base_url(self) -> str:
        return ""

    def price_for(self, width: int, height: int) -> Price | None:
        """Return a range from the first vendor's price to the sum, each for everything that it may be sent."""
        sizes = [
            [(sent.right - sent.left, sent.bottom - sent.top) for sent, _ in self._tiles(place, width, height)]
            for place in range(len(self.members))
        ]
        return _together(
            [vendor.price_for(*size) for vendor, own in zip(self.members, sizes, strict=True) for size in own]
        )

    def given_input(self, name: str) -> Path | None:
        return self.vendors[0].given_input(name)

    def suited(self, judge: Judge) -> Self:
        """Return the same cascade with the whole specification of each rule's score, computed by `judge`."""
        rules = [
            rule.model_copy(update={"score": judge.specified(rule.score)}) if isinstance(rule.score, str) else rule
            for rule in self.rules
        ]
        suited = self.model_copy(update={"rules": tuple(rules)})
        suited._kept, suited._lock, suited._judge = OrderedDict(), threading.Lock(), judge
        return suited

    @property
    def in_tiles(self) -> bool:
        return any(rule.tile is not None for rule in self.rules)

    @property
    def _judging(self) -> Judge:
        if self._judge is None:
            raise UsageError("expected how inputs are made before answers are judged; calibrate, mask or fit with it")
        return self._judge

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = make()
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return found

    def figure(self, place: int, upload: Upload, answer: bytes) -> float:
        """Return the figure that the rule of the vendor at `place` takes from its answer; computed once."""
        whole = Box(0, upload.height, 0, upload.width)
        return self._figures(place, upload, answer, (whole,))[0]

    def _figures(self, place: int, upload: Upload, answer: bytes, boxes: tuple[Box, ...]) -> tuple[float, ...]:
        judge, rule, size = self._judging, self.rules[place], self.vendors[place].capabilities.output_size

        def found() -> tuple[float, ...]:
            assert not isinstance(rule.score, str)
            scores = judge.scores(rule.score, upload, answer, size)
            scale = scores.shape[0] // upload.height
            parts = [scores[b.top * scale : b.bottom * scale, b.left * scale : b.right * scale] for b in boxes]
            return tuple(judge.figure(rule.score, rule.below, part) for part in parts)

        found_once: tuple[float, ...] = self._once((place, upload.digest, digest_bytes(answer), boxes), found)
        return found_once

    def _tiles(self, place: int, width: int, height: int) -> list[tuple[Box, Box]]:
        """Return the parts of a picture that the vendor at `place` may be sent, and the kept part of each answer."""
        rule = self.rules[place - 1] if place else None
        if rule is None or rule.tile is None:
            return [(Box(0, height, 0, width),) * 2]
        able, factor = self.vendors[place].capabilities, min(self.capabilities.scale_factors)
        least = max(able.min_side or 1, -(-(able.min_output_side or 1) // factor))
        rows, columns = (_spans(length, rule.tile, rule.margin, least) for length in (height, width))
        return [(Box(*row[0], *column[0]), Box(*row[1], *column[1])) for row in rows for column in columns]

    def turn(self, place: int) -> tuple[int, int]:
        """Return how often the vendor at `place` is named before, and how often in all."""
        identities = self._once(("identities",), lambda: [vendor.identity() for vendor in self.vendors])
        same = identities[place]
        return identities[:place].count(same), identities.count(same)

    def sent(self, place: int, upload: Upload) -> tuple[Upload, ...]:
        """Return the picture, or its tiles where the rule before has tiles."""
        boxes = [sent for sent, _ in self._tiles(place, upload.width, upload.height)]
        if len(boxes) == 1:
            return (upload,)
        judge, key = self._judging, (place, upload.digest)
        digests = self._once(key, lambda: tuple(tile.digest for tile in judge.cut(upload, boxes, ())))
        return judge.cut(upload, boxes, digests)

    def passed_on(self, place: int, upload: Upload, answer: bytes) -> tuple[Upload, ...]:
        """Return the parts that the rule passes on; an answer that is no picture has none, since delivery reports
        it."""
        sent = self.sent(place + 1, upload)
        if not answer:
            return sent
        kept = tuple(kept for _, kept in self._tiles(place + 1, upload.width, upload.height))
        try:
            figures = self._figures(place, upload, answer, kept)
        except PayloadError:
            return ()
        return tuple(part for part, figure in zip(sent, figures, strict=True) if not self.rules[place].suffices(figure))

    def pasted(self, place: int, upload: Upload, below: bytes | None, tiles: Mapping[str, bytes]) -> bytes:
        """Paste tiles on the answer before, each without its margin; the calibration covers seams, too."""
        boxes = zip(self.sent(place, upload), self._tiles(place, upload.width, upload.height), strict=True)
        above = [Pasted(tiles[part.digest], *box) for part, box in boxes if part.digest in tiles]
        return self._judging.pasted(upload, below, above, self.capabilities.output_size)

    def speaks_of(self, upload: Upload, answer: bytes) -> bool:
        """Tell whether masks speak of this picture: all, or only pictures the last rule passes on if vendors are left
        out."""
        return not self.available or bool(self.passed_on(self.available - 1, upload, answer))

    def without_last(self) -> Self:
        return self.model_copy(update={"available": len(self.members) - 1})

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        raise AdapterError("expected the vendors of a cascade to be asked one by one; the cascade itself was")

    def identity(self) -> dict[str, Any]:
        """Return the identities of the vendors in order, and the rules."""
        told: dict[str, Any] = {
            "vendors": [vendor.identity() for vendor in self.vendors],
            "rules": [rule.document() for rule in self.rules],
        }
        told |= {"available": self.available} if self.available else {}
        told |= {} if self.floor is None else {"floor": self.floor}
        return {"adapter": self.name, "adapter_version": self.version, "parameters": told}


def _spans(length: int, tile: int, margin: int, least: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return about equal parts of a side: the sent span of at least `least` pixels, and the kept span."""
    parts = -(-length // tile)
    edges = [length * part // parts for part in range(parts + 1)]
    spans = []
    for low, high in pairwise(edges):
        begin = max(0, min(low - margin, length - least))
        spans.append(((begin, min(length, max(high + margin, begin + least))), (low, high)))
    return spans


def _loaded(given: Any) -> Adapter:
    """Load a vendor that a file names: one of an installed package, never code to import."""
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


def _together(prices: list[Price | None]) -> Price | None:
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    sources = "; ".join(dict.fromkeys(price.source for price in known))
    return Price(known[0].low_usd, sum((price.high_usd for price in known), start=known[0].low_usd * 0), sources)


ADAPTER = Cascade
