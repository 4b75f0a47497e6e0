"""Routes as one ASGI application: those of dialects and the gateway, or those of pages; alone in knowing Starlette."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as StarletteRoute

from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.serving.dialects.dialect import Dialect, Route
from blackbox_conformal.serving.exchange import Field, FormFile, HttpAnswer, HttpRequest, refusal_answer
from blackbox_conformal.serving.failures import status_of, words
from blackbox_conformal.serving.gateway import Gateway
from blackbox_conformal.serving.guard import Application
from blackbox_conformal.serving.not_served import NotServedError
from blackbox_conformal.serving.operations import Operations

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_LARGEST_FIELD = 1024 * 1024

Lifespan = Callable[[], contextlib.AbstractAsyncContextManager[Gateway]]
Endpoint = Callable[[StarletteRequest], Awaitable[Response]]


def application(
    open_gateway: Lifespan,
    dialects: Mapping[str, Dialect],
    operations: Operations,
    largest_body: int,
    base: str | None,
) -> Application:
    """An application that serves the dialects.

    Parameters
    ----------
    open_gateway
        What it works with, opened when the server starts and closed when it ends.
    operations
        Addresses of the gateway itself.
    largest_body
        Bytes of a body; a larger one is answered with 413 before it is read or parsed.
    base
        Scheme and host of every link; None: as the client has it.

    Raises
    ------
    UsageError
        Two dialects serve the same address.
    """
    opened: list[Gateway] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with open_gateway() as gateway:
            opened.append(gateway)
            yield

    served: dict[tuple[str, str], str] = {}
    routes = []
    speakers: dict[str, Operations | Dialect] = {"": operations, **dialects}
    for name, speaker in speakers.items():
        for route in speaker.routes():
            other = served.setdefault((route.method, route.path), name)
            if other != name:
                raise UsageError(
                    f"the dialects {other} and {name} both serve {route.method} {route.path}; give one of them --as"
                )
            endpoint = _endpoint(route.path, partial(_handled, opened, route), speaker.refused, base)
            routes.append(StarletteRoute(route.path, endpoint, methods=[route.method]))
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        max_body_size=largest_body,
        exception_handlers={404: _unknown, 405: _unknown, ClientDisconnect: _gone},
    )


PageHandle = Callable[[HttpRequest], HttpAnswer]


def pages(routes: Sequence[tuple[str, str, PageHandle]], largest_body: int) -> Application:
    """An application of pages for people.

    Parameters
    ----------
    routes
        Method, path with open parts as in `dialects.dialect.Route`, and what answers it, called in a thread.
    largest_body
        Bytes of a body; a larger one is answered with 413.
    """

    return Starlette(
        routes=[
            StarletteRoute(path, _endpoint(path, partial(_in_thread, handle), refusal_answer), methods=[method])
            for method, path, handle in routes
        ],
        max_body_size=largest_body,
        exception_handlers={404: _no_page, 405: _no_page, ClientDisconnect: _gone},
    )


async def _in_thread(handle: PageHandle, http: HttpRequest) -> HttpAnswer:
    return await asyncio.to_thread(handle, http)


async def _handled(opened: Sequence[Gateway], route: Route, http: HttpRequest) -> HttpAnswer:
    return await route.handle(opened[0], http)


def _endpoint(
    path: str,
    answered: Callable[[HttpRequest], Awaitable[HttpAnswer]],
    refused: Callable[[NotServedError], HttpAnswer],
    base: str | None = None,
) -> Endpoint:
    async def serve(request: StarletteRequest) -> Response:
        request.scope["blackbox_conformal.route"] = path
        try:
            answer = await answered(await _whole(request, base))
        except NotServedError as refusal:
            answer = refused(refusal)
        except BlackboxConformalError as error:
            answer = refused(NotServedError(status_of(error), words(error)))
        if isinstance(answer.body, bytes):
            return Response(answer.body, answer.status, dict(answer.headers), answer.type)
        return StreamingResponse(answer.body, answer.status, dict(answer.headers), answer.type)

    return serve


async def _whole(request: StarletteRequest, base: str | None) -> HttpRequest:
    """A request with its body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body, form = b"", None
    if request.method in ("POST", "PUT", "PATCH"):
        body = await request.body()
        form = await _form(request) if kind in FORMS else None
    return HttpRequest(
        method=request.method,
        path=request.url.path,
        parameters={name: str(value) for name, value in request.path_params.items()},
        query=dict(request.query_params),
        headers={name: request.headers[name] for name in request.headers},
        owner=request.scope.get("blackbox_conformal.owner", ""),
        base=base or f"{request.url.scheme}://{request.url.netloc}",
        body=body if form is None else b"",
        form=form,
    )


async def _form(request: StarletteRequest) -> tuple[tuple[str, Field], ...]:
    try:
        async with request.form(max_files=16, max_fields=256, max_part_size=_LARGEST_FIELD) as form:
            return tuple([(name, await _field(value)) for name, value in form.multi_items()])
    except HTTPException as error:
        raise NotServedError(400, f"expected a form that can be read: {error.detail}") from None


async def _field(value: Any) -> Field:
    if isinstance(value, UploadFile):
        return FormFile(value.filename or "", value.content_type or "application/octet-stream", await value.read())
    return str(value)


async def _unknown(request: StarletteRequest, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    said = b'{"detail": "there is nothing at this address; GET /openapi.json lists the addresses"}'
    return Response(said, status, headers, "application/json")


async def _no_page(request: StarletteRequest, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return Response(b'{"detail": "there is nothing at this address"}', status, media_type="application/json")


async def _gone(request: StarletteRequest, error: Exception) -> Response:
    return Response(status_code=499)
