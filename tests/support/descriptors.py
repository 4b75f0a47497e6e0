"""A process that may have no more files and connections open."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def descriptors(soft: int) -> Iterator[None]:
    """Let this process have so many descriptors; those that are open stay so."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def no_descriptors() -> "contextmanager[None]":  # type: ignore[type-arg]
    """Let nothing more be opened."""
    return descriptors(0)
