"""Works through accepted requests: draws, masks, keeps files, and wakes the requests that wait.

Runs in one asyncio loop; slow work runs in threads.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.drawing.ledger.money import Payer, to_usd
from blackbox_conformal.errors import (
    BlackboxConformalError,
    BudgetError,
    CalibrationError,
    CheckFailedError,
    FileFormatError,
    ImageError,
    LedgerError,
    RefusedError,
    RunRefusedError,
    UnusableDrawsError,
    VendorUnavailableError,
)
from blackbox_conformal.gateway.book import Book
from blackbox_conformal.gateway.file_store import FileStore
from blackbox_conformal.gateway.logs import LOG, span
from blackbox_conformal.gateway.offer import Offer
from blackbox_conformal.gateway.request import NotServedError, Request, RequestOutcome
from blackbox_conformal.gateway.served_pictures import keep_masked, keep_unmasked
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.session.session import PictureMasker, Session
from blackbox_conformal.study.stages.first_answers import LOOKED_AT, SHARING
from blackbox_conformal.study.stages.prepare import MisfitError
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey
    from blackbox_conformal.documents.x509 import CertifiedKey

# Turns an error of the engine into a state, an HTTP status, and words without secrets for a client.

NOT_COVERED = (CheckFailedError, CalibrationError, FileFormatError)
"""The calibration does not cover the picture, not any more, or its watch cannot be believed."""

AGAIN = "Prefer: pay-again"

_LONGEST = 600
_OPERATORS = re.compile(r"--\w|`|\bin Python\b|-p [\w-]+=|\bcommand\b|\brun again\b|\brun folder\b", re.ASCII)
"""Advice that only the gateway's operator can follow."""

_ADVICE: tuple[tuple[type[BlackboxConformalError], str], ...] = (
    (BudgetError, "ask the operator of this gateway for more"),
    (RunRefusedError, "the operator of this gateway has to look at it"),
    (UnusableDrawsError, f"the header {AGAIN} has the vendor asked once more, which may be billed again"),
)


def words(error: BaseException) -> str:
    """Say an error in one line for a client, without advice that only the operator can follow."""
    if not isinstance(error, BlackboxConformalError):
        # A bug's words may be anything.
        return f"the gateway failed ({type(error).__name__}); its log says more"
    if isinstance(error, VendorUnavailableError):
        when = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
        return f"the vendor gives no usable answers now; ask again {when}"
    # Split where a sentence or clause ends, so that the rest reads as a sentence.
    clauses = re.split(r"(?<=[.;]) ", printable(redact(str(error)), _LONGEST))
    said = " ".join(clause for clause in clauses if not _OPERATORS.search(clause)).rstrip(".;")
    advice = [advice for kind, advice in _ADVICE if isinstance(error, kind)]
    return "; ".join([said or "the gateway cannot serve this now, and its log says why", *advice])


def operators_words(error: BaseException) -> str:
    """Say an error in one line for the log."""
    said = error.why if isinstance(error, VendorUnavailableError) else str(error)
    return printable(redact(said), _LONGEST) or type(error).__name__


def outcome_of(error: BaseException) -> RequestOutcome:
    """Return the outcome of a request that this error ended."""
    return RequestOutcome(
        state="refused" if status_of(error) in (409, 422) else "failed", status=status_of(error), error=words(error)
    )


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error.

    422 the picture, 409 the calibration, 402 the budget, 503 a vendor that is down, 502 one that failed, 500 a bug.
    """
    if isinstance(error, NOT_COVERED):
        return 409
    if isinstance(error, BudgetError):
        return 402
    if isinstance(error, VendorUnavailableError):
        return 503
    if isinstance(error, RunRefusedError):
        # The vendor refuses the gateway's key or address, which is not the client's fault.
        return 502
    if isinstance(error, ImageError | MisfitError | RefusedError):
        return 422
    return 502 if isinstance(error, BlackboxConformalError) else 500


LOOK_S = 5.0  # Seconds between looks for requests that other gateways left.
LOOK_AGAIN_S = 0.25  # Seconds between looks at a request that another gateway works on.


class Runner:
    """A worker that feeds a session with the requests of a book, the oldest first.

    `sign_with`: Signs every certificate; None: not signed.
    `credentials`: Signs Content Credentials in the pictures made here; None: they have none.
    `upgrade`: The calibration of more draws, for pictures that ask to be masked again.
    `mark`: Whether the vendor's file gets the mark that a model made part of it.
    `on_masked`: Gets each picture that the guarantee covers, in a thread; its errors are logged.
    """

    def __init__(
        self,
        session: Session,
        book: Book,
        store: FileStore,
        offer: Offer,
        sign_with: "SigningKey | None" = None,
        upgrade: PictureMasker | None = None,
        on_masked: Callable[[Result], None] | None = None,
        credentials: "CertifiedKey | None" = None,
        *,
        mark: bool = True,
    ) -> None:
        self._looked_at: dict[str, str | None] = {}
        self.unmasked: str | None = None
        """Why no answer is masked any more, by the first ones; None: they are."""
        self._session, self._book, self._store, self._offer = session, book, store, offer
        self._were_down = set[str]()
        self._sign_with, self._credentials = sign_with, credentials
        self._upgrade, self._on_masked, self._mark = upgrade, on_masked, mark
        self._room = asyncio.Semaphore(session.at_once)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: set[str] = set()
        self.draining = False
        self.lost: LedgerError | None = None
        """Why this gateway can draw nothing more, so that others have to finish its accepted requests."""

    def resume(self) -> None:
        """Begin the requests that dead processes left."""
        for number in self._book.take(self._session.at_once):
            self.add(number)

    async def look_after_others(self) -> None:
        """Take over requests that other gateways of the book leave, while this one can draw."""
        while self._book.shared and self.lost is None:
            await asyncio.sleep(LOOK_S)
            try:
                await asyncio.to_thread(self._session.ledger.require_lease)
                if not self.draining and self.waiting < self._session.at_once:
                    for number in await asyncio.to_thread(self._book.take, self._session.at_once):
                        self.add(number)
            except LedgerError as error:
                self.lost = error

    def add(self, number: str) -> None:
        """Work on an accepted request as soon as there is room."""
        if number not in self._tasks:
            task = self._tasks[number] = asyncio.create_task(self._work(number), name=f"request-{number[:8]}")
            task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def ended(self, number: str, seconds: float) -> None:
        """Return once a request has ended, or after so many seconds."""
        until = time.monotonic() + seconds
        task = self._tasks.get(number)
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)
        # If another gateway works on it, only the book knows.
        while self._book.shared and not self.draining:
            found = await asyncio.to_thread(self._book.find, number)
            left = until - time.monotonic()
            if found is None or found.has_ended or left <= 0:
                return
            await asyncio.sleep(min(LOOK_AGAIN_S, left))

    async def drain(self) -> None:
        """Begin nothing new, and return once running requests have ended; the rest stays accepted."""
        self.draining = True
        for number, task in list(self._tasks.items()):
            if number not in self._running:
                task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    @property
    def upgrades(self) -> bool:
        """Whether there is a calibration of more draws."""
        return self._upgrade is not None

    @property
    def waiting(self) -> int:
        """Return how many requests are accepted and not begun."""
        return len(self._tasks) - len(self._running)

    @property
    def running(self) -> int:
        """Return how many requests are worked on."""
        return len(self._running)

    async def _work(self, number: str) -> None:
        async with self._room:
            if self.draining:
                return
            self._running.add(number)
            try:
                request = await asyncio.to_thread(self._book.begin, number)
                if request is None:
                    return
                with span("mask", "internal") as tell:
                    outcome = await self._outcome(request)
                    share = outcome.facts.get("trusted_share")
                    tell(dialect=request.dialect, state=outcome.state, trusted_share=share)
                bought = await asyncio.to_thread(self._session.ledger.totals_of_request, number)
                await asyncio.to_thread(self._book.end, number, outcome, bought.calls)
                if request.upgrade is not None:
                    self.add(request.upgrade)
            except BlackboxConformalError as error:
                # The book cannot be written: the request stays unfinished, and is begun again at the next start.
                LOG.error("a request could not be recorded: %s", operators_words(error))
            finally:
                self._running.discard(number)

    async def _outcome(self, request: Request) -> RequestOutcome:
        payer = Payer(request.owner, request.id, request.pay_again)
        try:
            return await self._answer(request, payer)
        except NotServedError as refusal:
            return RequestOutcome(state="refused", status=refusal.status, error=refusal.message)
        except Exception as error:  # noqa: BLE001 - a bug ends this request, not the gateway
            if isinstance(error, LedgerError):
                # A gateway that can draw nothing more leaves the request to others.
                await asyncio.to_thread(self._session.ledger.require_lease)
            bought = await asyncio.to_thread(self._session.ledger.totals_of_request, request.id)
            self._log(request, error, bought.spent)
            return outcome_of(error)
        finally:
            self._log_outage()

    def _log(self, request: Request, error: Exception, cost_nanousd: int) -> None:
        # Refusals while the vendor is down are logged only once.
        if isinstance(error, VendorUnavailableError) and not cost_nanousd:
            return
        said, cost = operators_words(error), to_usd(cost_nanousd)
        told = {"request": request.id, "owner": request.owner, "cost_usd": str(cost), "error": said}
        trace = None if isinstance(error, BlackboxConformalError) else error
        LOG.warning("request %s has no picture, at %s USD: %s", request.id, cost, said, extra=told, exc_info=trace)

    def _log_outage(self) -> None:
        outages = self._session.outages
        for place, (name, outage) in enumerate(outages.items()):
            if outage.goes_on == (name in self._were_down):
                continue
            self._were_down ^= {name}
            which = f"the vendor {name}".strip()
            # Pictures that end before a later vendor of a cascade are answered as ever.
            what = "pictures that go on get the answer before or 503" if place else "requests are answered with 503"
            if outage.goes_on:
                told = (
                    "%s gives no usable answers: %s, and one is let through in %.0f s to see whether it is well again"
                )
                LOG.error(told, which, what, outage.seconds_left)
            else:
                LOG.warning("%s gives usable answers again", which)

    async def _answer(self, request: Request, payer: Payer) -> RequestOutcome:
        picture = (request.name, await asyncio.to_thread(self._store.read, request.input))
        if request.upgrades is not None:
            return await self._upgraded(request, picture, payer)
        vendor, reason = self._offer.vendor_for(request.options, request.model)
        reason = reason or self.unmasked
        if reason is None:
            try:
                result = await self._session.amask(picture, payer=payer)
            except NOT_COVERED as error:
                if request.strict:
                    raise
                reason = words(error)
            else:
                self._look(result.certificate)
                if result.certificate.status != "outside-calibration" and self.unmasked is None:
                    keeping = self._kept(result)
                    outcome, _ = await asyncio.gather(keeping, asyncio.to_thread(self._hand_over, result))
                    return outcome
                reason = self.unmasked or result.certificate.reason or "the input is outside the calibration"
                if request.strict:
                    raise NotServedError(409, reason)
                content = result.vendor
                if result.opacity is not None:
                    content = image_png(result.image, opacity=result.opacity)
                if content is not None:
                    told = result.certificate
                    found = (content, told.vendor_model, reason, self._store, told.answer_check)
                    return await asyncio.to_thread(keep_unmasked, *found, mark=self._mark)
        drawn = await self._session.adraw(picture, vendor, payer)
        of_vendor = (drawn.vendor, drawn.model, reason, self._store)
        return await asyncio.to_thread(keep_unmasked, *of_vendor, mark=self._mark)

    async def _kept(self, result: Result) -> RequestOutcome:
        keys = (self._sign_with, self._credentials)
        return await asyncio.to_thread(keep_masked, result, self._store, *keys, mark=self._mark)

    def _look(self, certificate: Certificate) -> None:
        """Mask nothing more where several of the first answers, to inputs like the calibration's, are unlike its."""
        if certificate.answer_check is None or len(self._looked_at) >= LOOKED_AT:
            return
        why = certificate.reason if certificate.changed else None
        self._looked_at.setdefault(str(certificate.input.get("pixels")), why)
        changed = [why for why in self._looked_at.values() if why is not None]
        if len(changed) >= SHARING and self.unmasked is None:
            self.unmasked = (
                f"{len(changed)} of the first {len(self._looked_at)} answers since the start are unlike the "
                f"calibration's, so none is masked any more: {changed[-1]}"
            )
            LOG.error("answers have no mask until the next start: %s", operators_words(CheckFailedError(self.unmasked)))

    def _hand_over(self, result: Result) -> None:
        try:
            if self._on_masked is not None:
                self._on_masked(result)
        except (BlackboxConformalError, OSError) as error:
            # The picture is paid for, so its request is answered all the same.
            LOG.error("a picture could not be kept for the viewer: %s", operators_words(error))

    async def _upgraded(self, request: Request, picture: tuple[str, bytes], payer: Payer) -> RequestOutcome:
        first = await asyncio.to_thread(self._book.find, request.upgrades or "")
        if first is None or "mask" not in first.outcome.files:
            raise NotServedError(409, "the picture was answered without a mask, so that nothing more was drawn of it")
        if self._upgrade is None:
            raise NotServedError(409, "the gateway was started without --upgrade")
        if self.unmasked is not None:
            raise NotServedError(409, self.unmasked)
        result = await self._session.amask(picture, self._upgrade, payer)
        if result.certificate.status == "outside-calibration":
            raise NotServedError(409, result.certificate.reason or "the input is outside the calibration")
        return await self._kept(result)
