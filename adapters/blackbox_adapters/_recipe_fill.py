"""Placeholders in braces: which names a recipe may use, and their values for one draw.

A placeholder is a name and nothing more: there are no expressions, and nothing is evaluated.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from blackbox_adapters._pictures import base64_text, data_link
from blackbox_conformal.support.secrets import Secret, revealed
from blackbox_conformal.vendor.adapter import Draw, Upload

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+)*)\}")

BUILT_IN = frozenset(
    {
        "image.base64",
        "image.link",
        "image.width",
        "image.height",
        "target.width",
        "target.height",
        "scale",
        "scale.percent",
        "scale.text",
        "seed",
        "key",
        "time",
    }
)
"""Names that every recipe may use: the picture, its size, the wanted size, magnification, seed, idempotency key, and
seconds since 1970."""

_ABSENT = object()


def built_in(upload: Upload, draw: Draw, scale: int) -> dict[str, Any]:
    """Values of the built-in names for one draw."""
    return {
        "image.base64": base64_text(upload.png),
        "image.link": data_link(upload.png),
        "image.width": upload.width,
        "image.height": upload.height,
        "target.width": upload.width * scale,
        "target.height": upload.height * scale,
        "scale": scale,
        "scale.percent": scale * 100,
        "scale.text": str(scale),
        "seed": draw.seed,
        "key": draw.idempotency_key,
    }


def placeholders(template: Any, location: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every placeholder of a template with the place it stands at."""
    if isinstance(template, str):
        for name in PLACEHOLDER.findall(template):
            yield location, name
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from placeholders(value, (*location, str(key)))
    elif isinstance(template, list):
        for index, value in enumerate(template):
            yield from placeholders(value, (*location, index))


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its placeholders replaced.

    A text that is one placeholder takes the value itself, so that numbers stay numbers; a key whose value is a
    placeholder without a value (a seed that is not sent) is left out. A text with a secret in it is a secret.
    """
    filled = _fill(template, values)
    return None if filled is _ABSENT else filled


def fill_link(template: str, values: Mapping[str, Any]) -> str:
    """The template of a link or path; values are percent-encoded unless the whole text is one placeholder."""
    if PLACEHOLDER.fullmatch(template):
        return str(_fill(template, values))
    return PLACEHOLDER.sub(
        lambda match: quote(str(values[match[1]]), safe="/" if match[1].startswith("option.") else ""), template
    )


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        whole = PLACEHOLDER.fullmatch(template)
        if whole:
            value = values[whole[1]]
            # A value that is not there takes its whole key with it.
            return _ABSENT if value is None else value
        text = PLACEHOLDER.sub(
            lambda match: "" if values[match[1]] is None else str(revealed(values[match[1]])), template
        )
        secret = any(isinstance(values[name], Secret) for name in PLACEHOLDER.findall(template))
        # What holds a secret is one, so that no log shows it.
        return Secret(text, lasting=False) if secret else text
    if isinstance(template, Mapping):
        pairs = ((key, _fill(value, values)) for key, value in template.items())
        return {key: value for key, value in pairs if value is not _ABSENT}
    if isinstance(template, list):
        return [value for value in (_fill(value, values) for value in template) if value is not _ABSENT]
    return template
