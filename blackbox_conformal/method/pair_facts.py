"""The facts of a pair: how its answer differs from its input, where, by how much, and how unusual that is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.facts import structure
from blackbox_conformal.method.facts.colour import colour, named_transform
from blackbox_conformal.method.facts.geometry import Moves, geometry
from blackbox_conformal.method.facts.levels import LEVEL, Judged, Levels, PairSizes, shipped
from blackbox_conformal.method.facts.seams import seams
from blackbox_conformal.method.facts.sent_pair import Place, SentPair
from blackbox_conformal.method.facts.statistics import STATISTICS, FactMeasure, kind_of
from blackbox_conformal.method.facts.structure import supported_share
from blackbox_conformal.method.images.bands import is_deep
from blackbox_conformal.method.images.resemblance import Sent
from blackbox_conformal.support.types import Image

LEAST_LARGE = 32
"""Pixels of an input a side; smaller ones have few cells, and are measured only where a user asks for it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One way in which an answer differs from its input by more than is usual."""

    # ``colour``, ``geometry``, ``seams``, ``ringing``, ``flattened``, ``content``, ``repeats``, ``borders``, ``detail``
    # or ``lossy``.
    kind: str
    name: str  # The statistic, such as ``colour.cell``; see `STATISTICS`.
    place: Place | None  # Where it is, in pixels of the answer; None: in the whole of it.
    places: tuple[Place, ...]
    # How large it is; `values` holds what else is known, such as an offset of each channel.
    size: float
    unit: str
    # Of all measures together, so small that a pair that came as the others did rarely has any; see `Levels.judged`. 0
    # of another size or a transform of colours with a name, which need no comparison.
    p_value: float
    sentence: str  # What it is, in words that begin "differs from the input by".
    reading: str | None  # What may have caused it; None where nothing is known.
    values: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """Return the fact for scripts; numbers have four digits, which are the same on every machine."""
        own = {name: getattr(self, name) for name in ("kind", "name", "size", "unit", "p_value", "sentence", "reading")}
        own["places"] = [[place.top, place.left, place.height, place.width] for place in self.places]
        values = {name: _four(value) if isinstance(value, float) else value for name, value in self.values.items()}
        return {**own, "p_value": _four(self.p_value), "values": values}


@dataclass(frozen=True)
class PairFacts:
    """What is known of one pair."""

    facts: tuple[Fact, ...]  # Those beyond what is usual, the strangest first; one of each group that tells the same.
    measures: Mapping[str, FactMeasure]  # Every measure by its name.
    judged: Judged  # Their p-values, and what they were compared with.
    scale: int  # How many times larger the answer is.
    # Of the detail that the answer adds, the share that the free reference adds too, 0 to 1; None where nothing is
    # enlarged, or not the whole was compared.
    supported: float | None

    @cached_property
    def sizes(self) -> dict[str, float]:
        """Return the size of each measure: what `Levels.of` takes."""
        return {name: one.size for name, one in self.measures.items()}


def pair_facts(
    small: NDArray[np.generic],
    big: NDArray[np.generic],
    levels: Levels | None = None,
    level: float = LEVEL,
    *,
    whole: bool = True,
) -> PairFacts:
    """Return the facts of an input and its answer.

    `small`: (h, w, 3) uint8, or float in [0, 1].
    `big`: (H, W, 3), likewise; nearly a whole multiple of the input.
    `levels`: What is usual; by default of the vendors that the package was measured with.
    `level`: Probability of any fact of a pair that came as the others did.
    `whole`: Compare all of a large picture, and not only its middle; see `SentPair`.
    """
    pair = SentPair(small, big, whole=whole)
    found = {one.name: one for one in measures(pair)}
    judged = (levels or shipped()).judged(list(found.values()), level)
    # Only who asks for a pair is shown it, and it takes a tenth of the time.
    supported = supported_share(pair) if whole else None
    facts = [*_sized(pair), *_transformed(pair, found), *_facts(pair, found, judged)]
    return PairFacts(tuple(facts), found, judged, pair.scale, supported)


def is_compared(small: Image, big: Image) -> bool:
    """Tell whether a pair that nobody asked about is compared: 8-bit sRGB, and an input that is large enough."""
    return not is_deep(big) and min(small.shape[:2]) >= LEAST_LARGE


def pair_sizes(small: Image, big: Image) -> PairSizes:
    """Return the sizes of a pair's measures; unknown where it is not compared."""
    if not is_compared(small, big):
        return PairSizes.unknown(1)
    return PairSizes.of({one.name: one.size for one in measures(SentPair(small, big, whole=False))})


def measures(pair: SentPair) -> Iterator[FactMeasure]:
    """Yield the measures of a pair, in the order in which they are told."""
    moves = Moves(pair)
    found = chain(
        colour(pair),
        geometry(pair, moves),
        seams(pair),
        structure.ringing(pair),
        structure.cells(pair, moves),
        structure.repeats(pair),
        structure.borders(pair),
        structure.addition(pair),
        structure.lossy(pair),
    )
    # Nor are digits behind the fourth of a fraction the same on every machine; 0 has no sign.
    return (replace(one, size=round(_four(one.size), 4) + 0.0) for one in found)


def _four(number: float) -> float:
    """Return a number in four digits, which are the same on every machine."""
    return float(f"{number:.4g}")


def _facts(pair: SentPair, found: Mapping[str, FactMeasure], judged: Judged) -> Iterator[Fact]:
    groups: set[str] = set()
    cause = _Cause(pair)
    for name in judged.told:
        if STATISTICS[name].group in groups:
            continue
        groups.add(STATISTICS[name].group)
        one = found[name]
        places = one.places or ((one.place,) if one.place is not None else ())
        yield Fact(
            kind_of(name),
            name,
            one.place,
            places,
            one.size,
            STATISTICS[name].unit,
            judged.p_values[name],
            difference(one, pair.scale),
            cause.of(name) or _usual_cause(one),
            one.values,
        )


def _transformed(pair: SentPair, found: Mapping[str, FactMeasure]) -> Iterator[Fact]:
    """Yield that colours are those of a transform with a name, whatever is usual."""
    name = named_transform(pair)
    if name is not None:
        values = found["colour.brightness"].values
        size = float(np.sqrt(np.mean(np.square(pair.apart), dtype=np.float64)))
        sentence = f"differs from the input by {size:.1f} levels (root mean square), as {name} does"
        yield Fact("colour", "colour.transform", None, (), size, "levels", 0.0, sentence, None, {"as": name, **values})


class _Cause:
    """What a whole picture shows that explains several facts; looked for once, and only where a fact asks."""

    def __init__(self, pair: SentPair) -> None:
        self._pair = pair

    def of(self, name: str) -> str | None:
        if STATISTICS[name].group in ("content", "shift", "stretch") and self._scene is not None:
            return f"it shows {self._scene}"
        return None

    @cached_property
    def _scene(self) -> str | None:
        return Sent(self._pair.small).resemblance(self._pair.big).fault


def _sized(pair: SentPair) -> Iterator[Fact]:
    """Yield that the answer's sides are no whole multiple of the input's."""
    height, width = pair.due
    if pair.given != pair.due:
        size = float(max(abs(pair.given[0] - height), abs(pair.given[1] - width)))
        times = f"{pair.scale} times " if pair.scale > 1 else ""
        sentence = (
            f"differs from the input by its size: {pair.given[1]}×{pair.given[0]} pixels, where {times}the input is "
            f"{width}×{height}"
        )
        if pair.given[0] < height and pair.given[1] < width and pair.scale == 1:
            sentence += " (if the two are swapped, name the input first)"
        yield Fact("geometry", "geometry.size", None, (), size, "pixels", 0.0, sentence, None, {"size": pair.given})


def difference(one: FactMeasure, scale: int) -> str:
    """Return a sentence without its subject: ``differs from the input by 4.8 levels of brightness (darker)``."""
    kind, _, what = one.name.partition(".")
    return f"differs from the input by {_WORDS[kind](what, one, scale)}"


def _channels(one: FactMeasure) -> str:
    red, green, blue = one.values["channels"]
    return f"red {red:+.1f}, green {green:+.1f}, blue {blue:+.1f} levels"


def _colour(what: str, one: FactMeasure, _: int) -> str:
    if what == "brightness":
        way = "brighter" if one.size > 0 else "darker"
        return f"{abs(one.size):.1f} levels of brightness: {way} on average ({_channels(one)})"
    if what in ("red-green", "blue-green"):
        return f"a tint of {_channels(one)} on average"
    if what == "contrast":
        return f"a contrast of {one.values['gain']:.2f} times"
    return f"the colours of a part, {_channels(one)} beyond the rest: {one.place}"


def _geometry(what: str, one: FactMeasure, scale: int) -> str:
    if what in ("down", "right"):
        return f"{_way(one)}: all of it lies there"
    if what == "stretch":
        return (
            f"a scale of {one.values['scale']:.4f} and a turn of {one.values['turn']:.2f} degrees, "
            f"by which corners lie {one.size:.1f} pixels off"
        )
    return f"{_way(one)} in a part: {one.place}"


def _way(one: FactMeasure) -> str:
    right, down = one.values["right"], one.values["down"]
    across = f"{abs(right):.1f} pixels to the {'right' if right > 0 else 'left'}"
    return f"{across} and {abs(down):.1f} {'down' if down > 0 else 'up'}"


def _seams(what: str, one: FactMeasure, _: int) -> str:
    lines, axis = one.values["lines"], one.values["axis"]
    # Larger steps are held to 8 levels where they are measured.
    step = one.values["levels"]
    levels = "a step of 8 levels or more" if step > 7.5 else f"a step of {step:.1f} levels"
    letter = "x" if axis == "vertical" else "y"
    if len(lines) > 1:
        return (
            f"{levels} along {len(lines)} {axis} lines, {lines[1] - lines[0]} pixels apart from {letter} = {lines[0]}"
        )
    return f"{levels} along a {axis} line at {letter} = {lines[0]}"


def _ringing(what: str, one: FactMeasure, _: int) -> str:
    if what == "overshoot":
        return f"halos beside edges, which go {100 * one.size:.0f} % of an edge beyond what the input shows there"
    change = abs(one.size)
    size = {"fine": "finest", "broad": "middle", "wide": "broad"}[what]
    if one.size > 0:
        return f"{1 + change:.2f} times the contrast of its {size} structures: sharpened"
    return f"{1 - min(change, 1):.2f} times the contrast of its {size} structures: softened"


def _part(text: str, one: FactMeasure) -> str:
    return f"{text}: {one.place}"


_WORDS: dict[str, Callable[[str, FactMeasure, int], str]] = {
    "colour": _colour,
    "geometry": _geometry,
    "seams": _seams,
    "ringing": _ringing,
    "flattened": lambda what, one, scale: _part(
        f"the texture of a part, of which {100 * one.values['kept']:.0f} % is left", one
    ),
    "content": lambda what, one, scale: _part(
        f"what a part shows, by {one.values['levels']:.0f} levels of structure that the input has not", one
    ),
    "repeats": lambda what, one, scale: _part(
        f"a part that repeats what the input shows at ({one.values['from'][0]}, {one.values['from'][1]})"
        if "from" in one.values
        else "a repeated part",
        one,
    ),
    "borders": lambda what, one, scale: (
        f"{one.size:.0f} levels at its {one.values.get('side', 'outer')} border, more than beside it"
    ),
    "detail": lambda what, one, scale: (
        f"{one.size:.1f} levels (root mean square) of detail finer than the input's pixels"
        + ("" if one.place is None else f" in a part: {one.place}")
    ),
    "lossy": lambda what, one, scale: (
        f"blocks of 8 × 8 pixels: {100 * one.size:.0f} % more of their borders show a step than of other lines"
    ),
}


def _usual_cause(one: FactMeasure) -> str | None:
    """Return what such a difference often comes from; None: nothing is known."""
    kind = one.name.partition(".")[0]
    return {
        "seams": "as tiles leave that are worked on by themselves",
        "lossy": "as JPEG leaves",
        "borders": "as padding or a frame leaves",
    }.get(kind) or ("as an unsharp mask leaves" if kind == "ringing" and one.size > 0 else None)
