"""A member of a family as it is typed: `name:key=value,key=value`."""

from pathlib import Path

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.catalog import Plugin, places


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


def specification_text(plugin: Plugin) -> str:
    """A member as it is typed: `name:key=value,…`, with files that it was given, without what it would be anyway."""
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
