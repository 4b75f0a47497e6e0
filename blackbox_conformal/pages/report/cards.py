"""The report's pictures: a card for each, examples of errors, and crops around the worst trusted pixels."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.pages.report.encoded import base64_text
from blackbox_conformal.pages.report.error_pairs import CROP, ErrorPair
from blackbox_conformal.pages.report.preview import (
    Named,
    Preview,
    Worst,
    by_name,
    error_codes,
    first_stops,
    names_apart,
    pack,
    stripes,
    veil_png,
)
from blackbox_conformal.pages.report.slider_levels import Stop, thresholds_of
from blackbox_conformal.support.text import printable

WORST_SHOWN = 12
EXAMPLES_SHOWN = 2  # Examples of each error.


@dataclass(frozen=True, slots=True)
class Card:
    """One picture of the report, with its share and loss at the level that the page opens at.

    `shown` is its (height, width) in the page, and `size` at full resolution. `loss` is None if the truth is unknown.
    `still` is the veil as a PNG in base64, for readers without JavaScript. `script` holds the data for the page's
    script.
    """

    kind: str
    name: str
    size: tuple[int, int]
    shown: tuple[int, int]
    scale: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    share: float
    loss: float | None
    delivered: bytes
    still: str
    differing: tuple[tuple[float, ...], ...]
    script: dict[str, Any]
    pick: str = ""  # Why the page opens with it.


@dataclass(frozen=True, slots=True)
class WorstCrop:
    """The worst trusted pixel of a photograph, with the (height, width) of the pictures around it."""

    name: str
    size: tuple[int, int]
    worst: Worst


@dataclass(frozen=True, slots=True)
class ErrorExample:
    """A square of a photograph that shows how an error looks."""

    name: str
    pair: ErrorPair


@dataclass(frozen=True, slots=True)
class ReportPictures:
    """A card for each picture, and details of the worst pictures."""

    cards: tuple[Card, ...]
    crops: tuple[WorstCrop, ...]
    examples: tuple[ErrorExample, ...]
    names: Mapping[str, str]  # The page's name of each picture, by stem.


def make_cards(
    previews: Iterable[Preview], audit: Audit | None, stops: Sequence[Stop], chosen: int, side: int, bound: float
) -> ReportPictures:
    """Make a card for each picture: masked pictures first, then large losses before small ones.

    Pictures are reduced to at most `side` pixels a side. `bound` is the largest possible error.
    """
    curves = {} if audit is None else {picture.truth: picture.curve for picture in audit.pictures}
    cards: list[Card] = []
    crops: list[WorstCrop] = []
    examples: list[ErrorExample] = []
    pictures: list[Named] = []
    for preview in previews:
        pictures.append(Named(preview.stem, printable(preview.name, 80), preview.kind, printable(preview.source, 80)))
        cards.append(_card(preview.within(side), curves.get(preview.identity), stops, chosen, bound))
        size = (min(CROP, preview.size[0]), min(CROP, preview.size[1]))
        crops.extend(WorstCrop(preview.stem, size, worst) for worst in preview.worst)
        # Only the nearest so far are kept, so that memory does not grow with the photographs.
        examples = _nearest([*examples, *(ErrorExample(preview.stem, pair) for pair in preview.pairs)])
    # Names can be told apart only when all are known.
    names = {one.stem: name for one, name in zip(pictures, names_apart(pictures), strict=True)}
    cards = [replace(card, name=names[card.name]) for card in cards]
    # Of three or more: by the loss where truths are known, else by what is hatched.
    ranked = sorted((one for one in cards if one.loss is not None), key=lambda one: -(one.loss or 0))
    ranked = ranked or sorted(cards, key=lambda one: one.share)
    picks = {ranked[0].name: "worst", ranked[len(ranked) // 2].name: "typical"} if len(ranked) > 2 else {}
    cards = [replace(card, pick=picks.get(card.name, "")) for card in cards]
    place = ["worst", "typical", ""].index
    cards.sort(
        key=lambda one: (
            place(one.pick),
            one.kind != "result",
            math.inf if one.loss is None else -one.loss,
            by_name(one.name),
        )
    )
    return ReportPictures(
        tuple(cards),
        tuple(replace(crop, name=names[crop.name]) for crop in crops),
        tuple(replace(example, name=names[example.name]) for example in examples),
        names,
    )


def _nearest(examples: Sequence[ErrorExample]) -> list[ErrorExample]:
    ordered = sorted(examples, key=lambda one: (one.pair.near, abs(one.pair.error - one.pair.near), one.name))
    groups = groupby(ordered, key=lambda one: one.pair.near)
    return [example for _, group in groups for example in islice(group, EXAMPLES_SHOWN)]


def _card(preview: Preview, curve: RiskCurve | None, stops: Sequence[Stop], chosen: int, bound: float) -> Card:
    first, detail = first_stops(preview.ceiling, thresholds_of(stops)), preview.detail
    height, width = first.shape
    part = {2: "half", 3: "a third", 4: "a quarter"}.get(preview.block, f"1/{preview.block}")
    scale = f"in this page reduced to {part}. A pixel of the mask stands for {preview.block}×{preview.block} of them."
    if preview.block == 1:
        scale = "all of them in this page. A pixel of the mask is a pixel of the picture."
    warnings: list[str] = []
    if preview.kind == "result":
        # The first note of a masked picture repeats its certificate.
        warnings += [preview.no_guarantee] if preview.no_guarantee else []
        warnings += [note.partition(": ")[0] for note in preview.notes[1:]]
    exact = [preview.share(stop.threshold) for stop in stops]
    # Zero says that nothing is trusted.
    shares = [round(share, 5) or share for share in exact]
    losses = [(preview if curve is None else curve).loss(stop.threshold) for stop in stops]
    known = not any(math.isnan(loss) for loss in losses)
    # The page already has the delivered picture.
    pictures = {"low": preview.low, "truth": preview.truth}
    return Card(
        kind=preview.kind,
        name=preview.stem,
        size=preview.size,
        shown=(height, width),
        scale=scale,
        notes=tuple(sentence(note) for note in preview.notes),
        warnings=tuple(map(sentence, warnings)),
        share=shares[chosen],
        loss=losses[chosen] if known else None,
        delivered=preview.delivered,
        still=veil_png(first, chosen, detail),
        differing=tuple(tuple(side / preview.block for side in box) for box in preview.differing),
        script={
            "width": width,
            "height": height,
            "block": preview.block,
            "first": pack(first),
            "errors": None if preview.errors is None else pack(error_codes(preview.errors, bound)),
            "added": None if detail is None else pack(detail),
            "pattern": stripes(height, width),
            "differing": preview.differing,
            "shares": shares,
            "losses": [round(loss, 5) for loss in losses] if known else None,
            **{key: base64_text(data) for key, data in pictures.items() if data is not None},
        },
    )


def worst_crops(crops: Sequence[WorstCrop], alpha: float) -> tuple[WorstCrop, ...]:
    """Return the largest errors at the measured level nearest to `alpha`."""
    # Crops exist for audited levels only.
    nearest = min((crop.worst.alpha for crop in crops), key=lambda level: abs(level - alpha), default=alpha)
    at_level = [crop for crop in crops if crop.worst.alpha == nearest]
    return tuple(sorted(at_level, key=lambda crop: -crop.worst.error)[:WORST_SHOWN])


def sentence(note: str) -> str:
    """Return a foreign note as one printable line with a capital and a full stop."""
    text = printable(note, 2000)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
