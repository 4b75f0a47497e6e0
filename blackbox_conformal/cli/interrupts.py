"""Signals while a command draws, and its progress on the screen."""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli.console import Screen

if TYPE_CHECKING:
    from blackbox_conformal.drawing.sampler import Sampler
    from blackbox_conformal.study.listeners import Listeners

_AGAIN_AFTER_S = 0.05
_STOPPING_S = 1.0
"""Seconds, many more than stopping takes, unless it waits for interrupted code."""

_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)


@contextmanager
def listening(screen: Screen) -> "Iterator[Listeners]":
    """Show progress on `screen` and stop samplers on signals, for the jobs in the ``with`` block."""
    from blackbox_conformal.study.listeners import Listeners

    with screen.progress(), interruptible(screen) as on_sampler:
        yield Listeners(screen.event, screen.step, on_sampler)


@contextmanager
def interruptible(screen: Screen) -> Iterator[Any]:
    """Handle signals while drawing: the first Ctrl-C or SIGTERM stops new calls, the second leaves at once.

    A closed terminal (SIGHUP) also stops new calls, but waits for calls under way. ``nohup`` disables this. Yield a
    function that takes each sampler once it is open.
    """
    samplers: list[Sampler] = []
    asked = 0
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if number == _HANG_UP:
            for descriptor in terminals:
                if not os.isatty(descriptor):
                    nowhere = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(nowhere, descriptor)
                    os.close(nowhere)
            if asked:
                return
        if asked or not samplers:
            while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
                frame = frame.f_back
            if frame is None:
                raise KeyboardInterrupt
            # During an import, an exception may hold Python's import lock for ever.
            _again(number)
            return
        asked += 1
        # In a thread: interrupted code may hold a lock that stopping or writing takes, and goes on only when this
        # returns. `Thread.start` takes a lock, too.
        stopping = _thread.allocate_lock()
        stopping.acquire()
        _thread.start_new_thread(stop, (tuple(samplers), stopping))
        stopping.acquire(timeout=_STOPPING_S)

    def stop(opened: "tuple[Sampler, ...]", stopping: _thread.LockType) -> None:
        for sampler in opened:
            sampler.stop()
        screen.note("stopping: no new calls; waiting for those in flight (once more to leave at once)")
        stopping.release()

    def opened(sampler: "Sampler") -> None:
        samplers.append(sampler)
        if asked:
            # The signal came between two samplers of one command.
            sampler.stop()

    if threading.current_thread() is not threading.main_thread():
        yield opened
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        numbers.append(_HANG_UP)
    tell_ignored = sys.unraisablehook

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        # While an object is being deleted, Python drops exceptions: the interrupt would be lost.
        if isinstance(what.exc_value, KeyboardInterrupt):
            _again(signal.SIGINT)
        else:
            tell_ignored(what)

    previous = {number: signal.signal(number, handler) for number in numbers}
    sys.unraisablehook = ignored
    try:
        yield opened
    finally:
        sys.unraisablehook = tell_ignored
        for number, old in previous.items():
            signal.signal(number, old)


def _again(number: int) -> None:
    # Later, because the signal's exception would do harm or get lost where the signal came.
    # Sent to the main thread, where the system can, it wakes a sleeping thread; raised here, it waits for it to wake.
    to_main = getattr(signal, "pthread_kill", lambda _, number: signal.raise_signal(number))

    def send() -> None:
        time.sleep(_AGAIN_AFTER_S)
        to_main(threading.main_thread().ident, number)

    _thread.start_new_thread(send, ())
