"""The report in one paragraph, for a reader who knows nothing of calibration."""

import math

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.method.audits.verdict import too_few
from blackbox_conformal.pages.report.slider_levels import Stop
from blackbox_conformal.support.text import counted

_FOUND = {
    "confirmed": "An audit on {others} confirmed this promise.",
    "inconclusive": "An audit on {others} found nothing against this promise, and is too small to confirm it.",
    "shifted": "An audit on {others} found that they are unlike the calibration's, so the promise does not cover them.",
    "contradicted": "An audit on {others} contradicted this promise: do not rely on these masks.",
}


def summary(
    vendor: str, calibration: Calibration, stop: Stop, audit: Audit | None, share: float | None
) -> tuple[str, ...]:
    """What was done, what is promised, whether that was checked, and what it means, one sentence each.

    Parameters
    ----------
    vendor
        What the user calls the vendor.
    stop
        The level that is spoken of.
    share
        The mean trusted share at this level; None when unknown.
    """
    scale = calibration.procedure.scale
    enlarged = f"makes pictures {scale} times larger, and some of the detail that it adds"
    does = enlarged if scale > 1 else "restores pictures, and some of what it changes"
    return (
        f"{vendor} {does} may be wrong.",
        "A trust mask marks the pixels that can be relied on.",
        stop.statement,
        _checked(audit, stop),
        *(f"{note[0].upper()}{note[1:]}." for note in calibration.history.notes),
        *([] if audit is None else [one.sentence for one in audit.kinds if one.fails and one.alpha == stop.alpha]),
        *(() if audit is None or audit.drift is None else (f"Warning: {audit.drift}.",)),
        *_meaning(stop, share, "a calibration photograph" if audit is None else "an audited photograph"),
    )


def _checked(audit: Audit | None, stop: Stop) -> str:
    if audit is None:
        return "No audit has checked this promise on other photographs yet."
    others = f"{counted(audit.n, 'photograph')} that calibration has not seen"
    if audit.verdict == "inconclusive" and audit.levels:
        nearest = min(audit.levels, key=lambda level: abs(level.alpha - stop.alpha))
        if few := too_few(nearest.judgement):
            return f"An audit on {others} found nothing against this promise.{few}"
    return _FOUND[audit.verdict].format(others=others)


def _meaning(stop: Stop, share: float | None, of: str) -> tuple[str, ...]:
    if stop.threshold == -math.inf:
        return ()
    trusted = "" if share is None else f"On average {100 * share:.0f} % of {of} is trusted. "
    return (f"{trusted}Use the clear pixels as they are; check or leave out the darkened and striped ones.",)
