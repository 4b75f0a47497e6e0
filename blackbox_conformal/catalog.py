"""Name → file look-up for the families that are one file a member, and the `NAME:key=value,…` notation.

No member lives here and none is imported before it is asked for; adapters, which may come from other
packages, are found by `plugins`.
"""

import difflib
import importlib
import pkgutil
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from blackbox_conformal.errors import UsageError
from blackbox_conformal.wording import complaint


class Plugin(BaseModel):
    """Base of every family member: its fields are its parameters, checked, frozen and part of the fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def plugin_name(cls) -> str:
        """The member's name: its file's name with dashes."""
        return cls.__module__.rsplit(".", 1)[-1].replace("_", "-")

    def specification(self) -> dict[str, Any]:
        """Name and parameters in canonical JSON form, defaults included."""
        return {"name": self.plugin_name(), **self.model_dump(mode="json")}


PluginType = TypeVar("PluginType", bound=Plugin)


def names(family: str) -> list[str]:
    """Names of a family's members (`scores`, `metrics`, `guarantees`), sorted, without importing them."""
    package = importlib.import_module(f"blackbox_conformal.{family}")
    others = {"base", *getattr(package, "NOT_MEMBERS", ())}
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_") and name not in others)


def member(family: str, name: str) -> type[Any]:
    """The class that the file `family/name.py` calls `PLUGIN`.

    Raises
    ------
    UsageError
        The family has no such member; the message lists those there are.
    """
    known = names(family)
    if name not in known:
        raise UsageError(f"expected {_kind(family)} to be one of {', '.join(known)}; got {name!r}")
    plugin: type[Any] = importlib.import_module(f"blackbox_conformal.{family}.{name.replace('-', '_')}").PLUGIN
    return plugin


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
    """The member of `family` called `name`, with its parameters."""
    return build(member(family, name), f"{_kind(family)} {name}", parameters)


def _kind(family: str) -> str:
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
