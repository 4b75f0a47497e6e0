"""The offer of the gateway: the calibrated vendor, and the parameters that a request may name.

A request may repeat the calibrated parameters. Another value is another procedure, which the calibration does not
cover; it is passed on only if the operator allows that parameter.
"""

from collections.abc import Collection, Mapping
from typing import Any

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway.request import NotServedError
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import printable
from blackbox_conformal.vendor.adapter import Adapter

OWN_NAME = "blackbox-conformal"  # Model name that always means the calibrated vendor.


class Offer:
    """The calibrated vendor as requests may ask for it.

    `allowed`: Parameters that a request may change, without getting a mask.
    """

    def __init__(self, vendor: Adapter, calibration: Calibration, allowed: Collection[str] = ()) -> None:
        self._vendor, self._scale = vendor, calibration.procedure.scale
        kind = type(vendor)
        hidden = {*vendor.transient, *(name for name, field in kind.model_fields.items() if field.exclude)}
        self._fixed = {name: getattr(vendor, name) for name in kind.model_fields if name not in hidden}
        self._allowed = {name.replace("-", "_") for name in allowed}
        for name in sorted(self._allowed):
            if name not in self._fixed:
                raise UsageError(
                    f"--allow {name}: expected a parameter that requests may give to {vendor.name}: "
                    f"{', '.join(sorted(self._fixed)) or 'it has none'}"
                )
        self._sent = dict(vendor.sent_inputs())
        own = self._fixed.get("model")
        self.models = sorted({vendor.name, *calibration.vendor_models, *([own] if isinstance(own, str) else [])})

    def vendor_for(self, options: Mapping[str, Any], model: str | None) -> tuple[Adapter | None, str | None]:
        """Return the requested vendor, and why the calibration does not cover it; (None, None): it does."""
        other: dict[str, Any] = {}
        sent = {"scale": self._scale, **self._sent}
        for name, value in options.items():
            parameter = name.replace("-", "_")
            if value is None or (name in self._sent and _same(value, self._sent[name])):
                continue
            if parameter in self._fixed:
                other[parameter] = value
            elif name not in sent:
                known = ", ".join(sorted({*self._fixed, *sent}))
                raise NotServedError(
                    422, f"there is no field {printable(name)} that the vendor takes; it takes {known}"
                )
            elif not _same(value, sent[name]):
                raise NotServedError(
                    409,
                    f"expected {name} {printable(str(sent[name]))}, as it is calibrated; got {printable(str(value))}. "
                    "Leave it out",
                )
        if model is not None and not {model, model.rpartition("/")[2]} & {*self.models, OWN_NAME}:
            if "model" not in self._fixed:
                raise NotServedError(
                    404, f"there is no model {printable(model)} here; this gateway serves {self.models[0]}"
                )
            other["model"] = model
        if not other:
            return None, None
        kind: type[Any] = type(self._vendor)
        given = {name: getattr(self._vendor, name) for name in kind.model_fields}
        try:
            changed: Adapter = catalog.build(kind, "the vendor", {**given, **other})
        except UsageError as error:
            raise NotServedError(422, str(error)) from None
        if changed.identity() == self._vendor.identity():
            return None, None
        different = {name: value for name, value in other.items() if getattr(changed, name) != self._fixed[name]}
        for name, value in different.items():
            if name not in self._allowed:
                raise NotServedError(
                    409,
                    f"expected {name}={printable(str(self._fixed[name]))}, the value that is calibrated; got "
                    f"{printable(str(value))}. Leave it out, or have the gateway started with --allow {name}: the "
                    "vendor's picture then comes without a mask",
                )
        told = ", ".join(f"{name}={printable(str(value))}" for name, value in different.items())
        fixed = ", ".join(f"{name}={printable(str(self._fixed[name]))}" for name in different)
        return changed, f"the calibration is for {fixed}, and the request asks for {told}"


def _same(value: Any, other: Any) -> bool:
    # One value may be text from a form.
    return bool(value == other) or str(value).lower() == str(other).lower()
