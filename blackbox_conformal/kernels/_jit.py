"""The only place that knows numba: the decorator that every kernel uses.

No kernel lives here; the folder that keeps machine code between processes is `_cache`.
"""

import contextlib
import functools
import importlib
import os
import pkgutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.kernels import _cache

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
        self.compiled: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return (self.compiled or self.build())(*args, **kwargs)

    def build(self) -> Callable[P, R]:
        """The function to call; the first caller makes it, others wait."""
        with _building:
            if self.compiled is None:
                self.compiled = self.function if interpreted() else self._dispatcher()
            return self.compiled

    def _dispatcher(self) -> Callable[P, R]:
        try:
            import numba
        except (ImportError, OSError, MemoryError) as error:
            raise IncompleteError(
                f"the compiler of the calculation (numba) does not load: {type(error).__name__}: {error}. Most often"
                " this process may take too little memory (see ulimit -v); raise that, or install the package again,"
                " and run the same command again: what was paid for is kept"
            ) from None

        function = cast(FunctionType, self.function)
        # The compiler reads callees from the globals and knows its own functions only, not this wrapper.
        scope = dict(function.__globals__)
        for name in function.__code__.co_names:
            if isinstance(scope.get(name), Kernel):
                scope[name] = scope[name].build()
        plain = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
        # Serial and without fast mathematics: NaN must stay NaN and sums must not be reordered. The numpy error model
        # drops the branch before each division that would keep a loop from being vectorised.
        dispatcher = numba.njit(nogil=True, error_model="numpy")(plain)
        folder = _folder()
        if folder is not None:
            _enable_cache(dispatcher, folder)
        return cast(Callable[P, R], dispatcher)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call: serial, without the interpreter lock, exact IEEE arithmetic.

    Its arguments must come in one dtype and layout only, since every other one is compiled anew; the public function
    around it sees to that.
    """
    return Kernel(function)


def warm_up() -> None:
    """Compile, or load, every kernel by running it on tiny arrays; meant for a thread beside the first vendor calls.

    Each kernel module says how in a function `warm_up`. Takes seconds when nothing is cached, and may be called again.
    """
    package = importlib.import_module("blackbox_conformal.kernels")
    for module in pkgutil.iter_modules(package.__path__, "blackbox_conformal.kernels."):
        exercise = getattr(importlib.import_module(module.name), "warm_up", None)
        if exercise is not None and exercise is not warm_up:
            exercise()


def interpreted() -> bool:
    """Whether kernels run as plain Python, for tests of the tests and for debuggers: correct and slow."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@functools.cache
def _folder() -> Path | None:
    """The cache folder of this process, freed of damaged files once."""
    import numba

    folder = _cache.cache_directory(numba.__version__)
    if folder is not None:
        try:
            _cache.remove_damaged(folder)
        except OSError:
            return None
    return folder


def _enable_cache(dispatcher: Any, folder: Path) -> None:
    """Let `dispatcher` load from and save to `folder`; whatever fails there must cost time only.

    The compiler's setting is global and belongs to the user, so it is put back at once.
    """
    config: Any = importlib.import_module("numba.core.config")
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        dispatcher.enable_caching()
    except (OSError, RuntimeError):
        return
    finally:
        config.CACHE_DIR = before
    cache = dispatcher._cache
    load, save = cache.load_overload, cache.save_overload

    def load_or_compile(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # noqa: BLE001 - a damaged pickle raises anything; without it the kernel is compiled
            with contextlib.suppress(OSError):
                _cache.discard(folder)
            return None

    def save_if_possible(signature: Any, result: Any) -> None:
        try:
            save(signature, result)
            _cache.seal(folder)
        except Exception:  # noqa: BLE001 - full disk, folder taken away, result that cannot be pickled
            cache.disable()

    cache.load_overload, cache.save_overload = load_or_compile, save_if_possible
