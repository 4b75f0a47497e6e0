"""Members of families by name: scores, metrics, guarantees, degradations, annotation formats, dialects, adapters, ….

A member is a file of ours, named after it (``lab_l1.py`` is ``lab-l1``), or announced by an installed package in the
family's entry point group. An entry point is either ``package.module:Class``, one member named after the entry point,
or a package, whose files are members (a leading underscore hides a file). Such a package may name members without a
file in a function ``further_plugins()``: name → ``package.module:Class``. A member is imported only when asked for.
"""

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from blackbox_conformal.errors import AdapterError, BlackboxConformalError, PluginError, UsageError
from blackbox_conformal.support.wording import as_typed, complaint

OWN_DISTRIBUTION = "blackbox-conformal"


class Family(NamedTuple):
    """One family of plug-ins.

    Packages add members by the entry point `group`; ours lie in `package` (empty: they are announced, too).
    `attribute`: the class's name in a member's file. `error`: the error of an unusable member.
    """

    group: str
    package: str = ""
    attribute: str = "PLUGIN"
    error: type[PluginError] = PluginError


FAMILIES = {
    "scores": Family("blackbox_conformal.scores", "blackbox_conformal.method.scores"),
    "metrics": Family("blackbox_conformal.metrics", "blackbox_conformal.method.metrics"),
    "guarantees": Family("blackbox_conformal.guarantees", "blackbox_conformal.method.guarantees"),
    "degradations": Family("blackbox_conformal.degradations", "blackbox_conformal.method.degradations"),
    "images.perturbation": Family("blackbox_conformal.perturbations", "blackbox_conformal.method.images.perturbation"),
    "annotations.formats": Family("blackbox_conformal.annotation_formats", "blackbox_conformal.annotations.formats"),
    "gateway.dialects": Family("blackbox_conformal.dialects", "blackbox_conformal.gateway.dialects"),
    "adapters": Family("blackbox_conformal.adapters", attribute="ADAPTER", error=AdapterError),
}

_RENAMED = {("scores", "price"): "learned"}  # Members under their names in earlier calibrations.


@dataclass(frozen=True, slots=True)
class Listing:
    """A usable member, or one that is unusable because of `error` (None: no fault is known).

    `name`: the user's name, or a broken package's entry point. `target`: module, or ``module:Class``. `origin`: package
    and version that brought it.
    """

    name: str
    target: str
    origin: str
    error: str | None = None


class Plugin(BaseModel):
    """Base of every family member: its fields are its parameters, checked, frozen and part of the fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def plugin_name(cls) -> str:
        """Return the member's name: its file's name with dashes, or its name in another package's announcement.

        A class that no package announces is named ``module:Class``, which no file may name and no member can be.
        """
        announcement = _announcement(cls)
        if announcement is not None:
            return announcement.name
        if is_own(cls):
            return cls.__module__.rsplit(".", 1)[-1].replace("_", "-")
        return f"{cls.__module__}:{cls.__qualname__}"

    def specification(self) -> dict[str, Any]:
        """Return name and parameters in canonical JSON form, defaults included.

        For a member of another package, add the package with its version: another version may compute something else.
        """
        announcement = _announcement(type(self))
        package = {} if announcement is None else {"package": announcement.origin}
        return {"name": self.plugin_name(), **self.model_dump(mode="json"), **package}

    @property
    def is_installed(self) -> bool:
        """Tell whether installed packages bring the member, so that other processes have it, too."""
        return is_own(type(self)) or _announcement(type(self)) is not None

    def facts(self) -> dict[str, str]:
        """Return the consequences of its parameters that people ask first, by name; for descriptions alone."""
        return {}


@cache
def hook(name: str) -> Any:
    """Load our own hook `name`: the work of a ring of this package, such as the watch, for its core."""
    for point in entry_points(group="blackbox_conformal.hooks", name=name):
        if is_ours(point):
            return point.load()
    raise PluginError(
        f"expected the entry point {name} of {OWN_DISTRIBUTION}; it is not installed. Install it again: "
        f"pip install --force-reinstall --no-deps {OWN_DISTRIBUTION}"
    )


PluginType = TypeVar("PluginType", bound=Plugin)

_announcements: dict[type[Plugin], Listing] = {}  # Other packages' classes, once imported, and their announcements.


def handed_on(path: str) -> Any:
    """Return a property that hands on another's value, such as ``inner.bound`` of a wrapped member."""
    return property(attrgetter(path))


def kind_of(family: str) -> str:
    """Name one member of a family."""
    return family.rsplit(".", 1)[-1].removesuffix("s")


def names(family: str) -> list[str]:
    """Return the names of a family's members, sorted, without importing them."""
    return [listing.name for listing in listings(family) if listing.error is None]


@cache
def listings(family: str) -> tuple[Listing, ...]:
    """List every member of a family by name, ours and other packages'; broken ones with their error."""
    first = dict(_own_listings(family))
    broken: list[Listing] = []
    # Ours first: another package can add a name, never take one.
    points = entry_points(group=FAMILIES[family].group)
    for point in sorted(points, key=lambda point: (not is_ours(point), point.name)):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown package"
        if FAMILIES[family].package and is_ours(point):
            origin = OWN_DISTRIBUTION
        try:
            announced = list(_announced_members(point, origin))
        except Exception as error:  # noqa: BLE001 - foreign packages may fail in any way, and others must still work
            broken.append(Listing(point.name, point.value, origin, f"{type(error).__name__}: {error}"))
            continue
        for listing in announced:
            taken = first.setdefault(listing.name, listing)
            if taken.target != listing.target:
                reason = f"the name {listing.name} is already taken by {taken.origin}; rename the entry point or file"
                broken.append(Listing(listing.name, listing.target, origin, reason))
    by_name = [*first.values(), *broken]
    return tuple(sorted(by_name, key=lambda listing: (listing.name, listing.error is not None, listing.target)))


def member(family: str, name: str) -> type[Any]:
    """Return the class of the member `name` of `family`."""
    # Ours are found without a look at installed packages.
    listing = _own_listings(family).get(name) or next((each for each in listings(family) if each.name == name), None)
    if listing is None:
        usable, kind = names(family), kind_of(family)
        near = difflib.get_close_matches(name, usable, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(usable) or 'none'}"
        if (family, name) in _RENAMED:
            hint = (
                f"it is called {_RENAMED[family, name]} now. Give that name; a calibration of the old one is made anew "
                "by the command that made it, which makes no call again"
            )
        raise UsageError(f"expected the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}; got {name!r}; {hint}")
    what = f"{kind_of(family)} {name} from {listing.origin}"
    if listing.error is not None:
        raise FAMILIES[family].error(f"{what} cannot be used: {listing.error}")
    plugin = imported(family, listing.target, what)
    if issubclass(plugin, Plugin) and not is_own(plugin):
        if {"name", "package"} & plugin.model_fields.keys():
            raise PluginError(
                f"{what}: expected no parameter called name or package, which a calibration file uses itself"
            )
        _announcements[plugin] = listing
    return plugin


def imported(family: str, target: str, what: str) -> type[Any]:
    """Import the class at `target` (``module`` or ``module:Class``) if it is a whole member of `family`.

    `what` names the member in messages, such as ``adapter folder``.
    """
    attribute, error = FAMILIES[family].attribute, FAMILIES[family].error
    module, _, named = target.partition(":")
    try:
        kind: Any = importlib.import_module(module)
        for part in (named or attribute).split("."):
            kind = getattr(kind, part)
    except BlackboxConformalError:
        raise
    # A foreign module may fail in any way.
    except Exception as cause:
        raise error(f"{what} ({target}) cannot be loaded: {type(cause).__name__}: {cause}") from cause
    # Such as ``Score`` of ``scores/score.py``, or ``Adapter`` of ``adapter.py``.
    of = kind_of(family)
    home = importlib.import_module(f"{FAMILIES[family].package or 'blackbox_conformal.vendor'}.{of}")
    base: type[Any] = getattr(home, of.capitalize())
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise error(f"{what}: expected a subclass of {base.__name__} at {target}; got {kind!r}")
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(getattr(kind, "__abstractmethods__", ())))
        raise error(f"{what}: {target} does not define {missing}")
    return kind


def is_own(kind: type[Plugin]) -> bool:
    """Tell whether the class is of this package, whose version a calibration need not name."""
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


def load(family: str, name: str, /, **parameters: Any) -> Any:
    """Build the member `name` of `family` with its parameters."""
    kind = member(family, name)
    announcement = _announcement(kind)
    if announcement is not None:
        wanted = parameters.pop("package", announcement.origin)
        if wanted != announcement.origin:
            raise UsageError(
                f"expected {kind_of(family)} {name} of {wanted}, with which the calibration was made; installed is "
                f"{announcement.origin}, which may compute something else. Install that one, or calibrate again"
            )
    return build(kind, f"{kind_of(family)} {name}", parameters)


def places(kind: type[Plugin]) -> list[str]:
    """Return the parameters that name a user's file or folder, and are no part of a specification."""
    return [name for name, field in kind.model_fields.items() if field.exclude]


def of_specification(family: str, specification: Mapping[str, Any], **beside: Any) -> Any:
    """Build the member of a specification, which may come from a stranger.

    `beside`: parameters that are no part of a specification.
    """
    content = dict(specification)
    name = str(content.pop("name"))
    named = [place for place in places(member(family, name)) if place in content]
    if named:
        raise UsageError(
            f"expected a {kind_of(family)} {name} that names no file or folder, as calibrations do not; got "
            f"{', '.join(named)}. The calibration was changed after it was made: do not use it"
        )
    return load(family, name, **content, **beside)


def build(plugin: type[PluginType], name: str, parameters: dict[str, Any]) -> PluginType:
    """Build a `plugin`; errors name the parameter, the expected value and the given one."""
    try:
        return plugin(**parameters)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        message = f"{name}: {'; '.join(_problem(problem, plugin) for problem in problems)}"
        if any(problem["type"] in ("missing", "extra_forbidden") for problem in problems):
            message += f". Its parameters are: {', '.join(map(as_typed, plugin.model_fields)) or 'none'}"
        lacking = [str(one["loc"][0]) for one in problems if one["type"] == "missing" and len(one["loc"]) == 1]
        if lacking and name.startswith("adapter "):
            message += f". Add {' '.join(f'-p {as_typed(one)}={_such_as(plugin, one)}' for one in lacking)}"
        raise UsageError(message) from None


@cache
def _own_listings(family: str) -> Mapping[str, Listing]:
    # A look at their package finds them without importing.
    if not FAMILIES[family].package:
        return {}
    package = importlib.import_module(FAMILIES[family].package)
    others = {kind_of(family), *getattr(package, "NOT_MEMBERS", ())}
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {
        name.replace("_", "-"): Listing(name.replace("_", "-"), f"{package.__name__}.{name}", OWN_DISTRIBUTION)
        for name in modules
        if not name.startswith("_") and name not in others
    }


def _announced_members(point: EntryPoint, origin: str) -> Iterator[Listing]:
    module, _, attribute = point.value.partition(":")
    if attribute:
        # Only parents are imported here; the member's own module is not.
        if importlib.util.find_spec(module.strip()) is None:
            raise PluginError(f"expected the module {module.strip()}; it is not installed")
        yield Listing(_checked_name(point.name), point.value.replace(" ", ""), origin)
        return
    package = importlib.import_module(module.strip())
    if not hasattr(package, "__path__"):
        raise PluginError(f"expected a package, or module:Class; got the module {module}")
    for file in pkgutil.iter_modules(package.__path__):
        if not file.name.startswith("_"):
            yield Listing(_checked_name(file.name), f"{package.__name__}.{file.name}", origin)
    for name, target in getattr(package, "further_plugins", dict)().items():
        yield Listing(_checked_name(name), target, origin)


def _checked_name(announced: str) -> str:
    # A colon would part the name from parameters, and a path would lead elsewhere.
    name = announced.replace("_", "-")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise PluginError(f"expected a name of small letters, digits, dots and dashes; got {announced!r}")
    return name


def is_ours(point: EntryPoint) -> bool:
    """Tell whether this package announces the entry point."""
    return point.dist is not None and point.dist.name == OWN_DISTRIBUTION


def _announcement(kind: type[Plugin]) -> Listing | None:
    # None for ours and for classes that no package announces.
    if is_own(kind):
        return None
    if kind not in _announcements:
        top = kind.__module__.partition(".")[0]
        # Adapters are another kind of plug-in, imported only when asked for.
        for family in [family for family in FAMILIES if family != "adapters"]:
            for listing in listings(family):
                if listing.error is None and re.split(r"[.:]", listing.target)[0] == top:
                    with suppress(PluginError):
                        member(family, listing.name)
    return _announcements.get(kind)


def _such_as(plugin: type[BaseModel], name: str) -> str:
    found = re.search(r"such as (\S+)", plugin.model_fields[name].description or "")
    return found[1].rstrip(".,") if found else "…"


def _problem(problem: ErrorDetails, plugin: type[BaseModel]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, plugin.model_fields, n=1)
        return f"there is no parameter {as_typed(name)!r}" + (f" (did you mean {as_typed(near[0])}?)" if near else "")
    field = plugin.model_fields.get(name)
    if problem["type"] == "missing" and len(problem["loc"]) == 1:
        meaning = field.description.rstrip(".") if field is not None and field.description else ""
        return f"{as_typed(name)} is required" + (f" ({meaning})" if meaning else "")
    where = ".".join([as_typed(name), *map(str, problem["loc"][1:])])
    what = complaint(problem, field if len(problem["loc"]) == 1 else None)
    return f"{where}: {what}" if name else what


# A typed member of a family: `name:key=value,key=value`.


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Split typed `name:key=value,key=value`; dashes in keys read as underscores.

    Commas within brackets or braces part nothing: a value may be a list, JSON, or a name with parameters.
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


def specification_text(plugin: Plugin) -> str:
    """Write a member as a user types it, `name:key=value,…`, with its files and without defaults."""
    given = {name: place for name in places(type(plugin)) if isinstance(place := getattr(plugin, name), Path)}
    content = {key: value for key, value in plugin.specification().items() if value is not None}
    name = content.pop("name")
    content.pop("package", None)
    try:
        usual = type(plugin)(**given).specification()
    except ValueError:
        usual = {}
    content = {key: value for key, value in content.items() if value != usual.get(key)} | given
    typed = ",".join(
        f"{key}={value:g}" if isinstance(value, float) and float(f"{value:g}") == value else f"{key}={value}"
        for key, value in content.items()
    )
    return f"{name}:{typed}" if typed else str(name)


def _parts(text: str) -> list[str]:
    # Only commas outside brackets part.
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
