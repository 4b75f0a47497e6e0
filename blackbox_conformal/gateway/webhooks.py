"""Delivers messages to webhooks until they are taken: what is due stands in the book, so a restart loses none."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from blackbox_conformal.gateway.book import Notice
from blackbox_conformal.gateway.dialects.dialect import Dialect
from blackbox_conformal.gateway.gateway import Gateway, host_and_port
from blackbox_conformal.gateway.logs import LOG
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import printable
from blackbox_conformal.watching.notices import UndeliveredError, post

AT_ONCE = 8
"""Messages that are sent at the same time."""

AT_ONCE_A_HOST = 2
"""Messages that are sent to one host at the same time, so that a slow one leaves room for others."""

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3600.0
MOST_TRIES = 40
"""With pauses that double up to an hour, more than a day."""

_LOOK_S = 0.5


class Webhooks:
    """Sends what is due, a few messages at a time, in threads of its own: a slow receiver holds up no other."""

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
        """Begin to send those that there is room for; messages of one request go one after the other."""
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
        """What went wrong; None where the message was taken."""
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
