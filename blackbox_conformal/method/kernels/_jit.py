"""The only place that knows numba: the decorator that every kernel uses."""

import contextlib
import functools
import importlib
import math
import os
import pkgutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.method.kernels import _cache

P = ParamSpec("P")
R = TypeVar("R")

_building = threading.RLock()


class Kernel(Generic[P, R]):
    """A plain function that is compiled at its first call, so that importing it imports no compiler.

    Kernels may call other kernels and are compiled with them. With `NUMBA_DISABLE_JIT=1` the plain function runs.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.compiled: Any = None
        self.inner: Any = None
        self._folder: Path | None = None
        self._ready: dict[tuple[Any, ...], Callable[P, R]] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if interpreted():
            return cast(Callable[P, R], self.build())(*args, **kwargs)
        kinds = tuple(map(_kind, args))
        return (self._ready.get(kinds) or self._prepared(kinds, args))(*args, **kwargs)

    def _prepared(self, kinds: tuple[Any, ...], args: tuple[Any, ...]) -> Callable[P, R]:
        """The function to call with such arguments; the first caller compiles or loads it, others wait.

        It is done before the call, so that a failure of the cache is never one in the middle of a calculation. The
        compiler replaces its files whole, so a damaged one comes from a disk; it does not load, and is made again.
        """
        types = tuple(map(_compiler().typeof, args))
        with _building:
            while kinds not in self._ready:
                dispatcher = self.build()
                try:
                    dispatcher.compile(types)
                # Damaged files that are loaded raise anything, and so do a full disk or a folder taken away.
                except Exception:
                    if self._folder is None:
                        raise
                    _give_up_cache(self._folder)
                else:
                    self._ready[kinds] = dispatcher
            return self._ready[kinds]

    def build(self) -> Any:
        """What Python calls: made at the first use, and again without a cache once that has failed."""
        with _building:
            folder = None if interpreted() else _folder()
            if self.compiled is None or folder != self._folder:
                self.compiled = self.function if interpreted() else self._dispatcher(folder)
                self._folder = folder
            return self.compiled

    def inlined(self) -> Any:
        """What other kernels call: without an entry for Python, which takes the compiler a fifth of the time.

        It is in no cache either, since its callers' code holds it.
        """
        with _building:
            if self.inner is None:
                self.inner = self.function if interpreted() else self._dispatcher(None, no_cpython_wrapper=True)
            return self.inner

    def _dispatcher(self, folder: Path | None, **options: bool) -> Any:
        numba = _compiler()
        function = cast(FunctionType, self.function)
        # The compiler reads callees from the globals and knows its own functions only, not this wrapper.
        scope = dict(function.__globals__)
        for name in function.__code__.co_names:
            if isinstance(scope.get(name), Kernel):
                scope[name] = scope[name].inlined()
        plain = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
        # Serial and without fast mathematics: NaN must stay NaN and sums must not be reordered. The numpy error model
        # drops the branch before each division that would keep a loop from being vectorised. Inlined, since each slice
        # that is given to a call is counted, and a call on a thousand pixels can take as long as the pixels.
        options |= {"nogil": True, "forceinline": True, "no_cfunc_wrapper": True}
        compiled = functools.partial(numba.njit, error_model="numpy", **options)
        # The compiler's setting is global and belongs to the user, so it is put back at once.
        before = numba.config.CACHE_DIR
        try:
            if folder is not None:
                numba.config.CACHE_DIR = str(folder)
                with contextlib.suppress(OSError, RuntimeError):
                    return compiled(cache=True)(plain)
        finally:
            numba.config.CACHE_DIR = before
        return compiled()(plain)


def _kind(value: Any) -> Any:
    """What the compiler's type of an argument depends on, told far more quickly than the compiler tells the type."""
    if not isinstance(value, np.ndarray):
        return type(value)
    flags = value.flags
    return value.dtype, value.ndim, flags.c_contiguous, flags.f_contiguous, flags.writeable, flags.aligned


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call: serial, without the interpreter lock, exact IEEE arithmetic.

    Its arguments must come in one dtype and layout only, since every other one is compiled anew; the public function
    around it sees to that.
    """
    return Kernel(function)


def warm_up(part: int = 0, parts: int = 1) -> None:
    """Compile, or load, one part of all kernels by running them on tiny arrays, beside the first vendor calls.

    Each kernel module says how in a function `warm_up`. Takes seconds when nothing is cached, and may be called again.
    """
    package = importlib.import_module("blackbox_conformal.method.kernels")
    for module in [*pkgutil.iter_modules(package.__path__, "blackbox_conformal.method.kernels.")][part::parts]:
        exercise = getattr(importlib.import_module(module.name), "warm_up", None)
        if exercise is not None and exercise is not warm_up:
            exercise()


def interpreted() -> bool:
    """Whether kernels run as plain Python, for tests of the tests and for debuggers: correct and slow."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


_COMPILER_BYTES = 500 * 2**20
"""Address space that the compiler takes; where there is less it aborts the process, or loads in part."""


@functools.cache
def _compiler() -> Any:
    try:
        if _room() < _COMPILER_BYTES:
            raise MemoryError(f"it takes {_COMPILER_BYTES >> 20} MiB beside what this process has")
        import numba
    except (ImportError, OSError, MemoryError) as error:
        raise IncompleteError(
            f"the compiler of the calculation (numba) does not load: {type(error).__name__}: {error}. Most often"
            " this process may take too little memory (see ulimit -v); raise that, or install the package again,"
            " and run the same command again: what was paid for is kept"
        ) from None
    return numba


def _room() -> float:
    """Bytes of address space that this process may still take; infinity where nothing limits it or that is not told."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return math.inf
    return math.inf if limit == resource.RLIM_INFINITY else limit - pages * resource.getpagesize()


_failures = 0
"""How often the cache has failed in this process: after the first time it begins empty, after the second it is off."""


def _folder() -> Path | None:
    return None if _failures > 1 else _private_folder()


@functools.cache
def _private_folder() -> Path | None:
    return _cache.cache_directory(_compiler().__version__)


def _give_up_cache(folder: Path) -> None:
    """Empty the cache that failed; whatever fails there must cost time only."""
    global _failures
    _failures += 1
    with contextlib.suppress(OSError):
        _cache.discard(folder)
