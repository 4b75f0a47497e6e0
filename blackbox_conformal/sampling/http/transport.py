"""The only place that speaks HTTP: one step of an adapter in, one answer or one error class out.

Keys are revealed here and nowhere else. Nothing is retried, counted or recorded here; see `retry`, `limiter`, `ledger`.
"""

import logging
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import httpx

from blackbox_conformal.adapter import Answer, Send
from blackbox_conformal.errors import MaybeSentError, NotSentError, PayloadError, UsageError
from blackbox_conformal.sampling.http.address_policy import AddressPolicy, LinkRules, Origin, make_origin
from blackbox_conformal.sampling.http.decoding import read_body, read_data_link
from blackbox_conformal.sampling.http.network import AddressRefusedError, CheckedBackend, Exchange, NameUnknownError
from blackbox_conformal.sampling.http.resumption import Resumption
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.secrets import Secret, redact

_MOST_REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)
_MOST_FREE = 64
_USER_AGENT = "blackbox-conformal"
_Place = tuple[Origin, AddressPolicy, int]


class _Redact(logging.Filter):
    """Removes keys and signed links from a record of the HTTP library."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return True


def _silence_library() -> None:
    """The HTTP library logs whole addresses, and signed links are secrets: only its warnings pass, redacted."""
    for name in ("httpx", "httpcore", "httpx2", "httpcore2"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(each, _Redact) for each in logger.filters):
            logger.addFilter(_Redact())


def _is_certificate_trouble(error: BaseException) -> bool:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return False


def _parse(text: str, relative: bool = False) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError):
        raise PayloadError("expected an address to send a request to; got text that is none") from None
    if not relative and not url.host:
        raise PayloadError(f"expected an address with a host; got one of scheme {url.scheme[:20]!r} without")
    return url


# Adapters submit to one address again and again, and parsing it costs a good part of sending.
_parse_once = lru_cache(maxsize=64)(_parse)


def _carries_key(step: Send) -> bool:
    return any(isinstance(value, Secret) for value in (*step.headers.values(), *step.query.values()))


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    stream = response.stream
    if not isinstance(stream, httpx.SyncByteStream):
        raise TypeError("expected a blocking stream from the HTTP library")
    return iter(stream)


class Transport:
    """Connections to one vendor, and credential-free ones to wherever it keeps results.

    Parameters
    ----------
    base_url
        The vendor's own address: the only origin that is ever sent a key.
    result_hosts
        Other hosts that results may come from.
    """

    def __init__(self, base_url: str, result_hosts: tuple[str, ...], limits: Limits) -> None:
        _silence_library()
        try:
            url = _parse(base_url)
        except PayloadError:
            url = httpx.URL()
        if url.scheme not in ("http", "https"):
            raise UsageError(f"expected an http(s) address of the vendor; got {redact(base_url)[:100]!r}")
        self._rules = LinkRules(make_origin(url.scheme, url.raw_host.decode("ascii"), url.port), result_hosts)
        self._limits = limits
        self._exchange = Exchange()
        self._lock = threading.Lock()
        self._pools: dict[_Place, httpx.HTTPTransport] = {}
        self._free: dict[tuple[Origin, AddressPolicy], list[_Place]] = {}
        self._made = 0
        self._tls: ssl.SSLContext | None = None
        self._no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._starved = 0

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools, self._free = {}, {}
        for pool in pools:
            pool.close()

    def send(self, step: Send, resumption: Resumption | None = None) -> Answer:
        """Make one exchange, within `attempt_timeout_s` of wall-clock time; the answer may have any status.

        Parameters
        ----------
        resumption
            What an earlier try of this download left: the rest is asked for, and handed out as a whole (200).

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
        self._exchange.begin(self._limits.attempt_timeout_s)
        url = _parse_once(step.url)
        for hop in range(_MOST_REDIRECTS + 1):
            answer = self._exchange_once(step, url, step.public or hop > 0, resumption)
            location = answer.headers.get("location")
            if step.purpose != "download" or step.method != "GET" or answer.status not in _MOVED or not location:
                return answer
            url = url.join(_parse(location, relative=True))
            step = replace(step, query={})
        raise PayloadError(f"the vendor's link was redirected more than {_MOST_REDIRECTS} times")

    def _exchange_once(self, step: Send, url: httpx.URL, public: bool, resumption: Resumption | None) -> Answer:
        origin = make_origin(url.scheme, url.raw_host.decode("ascii"), url.port)
        with_key, reach = self._rules.admit(origin, bool(url.userinfo), public)
        if with_key and not (origin.is_private_way or self._limits.insecure_http) and _carries_key(step):
            raise NotSentError(
                f"the key would go to {origin.text} unencrypted, where anyone on the way can read it, so nothing was"
                " sent; use an https address, or agree with --insecure-http (Limits: insecure_http)",
                permanent=True,
            )
        request = self._request(step, url, with_key, {} if resumption is None else resumption.headers())
        place, pool = self._take(origin, reach)
        started = self._exchange.left(None)
        response: httpx.Response | None = None
        pieces: list[bytes] = []
        earlier = b""
        try:
            response = pool.handle_request(request)
            headers = {name.lower(): value for name, value in response.headers.items()}
            announced = headers.get("content-length", "")
            length = int(announced) if announced.isascii() and announced.isdigit() else None
            status = response.status_code
            bodiless = request.method == "HEAD" or status in (204, 304)
            if resumption is not None and resumption.begin(status, headers):
                earlier, status = b"".join(resumption.pieces), 200
            body = read_body(
                _chunks(response),
                headers.get("content-encoding", ""),
                None if bodiless else length,
                self._limits.max_answer_bytes - len(earlier),
                pieces,
            )
            if earlier and resumption is not None and resumption.total != len(earlier) + len(body):
                resumption.clear()
                raise ValueError("the rest of a cut download is not as long as announced; begun from zero")
        except PayloadError as error:
            code = None if response is None else str(response.status_code)
            raise PayloadError(str(error), code=code) from None
        except AddressRefusedError as error:
            raise PayloadError(f"the vendor's link was not followed: {error}") from None
        except NameUnknownError as error:
            raise NotSentError(str(error)) from None
        except (httpx.TransportError, httpx.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
            if resumption is not None:
                resumption.keep(pieces)
            raise self._classify(error, origin, place) from None
        finally:
            if response is not None:
                response.close()
            self._give_back(place)
        self._starved = 0
        return Answer(status, headers, earlier + body if earlier else body, started - self._exchange.left(None))

    def _classify(self, error: Exception, origin: Origin, place: _Place) -> NotSentError | MaybeSentError:
        """The error class of a failed exchange: by what has left this machine, not by what went wrong."""
        what = f"{type(error).__name__} with {origin.host}" + (f": {redact(str(error))[:200]}" if str(error) else "")
        if isinstance(error, httpx.PoolTimeout):
            self._starved += 1
            if self._starved >= 2:
                self._retire(place)
            return NotSentError(f"no connection came free ({what})")
        if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)):
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
        if isinstance(error, httpx.ProxyError):
            return NotSentError(f"the proxy refused to connect ({what}); check HTTPS_PROXY and NO_PROXY")
        if not self._exchange.flushed:
            return NotSentError(f"nothing was sent ({what})")
        if isinstance(error, httpx.TimeoutException):
            return MaybeSentError(
                f"no whole answer within {self._limits.attempt_timeout_s:g} s ({what}); the vendor may still finish"
                " and bill it"
            )
        return MaybeSentError(f"the connection broke after sending ({what})")

    def _request(self, step: Send, url: httpx.URL, with_key: bool, further: dict[str, str]) -> httpx.Request:
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
            body["json"] = step.json
        elif step.files:
            body["files"] = [(part.name, (part.filename, part.content, part.content_type)) for part in step.files]
            body["data"] = dict(step.form or {})
        elif step.form is not None:
            body["data"] = dict(step.form)
        elif step.body is not None:
            body["content"] = step.body
        left = self._exchange.left(None)
        timeout = {"connect": min(self._limits.connect_timeout_s, left), "read": left, "write": left, "pool": None}
        try:
            extensions: dict[str, Any] = {"timeout": timeout}
            if step.query:
                # The finished target is handed over as it is: parsing the whole address again costs more than sending.
                joint = b"&" if url.query else b"?"
                extensions["target"] = url.raw_path + joint + urlencode(reveal(step.query)).encode("ascii")
            return httpx.Request(step.method, url, headers=headers, extensions=extensions, **body)
        except (TypeError, ValueError, httpx.InvalidURL) as error:
            # The library's text is left out: it quotes the value, which may be a key.
            reason = f"the request cannot be built as the adapter made it ({type(error).__name__})"
        raise NotSentError(reason, permanent=True)

    def _take(self, origin: Origin, reach: AddressPolicy) -> tuple[_Place, httpx.HTTPTransport]:
        """Connections for one exchange alone: a pool that threads share is searched from end to end at each request."""
        with self._lock:
            free = self._free.get((origin, reach))
            if free:
                place = free.pop()
                return place, self._pools[place]
            if sum(len(places) for places in self._free.values()) >= _MOST_FREE:
                self._retire_free()
            self._made += 1
            place = (origin, reach, self._made)
            pool = self._pools[place] = self._new_pool(origin, reach)
            return place, pool

    def _give_back(self, place: _Place) -> None:
        with self._lock:
            if place in self._pools:
                self._free.setdefault(place[:2], []).append(place)

    def _new_pool(self, origin: Origin, reach: AddressPolicy) -> httpx.HTTPTransport:
        try:
            context = self._trusted() if origin.scheme == "https" else self._no_tls
        except OSError as error:
            raise NotSentError(
                f"the certificates to trust cannot be read ({redact(str(error))}); check SSL_CERT_FILE and"
                " SSL_CERT_DIR",
                permanent=True,
            ) from None
        proxy = _proxy_for(origin)
        try:
            pool = httpx.HTTPTransport(
                verify=context,
                trust_env=False,
                proxy=proxy,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=15.0),
            )
        except (ValueError, ImportError) as error:
            raise NotSentError(f"the proxy setting cannot be used: {redact(str(error))}", permanent=True) from None
        except httpx.InvalidURL:
            # The library's text is left out: it quotes a part of the address, which may be one of the password.
            raise NotSentError(
                "the proxy setting is no address; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, and percent-encode a"
                " password in it",
                permanent=True,
            ) from None
        inner: Any = getattr(pool, "_pool", None)
        backend = getattr(inner, "_network_backend", None)
        if backend is None:
            pool.close()
            raise NotSentError(
                "this version of the HTTP library has no network back-end that can be watched, so deadlines and"
                " addresses could not be guaranteed; install httpx 0.28",
                permanent=True,
            )
        inner._network_backend = CheckedBackend(
            backend, self._exchange, "own" if proxy else reach, encrypted=origin.scheme == "https"
        )
        return pool

    def _trusted(self) -> ssl.SSLContext:
        self._tls = self._tls or httpx.create_ssl_context()
        return self._tls

    def _retire(self, place: _Place) -> None:
        """Use no pool of this kind any more but those that others are on."""
        with self._lock:
            doomed = [place, *self._free.pop(place[:2], [])]
            pools = [pool for each in doomed if (pool := self._pools.pop(each, None)) is not None]
            self._starved = 0
        for pool in pools:
            pool.close()

    def _retire_free(self) -> None:
        """Close what is free for other hosts than the vendor's own: a vendor may keep each result at another one."""
        for (origin, reach), places in list(self._free.items()):
            if origin != self._rules.own:
                for place in places:
                    self._pools.pop(place).close()
                del self._free[origin, reach]


def _proxy_for(origin: Origin) -> str | None:
    """The proxy that the environment names for an origin; never one for this machine itself."""
    if origin.on_loopback:
        return None
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(origin.host):
        return None
    return proxies.get(origin.scheme) or proxies.get("all")
