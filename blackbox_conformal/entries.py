"""What installed packages announce as entry points: listed by name, imported only when chosen.

A group is a kind of plug-in, such as ``blackbox_conformal.scores``. The value of an entry point is either
``package.module:Class``, one plug-in named after the entry point, or a package, whose files are plug-ins named after
them (``my_score.py`` is ``my-score``; a leading underscore hides a file). Such a package may name plug-ins without a
file in a function ``further_plugins()``: name → ``package.module:Class``. No plug-in lives here.
"""

import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from blackbox_conformal.errors import BlackboxConformalError, PluginError

OWN_DISTRIBUTION = "blackbox-conformal"

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Listing:
    """One plug-in that can be asked for, or one that cannot be used.

    Attributes
    ----------
    name
        What the user types; for a broken plug-in the entry point's name.
    target
        Module, or ``module:Class``.
    origin
        Package and version that brought it, such as ``blackbox-conformal 1.0``.
    error
        Why it cannot be used; None when nothing is known against it (it has not been imported).
    """

    name: str
    target: str
    origin: str
    error: str | None = None


@cache
def listings(group: str, own: tuple[Listing, ...] = ()) -> tuple[Listing, ...]:
    """Every plug-in of `group` and those that are our `own`, by name; broken ones are listed with their error."""
    found = {listing.name: listing for listing in own}
    broken: list[Listing] = []
    # Our own first: a plug-in can add a name, never take over one.
    for point in sorted(entry_points(group=group), key=lambda one: (_distribution(one) != OWN_DISTRIBUTION, one.name)):
        origin = _origin(point)
        try:
            members = list(_members(point, origin))
        except Exception as error:  # noqa: BLE001 - foreign packages may fail in any way, and others must still work
            broken.append(Listing(point.name, point.value, origin, f"{type(error).__name__}: {error}"))
            continue
        for listing in members:
            first = found.setdefault(listing.name, listing)
            if first.target != listing.target:
                reason = f"the name {listing.name} is already taken by {first.origin}; rename the entry point or file"
                broken.append(Listing(listing.name, listing.target, origin, reason))
    return tuple(sorted([*found.values(), *broken], key=lambda one: (one.name, one.error is not None, one.target)))


def imported(target: str, attribute: str, base: type[Found], what: str, error: type[PluginError]) -> type[Found]:
    """The class at `target`: the one it names, or `attribute` of the module.

    Parameters
    ----------
    base
        The class that it must derive from.
    what
        The plug-in, for messages, such as ``adapter folder``.
    error
        What is raised when it is none; errors of this package pass as they are.
    """
    module, _, named = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in (named or attribute).split("."):
            found = getattr(found, part)
    except BlackboxConformalError:
        raise
    # A foreign module may fail in any way.
    except Exception as cause:
        raise error(f"{what} ({target}) cannot be loaded: {type(cause).__name__}: {cause}") from cause
    if not (isinstance(found, type) and issubclass(found, base)):
        raise error(f"{what}: expected a subclass of {base.__name__} at {target}; got {found!r}")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise error(f"{what}: {target} does not define {missing}")
    chosen: type[Found] = found
    return chosen


def _members(point: EntryPoint, origin: str) -> Iterator[Listing]:
    module, _, attribute = point.value.partition(":")
    if attribute:
        # Only parents are imported by this look; the plug-in's own module is not.
        if importlib.util.find_spec(module.strip()) is None:
            raise PluginError(f"expected the module {module.strip()}; it is not installed")
        yield Listing(_name(point.name), point.value.replace(" ", ""), origin)
        return
    package = importlib.import_module(module.strip())
    if not hasattr(package, "__path__"):
        raise PluginError(f"expected a package, or module:Class; got the module {module}")
    for member in pkgutil.iter_modules(package.__path__):
        if not member.name.startswith("_"):
            yield Listing(_name(member.name), f"{package.__name__}.{member.name}", origin)
    for name, target in getattr(package, "further_plugins", dict)().items():
        yield Listing(_name(name), target, origin)


def _name(given: str) -> str:
    """A name as it is typed: a colon would part it from its parameters, and a path would lead elsewhere."""
    name = given.replace("_", "-")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise PluginError(f"expected a name of small letters, digits, dots and dashes; got {given!r}")
    return name


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown package"
