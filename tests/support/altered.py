"""Adapters that differ from another one in a member or two."""

from dataclasses import replace
from typing import Any


def altered(called: str, kind: Any, /, *, declares: Any = None, shows: Any = None, **own: Any) -> Any:
    """A subclass with members of its `own`; `declares` changes its capabilities, and `shows` its example."""
    if declares is not None:
        own["capabilities"] = property(lambda self: replace(kind.capabilities.fget(self), **declares))
    if shows is not None:
        own["example"] = replace(kind.example, **shows)
    return type(kind)(called, (kind,), {"__module__": kind.__module__, **own})
