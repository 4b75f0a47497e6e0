"""Give results of many pictures as they come, and list the pictures without one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import BlackboxConformalError, IncompleteError, UsageError
from blackbox_conformal.study.listeners import Progress, shown_progress
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.support.text import name_of

Found = Result | BlackboxConformalError
"""A picture's result, or the error that concerns it alone."""

_NO_MORE = object()


def closed_before() -> IncompleteError:
    """Describe a picture that still waited when its session was closed."""
    return IncompleteError("the session was closed before this picture was begun; nothing was sent for it")


class MaskedStream:
    """Results in order of completion, for ``for`` and ``async for``, once.

    After an error that concerns every picture, such as a spent budget, no further one begins. The error is raised
    after the results under way.

    Attributes
    ----------
    failures
        Name of each picture so far without a result, and its error.
    """

    failures: list[tuple[str, BlackboxConformalError]]

    def __init__(
        self,
        pictures: Iterable[Any],
        submit: Callable[[Any], "Future[Found]"],
        ahead: int,
        progress: bool | Progress | None = False,
    ) -> None:
        if ahead < 1:
            raise UsageError(f"expected ahead to be at least 1 picture; got {ahead}")
        self.failures = []
        self._pictures = enumerate(pictures)
        self._submit = submit
        self._ahead = ahead
        self._progress = progress
        self._begun, self._total = 0, len(pictures) if isinstance(pictures, Sized) else 0
        self._under_way: dict[Future[Found], str] = {}
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[Result]:
        with self._going() as step:
            while self._fill(step):
                wait(self._under_way, return_when=FIRST_COMPLETED)
                yield from self._take()

    async def __aiter__(self) -> AsyncIterator[Result]:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        told: set[Future[Found]] = set()

        def tell(_: "Future[Found]") -> None:
            with suppress(RuntimeError):  # The loop is closed, and no task waits any more.
                loop.call_soon_threadsafe(arrived.set)

        with self._going() as step:
            while self._fill(step):
                for future in self._under_way.keys() - told:
                    future.add_done_callback(tell)
                told = set(self._under_way)
                while not any(future.done() for future in told):
                    await arrived.wait()
                    arrived.clear()
                for result in self._take():
                    yield result

    @contextmanager
    def _going(self) -> Iterator[Progress]:
        with shown_progress(self._progress) as step:
            try:
                yield step
            finally:
                for future in self._under_way:
                    future.cancel()
        if self._error is not None:
            raise self._error

    def _fill(self, step: Progress) -> bool:
        while self._error is None and len(self._under_way) < self._ahead:
            number, picture = next(self._pictures, (0, _NO_MORE))
            if picture is _NO_MORE:
                break
            name = name_of(Path(picture)) if isinstance(picture, str | Path) else f"picture {number}"
            if isinstance(picture, tuple) and picture:
                name = str(picture[0])
            self._under_way[self._submit(picture)] = name
            self._begun += 1
        step("masking", self._begun - len(self._under_way), max(self._begun, self._total))
        return bool(self._under_way)

    def _take(self) -> Iterator[Result]:
        future = next(future for future in self._under_way if future.done())
        name = self._under_way.pop(future)
        error = closed_before() if future.cancelled() else future.exception()
        if error is not None:
            self._error = self._error or error
            return
        found = future.result()
        if isinstance(found, Result):
            yield found
        else:
            self.failures.append((name, found))
