"""Everything that stands in the report, as plain values for the template.

Marking up is the template's business; nothing is measured here that was not measured before.
"""

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal import __version__
from blackbox_conformal.audits.findings import Audit
from blackbox_conformal.audits.hypothesis import quantity
from blackbox_conformal.audits.random_splits import CAUTION, Splits
from blackbox_conformal.audits.verdict import BEFOREHAND, EXPLAINED, FIXED
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.pipeline.prices.spending import Spending
from blackbox_conformal.reports.bars import Bars
from blackbox_conformal.reports.figures import figures, realised, speaks_of_misses
from blackbox_conformal.reports.preview import CROP, Preview, first_stops, pack_stops
from blackbox_conformal.reports.slider_levels import Stop, thresholds_of
from blackbox_conformal.reports.veil import STRIPE, VEIL, pattern, veil_png
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.text import printable

MAXIMUM_MANIFEST_BYTES = 4 * 2**20
WORST_SHOWN = 12


def page(
    calibration: Calibration,
    audited: Audit | None,
    previews: Iterable[Preview],
    spending: Spending | None,
    manifest: Any,
    stops: Sequence[Stop],
    alpha: float,
    mask_side: int,
    splits: Splits | None = None,
) -> dict[str, Any]:
    """The template's variables; pictures come one at a time from `previews`, masks have at most `mask_side` pixels."""
    rule = calibration.rule()
    chosen = min(range(len(stops)), key=lambda index: abs(stops[index].alpha - alpha))
    curves = {} if audited is None else {one.truth: one.curve for one in audited.pictures}
    cards: list[dict[str, Any]] = []
    worst: list[dict[str, Any]] = []
    for preview in previews:
        cards.append(_card(preview, curves.get(preview.identity), stops, chosen, mask_side))
        worst.extend(_worst(preview))
    cards.sort(key=lambda card: (card["kind"] != "result", -card["loss"], card["name"]))
    shares = _mean_shares(calibration, audited, cards, stops)
    shown = figures(rule, audited, splits, stops, shares)
    return {
        "version": __version__,
        "calibration": calibration,
        "vendor": vendor_words(calibration.procedure.vendor),
        "adapter": printable(str(calibration.procedure.vendor.get("adapter", "unnamed"))),
        "metric": metric_words(calibration),
        "guarantee": {
            "name": calibration.guarantee.get("name", "expected"),
            "theorem": rule.theorem,
            "assumptions": list(rule.assumptions),
        },
        "stop": stops[chosen],
        "chosen": chosen,
        "alpha": alpha,
        "stops": {
            "alphas": [stop.alpha for stop in stops],
            "labels": [f"{stop.alpha:g}" for stop in stops],
            "thresholds": [threshold_words(stop.threshold) for stop in stops],
            "statements": [stop.statement for stop in stops],
            "shares": None if shares is None else [round(share, 5) for share in shares],
            "veil": VEIL,
            "stripe": STRIPE,
        },
        "share": None if shares is None else shares[chosen],
        "share_of": "audit photographs" if audited is not None else "calibration photographs",
        "audit": audited,
        "splits": splits,
        "caution": CAUTION,
        "figures": [("bars" if isinstance(one, Bars) else "chart", one) for one in shown],
        "notes_of_audit": _notes_of(audited),
        "fixed": FIXED,
        "quantity": _quantity(rule, audited),
        "misses": speaks_of_misses(rule),
        "own_bounds": rule.bound_source != "metric",
        "worst_table": _worst_table(audited, alpha),
        "rows": _rows(stops, calibration, audited, shares),
        "spending": spending,
        "refused": [image for image in calibration.images if image.refused],
        "cards": cards,
        "twice": sorted(
            {card["name"] for card in cards if card["kind"] == "audit"}
            & {card["name"] for card in cards if card["kind"] == "result"}
        ),
        "worst": _worst_at(worst, alpha),
        "manifest": None if manifest is None else _pretty(manifest),
        "procedure": _pretty(calibration.procedure.model_dump(mode="json")),
        "printable": printable,
    }


def vendor_words(identity: Mapping[str, Any]) -> str:
    """What the user calls the vendor: its label, else its model, else the adapter."""
    parameters = identity.get("parameters") or {}
    names = (parameters.get("label"), parameters.get("model"), identity.get("adapter"))
    return printable(next((str(name) for name in names if name), "unnamed vendor"))


def _scale_words(block: int) -> str:
    if block == 1:
        return "all of them in this page."
    ordinals = {2: "half", 3: "a third", 4: "a quarter"}
    return f"in this page reduced to {ordinals.get(block, f'1/{block}')}."


def _mask_scale_words(block: int) -> str:
    if block == 1:
        return "A pixel of the mask is a pixel of the picture."
    return f"A pixel of the mask stands for {block}×{block} of them."


def metric_words(calibration: Calibration) -> str:
    """The metric with its parameters, for people."""
    given = dict(calibration.procedure.metric)
    name = str(given.pop("name", "metric"))
    settings = ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in sorted(given.items())
        if value is not None
    )
    return f"{name} ({settings})" if settings else name


def threshold_words(threshold: float) -> str:
    """A threshold for people."""
    if threshold == math.inf:
        return "every score"
    return "nothing" if threshold == -math.inf else f"score < {threshold:.6g}"


def read_manifest(run: Path) -> Any:
    """The run's manifest, or None when there is none that can be shown."""
    path = run / "manifest.json"
    try:
        if path.stat().st_size > MAXIMUM_MANIFEST_BYTES:
            return {"left out": f"manifest.json is larger than {MAXIMUM_MANIFEST_BYTES} bytes"}
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return {"left out": f"manifest.json cannot be read: {type(error).__name__}"}


def _card(
    preview: Preview, curve: RiskCurve | None, stops: Sequence[Stop], chosen: int, mask_side: int
) -> dict[str, Any]:
    ceiling, block = preview.coarser(mask_side)
    first = first_stops(ceiling, thresholds_of(stops))
    height, width = preview.ceiling.shape
    factor = block // preview.block
    shares = [round(preview.share(stop.threshold), 5) for stop in stops]
    losses = [preview.loss(stop.threshold) if curve is None else curve.loss(stop.threshold) for stop in stops]
    known = not any(math.isnan(loss) for loss in losses)
    choices = [
        ("low", "vendor's input", preview.low),
        ("delivered", "delivered, no mask", preview.delivered),
        ("truth", "photograph", preview.truth),
    ]
    return {
        "kind": preview.kind,
        "name": printable(preview.name, 80),
        "size": preview.size,
        "shown": (height, width),
        "scale": _scale_words(preview.block),
        "mask_scale": _mask_scale_words(block),
        "notes": [_note(note) for note in preview.notes],
        "choices": [(key, label) for key, label, picture in choices if picture is not None],
        "loss": losses[chosen] if known else -1.0,
        "share": shares[chosen],
        "known": known,
        "delivered": _base64(preview.delivered),
        "still": veil_png(first.repeat(factor, 0).repeat(factor, 1)[:height, :width], chosen),
        "data": {
            "width": first.shape[1],
            "height": first.shape[0],
            "cover": [first.shape[1] * block / preview.block / width, first.shape[0] * block / preview.block / height],
            "first": pack_stops(first),
            "pattern": pattern(*first.shape),
            "shares": shares,
            "losses": [round(loss, 5) for loss in losses] if known else None,
            **{key: _base64(picture) for key, _, picture in choices if picture is not None and key != "delivered"},
        },
    }


def _worst(preview: Preview) -> Iterator[dict[str, Any]]:
    for one in preview.worst:
        yield {
            "name": printable(preview.name),
            "alpha": one.alpha,
            "row": one.row,
            "column": one.column,
            "error": one.error,
            "at": one.at,
            "size": (min(CROP, preview.size[0]), min(CROP, preview.size[1])),
            "delivered": _base64(one.delivered),
            "truth": _base64(one.truth),
            "mask": _base64(one.mask),
        }


def _worst_at(worst: Sequence[dict[str, Any]], alpha: float) -> list[dict[str, Any]]:
    """The worst of the worst at the one level, of those that were measured, nearest to `alpha`."""
    nearest = min((one["alpha"] for one in worst), key=lambda level: abs(level - alpha), default=alpha)
    return sorted((one for one in worst if one["alpha"] == nearest), key=lambda one: -one["error"])[:WORST_SHOWN]


def _worst_table(audited: Audit | None, alpha: float) -> dict[str, Any] | None:
    """The photographs with the largest losses at the audited level nearest to `alpha`, with the worst pixel of each."""
    if audited is None or not audited.levels:
        return None
    index = min(range(len(audited.levels)), key=lambda place: abs(audited.levels[place].alpha - alpha))
    rows = [
        {"name": printable(one.name), "loss": one.losses[index], "share": one.shares[index], "place": one.worst[index]}
        for one in audited.worst(index, WORST_SHOWN)
    ]
    return {"alpha": audited.levels[index].alpha, "rows": rows} if rows else None


def _notes_of(audited: Audit | None) -> tuple[str, ...]:
    if audited is None:
        return ()
    open_ended = any(level.judgement.further is not None for level in audited.levels)
    verdicts = dict.fromkeys(level.judgement.verdict for level in audited.levels if level.tested)
    drift = () if audited.drift is None else (f"Warning: {audited.drift}.",)
    return (
        *drift,
        *(EXPLAINED[verdict] for verdict in verdicts),
        *((BEFOREHAND,) if open_ended else ()),
        *audited.notes,
    )


def _quantity(rule: Guarantee, audited: Audit | None) -> str | None:
    """What the risk is the mean of; None for a guarantee that is not known here."""
    if audited is not None:
        return audited.quantity
    try:
        return quantity(rule)
    except UsageError:
        return None


def _note(text: str) -> str:
    """A note as a sentence."""
    shown = printable(text, 400)
    return shown[:1].upper() + shown[1:] + ("" if shown.endswith((".", "!", "?")) else ".")


def _mean_shares(
    calibration: Calibration, audited: Audit | None, cards: Sequence[dict[str, Any]], stops: Sequence[Stop]
) -> list[float] | None:
    exact = [card["data"]["shares"] for card in cards if card["kind"] == "audit"]
    if audited is not None and len(exact) == audited.n:
        return [float(value) for value in np.mean(exact, axis=0)]
    if audited is not None:
        found = [[one.curve.trusted_share(stop.threshold) for one in audited.pictures] for stop in stops]
        # A refused photograph has no pixels to trust.
        return [float(np.mean(np.nan_to_num(shares))) for shares in found]
    if not calibration.curves.area_scores.size:
        return None
    return [float(np.mean(calibration.curves.trusted_shares_at(stop.threshold))) for stop in stops]


def _rows(
    stops: Sequence[Stop], calibration: Calibration, audited: Audit | None, shares: list[float] | None
) -> list[dict[str, Any]]:
    return [
        {
            "alpha": stop.alpha,
            "threshold": threshold_words(stop.threshold),
            "bound": stop.risk,
            "realised": None if audited is None else realised(calibration.rule(), audited, stop),
            "share": None if shares is None else shares[index],
        }
        for index, stop in enumerate(stops)
    ]


def one_at_a_time(readers: Sequence[Callable[[], Preview]]) -> Iterator[Preview]:
    """Each preview in turn."""
    for read in readers:
        yield read()


def _pretty(document: Any) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return "\n".join(printable(line, 2000) for line in text.split("\n"))


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
