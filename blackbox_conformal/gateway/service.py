"""A gateway from its settings: opens the session and the book, begins requests left over, and closes in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.money import Totals
from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway.application import application
from blackbox_conformal.gateway.book import Book, SqliteBook
from blackbox_conformal.gateway.dialects.dialect import Dialect
from blackbox_conformal.gateway.file_store import FileStore, SharedFileStore
from blackbox_conformal.gateway.gateway import Gateway, GatewayTerms
from blackbox_conformal.gateway.guard import Application, Guard
from blackbox_conformal.gateway.offer import Offer
from blackbox_conformal.gateway.operations import Operations
from blackbox_conformal.gateway.runner import Runner
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.session.session import Session
from blackbox_conformal.study.settings_table import MaskSettings
from blackbox_conformal.support import catalog
from blackbox_conformal.support.local_servers import is_loopback_name
from blackbox_conformal.vendor.adapter import Adapter

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey
    from blackbox_conformal.documents.x509 import CertifiedKey
import time
from collections.abc import Sequence
from functools import partial

from blackbox_conformal.drawing.http.posting import UndeliveredError, post
from blackbox_conformal.gateway.book import Notice
from blackbox_conformal.gateway.gateway import host_and_port
from blackbox_conformal.gateway.logs import LOG
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import printable

# Delivers messages to webhooks until they are taken. The book keeps due messages, so a restart loses none.

AT_ONCE = 8  # Messages sent at the same time.
AT_ONCE_A_HOST = 2  # Messages sent to one host at the same time, so that a slow one leaves room.
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3600.0
MOST_TRIES = 40  # More than a day, with pauses that double up to an hour.
_LOOK_S = 0.5


class Webhooks:
    """A sender of due messages, a few at a time, in threads: a slow receiver holds up no other."""

    def __init__(self, gateway: Gateway, dialects: Mapping[str, Dialect]) -> None:
        self._gateway, self._dialects = gateway, dialects
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._under_way: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def deliver_for_ever(self) -> None:
        """Deliver until the task is cancelled."""
        try:
            while True:
                try:
                    self._begin(await asyncio.to_thread(self._gateway.book.due, time.time()))
                except Exception:  # noqa: BLE001 - what fails now may work at the next look
                    LOG.exception("webhooks could not be looked at")
                await asyncio.sleep(_LOOK_S)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, due: Sequence[Notice]) -> None:
        # Messages of one request go one after the other.
        for notice in due:
            hosts, host = list(self._under_way.values()), host_and_port(notice.address)
            busy = len(hosts) >= AT_ONCE or hosts.count(host) >= AT_ONCE_A_HOST
            if not busy and notice.request not in self._under_way:
                self._under_way[notice.request] = host
                task = asyncio.create_task(self._deliver(notice))
                self._tasks.add(task)
                task.add_done_callback(partial(self._ended, notice.request))

    def _ended(self, request: str, task: "asyncio.Task[None]") -> None:
        del self._under_way[request]
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a webhook could not be noted", extra={"error": type(task.exception()).__name__})

    async def _deliver(self, notice: Notice) -> None:
        error = await asyncio.get_running_loop().run_in_executor(self._threads, self._tried, notice)
        tries = notice.tries + 1
        again = None
        if error is not None and tries < MOST_TRIES:
            again = time.time() + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(tries - 1, 20))
        await asyncio.to_thread(self._gateway.book.note_notice, notice.id, error=error, again=again)

    def _tried(self, notice: Notice) -> str | None:
        try:
            request = self._gateway.book.find(notice.request)
            dialect = None if request is None else self._dialects.get(request.dialect)
            if request is None or dialect is None:
                return "the gateway does not speak the dialect of the request any more"
            body, headers = dialect.message(self._gateway, request, notice.event, f"msg_{notice.id}")
            post(notice.address, body, {"Content-Type": "application/json", **headers})
        except UndeliveredError as error:
            return printable(redact(str(error)), 300)
        except Exception as error:  # noqa: BLE001 - whatever a foreign dialect or address does, the others are told
            return type(error).__name__
        return None


LARGEST_BODY = 64 * 1024 * 1024
_THREADS = 32
FOLDER = "served"  # Folder below the run folder with the book, the files of requests and the tokens.


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The settings of a gateway: what it serves, where and to whom."""

    calibration: Path  # Path of the calibration; its watch lies beside it.
    vendor: Adapter
    alpha: float
    dialects: tuple[str, ...]  # Names of dialects to speak.
    run: Path
    # File of the tokens; whether other machines are served without any.
    tokens: Path
    no_tokens: bool = False
    # Further keywords of `Session`: ``max_cost``, ``max_cost_per_day``, ….
    settings: Mapping[str, Any] = field(default_factory=dict)
    terms: GatewayTerms = field(default_factory=GatewayTerms)
    allowed: tuple[str, ...] = ()  # Vendor parameters that a request may change, without getting a mask.
    # Address to listen on, and its further names.
    host: str = "127.0.0.1"
    host_names: tuple[str, ...] = ()
    public_url: str | None = None  # Beginning of links behind a proxy; None: as the client addressed the gateway.
    largest_body: int = LARGEST_BODY  # Bytes of a request's body.
    sign_with: "SigningKey | None" = None  # Signs every certificate.
    credentials: "CertifiedKey | None" = None  # Signs Content Credentials in the pictures made here.
    # A calibration of more draws of the same vendor, for pictures that ask to be masked again.
    upgrade: Path | None = None
    on_masked: Callable[[Result], None] | None = None  # Gets each picture that the guarantee covers, in a thread.
    # Stands before the gateway and its guard, such as pages for people.
    around: Callable[[Application], Application] = lambda inner: inner

    @property
    def addressed(self) -> tuple[str, ...]:
        """Return every name of the gateway, beside loopback's."""
        return (*self.host_names, self.host, urlsplit(self.public_url or "").hostname or self.host)

    def served(self) -> str:
        """Say who is served."""
        names = Tokens(self.tokens).names()
        # A proxy that others reach comes from this machine, too.
        reached = [*self.host_names, *filter(None, [self.public_url])]
        reached += [] if is_loopback_name(self.host) else [self.host]
        if self.no_tokens and names:
            raise UsageError(f"--no-tokens: there are tokens in {self.tokens}; leave it out, or give another --tokens")
        if reached and not names and not self.no_tokens:
            raise UsageError(
                f"expected tokens to be served as {reached[-1]}, which other machines reach. Make one first: "
                f"blackbox-conformal serve token new NAME --tokens {self.tokens}; or serve everybody: --no-tokens"
            )
        if names:
            return f"who has a token: {', '.join(names)}"
        return "everybody who reaches it, without a token" if reached else "programs on this machine, without a token"

    @contextlib.contextmanager
    def opened(self, on_start: Callable[[Gateway], None] = lambda _: None) -> Iterator[tuple[Application, int]]:
        """Open the gateway for the ``with`` block; yield its ASGI application, and how many draws it makes at once.

        `on_start` gets the gateway once a server runs it.
        """
        tokens, loopback = Tokens(self.tokens), is_loopback_name(self.host)
        self.served()
        dialects = {name: catalog.load("gateway.dialects", name) for name in self.dialects}
        calibration = Calibration.load(self.calibration)
        offer = Offer(self.vendor, calibration, self.allowed)
        before = dict[str, Totals]()

        def check_payer(owner: str, nanousd: int) -> None:
            tokens.require_room(owner, nanousd + before.get(owner, Totals()).spent)

        given: dict[str, Any] = {**self.settings, "run": self.run, "service": True, "check_payer": check_payer}
        with Session(self.calibration, self.vendor, self.alpha, **given) as session, contextlib.ExitStack() as kept:
            book, store = _kept(session)
            before |= book.spent_before()
            kept.callback(book.close)
            kept.callback(store.close)
            upgrade = None
            if self.upgrade is not None:
                names = ("guarantee", "group", "outside", "trust")
                again = {name: value for name in names if (value := self.settings.get(name)) is not None}
                upgrade = session.also(self.upgrade, self.alpha, **cast(MaskSettings, again))

            @contextlib.asynccontextmanager
            async def open_gateway() -> AsyncIterator[Gateway]:
                handed = (self.sign_with, upgrade, self.on_masked, self.credentials)
                runner = Runner(session, book, store, offer, *handed, mark=self.terms.mark)
                gateway = Gateway(session, book, store, offer, runner, self.terms, tokens, self.credentials)
                async with _running(gateway, dialects):
                    on_start(gateway)
                    yield gateway

            named = {"limit_usd": "max_cost", "limit_per_day_usd": "max_cost_per_day"}
            limits = {name: self.settings.get(keyword) for name, keyword in named.items()}
            operations = Operations(
                dialects, {name: Decimal(str(value)) for name, value in limits.items() if value is not None}
            )
            inner = application(open_gateway, dialects, operations, self.largest_body, self.public_url)
            yield self.around(Guard(inner, tokens, self.addressed, loopback=loopback)), session.at_once


def _kept(session: Session) -> tuple[Book, FileStore]:
    # Beside the ledger and the answers of the session.
    folder, ledger = session.run / FOLDER, session.ledger
    address = LEDGERS.of(session.run)
    if address is None:
        return SqliteBook(folder), FileStore(folder / "files", session.samples)
    from blackbox_conformal.drawing.ledger.postgres.postgres_ledger import PostgresLedger
    from blackbox_conformal.drawing.ledger.postgres.shared_store import PostgresAnswers
    from blackbox_conformal.gateway.postgres_book import PostgresBook

    assert isinstance(ledger, PostgresLedger)
    return PostgresBook(address, ledger.me), SharedFileStore(
        folder / "files", session.samples, PostgresAnswers(address)
    )


@contextlib.asynccontextmanager
async def _running(gateway: Gateway, dialects: Mapping[str, Dialect]) -> AsyncIterator[None]:
    # Beside requests: an earlier process's leftovers, and webhooks.
    # Reading and drawing files for clients must not hold up writing to the book.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="gateway"))
    gateway.runner.resume()
    beside = [
        asyncio.create_task(gateway.runner.look_after_others()),
        asyncio.create_task(gateway.delete_what_is_old()),
        asyncio.create_task(Webhooks(gateway, dialects).deliver_for_ever()),
    ]
    try:
        yield
    finally:
        await gateway.runner.drain()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
