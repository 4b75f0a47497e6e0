"""Name → file look-up for the families that are one file a member, and the `NAME:key=value,…` notation.

No member lives here and none is imported before it is asked for. Other packages bring members by entry points, as
they bring adapters; those are found by `plugins`.
"""

import difflib
import importlib
import pkgutil
import re
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from blackbox_conformal import entries
from blackbox_conformal.entries import Listing
from blackbox_conformal.errors import PluginError, UsageError
from blackbox_conformal.wording import complaint


class Plugin(BaseModel):
    """Base of every family member: its fields are its parameters, checked, frozen and part of the fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def plugin_name(cls) -> str:
        """The member's name: its file's name with dashes, or what another package announces it as.

        A class that nobody announces is named ``module:Class``, which no file may name and no member can be.
        """
        announced = _announced(cls)
        if announced is not None:
            return announced.name
        if is_own(cls):
            return cls.__module__.rsplit(".", 1)[-1].replace("_", "-")
        return f"{cls.__module__}:{cls.__qualname__}"

    def specification(self) -> dict[str, Any]:
        """Name and parameters in canonical JSON form, defaults included.

        For a member of another package also that package with its version: another version may compute something else.
        """
        announced = _announced(type(self))
        package = {} if announced is None else {"package": announced.origin}
        return {"name": self.plugin_name(), **self.model_dump(mode="json"), **package}

    def facts(self) -> dict[str, str]:
        """What follows from its parameters and people ask first, by what it is called; for descriptions alone."""
        return {}


PluginType = TypeVar("PluginType", bound=Plugin)


GROUPS = {
    "scores": "blackbox_conformal.scores",
    "metrics": "blackbox_conformal.metrics",
    "guarantees": "blackbox_conformal.guarantees",
    "images.perturbation": "blackbox_conformal.perturbations",
    "annotations.formats": "blackbox_conformal.annotation_formats",
}
"""The entry point group by which another package adds to each family."""

_known: dict[type[Plugin], Listing] = {}
"""Classes of other packages, once imported."""


def names(family: str) -> list[str]:
    """Names of a family's members (`scores`, `metrics`, `guarantees`), sorted, without importing them."""
    return [listing.name for listing in listings(family) if listing.error is None]


def foreign_names(family: str) -> list[str]:
    """Names of those members that other packages brought, sorted, without importing them."""
    return sorted(set(names(family)) - set(_own_names(family)))


def listings(family: str) -> tuple[Listing, ...]:
    """Every member of a family, ours and other packages', by name; broken ones are listed with their error."""
    path = f"blackbox_conformal.{family}"
    own = (Listing(name, f"{path}.{name.replace('-', '_')}", entries.OWN_DISTRIBUTION) for name in _own_names(family))
    return entries.listings(GROUPS[family], tuple(own))


def _own_names(family: str) -> list[str]:
    package = importlib.import_module(f"blackbox_conformal.{family}")
    others = {kind_of(family), *getattr(package, "NOT_MEMBERS", ())}
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_") and name not in others)


def member(family: str, name: str) -> type[Any]:
    """The class that the file `family/name.py` calls `PLUGIN`.

    Raises
    ------
    UsageError
        The family has no such member; the message lists those there are.
    PluginError
        Another package's member of that name cannot be imported, or is none.
    """
    if name in _own_names(family):
        plugin: type[Any] = importlib.import_module(f"blackbox_conformal.{family}.{name.replace('-', '_')}").PLUGIN
        return plugin
    listing = next((one for one in listings(family) if one.name == name), None)
    if listing is None:
        raise UsageError(f"expected {kind_of(family)} to be one of {', '.join(names(family))}; got {name!r}")
    what = f"{kind_of(family)} {name} from {listing.origin}"
    if listing.error is not None:
        raise PluginError(f"{what} cannot be used: {listing.error}")
    kind = kind_of(family)
    base = getattr(importlib.import_module(f"blackbox_conformal.{family}.{kind}"), kind.capitalize())
    found: type[Plugin] = entries.imported(listing.target, "PLUGIN", base, what, PluginError)
    if {"name", "package"} & found.model_fields.keys():
        raise PluginError(f"{what}: expected no parameter called name or package, which a calibration file uses itself")
    _known[found] = listing
    return found


def is_own(kind: type[Plugin]) -> bool:
    """Whether the class is of this package, whose version a calibration need not name."""
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


def _announced(kind: type[Plugin]) -> Listing | None:
    """The entry point of a class of another package; None of our own and of classes that none announces."""
    if is_own(kind):
        return None
    if kind not in _known:
        top = kind.__module__.partition(".")[0]
        for family in GROUPS:
            for listing in listings(family):
                if listing.error is None and re.split(r"[.:]", listing.target)[0] == top:
                    with suppress(PluginError):
                        member(family, listing.name)
    return _known.get(kind)


def build(plugin: type[PluginType], name: str, parameters: dict[str, Any]) -> PluginType:
    """An instance of `plugin`, with errors that name the parameter, what was expected and what arrived."""
    try:
        return plugin(**parameters)
    except ValidationError as error:
        found = error.errors(include_url=False)
        said = f"{name}: {'; '.join(_problem(one, plugin) for one in found)}"
        if any(one["type"] in ("missing", "extra_forbidden") for one in found):
            said += f". Its parameters are: {', '.join(map(_typed, plugin.model_fields)) or 'none'}"
        raise UsageError(said) from None


def _problem(problem: ErrorDetails, plugin: type[BaseModel]) -> str:
    """One thing that is wrong with parameters, in words."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, plugin.model_fields, n=1)
        return f"there is no parameter {name!r}" + (f" (did you mean {_typed(near[0])}?)" if near else "")
    field = plugin.model_fields.get(name)
    if problem["type"] == "missing" and len(problem["loc"]) == 1:
        meant = field.description.rstrip(".") if field is not None and field.description else ""
        return f"{name} is required" + (f" ({meant})" if meant else "")
    where = ".".join(map(str, problem["loc"]))
    said = complaint(problem, field if len(problem["loc"]) == 1 else None)
    return f"{where}: {said}" if name else said


def _typed(name: str) -> str:
    """A parameter's name as people type it."""
    return name.replace("_", "-")


def load(family: str, name: str, /, **parameters: Any) -> Any:
    """The member of `family` called `name`, with its parameters.

    Raises
    ------
    UsageError
        There is no such member or parameter, or ``package``, as `Plugin.specification` gives it, is not the package
        that is installed.
    PluginError
        Another package's member cannot be imported.
    """
    kind = member(family, name)
    announced = _announced(kind)
    if announced is not None:
        wanted = parameters.pop("package", announced.origin)
        if wanted != announced.origin:
            raise UsageError(
                f"expected {kind_of(family)} {name} of {wanted}, with which the calibration was made; installed is "
                f"{announced.origin}, which may compute something else. Install that one, or calibrate again"
            )
    return build(kind, f"{kind_of(family)} {name}", parameters)


def kind_of(family: str) -> str:
    """What one member of a family is called."""
    return family.rsplit(".", 1)[-1].removesuffix("s")


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Split `name:key=value,key=value` as typed on a command line; dashes in keys read as underscores.

    Commas within brackets or braces part nothing, so that a value may be a list, JSON, or a name with parameters.

    Raises
    ------
    UsageError
        A part after the colon is not `key=value`, a key is given twice, or a bracket has no partner.
    """
    name, _, rest = text.partition(":")
    parameters: dict[str, str] = {}
    for part in filter(None, _parts(rest)):
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise UsageError(f"expected NAME:key=value,key=value; got {part!r} in {text!r}")
        if key in parameters:
            raise UsageError(f"{key!r} is given twice in {text!r}; give it once")
        parameters[key] = value.strip()
    return name.strip(), parameters


def _parts(text: str) -> list[str]:
    """`text` at its commas that stand outside brackets."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        if character == '"' and depth:
            quoted = not quoted
        elif not quoted:
            depth += (character in "[{") - (character in "]}")
        if depth < 0:
            break
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UsageError(f"expected as many closing brackets as opening ones; got {text!r}")
    return parts
