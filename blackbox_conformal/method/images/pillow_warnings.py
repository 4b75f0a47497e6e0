"""What becomes of Pillow's warnings while it opens a file."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()


@contextmanager
def warnings_of(kind: str) -> Iterator[None]:
    """Pillow reports damage as warnings: of the picture itself in TIFF, elsewhere of metadata that are not kept.

    The list of filters is shared by all threads, hence the lock, and a filter for Pillow's own warnings only.
    """
    with _lock, warnings.catch_warnings():
        warnings.filterwarnings("error" if kind == "TIFF" else "ignore", module=r"PIL\.")
        yield
