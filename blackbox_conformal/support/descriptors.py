"""The process's limit of open files and connections, and how many draws at once fit."""

import contextlib
import sys

from blackbox_conformal.errors import UsageError

_OF_A_DRAW = 4  # A connection, another for the result, the file of the answer, and one that is open for a moment.
_OF_THE_PROCESS = 64

_OF_MACOS = 10_240  # macOS claims to have no hard limit, and takes no soft one above its own.
MOST = 65_536  # The highest limit to ask for: some systems name none, and others make tables of its size.


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one, and return it.

    A shell's default, often 256 or 1024, would leave a vendor's answers without files.
    """
    if sys.platform == "win32":
        return MOST
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (MOST, _OF_MACOS):
        wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            break
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return MOST if soft == resource.RLIM_INFINITY else soft


def descriptor_limit() -> int | None:
    """Return how many descriptors this process may have; None if any number."""
    if sys.platform == "win32":
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def descriptors_for(draws: int) -> int:
    """Count the descriptors that a process needs for `draws` draws at once."""
    return _OF_THE_PROCESS + _OF_A_DRAW * draws


def require_descriptors(draws: int) -> None:
    """Refuse more draws at once than this process has descriptors for."""
    limit = descriptor_limit()
    if limit is None or descriptors_for(draws) <= limit:
        return
    fit = draws_that_fit(limit)
    raise UsageError(
        f"expected room for {draws} draws at once, which take {descriptors_for(draws)} open files and connections; this"
        f" process may have {limit}, so nothing was sent. Add --concurrency {fit} (concurrency={fit} in Python), or"
        f" first run: ulimit -n {descriptors_for(draws)}"
    )


def draws_that_fit(limit: int) -> int:
    """Return the most draws at once for `limit` descriptors; at least 1."""
    return max(1, (limit - _OF_THE_PROCESS) // _OF_A_DRAW)
