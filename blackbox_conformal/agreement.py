"""Whether the parts of a calibration file agree with each other and with what this program knows by itself.

A file is data from whoever could write it: what follows from the metric is not believed, and
no name of code is taken.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox_conformal import catalog
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.guarantees.choose import guarantee as choose_guarantee
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.procedure import Procedure
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.exact import largest_loss

if TYPE_CHECKING:
    from blackbox_conformal.calibration import Calibration, CalibrationImage


def check_agreement(found: "Calibration") -> None:
    """Refuse a calibration that no run of this program could have written.

    Raises
    ------
    FileFormatError
        Bound, curves, photographs or guarantee do not belong together.
    UsageError
        Score, metric, guarantee or perturbation do not exist, or have no such parameters.
    """
    _check_vendor(found.procedure.vendor, "vendor")
    if found.procedure.second_opinion is not None:
        _check_vendor(found.procedure.second_opinion, "second opinion")
    _check_bound(found, _metric(found.procedure))
    _check_images(found)
    for curves in (found.curves, *found.shares):
        _check_refused(found.images, curves)
    _check_guarantee(found)


def _metric(procedure: Procedure) -> Metric:
    """The metric of the procedure, after its score and perturbation were found to exist."""
    _built("scores", procedure.score)
    if procedure.perturbation is not None:
        catalog.member("images.perturbation", procedure.perturbation)
    metric: Metric = _built("metrics", procedure.metric)
    return metric


def _built(family: str, specification: dict[str, Any]) -> Any:
    parameters = dict(specification)
    name = parameters.pop("name", None)
    if not isinstance(name, str):
        raise FileFormatError(f"expected the name of a member of {family}; got {name!r}")
    return catalog.load(family, name, **parameters)


def _check_vendor(identity: dict[str, Any], what: str) -> None:
    name, parameters = identity.get("adapter"), identity.get("parameters")
    if not isinstance(name, str) or not isinstance(parameters, dict):
        raise FileFormatError(f"expected the {what}'s adapter and parameters; got {name!r} and {parameters!r}")
    if ":" in name:
        raise FileFormatError(
            f"expected the {what}'s name; got {name!r}, and a file may not name code to run. Calibrate again"
        )


def _check_bound(found: "Calibration", metric: Metric) -> None:
    if not found.bound == found.curves.bound == metric.bound or found.curves.kind != "supremum":
        raise FileFormatError(
            f"expected the bound of the metric {metric.plugin_name()}, {metric.bound:g}; the file says {found.bound:g} "
            f"and its curves {found.curves.bound:g}. It is damaged or was edited; calibrate again"
        )
    tolerances = [curves.tolerance for curves in found.shares]
    if any(curves.kind != "share" or curves.bound != 1.0 for curves in found.shares) or _twice(tolerances):
        raise FileFormatError("expected one set of shares of wrong pixels for each tolerance; got others")


def _check_images(found: "Calibration") -> None:
    truths = [image.truth for image in found.images]
    if truths != sorted(truths):
        raise FileFormatError("expected photographs in the order of their digests; the file was edited")
    if _twice([image.input for image in found.images]):
        raise FileFormatError("two photographs have the same input; each must count once. The file was edited")
    scale = found.procedure.scale
    if any(image.height % scale or image.width % scale for image in found.images):
        raise FileFormatError(f"expected photographs of whole multiples of {scale} pixels; the file was edited")
    everything = [*found.images, *found.tuning]
    sketches = [one.sketch for one in everything]
    if len(set(sketches)) < len(sketches):
        # Blank pictures may look the same; others that do are one picture.
        counts = Counter(sketches)
        if any(counts[one.sketch] > 1 and not one.seen.flat for one in everything):
            raise FileFormatError("two photographs have the same sketch; each must count once. The file was edited")


def _check_refused(images: "Sequence[CalibrationImage]", curves: CurveSet) -> None:
    """A photograph that was refused has the worst curve, and no other has."""
    worst = set(curves.owner[np.isneginf(curves.scores)].tolist())
    refused = {place for place, image in enumerate(images) if image.refused is not None}
    records = np.diff(curves.offsets)
    losses = curves.losses[curves.offsets[:-1][list(refused)]] if refused <= worst else np.empty(0)
    if (
        worst != refused
        or any(records[place] != 1 for place in refused)
        or (losses != largest_loss(curves.bound)).any()
    ):
        raise FileFormatError("expected the worst loss of every refused photograph, and of no other; got others")


def _check_guarantee(found: "Calibration") -> None:
    parameters = dict(found.guarantee)
    name = parameters.pop("name", None)
    if not isinstance(name, str):
        raise FileFormatError(f"expected the name of a guarantee; got {name!r}")
    rule = choose_guarantee(name, **parameters)
    if rule.own_bound is not None:
        raise FileFormatError("expected no bound of a new photograph in a calibration file; got one")
    for field, values in rule.by_photograph.items():
        if len(values) != len(found.images):
            raise FileFormatError(f"expected {field} of {len(found.images)} photographs; got {len(values)}")


def _twice(values: Iterable[Hashable]) -> bool:
    listed = list(values)
    return len(set(listed)) < len(listed)
