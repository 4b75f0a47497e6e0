"""What fal's JavaScript client says of an endpoint: its inputs and outputs, from the types that come with it."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Field(NamedTuple):
    """One field: its type as written, whether it may be left out, its default (None: none is told)."""

    type: str
    optional: bool
    default: Any


class Types:
    """The types of one release of the client.

    Parameters
    ----------
    declarations
        Its file of endpoints, ``endpoints.d.ts``.
    """

    def __init__(self, declarations: Path) -> None:
        self._text = declarations.read_text(encoding="utf-8")

    def endpoint(self, name: str) -> tuple[dict[str, Field], dict[str, Field]]:
        """Input and output of an endpoint."""
        found = re.search(rf'^    "{re.escape(name)}": {{\s+input: (\w+);\s+output: (\w+);', self._text, re.M)
        assert found, f"fal's client knows no endpoint {name}"
        return self.fields(found[1]), self.fields(found[2])

    @cache  # noqa: B019 - one for the session
    def fields(self, name: str) -> dict[str, Field]:
        """Fields of a type."""
        other = re.search(rf"^export (?:type {name} = (\w+);|interface {name} extends (\w+) {{\s*}})", self._text, re.M)
        if other:
            return self.fields(other[1] or other[2])
        found = re.search(rf"^export (?:type {name} = |interface {name} ){{\n(.*?)^}}", self._text, re.M | re.S)
        assert found, f"fal's client declares no fields of {name}"
        pattern = r"(?:^    /\*\*(.*?)\*/\n)?^    (\w+)(\??): (.*?);$"
        return {
            field: Field(kind, bool(optional), _default(told))
            for told, field, optional, kind in re.findall(pattern, found[1], re.M | re.S)
        }


def _default(told: str) -> Any:
    found = re.search(r"Default value: `(.*?)`", told)
    if found is None:
        return None
    try:
        return json.loads(found[1])
    except ValueError:
        return found[1]
