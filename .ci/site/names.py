"""The names of the Python interface that have an entry on the site."""

import inspect

import blackbox_conformal as bc
from blackbox_conformal import errors as _errors

ERRORS_MODULE = _errors.__name__
PARTS = [
    *(
        f"vendor.adapter.{name}"
        for name in ("Capabilities", "Upload", "Draw", "Send", "Answer", "Accepted", "Observed", "Price")
    ),
    *("method.scores.score.Score", "method.metrics.metric.Metric", "method.guarantees.guarantee.Guarantee"),
    *("method.images.calibration_images.CalibrationImage", "method.images.calibration_images.KnownPhotograph"),
    *("documents.procedure.Procedure", "documents.certificate.InputCheck", "method.risk.curve_set.CurveSet"),
    *("documents.signature.Signature", "documents.signature.Vouching", "method.audits.findings.AuditedLevel"),
    *(
        "method.audits.findings.AuditedPicture",
        "method.audits.contamination.Leakage",
        "method.audits.sequential.AuditStop",
    ),
    *("method.audits.input_shift.Movement", "watching.records.Finding", "vendor.rates.Rate"),
    *("drawing.spending.estimate.Estimate", "drawing.events.Event", "study.choose.suggesting.NearestChain"),
    *("study.plan.frontier.Frontier", "study.choose.scored.Scored", "study.choose.comparison.ComparisonRow"),
    *("study.choose.degrading.Degraded", "study.session.session.Unmasked", "support.blocks.Figure"),
]
"""Classes below `blackbox_conformal` that are attributes of results, or that plugins derive from."""


def functions() -> list[str]:
    """The public functions."""
    return [name for name in bc.__all__ if inspect.isfunction(getattr(bc, name))]


def classes() -> list[str]:
    """The public classes, without errors."""
    found = {name: getattr(bc, name) for name in bc.__all__}
    return [name for name, thing in found.items() if inspect.isclass(thing) and not issubclass(thing, Exception)]


def errors() -> list[str]:
    """The errors, in the order of their file: each after the one that it derives from."""
    return [name for name, thing in vars(_errors).items() if inspect.isclass(thing) and issubclass(thing, Exception)]


def full_names() -> dict[str, str]:
    """Short name → where it has its entry."""
    places = {
        "blackbox_conformal": [*functions(), *classes(), *PARTS],
        ERRORS_MODULE: errors(),
    }
    return {name.rpartition(".")[2]: f"{module}.{name}" for module, names in places.items() for name in names}
