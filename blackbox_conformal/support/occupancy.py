"""A shared room for several threads: items taken now, and a wait for items that do not fit."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Occupancy(Generic[Item]):
    """The items that are taken now; any thread may ask."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, item: Item, fits: Callable[[Sequence[Item]], bool]) -> Iterator[None]:
        """Take `item` for the ``with`` block once it `fits` beside the taken items; errors of `fits` are raised."""
        with self._changed:
            self._changed.wait_for(lambda: fits(self._items))
            self._items.append(item)
        try:
            yield
        finally:
            with self._changed:
                self._items.remove(item)
                self._changed.notify_all()
