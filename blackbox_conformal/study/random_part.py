"""Buy answers to a random part of photographs, and measure the free pictures of all as answers are measured.

Free pictures are plain enlargement, the free reference and, at their scale, the networks of the package.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.control_variates import LEAST
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.stages.draws import Drawn, map_pictures
from blackbox_conformal.study.stages.memory import narrowed
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support import catalog
from blackbox_conformal.support.types import Image

Value = TypeVar("Value")


def refuse_paid(setup: Setup, paid: int, given: int, *, parts: bool = False) -> None:
    """Refuse what free pictures cannot stand beside; `given` photographs are measured.

    `parts`: Whether only a group, or tiles, are measured.
    """
    if not LEAST <= paid < given:
        raise UsageError(
            f"expected --paid (paid in Python) from {LEAST} to {given - 1}, fewer than the {given} photographs that "
            f"are measured; got {paid}. Name more photographs, or leave it out"
        )
    procedure = setup.procedure
    if parts or setup.second is not None or setup.adapter.members or setup.bands or setup.perturbation is not None:
        raise UsageError(
            "expected --paid (paid in Python) for whole photographs of 8 bits and one vendor that gets them as they "
            "are; got tiles, a group, a cascade, a second vendor, bands or a perturbation. Leave --paid out"
        )
    if procedure.draws > 1:
        raise UsageError(
            f"expected --paid (paid in Python) with a calibration of one draw, as free pictures do not vary; got "
            f"{procedure.draws} draws. Leave --paid out, or calibrate with --draws 1"
        )


def in_random_order(pictures: Sequence[Prepared], seed: int) -> list[Prepared]:
    """Return the pictures in an order fixed by `seed` and their pixels: the same command buys the same again, or adds
    to them."""
    return sorted(pictures, key=lambda picture: sha256(f"{seed}:{picture.truth_digest}".encode()).digest())


def of_free_pictures(
    job: Job, pictures: Sequence[Prepared], work: Callable[[Ready], Value], doing: str
) -> dict[str, dict[str, Value]]:
    """Return the result of `work` for each free picture: digest of a photograph → name of a free picture → result.

    `doing`: What happens, for the listeners.
    """

    def of_each(drawn: Drawn) -> dict[str, Value]:
        ready = Ready(drawn, job.setup, lambda _: b"", None, kept=job.kept)
        _, low = ready.truth_and_input("measured")
        results = {}
        for name, picture in _free_pictures(low, drawn.prepared.size, job.setup):
            file = image_png(picture)
            results[name] = work(replace(ready, read=lambda _, file=file: file))  # type: ignore[misc]
        return results

    found: dict[str, dict[str, Value]] = {}
    memory = narrowed(job.terms.memory_bytes, job.pixel_bytes)
    arriving = (Drawn(picture, (), None) for picture in pictures)
    for drawn, results in map_pictures(arriving, of_each, memory_bytes=memory):
        found[drawn.prepared.truth_digest or ""] = results
        job.listeners.progress(doing, len(found), len(pictures))
    return found


def _free_pictures(low: Image, size: tuple[int, int], setup: Setup) -> Iterator[tuple[str, Image]]:
    """Give the names and pixels, (H, W, 3) uint8, of the pictures of an input that cost nothing."""
    scale, degraded = setup.procedure.scale, not setup.procedure.mixture.linear
    yield "plain enlargement", resized(low, size[1], size[0])
    if scale > 1:
        yield "free reference", reference(low, scale, degraded=degraded)
    yield from catalog.hook("free_networks").free_enlargements(low, scale)
