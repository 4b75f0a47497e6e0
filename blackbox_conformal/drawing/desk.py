"""Where one vendor is asked free questions: its connections, and the rules by which they are repeated."""

from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

from blackbox_conformal.drawing.clock import Clock
from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.http.classify import classify
from blackbox_conformal.drawing.http.transport import Transport
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.drawing.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.drawing.run_control import RunControl
from blackbox_conformal.errors import AdapterError, IncompleteError, TryLaterError, VendorError
from blackbox_conformal.support.text import clean, cleaned
from blackbox_conformal.vendor.adapter import EMPTY_ANSWER, Adapter, Answer, Purpose, Send, Step, Wait

PATIENCE_S = 60.0
"""A person waits for an answer; who has to wait longer than this had better go on without it."""

Told = TypeVar("Told")


class Desk:
    """Asks one vendor, whose adapter is open.

    Parameters
    ----------
    patience_s
        Seconds after which no request of one question is begun and no pause is waited for any more; one exchange takes
        as long at most.
    """

    def __init__(self, adapter: Adapter, limits: Limits, patience_s: float) -> None:
        # One exchange must not take longer than the person waits in all.
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

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def ask(self, steps: Generator[Step, Answer, Told], purpose: Purpose, late: tuple[str, str]) -> Told:
        """What `steps`, whose every request has this purpose, come to.

        Parameters
        ----------
        late
            What the vendor did not tell where patience ends, and what to do then.
        """
        # Patience is for the whole question, however many requests it takes.
        self._until, self._last, self._late = self._clock.monotonic() + self._patience, None, late
        try:
            step = next(steps)
            while True:
                # Only requests of the announced purpose: a free question must never become a paid one.
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
                    # A failed probe that says nothing of the vendor's load must not keep the breaker half open.
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
            what, advice = self._late
            raise IncompleteError(f"{self._adapter.name} told {what} within {self._patience:g} s{said}; {advice}")
        if seconds > 0:
            self._clock.sleep(seconds, self._control.leaving)
