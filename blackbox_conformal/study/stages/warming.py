"""Compile the kernels that a set-up needs in the background, while the first draws are under way."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.method.kernels import enlarge, moments, upscale
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.scores.score import Context, Score
from blackbox_conformal.study.stages.settings import Setup

_LARGE = 1 << 20
"""Bytes of pixels below which a picture is no reason to load a compiler."""

_PAYS_FROM = 1 << 26
"""Bytes of pixels from which on a kernel pays: it takes about a second to compile, once."""


@contextlib.contextmanager
def warming(setup: Setup, *, truths: bool = True, sizes: Iterable[tuple[int, int]] | None = None) -> Iterator[None]:
    """Score and measure a tiny picture in a thread, so that the kernels are there when draws are.

    Parameters
    ----------
    truths
        Whether delivered pictures will be compared with true ones.
    sizes
        (height, width) of delivered pictures; None: any. A few small ones need no kernels for large ones.
    """
    over = threading.Event()
    large = True
    if sizes is not None:
        pixel_bytes = [3 * height * width for height, width in sizes]
        large = setup.procedure.draws * sum(size for size in pixel_bytes if size >= _LARGE) >= _PAYS_FROM
    thread = threading.Thread(target=rehearse, args=(setup, truths, large, over.is_set), name="warm-up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # A thread inside the compiler must not outlive the interpreter.
        thread.join()


def rehearse(setup: Setup, truths: bool = True, large: bool = True, over: Callable[[], bool] = lambda: False) -> None:
    """Run score, metric, curve and, if `large`, large pictures' kernels once on noise, until all is `over`."""
    side = 16 * setup.procedure.scale
    draws = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    low = np.ascontiguousarray(draws[2, :: setup.procedure.scale, :: setup.procedure.scale])

    def score() -> None:
        accumulator = setup.score.start((side, side))
        for pixels in draws:
            accumulator.update(pixels)
        accumulator.finish(Context(draws[0], low, setup.procedure.scale, draws[1] if setup.second else None))

    def measure() -> None:
        setup.errors(draws[1], draws[0], low)

    def curve() -> None:
        # Large enough for the sort into buckets, with ties, which take kernels of their own.
        noise = np.random.default_rng(1).random((256, 256)).astype(np.float32)
        noise[:64] = 0
        RiskCurve.from_maps(noise, noise, bound=1.0)

    steps: list[tuple[bool, Callable[[], None]]] = [
        (_is_own(setup.score), score),
        (setup.procedure.delivery in ("mean", "medoid"), moments.warm_up),
        (setup.procedure.back_projections > 0, enlarge.warm_up),
        (truths and _is_own(setup.metric), measure),
        (truths, curve),
        (large, upscale.warm_up),
    ]
    for wanted, step in steps:
        if over():
            return
        # The real pictures tell whatever is wrong with the set-up.
        with contextlib.suppress(BlackboxConformalError, MemoryError):
            if wanted:
                step()


def _is_own(part: Score | Metric) -> bool:
    """Tell whether this package wrote `part`: a user's code must see real pictures only."""
    if isinstance(part, Score) and not all(map(_is_own, part.parts())):
        return False
    module = type(part).__module__
    return module.startswith("blackbox_conformal.") and not module.endswith((".custom_score", ".custom_metric"))
