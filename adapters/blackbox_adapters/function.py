"""A function of the running program: a network on this machine, or anything that makes a picture of a picture."""

import io
import re
import threading
import traceback
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import Field, PrivateAttr

from blackbox_conformal.errors import FunctionFailedError, NotSentError
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.types import Image, eight_bit
from blackbox_conformal.vendor.adapter import FREE, Adapter, Answer, Capabilities, Draw, Flow, Observed, Send, Upload

MODEL = "x-model"
_OUT_OF_MEMORY = re.compile(r"memory ?error|out ?of ?memory|resource_?exhausted", re.IGNORECASE)
"""Words of PyTorch, CuPy, JAX, TensorFlow and Python; another program may have held the memory for a moment."""


class Function(Adapter):
    """Calls a function of the program that is running; `bc.from_function` makes one.

    Answers are stored like paid ones, and none is computed twice. A calibration keeps name and version, and no code:
    another program gives the function again under both.
    """

    name = "function"
    documentation = "https://docs.python.org/3/tutorial/controlflow.html"
    evidence = "own-software"
    transient = frozenset({"degradation", "test_side", "concurrency"})

    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the function, in your words.")
    model_version: str = Field(
        default="1",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$",
        description="Version of it, in your words. Raise it whenever the function changes.",
    )
    scale: int = Field(default=4, ge=1, le=16, description="Magnification; 1 restores at the same size.")
    seeded: bool = Field(default=False, description="Whether the function takes `seed=`, and answers alike with one.")
    degradation: str = Field(default="bicubic", description="What the function undoes, unless `--degradation` says.")
    test_side: int = Field(
        default=64, ge=0, le=4096, description="Side of the picture by whose answer a change is noticed; 0 tests none."
    )
    concurrency: int = Field(default=1, ge=1, le=64, description="Calls that the function bears at once.")

    _function: Callable[..., Any] | None = PrivateAttr(default=None)
    _tested: str = PrivateAttr(default="")
    _testing: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def capabilities(self) -> Capabilities:
        """Free; a call that a dead process did not finish is made again."""
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=(0, 2**32 - 1) if self.seeded else None,
            price=FREE,
            failures_billed=False,
            max_concurrency=self.concurrency,
            # A call that did not return has left nothing behind, so it may be repeated.
            idempotency_header="idempotency-key",
            # A call cannot be ended from outside; a slow network takes less than an hour, and an hour is not for ever.
            answer_timeout_s=3600.0,
            degradation=self.degradation,
        )

    @property
    def base_url(self) -> str:
        return ""

    def calling(self, function: Callable[..., Any]) -> Self:
        bound = self.model_copy()
        bound._function, bound._tested, bound._testing = function, "", threading.Lock()
        return bound

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        seed = {} if draw.seed is None else {"seed": str(draw.seed)}
        answer = yield Send("POST", f"function:{self.model}", purpose="submit", query=seed, body=upload.png)
        yield Observed(model=answer.headers[MODEL])
        return answer.body

    def answer(self, step: Send) -> Answer:
        with self._testing:
            self._tested = self._tested or self._test()
        with PillowImage.open(io.BytesIO(step.body or b"")) as picture:
            pixels = np.array(picture)
        seed = step.query.get("seed")
        answer = self._call(pixels, None if seed is None else int(str(seed)), "")
        file = io.BytesIO()
        PillowImage.fromarray(answer).save(file, "PNG", compress_level=1)
        return Answer(200, {MODEL: self._tested}, file.getvalue())

    def _call(self, pixels: Image, seed: int | None, about: str) -> Image:
        if self._function is None:
            raise NotSentError(
                f"expected the function {self.model}, version {self.model_version}; this program gave none, and a file "
                f"never says which code to run. Call bc.from_function({self.model!r}, …, version="
                f"{self.model_version!r}), and give what it returns as the vendor",
                permanent=True,
            )
        height, width = pixels.shape[:2]
        try:
            answer = self._function(pixels) if seed is None else self._function(pixels, seed=seed)
            return as_picture(answer, (height * self.scale, width * self.scale))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise FunctionFailedError(
                f"the function {self.model} failed on {about or 'a picture'} of {width}×{height} pixels: "
                f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno})",
                permanent=_OUT_OF_MEMORY.search(f"{type(error).__name__} {error}") is None,
            ) from error

    def _test(self) -> str:
        """Return name, version and the function's answer to a fixed picture: the stated origin of each answer."""
        named = f"{self.model} {self.model_version}"
        if not self.test_side or self._function is None:
            return named
        seed, about = 0 if self.seeded else None, "the test picture (test_side=… makes it another, 0 leaves it out)"
        # Called twice, since a function whose answers vary would seem to have changed.
        first, second = (summary(self._call(fixed_picture(self.test_side), seed, about)) for _ in range(2))
        return f"{named}, test answer {first}" if first == second else f"{named}, test answers differ"


def as_picture(answer: Any, size: tuple[int, int]) -> Image:
    """Return a function's result as (height, width, 3) uint8: bytes as they are, numbers from 0 to 1 rounded."""
    pixels = np.asarray(answer)
    if pixels.shape != (*size, 3) or not (pixels.dtype == np.uint8 or pixels.dtype.kind == "f"):
        last = " (transpose it with .transpose(1, 2, 0))" if pixels.shape == (3, *size) else ""
        raise TypeError(
            f"expected (height, width, 3) = {(*size, 3)}, uint8 or numbers from 0 to 1; got {pixels.dtype} "
            f"{pixels.shape}{last}"
        )
    return eight_bit(pixels)


def fixed_picture(side: int) -> Image:
    """Return a fixed picture with slopes, edges and texture, (side, side, 3) uint8; whole numbers, so alike
    everywhere."""
    row, column = np.mgrid[:side, :side]
    slope, squares = (3 * row + 2 * column) % 256, 160 * ((row // 8 + column // 8) % 2) + 40
    return np.stack([slope, squares, (squares + row * row + 5 * column) % 256], axis=2).astype(np.uint8)


def summary(picture: Image) -> str:
    """Return a few digits about a picture: light and texture of its quarters, to whole grey levels.

    Another network gives other digits; another order of additions on another processor hardly ever does.
    """
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    quarters = [picture[top:, left:][:height, :width].astype(np.float64) for top in (0, height) for left in (0, width)]
    figures: list[NDArray[np.float64]] = []
    for part in quarters:
        figures += [part.mean((0, 1)), *(np.abs(np.diff(part, axis=axis)).mean((0, 1)) for axis in (0, 1))]
    return digest_json([np.rint(each).astype(int).tolist() for each in figures]).removeprefix("sha256:")[:8]


ADAPTER = Function
