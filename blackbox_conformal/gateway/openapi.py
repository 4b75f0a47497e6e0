"""The description of the gateway (OpenAPI 3.1), made from the routes of its dialects."""

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from blackbox_conformal.gateway.dialects.dialect import Route

_ALWAYS = {
    "400": "The request cannot be read.",
    "401": "A token is missing or wrong.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "421": "The host name is not the gateway's.",
    "429": "Too many requests wait.",
    "503": "The gateway is being stopped.",
}


def openapi(routes: Mapping[str, Iterable[Route]]) -> dict[str, Any]:
    """The document; `routes` by dialect, "" for the gateway's own."""
    paths: dict[str, dict[str, Any]] = {}
    for dialect, its_routes in routes.items():
        for route in its_routes:
            paths.setdefault(route.path.replace(":path}", "}"), {})[route.method.lower()] = _operation(
                route, dialect or "gateway"
            )
    return {
        "openapi": "3.1.0",
        "info": {"title": "blackbox-conformal serve", "version": version("blackbox-conformal")},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _operation(route: Route, tag: str) -> dict[str, Any]:
    answers = {**_ALWAYS, **{str(status): meaning for status, meaning in route.gives.items()}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "tags": [tag],
        "responses": {status: {"description": meaning} for status, meaning in sorted(answers.items())},
    }
    names = re.findall(r"{(\w+)", route.path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if route.takes:
        content = {kind: {"schema": schema} for kind, schema in route.takes.items()}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
