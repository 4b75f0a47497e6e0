"""How many files and connections this process may have open at once, and how many draws at once fit into that."""

import contextlib
import sys

from blackbox_conformal.errors import UsageError

if sys.platform != "win32":
    import resource

_OF_A_DRAW = 4
"""A connection, another one for the result, the file of the answer, and one that is opened for a moment."""

_OF_THE_PROCESS = 64
_ENOUGH = (65_536, 10_240)


def raise_descriptor_limit() -> None:
    """Let this process open as many files as it may allow itself: answers that are paid for need some."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for enough in _ENOUGH:  # macOS calls the hard limit infinite, and refuses more than the system has.
        wanted = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def descriptor_limit() -> int | None:
    """How many descriptors this process may have; None: any number."""
    if sys.platform == "win32":
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def descriptors_for(draws: int) -> int:
    """How many descriptors a process needs that has so many draws under way at once."""
    return _OF_THE_PROCESS + _OF_A_DRAW * draws


def require_descriptors(draws: int) -> None:
    """Refuse more draws at once than this process may have descriptors for.

    Raises
    ------
    UsageError
        They do not fit.
    """
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
    """The most draws at once that so many descriptors are enough for; at least 1."""
    return max(1, (limit - _OF_THE_PROCESS) // _OF_A_DRAW)
