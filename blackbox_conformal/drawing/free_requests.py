"""Asks a vendor free questions outside of draws, about its prices and its published facts."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.http.classify import classify
from blackbox_conformal.drawing.http.transport import Transport
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.drawing.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.drawing.run_control import Clock, RunControl
from blackbox_conformal.errors import (
    AdapterError,
    IncompleteError,
    NotFoundError,
    PayloadError,
    TryLaterError,
    UsageError,
    VendorError,
)
from blackbox_conformal.support.text import clean, cleaned
from blackbox_conformal.vendor.adapter import EMPTY_ANSWER, Adapter, Answer, Purpose, Send, Step, Upload, Wait

PATIENCE_S = 60.0  # Seconds that a person waits for an answer; after that it is better to go on without one.
Told = TypeVar("Told")


class FreeRequests:
    """Free requests to one vendor, whose adapter is open; each question takes at most `patience_s` seconds."""

    def __init__(self, adapter: Adapter, limits: Limits, patience_s: float) -> None:
        limits = replace(limits, attempt_timeout_s=min(limits.answer_timeout_s, patience_s))
        self._adapter = adapter
        self._patience = patience_s
        self._until = 0.0
        self._last: VendorError | None = None
        self._late = ("", "")
        self._clock = Clock()
        self._control = RunControl()
        self._breaker = CircuitBreaker(self._clock.monotonic)
        self._transport = Transport(adapter.base_url, adapter.capabilities.result_hosts, limits, adapter.further_urls)
        concurrency = AdaptiveConcurrency(1, 1, self._clock.monotonic)
        board = EventBoard(self._clock, None, None)
        self._retrier = Retrier(limits, self._clock, self._control, self._breaker, concurrency, RetryBudget(1), board)

    def __enter__(self) -> "FreeRequests":
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def ask(self, steps: Generator[Step, Answer, Told], purpose: Purpose, late: tuple[str, str]) -> Told:
        """Carry out `steps`, whose requests must all have this purpose; return their result.

        `late`: What the vendor did not tell in time, and what to do then.
        """
        self._until, self._last, self._late = self._clock.monotonic() + self._patience, None, late
        try:
            step = next(steps)
            while True:
                # A free question must never become a paid one.
                if isinstance(step, Send) and step.purpose == purpose:
                    try:
                        answer = self._fetch(step)
                    except VendorError as error:
                        step = steps.throw(error)
                        continue
                elif isinstance(step, Wait):
                    self._pause(step.seconds)
                    answer = EMPTY_ANSWER
                else:
                    raise AdapterError(
                        f"adapter {self._adapter.name} asks a free question with a step that might be billed or stored;"
                        f" expected Wait, or Send with the purpose {purpose}"
                    )
                step = steps.send(answer)
        except StopIteration as end:
            told: Told = end.value
            return told
        finally:
            steps.close()

    def _fetch(self, step: Send) -> Answer:
        def once() -> Answer:
            self._pause(0.0)
            while (seconds := self._breaker.delay(0)) > 0:
                self._pause(seconds)
            try:
                answer = self._transport.send(step)
                error = classify(self._adapter, step, answer, self._clock.wall())
                if error is not None:
                    raise error
            except VendorError as caught:
                self._last = caught
                if not isinstance(caught, TryLaterError):
                    # A failed probe that says nothing about the vendor's load must not keep the breaker half open.
                    self._breaker.abandon_probe()
                raise
            self._breaker.record_success()
            return answer

        try:
            return self._retrier.fetch(once, lambda: None)
        except VendorError as error:
            failure = error
        raise cleaned(failure)

    def _pause(self, seconds: float) -> None:
        if self._clock.monotonic() + seconds >= self._until:
            said = "" if self._last is None else f" (the last it said: {clean(str(self._last))})"
            what, advice = self._late
            raise IncompleteError(f"{self._adapter.name} told {what} within {self._patience:g} s{said}; {advice}")
        if seconds > 0:
            self._clock.sleep(seconds, self._control.leaving)


_NOTHING_TOLD = "nothing of itself", "the same command asks again later"


def inspect_vendor(adapter: Adapter, limits: Limits) -> str | None:
    """Let an open adapter read what its vendor publishes; return that in words, or None."""
    refuse_retired(adapter)
    steps = adapter.inspect()
    if steps is None:
        return None
    with FreeRequests(adapter, limits, PATIENCE_S) as vendor:
        told = vendor.ask(steps, "lookup", _NOTHING_TOLD)
    return None if told is None else clean(told)


def refuse_retired(adapter: Adapter) -> None:
    """Refuse an adapter whose service the vendor has retired."""
    retired = adapter.capabilities.retired
    if retired:
        model = "another model with -p model=…, or " if "model" in type(adapter).model_fields else ""
        raise NotFoundError(
            f"adapter {adapter.name} asks for a service that its vendor has retired ({retired}), so nothing is sent;"
            f" choose {model}another adapter: blackbox-conformal list adapters"
        )


_NO_PRICE = "no price", "ask again later, or leave --quote out to plan by the price list"


def ask_quotes(
    adapter: Adapter,
    uploads: Iterable[Upload],
    limits: Limits | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    *,
    patience_s: float = PATIENCE_S,
) -> dict[tuple[int, int], Decimal]:
    """Return (width, height) → US dollars a draw as the vendor quotes it now, for every size of upload.

    `limits`: As for a run; one exchange takes `patience_s` at most.
    `patience_s`: Seconds after which no request for one size begins and no pause is waited for.
    """
    # One picture of each size, since prices depend on size.
    sizes = {(upload.width, upload.height): upload for upload in uploads}
    if any(adapter.quote(upload) is None for upload in sizes.values()):
        raise UsageError(
            f"adapter {adapter.name} has no way of asking its vendor for a price; leave --quote out to plan by its"
            " price list"
        )
    opened = adapter.open()
    try:
        with FreeRequests(opened, limits or Limits(), patience_s) as vendor:
            prices = {}
            for number, (size, upload) in enumerate(sizes.items(), start=1):
                progress("quotes", number, len(sizes))
                prices[size] = _price(opened, vendor, upload)
            return prices
    finally:
        opened.close()


def _price(adapter: Adapter, vendor: FreeRequests, upload: Upload) -> Decimal:
    steps = adapter.quote(upload)
    if steps is None:
        raise AdapterError(f"adapter {adapter.name} had a quote for this picture a moment ago, and has none")
    price: object = vendor.ask(steps, "quote", _NO_PRICE)
    # A plan cannot use a price that is no amount.
    if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
        raise PayloadError(f"expected a price in US dollars from the vendor; got {str(price)[:80]!r}")
    return price
