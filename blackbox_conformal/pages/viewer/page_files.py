"""What a page is made of: a template, and scripts and styles that are files of the package."""

from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import jinja2

from blackbox_conformal.gateway.http_exchange import HttpAnswer, HttpRequest
from blackbox_conformal.pages.viewer.local_site import PageRoute
from blackbox_conformal.support.canonical import digest_bytes

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}

Parts = Sequence[tuple[str, str]]
"""(package, file below its folder ``templates``)."""


def template_page(parts: Parts, **variables: Any) -> HttpAnswer:
    """The page of the first template in `parts`; it may import the others."""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({file: _text(package, file) for package, file in parts}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = version("blackbox-conformal")
    text = environment.get_template(parts[0][1]).render(**variables)
    return HttpAnswer(200, text.encode(), "text/html; charset=utf-8", {"Cache-Control": "no-store"})


def asset_route(name: str, parts: Parts, before: str = "") -> PageRoute:
    """A script or style at ``/assets/<name>``: `before`, then these files one after the other.

    Scripts share their names with each other, and none with the window.
    """
    texts = before + "".join(_text(package, file) for package, file in parts)
    ending = name.rpartition(".")[2]
    content = (f'"use strict";\n{{\n{texts}}}\n' if ending == "js" else texts).encode()
    return PageRoute("GET", f"/assets/{name}", lambda http: unchanging(http, content, _TYPES[ending]))


def unchanging(http: HttpRequest, content: bytes, kind: str) -> HttpAnswer:
    """An answer that a browser may keep and ask about again."""
    tag = f'"{digest_bytes(content)[7:39]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if http.headers.get("if-none-match") == tag:
        return HttpAnswer(304, b"", kind, headers)
    return HttpAnswer(200, content, kind, headers)


def download(content: bytes, name: str, kind: str) -> HttpAnswer:
    """A file that the browser saves under this name."""
    return HttpAnswer(200, content, kind, {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"})


def _text(package: str, file: str) -> str:
    return (resources.files(package) / "templates" / file).read_text("utf-8")
