"""The report's pictures: a card for each, and crops around the worst trusted pixels."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from blackbox_conformal.audits.findings import Audit
from blackbox_conformal.reports.preview import (
    CROP,
    Preview,
    Worst,
    base64_text,
    first_stops,
    pack_stops,
    stripes,
    veil_png,
)
from blackbox_conformal.reports.slider_levels import Stop, thresholds_of
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.text import printable

WORST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Card:
    """One picture of the report.

    Attributes
    ----------
    shown
        (h, w) of the picture in the page, `size` at full resolution.
    choices
        (key, label) of the pictures that can be compared with the delivered one; `script` holds them by key.
    share, loss
        At the level that the page opens at; `loss` is None when the truth is unknown.
    still
        Base64 of a PNG that veils what is not trusted at that level, for readers without JavaScript.
    script
        What the page's script needs, as JSON.
    """

    kind: str
    name: str
    size: tuple[int, int]
    shown: tuple[int, int]
    scale: str
    notes: tuple[str, ...]
    choices: tuple[tuple[str, str], ...]
    share: float
    loss: float | None
    delivered: bytes
    still: str
    script: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorstCrop:
    """The worst trusted pixel of a photograph, with the (height, width) of the pictures around it."""

    name: str
    size: tuple[int, int]
    worst: Worst


def make_cards(
    previews: Iterable[Preview], audit: Audit | None, stops: Sequence[Stop], chosen: int, mask_side: int
) -> tuple[list[Card], list[WorstCrop]]:
    """A card for each picture, masked ones first and large losses before small ones, and the worst places of all."""
    curves = {} if audit is None else {picture.truth: picture.curve for picture in audit.pictures}
    cards: list[Card] = []
    crops: list[WorstCrop] = []
    for preview in previews:
        cards.append(_card(preview, curves.get(preview.identity), stops, chosen, mask_side))
        size = (min(CROP, preview.size[0]), min(CROP, preview.size[1]))
        crops.extend(WorstCrop(printable(preview.name), size, worst) for worst in preview.worst)
    cards.sort(key=lambda card: (card.kind != "result", math.inf if card.loss is None else -card.loss, card.name))
    return cards, crops


def _card(preview: Preview, curve: RiskCurve | None, stops: Sequence[Stop], chosen: int, mask_side: int) -> Card:
    ceiling, block = preview.coarser(mask_side)
    first = first_stops(ceiling, thresholds_of(stops))
    height, width = preview.ceiling.shape
    factor = block // preview.block
    shares = [round(preview.share(stop.threshold), 5) for stop in stops]
    losses = [(preview if curve is None else curve).loss(stop.threshold) for stop in stops]
    known = not any(math.isnan(loss) for loss in losses)
    pictures = [
        ("low", "vendor's input", preview.low),
        ("delivered", "delivered, no mask", preview.delivered),
        ("truth", "photograph", preview.truth),
    ]
    return Card(
        kind=preview.kind,
        name=printable(preview.name, 80),
        size=preview.size,
        shown=(height, width),
        scale=_scale_words(preview.block, block),
        notes=tuple(_sentence(note) for note in preview.notes),
        choices=tuple((key, label) for key, label, picture in pictures if picture is not None),
        share=shares[chosen],
        loss=losses[chosen] if known else None,
        delivered=preview.delivered,
        still=veil_png(first.repeat(factor, 0).repeat(factor, 1)[:height, :width], chosen),
        script={
            "width": first.shape[1],
            "height": first.shape[0],
            "cover": [first.shape[1] * block / preview.block / width, first.shape[0] * block / preview.block / height],
            "first": pack_stops(first),
            "pattern": stripes(*first.shape),
            "shares": shares,
            "losses": [round(loss, 5) for loss in losses] if known else None,
            # The delivered picture stands in the page already.
            **{key: base64_text(data) for key, _, data in pictures if data is not None and key != "delivered"},
        },
    )


def _scale_words(picture_block: int, mask_block: int) -> str:
    """How much the picture is reduced in the page, and its mask."""
    ordinals = {2: "half", 3: "a third", 4: "a quarter"}
    reduced = f"in this page reduced to {ordinals.get(picture_block, f'1/{picture_block}')}."
    picture = "all of them in this page." if picture_block == 1 else reduced
    if mask_block == 1:
        return f"{picture} A pixel of the mask is a pixel of the picture."
    return f"{picture} A pixel of the mask stands for {mask_block}×{mask_block} of them."


def worst_crops(crops: Sequence[WorstCrop], alpha: float) -> tuple[WorstCrop, ...]:
    """The largest errors at the one measured level nearest to `alpha`."""
    nearest = min((crop.worst.alpha for crop in crops), key=lambda level: abs(level - alpha), default=alpha)
    at_level = [crop for crop in crops if crop.worst.alpha == nearest]
    return tuple(sorted(at_level, key=lambda crop: -crop.worst.error)[:WORST_SHOWN])


def _sentence(note: str) -> str:
    text = printable(note, 400)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
