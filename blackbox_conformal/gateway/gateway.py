"""The gateway as dialects use it: accepts a request, waits for it, finds it, fetches its files."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import math
import re
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from blackbox_conformal.documents.ed25519 import PrivateKey
from blackbox_conformal.documents.x509 import CertifiedKey
from blackbox_conformal.errors import BlackboxConformalError, LedgerError, UsageError, VendorUnavailableError
from blackbox_conformal.gateway.book import Book, KeptUpload, new_id
from blackbox_conformal.gateway.file_store import FileStore
from blackbox_conformal.gateway.http_exchange import HttpRequest
from blackbox_conformal.gateway.logs import LOG
from blackbox_conformal.gateway.offer import Offer
from blackbox_conformal.gateway.request import NotServedError, Order, Request, RequestOutcome
from blackbox_conformal.gateway.runner import Runner, operators_words, status_of, words
from blackbox_conformal.gateway.served_pictures import ENDINGS, MADE, product_of
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.study.mask.products import DIGITAL_SOURCE_TYPE, Product
from blackbox_conformal.study.session.session import Session
from blackbox_conformal.study.stages.memory import evaluated_at_once
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.text import printable

PREFIX = "X-Blackbox-Conformal"
RETRY_AFTER_S = 5
LONGEST_WAIT_S = 600.0
DELETE_EACH_S = 3600.0
_LONGEST_KEY = 255
_ESCAPED = [(mark.format(ord(character)), character) for character in "+/=" for mark in ("%{:02X}", "%{:02x}")]
"""Percent-encodings of base64; decoding each ``%`` of a long link would take seconds."""

KEPT_FREE_BYTES = 256 * 2**20
"""Bytes of disk kept free of clients' files; draws stop only below this (`sampling.reservations`)."""

_DAY_S = 24 * 3600.0

_PORTS = {"http": 80, "https": 443}

_LATER = {"Retry-After": str(RETRY_AFTER_S)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTerms:
    """The terms on which a gateway serves."""

    # Refuse pictures and parameters that the calibration does not cover, instead of answering without a mask.
    strict: bool = False
    # Hosts that webhooks may name: ``name``, ``name:port`` or ``name:*``. Otherwise a client could have the gateway
    # send requests anywhere.
    webhook_hosts: Collection[str] = ()
    # Accepted requests that may wait; further clients are told to come again, and nothing of theirs is kept.
    most_waiting: int = 1000
    most_uploaded: int = 10 * 2**30  # Bytes that one token may upload in 24 hours.
    mark: bool = True  # Answers say that a model made part of the picture, in the vendor's file and in a header.
    kept_days: float | None = None  # Days after which ended requests, uploads and their files are deleted; None: never.


class Gateway:
    """A desk that accepts, finds and answers requests; every method belongs to the loop that serves."""

    def __init__(
        self,
        session: Session,
        book: Book,
        store: FileStore,
        offer: Offer,
        runner: Runner,
        terms: GatewayTerms,
        tokens: Tokens,
        credentials: CertifiedKey | None = None,
    ) -> None:
        self.session, self.book, self.runner, self.offer = session, book, runner, offer
        self._store, self._terms, self._tokens, self._credentials = store, terms, tokens, credentials
        self._decoding = asyncio.Semaphore(evaluated_at_once())

    async def accept(self, http: HttpRequest, dialect: str, order: Order) -> Request:
        """Accept a request durably and begin it; return an earlier one with the same idempotency key."""
        if self.runner.draining:
            raise NotServedError(503, "the gateway is being stopped; ask again", _LATER)
        await self._refuse_while_down(http, dialect, order)
        if self.runner.waiting >= self._terms.most_waiting:
            raise NotServedError(429, f"{self.runner.waiting} requests wait already; ask again", _LATER)
        if "upgrade" in http.preferences and not self.runner.upgrades:
            raise NotServedError(422, "Prefer: upgrade: expected a gateway that was started with --upgrade CALIBRATION")
        again = "pay-again" in http.preferences
        if again and not self._tokens.holder(http.owner).pay_again:
            raise NotServedError(403, "Prefer: pay-again: this token may not; ask the operator for one that may")
        strict = self._terms.strict or http.preferences.get("handling") == "strict"
        self._check(order)
        content = await self._content(http, order.picture)
        other, reason = self.offer.vendor_for(order.options, order.model)
        reason = reason or self.runner.unmasked
        if other is None:
            # Its header alone tells whether the vendor takes a picture.
            try:
                await asyncio.to_thread(self.session.refuse_misfit, (order.name, content))
            except UsageError as error:
                raise NotServedError(422, words(error)) from None
        self._refuse_full(len(content))
        if strict:
            if reason is None:
                try:
                    reason = await asyncio.to_thread(self.session.unlike, (order.name, content))
                except BlackboxConformalError as error:
                    raise NotServedError(status_of(error), words(error)) from None
            if reason is not None:
                raise NotServedError(
                    409, f"{reason}. Strict: nothing was asked of the vendor", {f"{PREFIX}-Reason": _line(reason)}
                )
        digest = await asyncio.to_thread(self._store.keep, content)
        request = Request(
            id=new_id(),
            owner=http.owner,
            dialect=dialect,
            name=printable(order.name),
            model=order.model,
            options=order.options,
            echo=order.echo,
            strict=strict,
            input=digest,
            base=http.base,
            outcome=RequestOutcome(state="accepted"),
            created=time.time(),
            started=None,
            ended=None,
            upgrade=new_id() if "upgrade" in http.preferences else None,
            pay_again=again,
        )
        asked = {"options": dict(order.options), "model": order.model, "input": digest}
        wish = {"digest": digest_json(asked), "key": order.idempotency_key, "webhook": order.webhook}
        try:
            entered = await asyncio.to_thread(self.book.accept, request, **wish, events=order.events)  # type: ignore[arg-type]
        except LedgerError as error:
            raise NotServedError(503, words(error)) from None
        if entered is None:
            raise NotServedError(409, "the idempotency key was used for another request; give each a key of its own")
        if not entered.has_ended:
            self.runner.add(entered.id)
        return entered

    async def _refuse_while_down(self, http: HttpRequest, dialect: str, order: Order) -> None:
        # An earlier request is still found; nothing of a new one is kept.
        left = self.vendor_back_in_s
        if not left:
            return
        key = order.idempotency_key
        if key is None or await asyncio.to_thread(self.book.find_by_key, key, http.owner, dialect) is None:
            error = VendorUnavailableError("", retry_after=left)
            raise NotServedError(status_of(error), words(error), {"Retry-After": str(math.ceil(left))})

    @property
    def vendors_down(self) -> dict[str, bool]:
        """Return whether the vendor, or each vendor of a cascade by name, is known to be down."""
        return {name: outage.goes_on for name, outage in self.session.outages.items()} or {"": False}

    @property
    def vendor_back_in_s(self) -> float:
        """Return the seconds until a vendor that every picture needs is asked again; 0: it is not down."""
        return 0.0 if self.session.outage is None else self.session.outage.seconds_left

    def _check(self, order: Order) -> None:
        key = order.idempotency_key
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise NotServedError(400, f"expected an idempotency key of 1 to {_LONGEST_KEY} characters; got {len(key)}")
        if order.webhook is not None:
            host = host_and_port(order.webhook)
            allowed = {name.lower() for name in self._terms.webhook_hosts}
            if not host or not {host, re.sub(r"(:\d+)?$", ":*", host, count=1)} & allowed:
                raise NotServedError(
                    422,
                    f"the webhook names the host {printable(host) or 'none'}, to which this gateway sends nothing. "
                    f"Have it started with --webhook-host {printable(host) or 'HOST'}, or ask for the result by its id",
                )

    async def _content(self, http: HttpRequest, picture: bytes | str) -> bytes:
        # Only links to this gateway's own files are followed.
        if isinstance(picture, bytes):
            return picture
        if picture.startswith("data:"):
            return _data(picture)
        own = re.fullmatch(re.escape(http.base) + r"(?:/v1)?/files/([a-z2-7]+)(?:/content)?", picture)
        if own is None:
            raise NotServedError(
                422,
                "expected the picture as a file, a data: link, or the link of a file that was uploaded to this gateway;"
                " it follows no other links. Download the picture and send it",
            )
        _, content = await self.uploaded(http, own[1])
        return content

    async def ended(self, request: Request, seconds: float | None = None) -> Request:
        """Wait for the request's end, `seconds` or `LONGEST_WAIT_S` at most; return it as it is then."""
        if not request.has_ended:
            await self.runner.ended(request.id, min(LONGEST_WAIT_S, LONGEST_WAIT_S if seconds is None else seconds))
        found = await asyncio.to_thread(self.book.find, request.id)
        return request if found is None else found

    async def find(self, http: HttpRequest, dialect: str | None, number: str) -> Request:
        """Return a request of the caller, made in this dialect; None: in any.

        `number`: Its id or, in a dialect, its idempotency key.
        """
        found = await asyncio.to_thread(self.book.find, number, http.owner)
        if found is None and dialect is not None:
            found = await asyncio.to_thread(self.book.find_by_key, number, http.owner, dialect)
        if found is None or dialect not in (None, found.dialect):
            raise NotServedError(404, "there is no request of this id")
        return found

    async def cancel(self, http: HttpRequest, dialect: str, number: str) -> Request:
        """Cancel a request that has not ended; draws already sent to the vendor are paid and kept."""
        request = await self.find(http, dialect, number)
        await asyncio.to_thread(self.book.cancel, request.id)
        return await self.find(http, dialect, number)

    async def keep_upload(
        self, http: HttpRequest, content: bytes, name: str, media_type: str, metadata: str = "{}"
    ) -> KeptUpload:
        """Keep a file that requests may name by its link."""
        await self._refuse_uploaded(http.owner, len(content))
        digest = await asyncio.to_thread(self._store.keep, content)
        named = (new_id(), http.owner, printable(name), media_type)
        upload = KeptUpload(*named, digest, len(content), metadata, time.time())
        await asyncio.to_thread(self.book.keep_upload, upload)
        return upload

    async def expect_upload(self, http: HttpRequest, name: str, media_type: str) -> KeptUpload:
        """Announce a file, which anybody who knows its id may send."""
        upload = KeptUpload(new_id(), http.owner, printable(name), printable(media_type), "", 0, "{}", time.time())
        await asyncio.to_thread(self.book.keep_upload, upload)
        return upload

    async def refuse_unexpected(self, number: str) -> str:
        """Return the owner of the announced file with this id; refuse if none was announced."""
        owner = await asyncio.to_thread(self.book.upload_owner, number)
        if owner is None:
            raise NotServedError(404, "no file is expected at this address")
        return owner

    @property
    def disk_is_full(self) -> bool:
        """Whether clients can store nothing more: the rest is for paid answers."""
        return shutil.disk_usage(self.session.run).free < KEPT_FREE_BYTES

    def _refuse_full(self, size: int) -> None:
        if shutil.disk_usage(self.session.run).free < KEPT_FREE_BYTES + size:
            raise NotServedError(507, "the gateway's disk has no room for the file; ask its operator")

    async def _refuse_uploaded(self, owner: str, size: int) -> None:
        self._refuse_full(size)
        most = self._terms.most_uploaded
        held = await asyncio.to_thread(self.book.uploaded_bytes, owner, time.time() - _DAY_S)
        if held + size > most:
            raise NotServedError(
                507, f"expected uploads of at most {most} bytes in 24 hours; they have {held}, and the file {size}"
            )

    async def fill_upload(self, number: str, content: bytes) -> None:
        """Keep the content of an announced file; refuse if none was announced, or its content differs."""
        owner = await self.refuse_unexpected(number)
        await self._refuse_uploaded(owner, len(content))
        digest = await asyncio.to_thread(self._store.keep, content)
        if not await asyncio.to_thread(self.book.fill_upload, number, digest, len(content)):
            raise NotServedError(404, "no file is expected at this address")

    async def uploaded(self, http: HttpRequest, number: str) -> tuple[KeptUpload, bytes]:
        """Return a file that the caller has uploaded, and its content; refuses as `find` does."""
        upload = await asyncio.to_thread(self.book.upload, number, http.owner)
        if upload is None or not upload.digest:
            raise NotServedError(404, "there is no file of this id")
        return upload, await asyncio.to_thread(self._store.read, upload.digest)

    async def file(self, http: HttpRequest, number: str, name: str) -> Product:
        """Return a file of a request by name, for the caller or for anybody who knows the link and shows no token."""
        request = await asyncio.to_thread(self.book.find, number, http.owner or None)
        stem = name.partition(".")[0]
        async with self._decoding if stem in MADE else contextlib.nullcontext():
            asked = None if request is None else (request, stem, self._store, self._credentials)
            product = None if asked is None else await asyncio.to_thread(product_of, *asked)
        if product is None or name not in (stem, f"{stem}.{product.ending}"):
            raise NotServedError(404, "there is no such file of a request")
        return product

    def content(self, request: Request, name: str) -> bytes:
        """Read a kept file of a request from disk."""
        return self._store.read(request.outcome.files[name].digest)

    def links(self, request: Request) -> dict[str, str]:
        """Return the links of a request's files, by their names."""
        files = request.outcome.files
        named = {name: ENDINGS[kept.type] for name, kept in files.items()}
        if "mask" in files:
            named |= {"overlay": "png", "safe": "png"}
        return {name: f"{request.base}/files/{request.id}/{name}.{ending}" for name, ending in named.items()}

    def facts(self, request: Request) -> dict[str, Any]:
        """Return an answer's additions to the service's own fields: facts, and links to the files."""
        upgrade = {} if request.upgrade is None else {"upgrade": f"{request.base}/requests/{request.upgrade}"}
        return {**request.outcome.facts, **self.links(request), **upgrade}

    def as_json(self, request: Request) -> dict[str, Any]:
        """Tell of a request in no service's form: id, state, error, and `facts` under ``blackbox_conformal``."""
        outcome = request.outcome
        facts = {"blackbox_conformal": self.facts(request)}
        return {"id": request.id, "state": outcome.state, "error": outcome.error, **facts}

    def headers(self, request: Request) -> dict[str, str]:
        """Return the facts as headers, for clients that read no body."""
        facts, links = request.outcome.facts, self.links(request)
        headers = {f"{PREFIX}-Request": request.id}
        if request.outcome.status == 503:
            headers["Retry-After"] = str(math.ceil(self.vendor_back_in_s) or RETRY_AFTER_S)
        if "status" in facts:
            headers[f"{PREFIX}-Status"] = str(facts["status"])
            if self._terms.mark:
                headers[f"{PREFIX}-Digital-Source-Type"] = DIGITAL_SOURCE_TYPE
        if facts.get("promise"):
            headers[f"{PREFIX}-Promise"] = _line(facts["promise"])
        if "trusted_share" in facts:
            headers[f"{PREFIX}-Trusted-Share"] = f"{facts['trusted_share']:.6f}"
            headers[f"{PREFIX}-Threshold"] = str(facts["threshold"])
            headers[f"{PREFIX}-Certificate"] = links["certificate"]
            headers[f"{PREFIX}-Mask"] = links["mask"]
        for name in ("psnr", "ssim"):
            if (least := (facts.get("quality") or {}).get(name)) is not None:
                headers[f"{PREFIX}-{name.upper()}-At-Least"] = str(least)
                headers[f"{PREFIX}-Quality-Condition"] = "the input is like those of the calibration"
        if facts.get("differs"):
            headers[f"{PREFIX}-Facts"] = _line(facts["differs"])
        if facts.get("reason"):
            headers[f"{PREFIX}-Reason"] = _line(facts["reason"])
        return headers

    async def delete_what_is_old(self) -> None:
        """Delete old requests, uploads and files again and again; paid answers stay in the run folder."""
        while self._terms.kept_days is not None:
            before = time.time() - self._terms.kept_days * 24 * 3600
            try:
                await asyncio.to_thread(self.book.delete_before, before)
                await asyncio.to_thread(lambda: self._store.forget_all_but(self.book.digests()))
            except (BlackboxConformalError, OSError) as error:
                LOG.error("old requests could not be deleted: %s", operators_words(error))
            await asyncio.sleep(DELETE_EACH_S)

    def signing_key(self, purpose: str) -> PrivateKey:
        """Return a key of this gateway for signatures that anybody can check."""
        return PrivateKey.from_seed(hmac.new(self.book.secret(), f"key:{purpose}".encode(), hashlib.sha256).digest())

    def webhook_secret(self, owner: str) -> bytes:
        """Return the secret that signs messages to an owner's webhooks."""
        return hmac.new(self.book.secret(), owner.encode(), hashlib.sha256).digest()


def _data(link: str) -> bytes:
    # RFC 2397.
    head, _, body = link.partition(",")
    try:
        if head.endswith(";base64"):
            for escaped, character in _ESCAPED:
                body = body.replace(escaped, character)
            return base64.b64decode(body, validate=True)
    except ValueError:
        pass
    raise NotServedError(422, "expected a data: link with base64 content; it cannot be read")


def host_and_port(address: str) -> str:
    """Return the host of a web address, as ``--webhook-host`` names it: without the scheme's own port."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not host or parts.scheme not in _PORTS or parts.username is not None:
        return ""
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"


def _line(text: str) -> str:
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:500]
