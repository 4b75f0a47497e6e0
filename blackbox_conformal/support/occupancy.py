"""What several threads have taken at the same time, and the waiting for what does not fit beside it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Occupancy(Generic[Item]):
    """What is taken now; asked from any thread."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, item: Item, fits: Callable[[Sequence[Item]], bool]) -> Iterator[None]:
        """Take `item` for the ``with`` block once it `fits` beside what is taken; errors of `fits` are raised."""
        with self._changed:
            self._changed.wait_for(lambda: fits(self._items))
            self._items.append(item)
        try:
            yield
        finally:
            with self._changed:
                self._items.remove(item)
                self._changed.notify_all()
