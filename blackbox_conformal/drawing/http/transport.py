"""The only place that speaks HTTP: one step of an adapter in, one answer or one error class out.

Keys are revealed here and nowhere else. `httpx` builds the request and `httpcore`, which `httpx` itself sends with,
sends it: the latter has public settings for the network back-end, by which deadlines and addresses are enforced.
"""

import importlib.util
import logging
import ssl
import threading
import urllib.request
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlencode

import httpcore
import httpx

from blackbox_conformal.drawing.http.address_policy import AddressPolicy, LinkRules, Origin, make_origin
from blackbox_conformal.drawing.http.decoding import read_body, read_data_link
from blackbox_conformal.drawing.http.network import AddressRefusedError, CheckedBackend, Exchange, NameUnknownError
from blackbox_conformal.drawing.http.resumption import Resumption
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import MaybeSentError, NotSentError, PayloadError, UsageError
from blackbox_conformal.support.secrets import Secret, holds_secret, redact, revealed
from blackbox_conformal.vendor.adapter import Answer, Send

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
"""Everything that an exchange raises when it fails, besides the errors of this package."""


class _Redact(logging.Filter):
    """Removes keys and signed links from a record of the HTTP library."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return True


def _silence_library() -> None:
    """The HTTP libraries log whole addresses, and signed links are secrets: only their warnings pass, redacted."""
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


def _parse(text: str, relative: bool = False) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise PayloadError("expected an address to send a request to; got text that is none") from None
    if not relative and not url.host:
        raise PayloadError(f"expected an address with a host; got one of scheme {url.scheme[:20]!r} without")
    return url


def _origin(url: httpx.URL) -> Origin:
    return make_origin(url.scheme, url.raw_host.decode("ascii"), url.port)


def _carries_key(step: Send) -> bool:
    return any(map(holds_secret, (step.headers, step.query, step.json, step.form)))


class Transport:
    """Connections to one vendor, and credential-free ones to wherever it keeps results.

    Parameters
    ----------
    base_url
        The vendor's own address: the only origin that is ever sent a key, but for those of `further_urls`.
    result_hosts
        Other hosts that results may come from.
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
        self._exchange = Exchange()
        self._lock = threading.Lock()
        self._idle: dict[tuple[Origin, AddressPolicy], list[httpcore.ConnectionPool]] = {}
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    def close(self) -> None:
        """Close every idle connection; one that is in use is closed after its exchange."""
        with self._lock:
            self._closed = True
            self._close_idle(list(self._idle))

    def send(self, step: Send, resumption: Resumption | None = None, seconds: float | None = None) -> Answer:
        """Make one exchange, within `attempt_timeout_s` of wall-clock time; the answer may have any status.

        Parameters
        ----------
        resumption
            What an earlier try of this download left: the rest is asked for, and handed out as a whole (200).
        seconds
            The most that this exchange may take, where that is less than `attempt_timeout_s`.

        Raises
        ------
        NotSentError
            Class N: nothing reached the vendor.
        MaybeSentError
            Class M: some of it was sent and no whole answer came back.
        PayloadError
            Class P: an answer too large or broken to be read, or a link that must not be followed.
        """
        if step.url[:5].lower() == "data:":
            media, body = read_data_link(step.url, self._limits.max_answer_bytes)
            return Answer(200, {"content-type": media}, body)
        patience = self._limits.answer_timeout_s
        self._exchange.begin(patience if seconds is None else min(patience, seconds))
        url = _parse(step.url)
        for hop in range(_MOST_REDIRECTS + 1):
            answer = self._exchange_once(step, url, step.public or hop > 0, resumption)
            location = answer.headers.get("location")
            if step.purpose != "download" or step.method != "GET" or answer.status not in _MOVED or not location:
                return answer
            url = url.join(_parse(location, relative=True))
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
        except PayloadError as error:
            code = None if response is None else str(response.status)
            raise PayloadError(str(error), code=code) from None
        except AddressRefusedError as error:
            raise PayloadError(f"the vendor's link was not followed: {error}") from None
        except NameUnknownError as error:
            raise NotSentError(str(error)) from None
        except _FAILURES as error:
            usable = not isinstance(error, httpcore.PoolTimeout)
            if resumption is not None:
                resumption.keep(pieces)
            raise self._classify(error, origin) from None
        finally:
            if response is not None:
                response.close()
            self._give_back(pool, (origin, policy), usable)
        return Answer(status, headers, body, started - self._exchange.left(None))

    def _read(
        self, method: str, response: httpcore.Response, resumption: Resumption | None, pieces: list[bytes]
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer; a body is filled into `pieces` as it comes."""
        headers = dict(httpx.Headers(response.headers))
        announced = headers.get("content-length", "")
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
        if earlier and resumption is not None and resumption.total != len(earlier) + len(body):
            resumption.clear()
            raise ValueError("the rest of a cut download is not as long as announced; begun from zero")
        return status, headers, earlier + body if earlier else body

    def _classify(self, error: Exception, origin: Origin) -> NotSentError | MaybeSentError:
        """The error class of a failed exchange: by what has left this machine, not by what went wrong."""
        what = f"{type(error).__name__} with {origin.host}" + (f": {redact(str(error))[:200]}" if str(error) else "")
        if isinstance(error, httpcore.PoolTimeout):
            return NotSentError(f"no connection came free ({what})")
        if isinstance(error, (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError)):
            # The library's text is left out: it quotes the header or address that it objects to, which may be a key.
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

    def _take(self, origin: Origin, policy: AddressPolicy) -> httpcore.ConnectionPool:
        """A pool for one exchange alone: one that threads share is searched from end to end at each request."""
        with self._lock:
            idle = self._idle.get((origin, policy))
            if idle:
                return idle.pop()
            if sum(map(len, self._idle.values())) >= _MOST_IDLE:
                # A vendor may keep each result at another host.
                self._close_idle([place for place in self._idle if place[0] != self._rules.own])
            return self._new_pool(origin, policy)

    def _give_back(self, pool: httpcore.ConnectionPool, place: tuple[Origin, AddressPolicy], usable: bool) -> None:
        with self._lock:
            if usable and not self._closed:
                self._idle.setdefault(place, []).append(pool)
                return
        pool.close()

    def _close_idle(self, places: list[tuple[Origin, AddressPolicy]]) -> None:
        for place in places:
            for pool in self._idle.pop(place):
                pool.close()

    def _new_pool(self, origin: Origin, policy: AddressPolicy) -> httpcore.ConnectionPool:
        """Room for one connection, through the proxy that the environment names for this origin."""
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


def _proxy_for(origin: Origin) -> httpcore.Proxy | None:
    """The proxy that the environment names for an origin; never one for this machine itself.

    Raises
    ------
    NotSentError
        It is no address of a proxy, or one that needs a package which is not installed.
    """
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
        # The library's text is left out: it quotes a part of the address, which may be one of the password.
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
