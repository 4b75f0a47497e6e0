"""Draws pictures for the embedded vendor's orders, a few at a time, and keeps answers under idempotency keys."""

import io
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from PIL import Image

from blackbox_conformal.embedded.colouriser import Colouriser
from blackbox_conformal.embedded.denoiser import Denoiser
from blackbox_conformal.embedded.generator import SCALE, Generator
from blackbox_conformal.embedded.model import Picture
from blackbox_conformal.embedded.requests import Order, RefusalError

KEPT_ANSWERS = 512
KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class OfferedTask:
    """What the vendor does with a picture: the model's name, the magnification, and the model's drawing of a seed."""

    model: str
    scale: int
    draw: Callable[[Picture, int], Picture]


@dataclass(frozen=True)
class Answer:
    """A drawn picture as PNG bytes, its seed and model, and the identifier of the request that had it drawn."""

    png: bytes
    seed: int
    model: str
    request_id: str
    digest: str
    replayed: bool = False


@dataclass
class _Slot:
    """The answer under one idempotency key; its lock is held while the first request is being served."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    answer: Answer | None = None


class Studio:
    """Serves orders; safe to call from many threads.

    Attributes
    ----------
    generator
        The network of ``upscale``.
    tasks
        By name: ``upscale``, ``colourise`` and ``denoise``.
    drawn
        Number of pictures drawn, which is what a vendor would bill; replays do not count.
    """

    def __init__(self) -> None:
        generator, colouriser, denoiser = Generator(), Colouriser(), Denoiser()
        self.generator = generator
        self.tasks = {
            "upscale": OfferedTask(generator.model, SCALE, generator.upscale),
            "colourise": OfferedTask(colouriser.model, 1, colouriser.colourise),
            "denoise": OfferedTask(denoiser.model, 1, denoiser.denoise),
        }
        self.drawn = 0
        self._places = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._kept_bytes = 0

    def serve(self, order: Order, key: str | None) -> Answer:
        """Draw the picture, or give the stored answer if ``key`` was used before for the same order.

        Raises
        ------
        RefusalError
            422: the key was used for another task, picture or seed.
        """
        if key is None:
            return self._draw(order)
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
        with slot.lock:
            if slot.answer is None:
                slot.answer = self._draw(order)
                self._keep(slot.answer)
                return slot.answer
            if slot.answer.digest != order.digest:
                raise RefusalError(
                    422, "idempotency_conflict", "This Idempotency-Key was used for another task, picture or seed."
                )
            return replace(slot.answer, replayed=True)

    def _draw(self, order: Order) -> Answer:
        task = self.tasks[order.task]
        with self._places:
            picture = task.draw(order.picture, order.seed)
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG", compress_level=1)
        with self._lock:
            self.drawn += 1
        return Answer(file.getvalue(), order.seed, task.model, f"req_{uuid.uuid4().hex}", order.digest)

    def _keep(self, answer: Answer) -> None:
        """Count a new answer and forget the oldest ones, never one that is being drawn, beyond the bounds."""
        with self._lock:
            self._kept_bytes += len(answer.png)
            finished = [key for key, slot in self._slots.items() if slot.answer is not None]
            for key in finished[:-1]:
                if len(self._slots) <= KEPT_ANSWERS and self._kept_bytes <= KEPT_BYTES:
                    break
                forgotten = self._slots.pop(key).answer
                self._kept_bytes -= len(forgotten.png) if forgotten else 0
