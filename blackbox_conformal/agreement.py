"""Whether the parts of a calibration file agree with each other and with what this program knows by itself.

A file may come from anyone: what follows from the metric is computed again, and no name in it is run as code.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox_conformal import catalog
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.guarantees.choose import guarantee as choose_guarantee
from blackbox_conformal.images.input_statistics.rows import SIZE
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.procedure import Procedure
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.exact import largest_loss

if TYPE_CHECKING:
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.calibration_images import CalibrationImage


def check_agreement(calibration: "Calibration") -> None:
    """Refuse a calibration that no run of this program could have written.

    Raises
    ------
    FileFormatError
        Bound, curves, photographs or guarantee do not belong together.
    UsageError
        Score, metric, guarantee, perturbation or degradation do not exist, or have no such parameters.
    """
    _check_vendor(calibration.procedure.vendor, "vendor")
    if calibration.procedure.second_opinion is not None:
        _check_vendor(calibration.procedure.second_opinion, "second opinion")
    _check_bound(calibration, _metric(calibration.procedure))
    _check_degradation(calibration.procedure)
    _check_images(calibration)
    for curves in (calibration.curves, *calibration.shares, *calibration.all_but):
        _check_refused(calibration.images, curves)
    _check_guarantee(calibration)
    _check_taught(calibration)


def _metric(procedure: Procedure) -> Metric:
    """The metric of the procedure, after its score and perturbation were found to exist."""
    _require_name("scores", procedure.score)
    procedure.build_score()
    if procedure.perturbation is not None:
        catalog.member("images.perturbation", procedure.perturbation)
    _require_name("metrics", procedure.metric)
    metric: Metric = catalog.of_specification("metrics", procedure.metric)
    return metric


def _check_degradation(procedure: Procedure) -> None:
    # Read, it is known to exist; of white space within it the reader takes more than a terminal should.
    if not (procedure.mixture.chains and procedure.degradation.isprintable()):
        raise FileFormatError(f"expected how inputs are made; got {procedure.degradation!r}. The file was edited")


def _require_name(family: str, specification: dict[str, Any]) -> None:
    name = specification.get("name")
    if not isinstance(name, str):
        raise FileFormatError(f"expected the name of a member of {family}; got {name!r}")


def _check_vendor(identity: dict[str, Any], what: str) -> None:
    name, parameters = identity.get("adapter"), identity.get("parameters")
    if not isinstance(name, str) or not isinstance(parameters, dict):
        raise FileFormatError(f"expected the {what}'s adapter and parameters; got {name!r} and {parameters!r}")
    if ":" in name:
        raise FileFormatError(
            f"expected the {what}'s name; got {name!r}, and a file may not name code to run. Calibrate again"
        )


def _check_bound(calibration: "Calibration", metric: Metric) -> None:
    bound = metric.capped_bound
    if not calibration.bound == calibration.curves.bound == bound or calibration.curves.kind != "supremum":
        raise FileFormatError(
            f"expected the bound of the metric {metric.plugin_name()}, {bound:g}; the file says "
            f"{calibration.bound:g} and its curves {calibration.curves.bound:g}. It is damaged or was edited. "
            "Calibrate again"
        )
    tolerances = [curves.tolerance for curves in calibration.shares]
    if any(curves.kind != "share" or curves.bound != 1.0 for curves in calibration.shares) or _twice(tolerances):
        raise FileFormatError("expected one set of shares of wrong pixels for each tolerance; got others")
    all_but = calibration.all_but
    if any((curves.kind, curves.bound) != ("all-but", bound) for curves in all_but) or _twice(
        curves.left_out for curves in all_but
    ):
        raise FileFormatError("expected one set of curves with the metric's bound for each share left out; got others")


def _check_images(calibration: "Calibration") -> None:
    truths = [image.truth for image in calibration.images]
    if truths != sorted(truths):
        raise FileFormatError("expected photographs in the order of their digests; the file was edited")
    if _twice([image.input for image in calibration.images]):
        raise FileFormatError("two photographs have the same input; each must count once. The file was edited")
    scale = calibration.procedure.scale
    if any(image.height % scale or image.width % scale for image in calibration.images):
        raise FileFormatError(f"expected photographs of whole multiples of {scale} pixels; the file was edited")
    sizes = calibration.inputs.column(SIZE)
    pixels = [image.height * image.width // scale**2 for image in calibration.images]
    if np.any(np.abs(sizes - np.log2(pixels)) > 1e-5):
        raise FileFormatError(
            "expected statistics of inputs of the photographs' sizes; got others. The file was edited"
        )
    everything = [*calibration.images, *calibration.tuning]
    sketches = [photograph.sketch for photograph in everything]
    if len(set(sketches)) < len(sketches):
        # Blank pictures may look the same; others that do are one picture.
        counts = Counter(sketches)
        if any(counts[photograph.sketch] > 1 and not photograph.as_sketch.flat for photograph in everything):
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


def _check_guarantee(calibration: "Calibration") -> None:
    parameters = dict(calibration.guarantee)
    name = parameters.pop("name", None)
    if not isinstance(name, str):
        raise FileFormatError(f"expected the name of a guarantee; got {name!r}")
    rule = choose_guarantee(name, **parameters)
    if rule.own_bound is not None:
        raise FileFormatError("expected no bound of a new photograph in a calibration file; got one")
    for field, values in rule.by_photograph.items():
        if len(values) != len(calibration.images):
            raise FileFormatError(f"expected {field} of {len(calibration.images)} photographs; got {len(values)}")


def _check_taught(calibration: "Calibration") -> None:
    taught = {photograph.truth for photograph in calibration.procedure.build_score().taught_by}
    if count := len(taught & {image.truth for image in calibration.images}):
        raise FileFormatError(
            f"{count} of its photographs taught the weights of its score, so they give it no guarantee. The file was "
            "edited"
        )


def _twice(values: Iterable[Hashable]) -> bool:
    listed = list(values)
    return len(set(listed)) < len(listed)
