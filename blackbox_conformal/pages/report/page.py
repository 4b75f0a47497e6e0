"""The contents of the report, as typed values for its template."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.drawing.spending.spent import Spending
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.clear_part import advice, beyond_in_words
from blackbox_conformal.method.audits.contamination import Leakage
from blackbox_conformal.method.audits.findings import Audit, AuditedLevel
from blackbox_conformal.method.audits.kinds import DESCRIPTIVE, kind_blocks
from blackbox_conformal.method.audits.quality import Quality
from blackbox_conformal.method.audits.random_splits import Splits
from blackbox_conformal.method.audits.verdict import claim, quantity, too_few
from blackbox_conformal.method.guarantees.corollaries import error_in_words
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.images.overlay import DIFFERING
from blackbox_conformal.method.metrics._detail import about_detail
from blackbox_conformal.pages.report.cards import WORST_SHOWN, Card, make_cards, worst_crops
from blackbox_conformal.pages.report.error_pairs import ERRORS
from blackbox_conformal.pages.report.preview import CODES, HEAVY, STRIPE, VEIL, Preview, picture_stem
from blackbox_conformal.pages.report.slider_levels import Stop
from blackbox_conformal.study.audit.conclude import calibrated_kinds
from blackbox_conformal.study.stages.certify import assumptions
from blackbox_conformal.support.blocks import Block, Figure, How, Note, Table
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.plots import Bar, Bars, Chart, Point, Series
from blackbox_conformal.support.text import counted, printable, vendor_title

# How many pictures have which trusted share, as bars.

BARS = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """Ten bars over the trusted shares of pictures, each in [0, 1]; the last bar includes 100 %."""

    shares: Sequence[float]
    width: int = field(default=340, init=False)
    height: int = field(default=70, init=False)

    @property
    def counts(self) -> list[int]:
        """Return how many pictures each bar stands for."""
        places = [min(int(BARS * share), BARS - 1) for share in self.shares]
        return [places.count(bar) for bar in range(BARS)]

    def bars(self) -> list[tuple[float, float, float, float, int]]:
        """Return x, y, width, height and count of each bar; the script draws them in the same way."""
        step, most = self.width / BARS, max(*self.counts, 1)
        heights = [self.height * count / most for count in self.counts]
        return [
            (bar * step + 1, self.height - heights[bar], step - 2, heights[bar], count)
            for bar, count in enumerate(self.counts)
        ]


# The report's figures, from calibration, audit and random splits.

Plot = Chart | Bars

FEWEST_POINTS = 3  # Fewer points make no meaningful line over alpha, so bars are drawn.


def figures(
    rule: Guarantee, audited: Audit | None, splits: Splits | None, stops: Sequence[Stop], shares: list[float] | None
) -> Iterator[Plot]:
    """Yield the figures in order; `rule` is the calibration's guarantee.

    A rule with a miss rate bounds a share of photographs; alpha is then a tolerance and does not bound the risk.
    """
    alphas = [stop.alpha for stop in stops]
    ends = (0.0, alphas[-1])
    risk = _risk(rule, audited, stops)
    misses = rule.miss_rate is not None
    yield Chart(
        "Photographs with an error above alpha" if misses else "Risk against alpha",
        "alpha",
        "share" if misses else "risk",
        risk,
        x_range=ends,
        y_range=(0.0, _top(risk)),
        percent=misses,
    )
    if shares is not None:
        kind = "of audit photographs" if audited is not None else "of calibration photographs"
        series = [Series(f"mean trusted share {kind}", "realised", tuple(zip(alphas, shares, strict=True)), "step")]
        yield Chart(
            "Trusted share against alpha", "alpha", "trusted", series, x_range=ends, y_range=(0, 1), percent=True
        )
    if audited is not None:
        yield from _quality("PSNR, sRGB", "dB", audited.levels, lambda quality: quality.psnr, ends)
        if any(math.isfinite(level.promise.psnr) for level in audited.levels):
            yield from _promised(audited.levels, ends)
        yield from _quality("Mean SSIM", "", audited.levels, lambda quality: quality.ssim, ends)
        if audited.leakage is not None:
            yield leakage_chart(audited.leakage)
    if splits is not None:
        yield from _splits(splits)


def realised(rule: Guarantee, audited: Audit, stop: Stop) -> float:
    """Return the risk that `rule` bounds, over the audited photographs at a stop: a mean loss, or a share of misses."""
    losses = np.array([picture.curve.loss(stop.threshold) for picture in audited.pictures])
    return float(claim(rule, losses, stop.alpha, audited.pictures[0].curve.bound, audited.clusters).losses.mean())


def leakage_chart(leakage: Leakage) -> Chart:
    """Draw risk against the share of leaked calibration photographs, beside its bound."""
    shares = [point.leaked / leakage.n for point in leakage.points]
    kinds = (
        ("bound", "bound", "bound"),
        ("realised, leak not allowed for", "realised", "risk"),
        ("realised, leak allowed for", "allowed", "risk_allowed"),
    )
    series = [
        Series(name, role, tuple((x, getattr(point, of)) for x, point in zip(shares, leakage.points, strict=True)))
        for name, role, of in kinds
    ]
    return Chart(
        f"If the vendor trained on them, at alpha = {leakage.alpha:g}",
        f"share of {leakage.n} calibration photographs that leaked",
        "risk",
        series,
        x_range=(0.0, max(shares) or 1.0),
        y_range=(0.0, _top(series)),
        slider=False,
    )


def _risk(rule: Guarantee, audited: Audit | None, stops: Sequence[Stop]) -> list[Series]:
    end = stops[-1].alpha
    if rule.miss_rate is not None:
        allowed = ((0.0, rule.miss_rate), (end, rule.miss_rate))
        risk = [Series(f"allowed: delta = {rule.miss_rate:g}", "allowed", allowed)]
    else:
        risk = [
            Series("allowed: alpha", "allowed", ((0.0, 0.0), (end, end))),
            Series("bound from calibration", "bound", tuple((stop.alpha, stop.risk) for stop in stops), "step"),
        ]
    if audited is not None:
        points = tuple((stop.alpha, realised(rule, audited, stop)) for stop in stops)
        risk.append(Series("realised on the audit", "realised", points))
        risk.append(
            Series(
                "audited level, 90 % interval",
                "realised",
                tuple((level.alpha, level.judgement.risk) for level in audited.levels),
                "marks",
                tuple((level.alpha, *level.judgement.interval) for level in audited.levels),
            )
        )
    return risk


def _quality(
    title: str, unit: str, levels: Sequence[AuditedLevel], value: Callable[[Quality], float], ends: Point
) -> Iterator[Plot]:
    # Inside the mask, outside it, and of the whole picture.
    series = [
        Series("inside the mask", "realised", tuple((level.alpha, value(level.inside)) for level in levels), "dots"),
        Series("outside the mask", "allowed", tuple((level.alpha, value(level.outside)) for level in levels), "dots"),
        Series("whole picture", "bound", tuple((level.alpha, value(level.whole)) for level in levels)),
    ]
    if _drawable(series[0].points):
        yield Chart(f"{title} against alpha", "alpha", unit or "SSIM", series, x_range=ends)
        return
    whole = Bar("whole picture", value(levels[0].whole), "bound")
    yield from _bars(title, unit, series[:2], [whole], digits=2 if unit else 3)


def _promised(levels: Sequence[AuditedLevel], ends: Point) -> Iterator[Plot]:
    # In the metric's own space.
    series = [
        Series("realised", "realised", tuple((level.alpha, level.inside.psnr_in_space) for level in levels), "dots"),
        Series("promised at least", "bound", tuple((level.alpha, level.promise.psnr_if_trusted) for level in levels)),
    ]
    if _drawable(series[0].points):
        yield Chart("PSNR inside against its bound", "alpha", "dB, metric's space", series, x_range=ends)
        return
    yield from _bars("PSNR inside against its bound, metric's space", "dB", series)


def _splits(splits: Splits) -> Iterator[Plot]:
    title = f"{splits.splits} random splits: risk"
    claimed = Series("claimed at most", "allowed", tuple((level.alpha, level.claimed) for level in splits.levels))
    means = tuple((level.alpha, level.risk[0]) for level in splits.levels)
    if not _drawable(means):
        series = [replace(claimed, role="bound"), Series("mean over splits", "realised", means)]
        yield from _bars(title, "", series, digits=4)
        return
    ranges = tuple((level.alpha, *level.risk_range) for level in splits.levels)
    series = [claimed, Series("mean over splits, 5th to 95th percentile", "realised", means, "dots", ranges)]
    yield Chart(title, "alpha", "risk", series, y_range=(0.0, _top(series)), slider=False)


def _bars(
    title: str, unit: str, series: Sequence[Series], first: Sequence[Bar] = (), *, digits: int = 2
) -> Iterator[Bars]:
    # No figure if no value is finite.
    bars = [
        Bar(f"{curve.label} at alpha = {alpha:g}", curve.points[index][1], curve.role)
        for index, (alpha, _) in enumerate(series[0].points)
        for curve in series
    ]
    figure = Bars(title, unit, [*first, *bars], digits=digits)
    if figure.bars:
        yield figure


def _drawable(points: Sequence[Point]) -> bool:
    return sum(math.isfinite(y) for _, y in points) >= FEWEST_POINTS


def _top(series: Sequence[Series]) -> float:
    # Above every point, but not always above the end of a wide interval.
    points = max(y for curve in series for _, y in curve.points)
    ends = max((high for curve in series for _, _, high in curve.whiskers), default=0.0)
    return 1.04 * max(points, min(ends, 1.6 * points)) or 1.0


# The report in one paragraph, for a reader who knows nothing of calibration.

_FOUND = {
    "confirmed": "An audit on {others} confirmed this promise.",
    "inconclusive": "An audit on {others} found nothing against this promise, and is too small to confirm it.",
    "shifted": "An audit on {others} found that they are unlike the calibration's, so the promise does not cover them.",
    "contradicted": "An audit on {others} contradicted this promise: do not rely on these masks.",
}


def summary(vendor: str, calibration: Calibration, stop: Stop, audit: Audit | None) -> tuple[str, ...]:
    """Say in a sentence each the work done, the promise at `stop`, and whether it was checked."""
    scale = calibration.procedure.scale
    enlarged = f"makes pictures {scale} times larger, and some of the detail that it adds"
    does = enlarged if scale > 1 else "restores pictures, and some of what it changes"
    return (
        f"{vendor[:1].upper() if vendor.startswith('the ') else vendor[:1]}{vendor[1:]} {does} may be wrong.",
        "A trust mask marks the pixels that can be relied on.",
        stop.promise,
        _checked(audit, stop),
        *filter(None, [calibration.worth(calibration.rule(), stop.alpha).words(_beyond(audit, stop))]),
        *(f"{note[0].upper()}{note[1:]}." for note in calibration.history.notes),
        *([] if audit is None else [one.sentence for one in audit.kinds if one.fails and one.alpha == stop.alpha]),
        *(() if audit is None or audit.drift is None else (f"Warning: {audit.drift}.",)),
        *few_cost(calibration, stop),
    )


def _beyond(audit: Audit | None, stop: Stop) -> str:
    alphas = [] if audit is None else [level.alpha for level in audit.levels]
    return "" if audit is None else beyond_in_words(alphas, audit.clear_parts, stop.alpha)


def _checked(audit: Audit | None, stop: Stop) -> str:
    if audit is None:
        return "No audit has checked this promise on other photographs yet."
    others = f"{counted(audit.n, 'photograph')} that calibration has not seen"
    if audit.verdict == "inconclusive" and audit.levels:
        nearest = min(audit.levels, key=lambda level: abs(level.alpha - stop.alpha))
        if few := too_few(nearest.judgement):
            return f"An audit on {others} found nothing against this promise.{few}"
    return _FOUND[audit.verdict].format(others=others)


def meaning(stop: Stop, share: float | None, of: str, instead: str | None = None) -> tuple[str, ...]:
    """Say the one number of a report, and how to use it; `instead` says which other picture is to be used."""
    if stop.threshold == -math.inf:
        return ("At this level nothing is trusted.",)
    trusted = "" if share is None else f"On average {100 * share:.0f} % of {of} is trusted. "
    use = instead or "Use the clear pixels as they are; check or leave out the darkened and striped ones."
    return (f"{trusted}{use}",)


def _instead(calibration: Calibration, audit: Audit | None, alpha: float) -> str | None:
    # The audit speaks of levels that it measured, also where it finds no other picture nearer.
    alphas = [] if audit is None else [level.alpha for level in audit.levels]
    if audit is None or alpha not in alphas or not (parts := audit.clear_parts):
        return calibration.worth(calibration.rule(), alpha).advice
    return advice(alphas, parts, alpha) or None


def few_cost(calibration: Calibration, stop: Stop) -> tuple[str, ...]:
    """Say why few photographs leave much hatched, if they cost a fifth of alpha or more."""
    rule, n = calibration.rules_by_score()[0], calibration.n
    if not rule.holds_on_average or rule.bound_source != "metric" or not rule.treats_photographs_alike:
        return ()
    bound = rule.loss_bound(calibration.bound)

    def used(photographs: int) -> float:
        return stop.alpha - (bound - stop.alpha) / photographs

    if used(n) >= 0.8 * stop.alpha or used(n) <= 0:
        return ()
    many = max(100, 4 * n)
    return (
        f"Why much is hatched: with only {n} calibration photographs their own mean risk may be {used(n):.2g} at most, "
        f"and not {stop.alpha:g}; with {many} it may be {used(many):.2g}.",
    )


MAXIMUM_MANIFEST_BYTES = 4 * 2**20

Section = tuple[str, list[Block]]  # Blocks under their heading.
_LEADING = 4  # Sections of an audit that are open: sentences, levels, clear parts, and the vendor's additions.


def build_page(
    calibration: Calibration,
    audit: Audit | None,
    previews: Iterable[Preview],
    spending: Spending | None,
    manifest: tuple[Any, str | None] | None,
    stops: Sequence[Stop],
    alpha: float,
    side: int,
    splits: Splits | None = None,
    left_out: int = 0,
) -> dict[str, Any]:
    """Return the variables of the report's template, from `previews`, one at a time, reduced to `side` pixels a
    side."""
    rule = calibration.rule()
    chosen = min(range(len(stops)), key=lambda index: abs(stops[index].alpha - alpha))
    shown = make_cards(previews, audit, stops, chosen, side, calibration.bound)
    shares = _mean_shares(calibration, audit, shown.cards, stops)
    found: tuple[Section, ...] = ()
    told, share_of = None, counted(calibration.n, "calibration photograph")
    if audit is not None:
        told, share_of = audit.quantity, counted(audit.n, "audited photograph")
        # A photograph that the page has no room for, or that the vendor refused, has no other name.
        pictures = tuple(
            replace(one, name=shown.names.get(picture_stem("audit", one.truth), printable(one.name)))
            for one in audit.pictures
        )
        blocks = replace(audit, pictures=pictures).blocks(WORST_SHOWN)
        # Without the audit's figure.
        found = sections(block for block in blocks if block.only != "call" and not isinstance(block, Figure))
    else:
        with suppress(UsageError):
            told = quantity(rule, error=error_in_words(calibration.procedure.metric))
    names = [{card.name for card in shown.cards if card.kind == kind} for kind in ("audit", "result")]
    details = [
        *(() if audit is not None else sections(kind_blocks(calibrated_kinds(calibration, alpha), DESCRIPTIVE))),
        *found[_LEADING:],
        *(() if splits is None else sections(splits.blocks())),
        *sections([_levels(stops, rule, audit, shares)]),
    ]
    vendor, share = vendor_title(calibration.procedure.vendor), None if shares is None else shares[chosen]
    of = "a calibration photograph" if audit is None else "an audited photograph"
    return {
        "calibration": calibration,
        "vendor": vendor,
        "lead": meaning(stops[chosen], share, of, _instead(calibration, audit, stops[chosen].alpha)),
        "summary": summary(vendor, calibration, stops[chosen], audit),
        "adapter": printable(str(calibration.procedure.vendor.get("adapter", "unnamed"))),
        "metric": metric_words(calibration),
        "score": score_words(calibration.procedure),
        "rule": rule,
        "assumptions": assumptions(rule, calibration.procedure, calibration.signature),
        "vouching": calibration.vouching().words(
            "`blackbox-conformal verify FILE --trust KEY` tells whose key you trust"
        ),
        "alpha": alpha,
        # The slider's first position, and its index.
        "stop": stops[chosen],
        "chosen": chosen,
        "slider": slider_of(stops, shares, calibration),
        "share": share,
        "share_of": share_of,
        "audit": audit,
        "audited": found[:_LEADING],
        # The value whose mean is the risk; None for an unknown guarantee.
        "quantity": told,
        "figures": Figure(list(figures(rule, audit, splits, stops, shares))),
        "details": tuple(details),
        "attempts": () if spending is None else sections(_attempts(spending)),
        "cards": shown.cards,
        # How many pictures the page has no room for.
        "left_out": left_out,
        "histogram": Histogram([card.share for card in shown.cards]),
        "examples": tuple(example for example in shown.examples if example.pair.near in (*ERRORS, alpha)),
        # Pictures that were both masked and audited.
        "twice": tuple(sorted(names[0] & names[1])),
        "worst": worst_crops(shown.crops, alpha),
        "spending": spending,
        "manifest": None if manifest is None else _pretty(manifest[0]),
        "manifest_digest": None if manifest is None else manifest[1],
        "procedure": _pretty(calibration.procedure.model_dump(mode="json")),
    }


def metric_words(calibration: Calibration) -> str:
    """Name the metric with its parameters, for people."""
    parameters = dict(calibration.procedure.metric)
    name = str(parameters.pop("name", "metric"))
    settings = ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in sorted(parameters.items())
        if value is not None
    )
    return f"{name} ({settings})" if settings else name


def score_words(procedure: Procedure) -> str:
    """Name the score and its source, for people."""
    draws = "one draw: the vendor was not asked twice" if procedure.draws == 1 else f"{procedure.draws} draws"
    other = "" if procedure.second_opinion is None else ", and from a second vendor's picture"
    return f"{printable(str(procedure.score.get('name', 'unnamed')))}, computed from {draws}{other}"


def threshold_words(threshold: float) -> str:
    if threshold == math.inf:
        return "every score"
    return "nothing" if threshold == -math.inf else f"score < {threshold:.6g}"


def read_manifest(run: Path) -> tuple[Any, str | None] | None:
    """Read the run's manifest, or why it cannot be shown, and the digest of its file; None: there is none."""
    path = run / "manifest.json"
    try:
        if path.stat().st_size > MAXIMUM_MANIFEST_BYTES:
            return {"left out": f"manifest.json is larger than {MAXIMUM_MANIFEST_BYTES} bytes"}, None
        content = path.read_bytes()
        return json.loads(content), digest_bytes(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        return {"left out": f"manifest.json cannot be read: {type(error).__name__}"}, None


def slider_of(stops: Sequence[Stop], shares: list[float] | None, calibration: Calibration) -> dict[str, Any]:
    """Return the script's data for the slider and for the codes of errors."""
    return {
        "alphas": [stop.alpha for stop in stops],
        "labels": [f"{stop.alpha:g}" for stop in stops],
        "thresholds": [threshold_words(stop.threshold) for stop in stops],
        "statements": [stop.promise for stop in stops],
        "shares": None if shares is None else [round(share, 5) for share in shares],
        "veil": VEIL,
        "heavy": HEAVY,
        "differing": DIFFERING.tolist(),
        "stripe": STRIPE,
        "bound": calibration.bound,
        "codes": CODES,
        "enlarged": calibration.procedure.scale > 1,
        "dotted": about_detail(calibration.guarantee, calibration.procedure.metric),
    }


def _mean_shares(
    calibration: Calibration, audit: Audit | None, cards: Sequence[Card], stops: Sequence[Stop]
) -> list[float] | None:
    # Of the audit's photographs, else of the calibration's.
    if audit is not None:
        exact = [card.script["shares"] for card in cards if card.kind == "audit"]
        if len(exact) == audit.n:
            return [float(value) for value in np.mean(exact, axis=0)]
        shares = [[picture.curve.trusted_share(stop.threshold) for picture in audit.pictures] for stop in stops]
        # A refused photograph has no pixels to trust.
        return [float(np.mean(np.nan_to_num(at_stop))) for at_stop in shares]
    if not calibration.curves.area_scores.size:
        return None
    return [float(np.mean(calibration.curves.trusted_shares_at(stop.threshold))) for stop in stops]


def sections(blocks: Iterable[Block]) -> tuple[Section, ...]:
    """Group blocks under their titles; leave out sections that begin with an empty table."""
    found: list[Section] = []
    for block in blocks:
        if block.title or not found:
            found.append((block.title, []))
        found[-1][1].append(block)
    return tuple(one for one in found if not isinstance(one[1][0], Table) or one[1][0].rows)


def _levels(stops: Sequence[Stop], rule: Guarantee, audit: Audit | None, shares: list[float] | None) -> Table:
    misses = rule.miss_rate is not None
    columns: dict[str, How] = {
        "alpha": "{alpha:g}",
        "trusted": "{threshold}",
        f"{'tolerance' if misses else 'bound'} from calibration": "{bound:at_most}",
        "realised share above alpha" if misses else "realised risk": "{realised:.4f}",
        "trusted share": "{share:share}",
    }
    rows = [
        {
            "alpha": stop.alpha,
            "threshold": threshold_words(stop.threshold),
            "bound": stop.risk,
            "realised": None if audit is None else realised(rule, audit, stop),
            "share": None if shares is None else shares[index],
        }
        for index, stop in enumerate(stops)
    ]
    return Table("stops", columns, rows, title="All figures of the slider's levels")


def _attempts(spending: Spending) -> Iterator[Block]:
    ended = [{"state": state, "attempts": count} for state, count in spending.states]
    columns = {"state": "{state}", "attempts": "{attempts}"}
    yield Table("states", columns, ended, title="How attempts ended")
    yield Note("Validated: the answer is stored and is a picture of the expected size.")
    if not spending.failures:
        yield Note("No call failed.")
    failures = {"ended as": "{state}", "class": "{error_class}", "code": "{code}"}
    failures |= {"attempts": "{count}", "message": "{message}"}
    yield Table("failures", failures, list(map(asdict, spending.failures)), title="Failures, with one message each")


def _pretty(document: Any) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return "\n".join(printable(line, 2000) for line in text.split("\n"))
