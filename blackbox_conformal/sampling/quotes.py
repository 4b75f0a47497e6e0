"""What the vendor itself asks for a draw, where it can be asked: a free request for each size of picture."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal

from blackbox_conformal.adapter import Adapter, Answer, Quote, Send, Upload, Wait
from blackbox_conformal.errors import (
    AdapterError,
    IncompleteError,
    PayloadError,
    TryLaterError,
    UsageError,
    VendorError,
)
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.events import EventBoard
from blackbox_conformal.sampling.http.classify import classify
from blackbox_conformal.sampling.http.transport import Transport
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.sampling.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.sampling.run_control import RunControl
from blackbox_conformal.text import clean, cleaned

PATIENCE_S = 60.0
"""A person waits for a price; who has to wait longer than this had better plan by the price list."""

_EMPTY = Answer(0, {}, b"")


def ask_quotes(
    adapter: Adapter,
    uploads: Iterable[Upload],
    limits: Limits | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    *,
    patience_s: float = PATIENCE_S,
) -> dict[tuple[int, int], Decimal]:
    """(width, height) → US dollars a draw as the vendor quotes it now, for every size among `uploads`.

    Parameters
    ----------
    limits
        As of a run; one exchange takes `patience_s` at most.
    patience_s
        Seconds after which no request for the price of one size is begun and no pause is waited for any more.

    Raises
    ------
    UsageError
        The vendor cannot be asked; or it has no key to be asked with.
    IncompleteError
        The vendor told no price in time; the message has what it said last.
    VendorError
        The vendor could not be reached, or gave no price.
    """
    sizes = {(upload.width, upload.height): upload for upload in uploads}
    if any(adapter.quote(upload) is None for upload in sizes.values()):
        raise UsageError(
            f"adapter {adapter.name} has no way of asking its vendor for a price; leave --quote out to plan by its"
            " price list"
        )
    opened = adapter.open()
    try:
        desk = _Desk(opened, limits or Limits(), patience_s)
        try:
            prices = {}
            for number, (size, upload) in enumerate(sizes.items(), start=1):
                progress("quotes", number, len(sizes))
                prices[size] = desk.ask(upload)
            return prices
        finally:
            desk.close()
    finally:
        opened.close()


class _Desk:
    """Where one vendor is asked: its connections, and the rules by which free requests are repeated."""

    def __init__(self, adapter: Adapter, limits: Limits, patience_s: float) -> None:
        limits = replace(limits, attempt_timeout_s=min(limits.answer_timeout_s, patience_s))
        self._adapter = adapter
        self._patience = patience_s
        self._until = 0.0
        self._last: VendorError | None = None
        self._clock = Clock()
        self._control = RunControl()
        self._breaker = CircuitBreaker(self._clock.monotonic)
        self._transport = Transport(adapter.base_url, adapter.capabilities.result_hosts, limits)
        concurrency = AdaptiveConcurrency(1, 1, self._clock.monotonic)
        board = EventBoard(self._clock, None, None)
        self._retrier = Retrier(limits, self._clock, self._control, self._breaker, concurrency, RetryBudget(1), board)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def ask(self, upload: Upload) -> Decimal:
        """The price of one draw of `upload`."""
        steps: Quote | None = self._adapter.quote(upload)
        if steps is None:
            raise AdapterError(f"adapter {self._adapter.name} had a quote for this picture a moment ago, and has none")
        self._until, self._last = self._clock.monotonic() + self._patience, None
        try:
            step = next(steps)
            while True:
                answer = _EMPTY
                if isinstance(step, Send) and step.purpose == "quote":
                    answer = self._fetch(step)
                elif isinstance(step, Wait):
                    self._pause(step.seconds)
                else:
                    raise AdapterError(
                        f"adapter {self._adapter.name} asks for a price with a step that might be billed or stored;"
                        " expected Wait, or Send with the purpose quote"
                    )
                step = steps.send(answer)
        except StopIteration as end:
            price: object = end.value
        finally:
            steps.close()
        if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
            raise PayloadError(f"expected a price in US dollars from the vendor; got {str(price)[:80]!r}")
        return price

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
        """Wait, unless patience would be over by then."""
        if self._clock.monotonic() + seconds >= self._until:
            said = "" if self._last is None else f" (the last it said: {clean(str(self._last))})"
            raise IncompleteError(
                f"{self._adapter.name} told no price within {self._patience:g} s{said}; ask again later, or leave"
                " --quote out to plan by the price list"
            )
        if seconds > 0:
            self._clock.sleep(seconds, self._control.leaving)
