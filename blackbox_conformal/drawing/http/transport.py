"""Speaks HTTP: one step of an adapter in, one answer or one error class out.

Keys are revealed here and nowhere else. `httpx` builds the request and `httpcore` sends it through a network back-end
that enforces deadlines and addresses.
"""

import base64
import binascii
import importlib.util
import logging
import re
import socket
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote_to_bytes, urlencode

import httpcore
import httpx

from blackbox_conformal.drawing.http.address_policy import (
    AddressPolicy,
    LinkRules,
    WebOrigin,
    is_allowed_address,
    make_origin,
)
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import MaybeSentError, NotSentError, PayloadError, UsageError
from blackbox_conformal.support.secrets import Secret, holds_secret, redact, revealed
from blackbox_conformal.vendor.adapter import Answer, Send

_STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Resumption:
    """Bytes of one download so far; empty until a cut.

    `total` is the size of the whole, if known. Kept only for a strong ETag from a server that offers byte ranges
    (RFC 9110, 8.8.1 and 14.2).
    """

    def __init__(self) -> None:
        self._etag = ""
        self._taking = False
        self.total: int | None = None
        self.pieces: list[bytes] = []

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    def clear(self) -> None:
        self._etag, self._taking, self.total, self.pieces = "", False, None, []

    def headers(self) -> dict[str, str]:
        """Return headers that ask for the rest of the same version; empty without a beginning."""
        self._taking = False
        return {"range": f"bytes={self.size}-", "if-match": self._etag} if self.pieces else {}

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take up an answer; return True if its body continues these bytes.

        Any other success clears these bytes, and so does the answer that the version is gone (412, 416).
        """
        if status == 206 and self.pieces:
            part = _RANGE.fullmatch(headers.get("content-range", ""))
            first, last, total = (int(text) for text in part.groups()) if part else (-1, -1, -1)
            # Anything but the exact rest would join bytes that do not belong together.
            fits = first == self.size and last + 1 == total and self.total in (None, total)
            if not fits or headers.get("etag") != self._etag or "content-encoding" in headers:
                self.clear()
                raise ValueError("the rest of a cut download is of another version, or another part; begun from zero")
            self._taking, self.total = True, total
            return True
        if 200 <= status < 300 or status in (412, 416):
            self.clear()
        # A compressed body has other offsets than the file.
        if status == 200 and "content-encoding" not in headers:
            ranges = headers.get("accept-ranges", "").lower().replace(" ", "").split(",")
            etag = headers.get("etag", "")
            # A weak ETag may stand for two contents that differ in bytes (RFC 9110, 8.8.1).
            if "bytes" in ranges and _STRONG.fullmatch(etag):
                length = headers.get("content-length", "")
                self._etag, self._taking = etag, True
                self.total = int(length) if length.isascii() and length.isdigit() else None
        return False

    def keep(self, pieces: list[bytes]) -> None:
        """Keep the arrived bytes of a cut answer, if it can be resumed."""
        if self._taking:
            self.pieces = self.pieces + [piece for piece in pieces if piece]


_MOST_HELD = 16 * 1024


class AddressRefusedError(Exception):
    """A host name resolved to a forbidden address; nothing was connected."""


class NameUnknownError(Exception):
    """A host name does not resolve; nothing was connected."""


class OpenExchange(threading.local):
    """One exchange of this thread: its deadline and limits, whether bytes have left, and its connection."""

    deadline: float = 0.0
    flushed: bool = False
    stream: "TimedStream | None" = None

    def begin(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.flushed = False

    def left(self, timeout: float | None) -> float:
        """Return `timeout`, cut to the time before the deadline."""
        left = max(0.001, self.deadline - time.monotonic())
        return left if timeout is None else min(timeout, left)


class TimedStream(httpcore.NetworkStream):
    """A connection whose reads and writes end with the exchange's deadline.

    `to_vendor` is False while a proxy is asked for a tunnel. A `distrusted` connection carries no further request.
    """

    def __init__(self, inner: httpcore.NetworkStream, exchange: OpenExchange, to_vendor: bool = True) -> None:
        self._inner = inner
        self._exchange = exchange
        self._to_vendor = to_vendor
        self._held = b""
        self.distrusted = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._held:
            self._flush(timeout)
        return self._inner.read(max_bytes, self._exchange.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write; the first write that works marks the exchange as begun to leave.

        The head of a request waits for the body, so that both leave at once; with an empty `buffer` the library ends a
        request. A vendor cannot have understood a request that was not written whole.
        """
        # Small writes are held back: head and body leave in one packet, and one failure covers both.
        if self._held and (not buffer or len(self._held) + len(buffer) > _MOST_HELD):
            self._flush(timeout)
        if len(buffer) > _MOST_HELD:
            self._write_out(buffer, timeout)
        elif buffer:
            self._held += buffer

    def _flush(self, timeout: float | None) -> None:
        held, self._held = self._held, b""
        self._write_out(held, timeout)

    def _write_out(self, data: bytes, timeout: float | None) -> None:
        self._inner.write(data, self._exchange.left(timeout))
        # From here on the vendor may have the request: no later error may call it unsent.
        self._exchange.flushed, self._exchange.stream = self._to_vendor, self

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "TimedStream":
        inner = self._inner.start_tls(ssl_context, server_hostname, self._exchange.left(timeout))
        self._exchange.flushed = False
        return TimedStream(inner, self._exchange)

    def get_extra_info(self, info: str) -> Any:
        """Make a distrusted connection look readable: the library closes an idle connection with unread bytes."""
        return (info == "is_readable" and self.distrusted) or self._inner.get_extra_info(info)


class CheckedBackend(httpcore.NetworkBackend):
    """A network back-end that connects only to addresses that `policy` allows, and to the very address it checked.

    `encrypted`: the vendor is sent nothing before `TimedStream.start_tls`.
    """

    def __init__(self, exchange: OpenExchange, policy: AddressPolicy, encrypted: bool) -> None:
        self._inner = httpcore.SyncBackend()
        self._exchange = exchange
        self._policy: AddressPolicy = policy
        self._encrypted = encrypted

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> TimedStream:
        # The user chose the vendor's own host, so its addresses are not judged.
        addresses = [host] if self._policy == "own" else self._resolve(host, port)
        for number, address in enumerate(addresses):
            try:
                inner = self._inner.connect_tcp(
                    address, port, self._exchange.left(timeout), local_address, socket_options
                )
            except Exception:
                if number == len(addresses) - 1:
                    raise
            else:
                return TimedStream(inner, self._exchange, to_vendor=not self._encrypted)
        raise AddressRefusedError(f"{host} resolves to no address")

    def _resolve(self, host: str, port: int) -> list[str]:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameUnknownError(f"{host} does not resolve ({error})") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        # One bad address refuses the name: chance decides which address is used.
        refused = [address for address in addresses if not is_allowed_address(address, self._policy)]
        if refused:
            raise AddressRefusedError(
                f"{host} resolves to {refused[0]}, which is not a {self._policy} address; nothing was sent"
            )
        return addresses


_CHUNK = 1 << 20


def read_body(
    chunks: Iterable[bytes], encoding: str, length: int | None, most: int, pieces: list[bytes] | None = None
) -> bytes:
    """Return the whole body, decoded.

    `encoding`: Content-Encoding; one layer of gzip or deflate is decoded.
    `length`: Content-Length; None if absent.
    `most`: Largest number of bytes before and after decoding.
    `pieces`: Filled with the bytes as they come, in case the body is cut.
    """
    if length is not None and length > most:
        raise PayloadError(f"expected an answer of at most {most} bytes; {length} are announced")
    layers = [layer for part in encoding.lower().split(",") if (layer := part.strip()) not in ("", "identity")]
    if len(layers) > 1 or (layers and layers[0] not in ("gzip", "x-gzip", "deflate")):
        raise PayloadError(f"expected an answer without Content-Encoding; got {encoding[:60]!r}, which is not decoded")
    # 47 means gzip or zlib, whichever the data begin with.
    decoder = zlib.decompressobj(wbits=47) if layers else None
    pieces = [] if pieces is None else pieces
    received = decoded = 0
    for chunk in chunks:
        received += len(chunk)
        if received > most:
            raise PayloadError(f"expected an answer of at most {most} bytes; more arrived")
        if decoder is None:
            pieces.append(chunk)
            continue
        decoded += _inflate(decoder, chunk, pieces, most - decoded)
    if length is not None and received != length:
        raise PayloadError(f"expected an answer of {length} bytes as announced; {received} arrived")
    if decoder is not None and received and not decoder.eof:
        raise PayloadError("the compressed answer ends before its end")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(decoder: "zlib._Decompress", chunk: bytes, pieces: list[bytes], room: int) -> int:
    size = 0
    while chunk and not decoder.eof:
        try:
            # A limited piece at a time: a few bytes may unpack to gigabytes.
            piece = decoder.decompress(chunk, _CHUNK)
        except zlib.error as error:
            raise PayloadError(f"the compressed answer is damaged ({error})") from None
        size += len(piece)
        if size > room:
            raise PayloadError("the compressed answer unpacks to more bytes than an answer may have")
        pieces.append(piece)
        chunk = decoder.unconsumed_tail
    return size


def read_data_link(link: str, most: int) -> tuple[str, bytes]:
    """Return the media type and bytes of a ``data:`` link."""
    head, comma, data = link[5:].partition(",")
    if not comma:
        raise PayloadError("expected a data link with a comma before its data; found none")
    # Percent-encoding and base64 lengthen text; twice the bytes is a bound that is cheap to check.
    if len(data) > most * 2:
        raise PayloadError(f"expected a data link of at most {most} bytes; got {len(data)} characters")
    media, *attributes = head.split(";")
    try:
        if attributes and attributes[-1].strip().lower() == "base64":
            # Links may have white space within base64; the decoder refuses it.
            body = base64.b64decode("".join(unquote_to_bytes(data).decode("ascii").split()), validate=True)
        else:
            body = unquote_to_bytes(data)
    except (binascii.Error, ValueError):
        raise PayloadError("the data link from the vendor is not valid base64") from None
    if len(body) > most:
        raise PayloadError(f"expected a data link of at most {most} bytes; got {len(body)}")
    return media or "text/plain", body


_MOST_REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)
_MOST_IDLE = 64
_KEEP_ALIVE_S = 15.0
_USER_AGENT = "blackbox-conformal"
_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
    OSError,
    ValueError,
)
"""Everything that a failed exchange raises, besides this package's errors."""


# Arguments are formatted first: a key may stand in any of them.
class _Redact(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return True


def _silence_library() -> None:
    # Signed links in addresses are secrets: only warnings pass, redacted.
    for library in (httpx, httpcore):
        logger = logging.getLogger(library.__name__)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(each, _Redact) for each in logger.filters):
            logger.addFilter(_Redact())


def _is_certificate_trouble(error: BaseException) -> bool:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return any(
        isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in causes
    )


@lru_cache(64)
def _parse(text: str, relative: bool = False) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise PayloadError("expected an address to send a request to; got text that is none") from None
    if not relative and not url.host:
        raise PayloadError(f"expected an address with a host; got one of scheme {url.scheme[:20]!r} without")
    return url


def _origin(url: httpx.URL) -> WebOrigin:
    return make_origin(url.scheme, url.raw_host.decode("ascii"), url.port)


def _left_over(response: httpcore.Response) -> bool:
    # Bytes after an answer would count as the answer to the connection's next request.
    try:
        # The library silently keeps such bytes for the next answer.
        return bool(cast(Any, response.stream)._stream._connection._h11_state.trailing_data[0])
    except AttributeError:
        # Another version of the library: use no connection twice, which is slower and safe.
        return True


def _carries_key(step: Send) -> bool:
    return any(map(holds_secret, (step.headers, step.query, step.json, step.form)))


class Transport:
    """Connections to one vendor, and connections without credentials to the hosts of its results.

    `base_url`: The vendor's own address: only this origin and the origins of `further_urls` are ever sent a key.
    `result_hosts`: Other hosts that results may come from.
    """

    def __init__(
        self, base_url: str, result_hosts: tuple[str, ...], limits: Limits, further_urls: tuple[str, ...] = ()
    ) -> None:
        _silence_library()
        try:
            url = _parse(base_url)
        except PayloadError:
            url = httpx.URL()
        if url.scheme not in ("http", "https"):
            raise UsageError(f"expected an http(s) address of the vendor; got {redact(base_url)[:100]!r}")
        self._rules = LinkRules(_origin(url), result_hosts, tuple(_origin(_parse(each)) for each in further_urls))
        self._limits = limits
        self._exchange = OpenExchange()
        self._lock = threading.Lock()
        self._idle: dict[tuple[WebOrigin, AddressPolicy], list[httpcore.ConnectionPool]] = {}
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    def close(self) -> None:
        """Close idle connections; busy ones close after their exchange."""
        with self._lock:
            self._closed = True
            self._close_idle(list(self._idle))

    def send(self, step: Send, resumption: Resumption | None = None, seconds: float | None = None) -> Answer:
        """Make one exchange within `attempt_timeout_s`; return an answer of any status.

        `resumption`: What an earlier try of this download left; the rest is fetched, and the whole returned (200).
        `seconds`: A tighter time limit for this exchange.
        """
        # The bytes are in the link itself: nothing is sent.
        if step.url[:5].lower() == "data:":
            media, body = read_data_link(step.url, self._limits.max_answer_bytes)
            return Answer(200, {"content-type": media}, body)
        patience = self._limits.answer_timeout_s
        self._exchange.begin(patience if seconds is None else min(patience, seconds))
        url = _parse(step.url)
        for hop in range(_MOST_REDIRECTS + 1):
            # No key after a redirection: the vendor chose the place, not the user.
            answer = self._exchange_once(step, url, step.public or hop > 0, resumption)
            location = answer.headers.get("location")
            # Only a download by GET may be redirected, never a paid request.
            if step.purpose != "download" or step.method != "GET" or answer.status not in _MOVED or not location:
                return answer
            url = url.join(_parse(location, relative=True))
            # The query belongs to the first address, and may hold a signature.
            step = replace(step, query={})
        raise PayloadError(f"the vendor's link was redirected more than {_MOST_REDIRECTS} times")

    def _exchange_once(self, step: Send, url: httpx.URL, public: bool, resumption: Resumption | None) -> Answer:
        origin = _origin(url)
        with_key, policy = self._rules.admit(origin, bool(url.userinfo), public)
        if with_key and not (origin.is_private_way or self._limits.insecure_http) and _carries_key(step):
            raise NotSentError(
                f"the key would go to {origin.text} unencrypted, where anyone on the way can read it, so nothing was"
                " sent; use an https address, or agree with --insecure-http (Limits: insecure_http)",
                permanent=True,
            )
        request = self._request(step, url, with_key, {} if resumption is None else resumption.headers())
        pool = self._take(origin, policy)
        started = self._exchange.left(None)
        response: httpcore.Response | None = None
        pieces: list[bytes] = []
        usable = True
        try:
            response = pool.handle_request(request)
            status, headers, body = self._read(step.method, response, resumption, pieces)
            usable = not _left_over(response)
        except PayloadError as error:
            usable = False
            code = None if response is None else str(response.status)
            raise PayloadError(str(error), code=code) from None
        except AddressRefusedError as error:
            raise PayloadError(f"the vendor's link was not followed: {error}") from None
        except NameUnknownError as error:
            raise NotSentError(str(error)) from None
        except _FAILURES as error:
            # A pool whose one connection is still taken cannot be used again.
            usable = not isinstance(error, httpcore.PoolTimeout)
            if resumption is not None:
                resumption.keep(pieces)
            raise self._classify(error, origin) from None
        finally:
            if response is not None:
                response.close()
            self._give_back(pool, (origin, policy), usable)
        return Answer(status, headers, body, started - self._exchange.left(None))

    def distrust(self) -> None:
        """Send nothing more on the connection of this thread's last exchange, whose answer was wrong.

        Once answers arrive one request late, they do so until the connection ends.
        """
        if self._exchange.stream is not None:
            self._exchange.stream.distrusted = True

    def _read(
        self, method: str, response: httpcore.Response, resumption: Resumption | None, pieces: list[bytes]
    ) -> tuple[int, dict[str, str], bytes]:
        headers = dict(httpx.Headers(response.headers))
        announced = headers.get("content-length", "")
        # "²" counts as a digit, but `int` refuses it.
        length = int(announced) if announced.isascii() and announced.isdigit() else None
        status = response.status
        earlier = b""
        bodiless = method == "HEAD" or status in (204, 304)
        if resumption is not None and resumption.begin(status, headers):
            earlier, status = b"".join(resumption.pieces), 200
        body = read_body(
            cast(Iterable[bytes], response.stream),
            headers.get("content-encoding", ""),
            None if bodiless else length,
            self._limits.max_answer_bytes - len(earlier),
            pieces,
        )
        # A body of another length lacks a piece in the middle.
        if earlier and resumption is not None and resumption.total != len(earlier) + len(body):
            resumption.clear()
            raise ValueError("the rest of a cut download is not as long as announced; begun from zero")
        return status, headers, earlier + body if earlier else body

    def _classify(self, error: Exception, origin: WebOrigin) -> NotSentError | MaybeSentError:
        # The class depends on the bytes that left this machine, not on the kind of error.
        what = f"{type(error).__name__} with {origin.host}" + (f": {redact(str(error))[:200]}" if str(error) else "")
        if isinstance(error, httpcore.PoolTimeout):
            return NotSentError(f"no connection came free ({what})")
        if isinstance(error, (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError)):
            # The library's text is left out: it quotes the bad header or address, which may be a key.
            return NotSentError(
                f"the request cannot be sent as the adapter made it ({type(error).__name__} with {origin.host}); check"
                " its address and headers",
                permanent=True,
            )
        if _is_certificate_trouble(error):
            return NotSentError(
                f"the certificate of {origin.host} is not trusted ({what}). If a company proxy inspects traffic, add"
                " its authority with SSL_CERT_FILE; a wrong system clock also causes this",
                permanent=True,
            )
        if isinstance(error, httpcore.ProxyError):
            return NotSentError(f"the proxy refused to connect ({what}); check HTTPS_PROXY and NO_PROXY")
        # An error before the first byte left cannot have cost anything.
        if not self._exchange.flushed:
            return NotSentError(f"nothing was sent ({what})")
        if isinstance(error, httpcore.TimeoutException):
            return MaybeSentError(
                f"no whole answer within {self._limits.answer_timeout_s:g} s ({what}); the vendor may still finish"
                " and bill it"
            )
        return MaybeSentError(f"the connection broke after sending ({what})")

    def _request(self, step: Send, url: httpx.URL, with_key: bool, further: dict[str, str]) -> httpcore.Request:
        def reveal(values: Any) -> dict[str, str]:
            return {
                # Secrets are revealed here, and only to the origin that may see them.
                name: value.reveal() if isinstance(value, Secret) else str(value)
                for name, value in values.items()
                if with_key or not isinstance(value, Secret)
            }

        headers = (
            {"accept-encoding": "identity", "user-agent": _USER_AGENT, "accept": "*/*"}
            | {name.lower(): value for name, value in reveal(step.headers).items()}
            | further
        )
        body: dict[str, Any] = {}
        if step.json is not None:
            body["json"] = revealed(step.json) if with_key else step.json
        elif step.files:
            body["files"] = [(part.name, (part.filename, part.content, part.content_type)) for part in step.files]
            body["data"] = reveal(step.form or {})
        elif step.form is not None:
            body["data"] = reveal(step.form)
        elif step.body is not None:
            body["content"] = step.body
        left = self._exchange.left(None)
        timeout = {"connect": min(self._limits.connect_timeout_s, left), "read": left, "write": left, "pool": None}
        try:
            target = url.raw_path
            # By hand: the library would encode the address a second time.
            if step.query:
                target += (b"&" if url.query else b"?") + urlencode(reveal(step.query)).encode("ascii")
            built = httpx.Request(step.method, url, headers=headers, **body)
            return httpcore.Request(
                built.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target),
                headers=built.headers.raw,
                content=cast(Iterable[bytes], built.stream),
                extensions={"timeout": timeout},
            )
        except (TypeError, ValueError, httpx.InvalidURL) as error:
            # The library's text is left out: it quotes the value, which may be a key.
            reason = f"the request cannot be built as the adapter made it ({type(error).__name__})"
        raise NotSentError(reason, permanent=True)

    def _take(self, origin: WebOrigin, policy: AddressPolicy) -> httpcore.ConnectionPool:
        # Each exchange has its own pool: httpcore searches a shared pool from end to end at each request.
        with self._lock:
            idle = self._idle.get((origin, policy))
            if idle:
                # The one that was idle longest: the newest one's answer may still be looked at (see `distrust`).
                return idle.pop(0)
            if sum(map(len, self._idle.values())) >= _MOST_IDLE:
                # A vendor may keep each result at another host. Connections to such hosts are dropped first; the
                # vendor's own will be needed again.
                self._close_idle([place for place in self._idle if place[0] != self._rules.own])
            return self._new_pool(origin, policy)

    def _give_back(self, pool: httpcore.ConnectionPool, place: tuple[WebOrigin, AddressPolicy], usable: bool) -> None:
        with self._lock:
            if usable and not self._closed:
                self._idle.setdefault(place, []).append(pool)
                return
        pool.close()

    def _close_idle(self, places: list[tuple[WebOrigin, AddressPolicy]]) -> None:
        for place in places:
            for pool in self._idle.pop(place):
                pool.close()

    def _new_pool(self, origin: WebOrigin, policy: AddressPolicy) -> httpcore.ConnectionPool:
        encrypted = origin.scheme == "https"
        proxy = _proxy_for(origin)
        return httpcore.ConnectionPool(
            ssl_context=self._trusted() if encrypted else None,
            proxy=proxy,
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=CheckedBackend(self._exchange, "own" if proxy else policy, encrypted),
        )

    def _trusted(self) -> ssl.SSLContext:
        try:
            self._tls = self._tls or httpx.create_ssl_context()
        except OSError as error:
            raise NotSentError(
                f"the certificates to trust cannot be read ({redact(str(error))}); check SSL_CERT_FILE and"
                " SSL_CERT_DIR",
                permanent=True,
            ) from None
        return self._tls


def _proxy_for(origin: WebOrigin) -> httpcore.Proxy | None:
    # Requests to this machine itself never go through a proxy.
    if origin.on_loopback or urllib.request.proxy_bypass(origin.host):
        return None
    proxies = urllib.request.getproxies()
    address = proxies.get(origin.scheme) or proxies.get("all")
    if not address:
        return None
    try:
        proxy = httpx.Proxy(address)
    except ValueError as error:
        raise NotSentError(f"the proxy setting cannot be used: {redact(str(error))}", permanent=True) from None
    except httpx.InvalidURL:
        # The library's text is left out: it quotes a part of the address, which may belong to the password.
        raise NotSentError(
            "the proxy setting is no address; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, and percent-encode a"
            " password in it",
            permanent=True,
        ) from None
    if proxy.url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise NotSentError("a SOCKS proxy needs a package: pip install socksio", permanent=True)
    url = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.Proxy(url, auth=proxy.raw_auth)
