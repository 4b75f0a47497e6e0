"""Serves routes of dialects and the gateway, or of pages, as one ASGI application; no other file knows Starlette."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as StarletteRoute

from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.gateway.dialects.dialect import Dialect
from blackbox_conformal.gateway.gateway import Gateway
from blackbox_conformal.gateway.guard import Application, read_off
from blackbox_conformal.gateway.http_exchange import Field, FormFile, HttpAnswer, HttpRequest, refusal_answer
from blackbox_conformal.gateway.operations import Operations
from blackbox_conformal.gateway.request import NotServedError
from blackbox_conformal.gateway.runner import status_of, words

_FORM = "multipart/form-data"
_LARGEST_FIELD = 1024 * 1024
_LARGE_BODIES, _LARGE = 16, 1024 * 1024
"""Bodies larger than this many bytes that may be in memory at once; others wait unread."""

Lifespan = Callable[[], contextlib.AbstractAsyncContextManager[Gateway]]
Endpoint = Callable[[StarletteRequest], Awaitable[Response]]
Result = TypeVar("Result")


def application(
    open_gateway: Lifespan,
    dialects: Mapping[str, Dialect],
    operations: Operations,
    largest_body: int,
    base: str | None,
) -> Application:
    """Make the application that serves the dialects.

    `open_gateway`: Opened when the server starts, closed when it ends.
    `operations`: Addresses of the gateway itself.
    `largest_body`: Bytes of a body; a larger one gets 413 before it is read or parsed.
    `base`: Scheme and host of every link; None: the client's.
    """
    opened: list[Gateway] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with open_gateway() as gateway:
            opened.append(gateway)
            yield

    # Inside the application, so that each server has its own.
    large = asyncio.Semaphore(_LARGE_BODIES)
    served: dict[tuple[str, str], str] = {}
    routes = []
    speakers: dict[str, Operations | Dialect] = {"": operations, **dialects}
    for name, speaker in speakers.items():
        for route in speaker.routes():
            other = served.setdefault((route.method, route.path), name)
            # Two dialects at one address would answer each other's clients.
            if other != name:
                raise UsageError(
                    f"the dialects {other} and {name} both serve {route.method} {route.path}; give one of them --as"
                )
            before = None if route.before is None else partial(_asked, opened, route.before)
            endpoint = _endpoint(
                route.path, partial(_asked, opened, route.handle), speaker.refused, large, base, before
            )
            limit = route.largest_body(largest_body)
            routes.append(StarletteRoute(route.path, endpoint, methods=[route.method], max_body_size=limit))
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        max_body_size=largest_body,
        exception_handlers=_exceptions("; GET /openapi.json lists the addresses"),
    )


PageHandle = Callable[[HttpRequest], HttpAnswer]


def pages(routes: Sequence[tuple[str, str, PageHandle]], largest_body: int) -> Application:
    """Make an application of pages for people.

    `routes`: Method, path with open parts as in `dialects.dialect.Route`, and the function that answers, called in a
      thread.
    `largest_body`: Bytes of a body; a larger one gets 413.
    """

    large = asyncio.Semaphore(_LARGE_BODIES)
    return Starlette(
        routes=[
            StarletteRoute(path, _endpoint(path, partial(_in_thread, handle), refusal_answer, large), methods=[method])
            for method, path, handle in routes
        ],
        max_body_size=largest_body,
        exception_handlers=_exceptions(""),
    )


async def _in_thread(handle: PageHandle, http: HttpRequest) -> HttpAnswer:
    return await asyncio.to_thread(handle, http)


async def _asked(
    opened: Sequence[Gateway], ask: Callable[[Gateway, HttpRequest], Awaitable[Result]], http: HttpRequest
) -> Result:
    return await ask(opened[0], http)


def _endpoint(
    path: str,
    answer: Callable[[HttpRequest], Awaitable[HttpAnswer]],
    refused: Callable[[NotServedError], HttpAnswer],
    large: asyncio.Semaphore,
    base: str | None = None,
    before: Callable[[HttpRequest], Awaitable[None]] | None = None,
) -> Endpoint:
    async def answered(request: StarletteRequest) -> HttpAnswer:
        http = HttpRequest(
            method=request.method,
            path=request.url.path,
            parameters={name: str(value) for name, value in request.path_params.items()},
            query=dict(request.query_params),
            headers={name: request.headers[name] for name in request.headers},
            owner=request.scope.get("blackbox_conformal.owner", ""),
            base=base or f"{request.url.scheme}://{request.url.netloc}",
        )
        try:
            if before is not None:
                await before(http)
        except NotServedError as refusal:
            # The body is read and thrown away: a client that is still sending would not see the answer.
            await read_off(request.receive)
            # The rest of the body would be taken for the next request on this connection.
            raise NotServedError(refusal.status, refusal.message, {**refusal.headers, "Connection": "close"}) from None
        if request.method not in ("POST", "PUT", "PATCH"):
            return await answer(http)
        # A large body waits unread while there are many.
        length = request.headers.get("content-length", "")
        # Seven digits at most, so that no long number is ever converted.
        small = length.isdecimal() and len(length) <= 7 and int(length) <= _LARGE
        # A body without a length may be large, so it waits like a large one.
        async with contextlib.nullcontext() if small else large:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
                http = replace(http, form=await _form(request))
            else:
                http = replace(http, body=await request.body())
        return await answer(http)

    async def serve(request: StarletteRequest) -> Response:
        # The log must not hold the ids that addresses carry.
        request.scope["blackbox_conformal.route"] = path
        try:
            told = await answered(request)
        except NotServedError as refusal:
            told = refused(refusal)
        except BlackboxConformalError as error:
            told = refused(NotServedError(status_of(error), words(error)))
        if isinstance(told.body, bytes):
            return Response(told.body, told.status, dict(told.headers), told.type)
        return StreamingResponse(told.body, told.status, dict(told.headers), told.type)

    return serve


async def _form(request: StarletteRequest) -> tuple[tuple[str, Field], ...]:
    fields: list[tuple[str, Field]] = []
    try:
        async with request.form(max_files=16, max_fields=256, max_part_size=_LARGEST_FIELD) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    kind = value.content_type or "application/octet-stream"
                    fields.append((name, FormFile(value.filename or "", kind, await value.read())))
                else:
                    fields.append((name, str(value)))
    except HTTPException as error:
        # The server itself answers a body that is too large, with the right status.
        if error.status_code == 413:
            raise
        raise NotServedError(400, f"expected a form that can be read: {error.detail}") from None
    return tuple(fields)


def _exceptions(advice: str) -> dict[Any, Callable[[StarletteRequest, Any], Awaitable[Response]]]:
    async def unknown(request: StarletteRequest, error: HTTPException) -> Response:
        said = json.dumps({"detail": f"there is nothing at this address{advice}"})
        return Response(said, error.status_code, error.headers, "application/json")

    async def gone(request: StarletteRequest, error: ClientDisconnect) -> Response:
        # 499: the client has gone, so only the log sees this status.
        return Response(status_code=499)

    return {404: unknown, 405: unknown, ClientDisconnect: gone}
