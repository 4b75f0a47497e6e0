"""The decorator that every kernel uses; no other file knows numba."""

import contextlib
import functools
import hashlib
import importlib
import math
import os
import pkgutil
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.support.files import private_folder

P = ParamSpec("P")
R = TypeVar("R")

_building = threading.RLock()


class Kernel(Generic[P, R]):
    """A plain function that is compiled at its first call, so that importing it imports no compiler.

    A kernel may call other kernels, which are compiled with it. With `NUMBA_DISABLE_JIT=1` the plain function runs.
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
        """Return the function for such arguments; the first caller compiles or loads it, other callers wait.

        This happens before the call, so that the cache never fails in the middle of a calculation. The compiler
        replaces its files whole, so only a disk damages one; a damaged file does not load, and is made again.
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
        """Return the function that Python calls: made at the first use, and again, uncached, after the cache fails."""
        with _building:
            folder = None if interpreted() else _folder()
            if self.compiled is None or folder != self._folder:
                self.compiled = self.function if interpreted() else self._dispatcher(folder)
                self._folder = folder
            return self.compiled

    def inlined(self) -> Any:
        """Return the function that other kernels call: no entry for Python, which takes a fifth of the compile time.

        No cache holds it, since the code of its callers does.
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
    """Return everything that decides the compiler's type of an argument, far faster than the compiler does."""
    if not isinstance(value, np.ndarray):
        return type(value)
    flags = value.flags
    return value.dtype, value.ndim, flags.c_contiguous, flags.f_contiguous, flags.writeable, flags.aligned


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call: serial, without the interpreter lock, exact IEEE arithmetic.

    Each new dtype or layout of an argument is compiled anew, so the public function around it must pass one only.
    """
    return Kernel(function)


def warm_up(part: int = 0, parts: int = 1) -> None:
    """Compile, or load, one part of all kernels by running them on tiny arrays, beside the first vendor calls.

    Each kernel module has a function `warm_up` for this. It takes seconds when nothing is cached, and may be called
    again.
    """
    package = importlib.import_module("blackbox_conformal.method.kernels")
    for module in [*pkgutil.iter_modules(package.__path__, "blackbox_conformal.method.kernels.")][part::parts]:
        exercise = getattr(importlib.import_module(module.name), "warm_up", None)
        if exercise is not None and exercise is not warm_up:
            exercise()


def interpreted() -> bool:
    """Tell whether kernels run as plain Python, correct and slow, for debuggers and to test the tests."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


_COMPILER_BYTES = 500 * 2**20
"""Address space that the compiler takes; with less it aborts the process, or loads in part."""


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
    """Return the bytes of address space left to this process; infinity without a limit or where it is unknown."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return math.inf
    return math.inf if limit == resource.RLIM_INFINITY else limit - pages * resource.getpagesize()


# The private folder in which machine code is kept between processes.

SWITCH = "BLACKBOX_CONFORMAL_KERNEL_CACHE"  # Environment variable; `0` compiles in every process and writes nothing.


def sources_digest() -> str | None:
    """Return a digest of every kernel source, or None where they are not plain files.

    A compiler's own check reads one file only, and would serve code compiled with an older helper.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    if not sources:
        return None
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory(compiler_version: str) -> Path | None:
    """Return the folder for code by this compiler from these sources; None where no folder is private and writable.

    Loading cached code executes it, so a folder that someone else owns or can write to is refused.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        stamp = sources_digest()
    except OSError:
        return None
    if stamp is None:
        return None
    return private_folder("XDG_CACHE_HOME", ".cache", f"kernels-{compiler_version}-{stamp}")


_failures = 0  # How often the cache has failed in this process: after one failure it begins empty, after two it is off.


def _folder() -> Path | None:
    return None if _failures > 1 else _private_folder()


@functools.cache
def _private_folder() -> Path | None:
    return cache_directory(_compiler().__version__)


def _give_up_cache(folder: Path) -> None:
    """Empty the cache that failed; a failure here costs time only."""
    global _failures
    _failures += 1
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            shutil.rmtree(entry, ignore_errors=True)
