"""Parts of a calibration's file that must agree with each other."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.images.calibration_images import CalibrationImage
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import largest_loss


def require_name(family: str, specification: dict[str, Any]) -> None:
    """Refuse a member of `family` that has no name."""
    name = specification.get("name")
    if not isinstance(name, str):
        raise FileFormatError(f"expected the name of a member of {family}; got {name!r}")


def check_vendor(identity: dict[str, Any], what: str) -> None:
    """Refuse a vendor without a name, or whose name names code."""
    name, parameters = identity.get("adapter"), identity.get("parameters")
    if not isinstance(name, str) or not isinstance(parameters, dict):
        raise FileFormatError(f"expected the {what}'s adapter and parameters; got {name!r} and {parameters!r}")
    # A colon would name a module and a class, and loading it would run code of the file's author.
    if ":" in name:
        raise FileFormatError(
            f"expected the {what}'s name; got {name!r}, and a file may not name code to run. Calibrate again"
        )


def check_refused(images: Sequence[CalibrationImage], curves: CurveSet) -> None:
    """Refuse curves that hide which photographs the vendor refused."""
    # Refused photographs, and only these, must have the worst curve.
    worst = set(curves.owner[np.isneginf(curves.scores)].tolist())
    refused = {place for place, image in enumerate(images) if image.refused is not None}
    # The curve decides: a photograph marked as refused with a good curve would make the risk look small.
    records = np.diff(curves.offsets)
    losses = curves.losses[curves.offsets[:-1][list(refused)]] if refused <= worst else np.empty(0)
    if (
        worst != refused
        or any(records[place] != 1 for place in refused)
        or (losses != largest_loss(curves.bound)).any()
    ):
        raise FileFormatError("expected the worst loss of every refused photograph, and of no other; got others")


def twice(values: Iterable[Hashable]) -> bool:
    """Tell whether a value stands twice."""
    listed = list(values)
    return len(set(listed)) < len(listed)
