"""The names of the Python interface that have an entry on the site."""

import inspect
from typing import is_typeddict

import blackbox_conformal as bc
from blackbox_conformal import errors as _errors
from blackbox_conformal.study import keyword_arguments as _keyword_arguments

KEYWORDS_MODULE = _keyword_arguments.__name__
ERRORS_MODULE = _errors.__name__
PARTS = [
    *(
        f"adapter.{name}"
        for name in ("Capabilities", "Upload", "Draw", "Send", "Answer", "Accepted", "Observed", "Price")
    ),
    *("scores.score.Score", "metrics.metric.Metric", "guarantees.guarantee.Guarantee"),
    *("calibration_images.CalibrationImage", "calibration_images.KnownPhotograph", "procedure.Procedure"),
    *("risk.curve_set.CurveSet", "certificate.InputCheck", "signature.Signature", "signature.Vouching"),
    *("audits.findings.AuditedLevel", "audits.findings.AuditedPicture", "audits.contamination.Leakage"),
    *("audits.sequential.Stop", "audits.input_shift.Movement", "watching.findings.Finding", "rates.Rate"),
    *("sampling.estimate.Estimate", "sampling.events.Event", "pipeline.suggesting.NearestChain"),
    *("pipeline.frontier_parts.frontier.Frontier", "pipeline.frontier_parts.candidates.Scored"),
    *("pipeline.comparison_parts.comparison.Row", "pipeline.degrading.Degraded", "pipeline.unmasked.Unmasked"),
    "display.figure.Figure",
]
"""Classes below `blackbox_conformal` that are attributes of results, or that plugins derive from."""


def functions() -> list[str]:
    """The public functions."""
    return [name for name in bc.__all__ if inspect.isfunction(getattr(bc, name))]


def classes() -> list[str]:
    """The public classes, without errors."""
    found = {name: getattr(bc, name) for name in bc.__all__}
    return [name for name, thing in found.items() if inspect.isclass(thing) and not issubclass(thing, Exception)]


def keywords() -> list[str]:
    """The sets of keywords that functions take."""
    return [name for name, thing in vars(_keyword_arguments).items() if is_typeddict(thing)]


def errors() -> list[str]:
    """The errors, in the order of their file: each after the one that it derives from."""
    return [name for name, thing in vars(_errors).items() if inspect.isclass(thing) and issubclass(thing, Exception)]


def full_names() -> dict[str, str]:
    """Short name → where it has its entry."""
    places = {
        "blackbox_conformal": [*functions(), *classes(), *PARTS],
        KEYWORDS_MODULE: keywords(),
        ERRORS_MODULE: errors(),
    }
    return {name.rpartition(".")[2]: f"{module}.{name}" for module, names in places.items() for name in names}
