"""The kernels that a set-up needs, compiled in the background while the first draws are under way.

How kernels are compiled and kept lives in `kernels._jit`.
"""

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.fidelity.base import Fidelity
from blackbox_conformal.indecision.base import Context, Indecision
from blackbox_conformal.kernels import moments, unfilter
from blackbox_conformal.pipeline.settings import Setup
from blackbox_conformal.risk.curve import RiskCurve


@contextlib.contextmanager
def warming(setup: Setup) -> Iterator[None]:
    """Score and measure a tiny picture in a thread, so that exactly the kernels wanted are there when draws are."""
    thread = threading.Thread(target=rehearse, args=(setup,), name="warm-up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # A thread inside the compiler must not outlive the interpreter.
        thread.join()


def rehearse(setup: Setup, side: int = 16) -> None:
    """Run the score, the metric and the curve of `setup` once on noise of `side` times `scale` pixels a side."""
    scale = setup.procedure.scale
    draws = np.random.default_rng(0).integers(0, 256, (3, side * scale, side * scale, 3), dtype=np.uint8)
    unfilter.warm_up()
    if setup.procedure.delivery != "first":
        moments.warm_up()
    noise = np.random.default_rng(1).random(draws.shape[1:3]).astype(np.float32)
    RiskCurve.from_maps(noise, noise, bound=1.0)
    low = np.ascontiguousarray(draws[2, ::scale, ::scale])
    # Whatever is wrong with the set-up is told by the real pictures.
    with contextlib.suppress(BlackboxConformalError):
        if _is_own(setup.indecision):
            accumulator = setup.indecision.start(draws.shape[1:3])
            for pixels in draws:
                accumulator.update(pixels)
            accumulator.finish(Context(draws[0], low, scale, draws[1] if setup.second else None))
    with contextlib.suppress(BlackboxConformalError):
        if _is_own(setup.fidelity):
            setup.fidelity.map(draws[1], draws[0])


def _is_own(part: Indecision | Fidelity) -> bool:
    """Whether `part` is one of this package's: what a user wrote must see real pictures only."""
    module = type(part).__module__
    return module.startswith("blackbox_conformal.") and not module.endswith(".custom")
