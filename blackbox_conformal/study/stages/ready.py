"""Hold a picture whose draws are there, in this process or on a worker that reads them from the stored answers."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.backends import store_of
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.local_draws import read_again
from blackbox_conformal.drawing.task import Outcome
from blackbox_conformal.errors import AdapterError, CalibrationError, UsageError
from blackbox_conformal.method.images.perturbation.perturbation import Perturbation
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.study.stages.cluster import Cluster
from blackbox_conformal.study.stages.draws import Drawn, second_picture
from blackbox_conformal.study.stages.memory import narrowed, refuse_beyond
from blackbox_conformal.study.stages.prepare import KeptPixels, Prepared, read_truth
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.types import Image
from blackbox_conformal.vendor.adapter import Adapter, Capabilities, Draw, Flow, Upload

Value = TypeVar("Value")

BATCH_PICTURES = 32
BATCH_PIXELS = 4_000_000
"""Pixels of one task at most: about a second of work, beside which a scheduler's milliseconds do not count."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture whose draws are there."""

    drawn: Drawn  # The picture and its draws, or the vendor's refusal.
    setup: Setup  # The procedure and the objects that carry it out.
    read: Callable[[int], bytes]  # Reads the file of a draw by index.
    second: Image | None  # The second vendor's picture, (H, W, 3) uint8; None without one, and for a refused picture.
    about: Any = None  # What the caller said about this picture.
    kept: KeptPixels | None = None  # Kept photographs and inputs; None: all are read again.

    def truth_and_input(self, doing: str) -> tuple[Image, Image]:
        """Return the photograph, (H, W, 3) uint8, cut to a multiple of the scale, and its input, (h, w, 3) uint8.

        `doing`: what happens to the photograph, for the message "changed while it was being …".
        """
        picture = self.drawn.prepared
        assert picture.path is not None
        kept = None if self.kept is None else self.kept.get(picture.path)
        if kept is not None:
            return kept
        truth = read_truth(picture.path, self.setup)
        if truth.picture.file_digest != picture.file_digest:
            raise CalibrationError(f"{picture.path} was changed while it was being {doing}; run again")
        return truth.pixels, picture.input_of(truth.pixels, self.setup)


class DescribedVendor(Adapter):
    """A vendor's capabilities for workers, without a way to ask it."""

    name: ClassVar[str] = "described"

    known: Capabilities

    @property
    def capabilities(self) -> Capabilities:
        return self.known

    @property
    def base_url(self) -> str:
        """Return no address."""
        return ""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """Refuse to draw on a worker."""
        raise AdapterError("expected draws to be bought by the process that has the ledger; a worker was asked to")


@dataclass(frozen=True, slots=True)
class _Told:
    """A picture as it goes to a worker."""

    drawn: Drawn
    second: Outcome | None
    about: Any


@dataclass(frozen=True, slots=True)
class _Shared:
    """The part that all tasks share, without key or way to pay; `ledger`: a database's address without password."""

    work: Callable[[Ready], Any]
    setup: Setup
    run: Path
    ledger: str | None


def refuse_defined_here(parts: Iterable[Score | Metric | Perturbation | None]) -> None:
    """Refuse parts that workers cannot import: functions of this program, and classes that no package announces."""
    for part in parts:
        if part is None:
            continue
        if isinstance(part, Score):
            refuse_defined_here(part.parts())
        if not part.is_installed:
            raise UsageError(
                f"expected scores and metrics of installed packages beside --cluster (cluster in Python); "
                f"{part.plugin_name()} is defined by this program, and workers cannot import it. Announce it by an "
                "entry point, or leave --cluster out"
            )


def refuse_elsewhere(
    cluster: Cluster, setup: Setup, scores: Collection[Score], run: Path, pictures: Sequence[Prepared]
) -> None:
    """Refuse, before anything is paid, a job that workers could not evaluate."""
    refuse_defined_here([*(scores or [setup.score]), setup.metric, setup.perturbation])
    cluster.refuse_unseen([picture.path for picture in pictures[:1] if picture.path is not None])
    if len({member.capabilities.local for member in setup.adapter.members}) > 1:
        raise UsageError(
            "expected beside --cluster a cascade whose vendors all have their answers in the ledger, or all on this "
            "machine's disk; got both. Leave --cluster out"
        )
    if setup.adapter.in_tiles:
        raise UsageError(
            "expected beside --cluster a cascade of whole pictures; its rule has tiles. Leave --cluster out"
        )
    if not setup.adapter.capabilities.local and LEDGERS.of(run) is None:
        cluster.refuse_unshared(run)


def each_on_cluster(
    cluster: Cluster,
    work: Callable[[Ready], Value],
    setup: Setup,
    run: Path,
    arriving: Iterator[Drawn],
    second: Mapping[str, Outcome],
    about: Callable[[Drawn], Any],
    memory: tuple[int | None, int],
    on_error: Callable[[Exception], None],
) -> Iterator[tuple[Drawn, Value]]:
    """Run `work` on each picture by a cluster's workers, which read draws from the run folder's answers.

    `second`: The second vendor's draw, by the input's digest.
    `about`: From a picture to its `Ready.about` for `work`.
    `memory`: Bytes that one worker may take, and bytes that `work` takes for a pixel.
    `on_error`: As for `map_pictures`.
    """
    address = LEDGERS.of(run)
    shared = _Shared(work, described(setup), run.absolute(), None if address is None else address.shown)
    memory_bytes = narrowed(*memory)

    def told(drawn: Drawn) -> _Told:
        refuse_beyond(drawn.prepared.size, drawn.prepared.name, memory_bytes)
        picture = drawn.prepared
        if picture.path is not None:
            # The worker may have been started in another folder.
            drawn = replace(drawn, prepared=replace(picture, path=picture.path.absolute()))
        return _Told(drawn, None if drawn.refusal is not None else second.get(picture.input_digest), about(drawn))

    try:
        batches = _batches(map(told, arriving))
        for item, value in cluster.map(_evaluated, shared, batches, lambda item: item.drawn.prepared.name, on_error):
            yield item.drawn, value
    except Exception as error:
        on_error(error)
        # Draws under way are paid for, so let them end.
        for _ in arriving:
            pass
        raise


def _batches(pictures: Iterable[_Told]) -> Iterator[list[_Told]]:
    batch: list[_Told] = []
    pixels = 0
    for picture in pictures:
        height, width = picture.drawn.prepared.size
        if batch and (len(batch) == BATCH_PICTURES or pixels + height * width > BATCH_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(picture)
        pixels += height * width
    if batch:
        yield batch


def described(setup: Setup) -> Setup:
    """Return the set-up for workers, in which a paid vendor has capabilities alone."""
    vendors = [
        vendor if vendor is None or vendor.capabilities.local else DescribedVendor(known=vendor.capabilities)
        for vendor in (setup.adapter, setup.second)
    ]
    assert vendors[0] is not None
    return replace(setup, adapter=vendors[0], second=vendors[1])


def _evaluated(shared: _Shared, batch: Sequence[_Told]) -> list[Any]:
    setup = shared.setup

    def read(vendor: Adapter, outcome: Outcome) -> bytes:
        if vendor.capabilities.local:
            return read_again(vendor, outcome)
        return _answers(shared.run, shared.ledger).read(outcome.digest or "")

    def evaluated(told: _Told) -> Any:
        drawn, second = told.drawn, None
        if setup.second is not None and told.second is not None:
            second = second_picture(setup, read(setup.second, told.second), told.second.task)
        one = lambda index: read(setup.adapter, drawn.outcomes[index])  # noqa: E731
        return shared.work(Ready(drawn, setup, one, second, told.about))

    return list(map(evaluated, batch))


@cache
def _answers(run: Path, ledger: str | None) -> Store:
    """Open a run folder's answers on a worker; a password comes from the worker's environment."""
    if ledger is not None:
        LEDGERS.of_environment()
        LEDGERS.place(run, ledger)
    return store_of(run)
