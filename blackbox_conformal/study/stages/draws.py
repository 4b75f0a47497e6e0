"""Group draws by picture: outcomes arrive one by one, and whole pictures leave. Equal draws are noticed at once."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeVar

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.ledger.backends import store_of
from blackbox_conformal.drawing.ledger.money import may_be_billed
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.open_run import AnyRun
from blackbox_conformal.drawing.sampler import InTurn, Sampler
from blackbox_conformal.drawing.task import ENDED, FellBack, Outcome, Task
from blackbox_conformal.errors import (
    AdapterError,
    IncompleteError,
    PayloadError,
    RefusedError,
    UnusableDrawsError,
    VendorError,
)
from blackbox_conformal.method.images.bands import rendered
from blackbox_conformal.method.images.deep_files import deep_kind
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.making_inputs import upload_from
from blackbox_conformal.method.images.picture import is_blank
from blackbox_conformal.method.images.read import BLANK_NOTE, read_image, read_output
from blackbox_conformal.method.images.resemblance import Resemblance, Sent
from blackbox_conformal.study.stages.grouped_errors import names
from blackbox_conformal.study.stages.memory import BASE_BYTES, evaluated_at_once, picture_bytes, refuse_beyond
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.study.stages.uploads import sent_pixels
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image


@dataclass(frozen=True, slots=True)
class SecondOpinions:
    """The second vendor's pictures."""

    setup: Setup
    outcomes: Mapping[str, Outcome]  # One draw of each picture, by its input's digest; empty without a second vendor.
    read: Callable[[Outcome], bytes]  # Reads the file of a draw.

    def of(self, picture: Prepared) -> Image | None:
        """Return (H, W, 3) uint8; None without a second vendor."""
        outcome = self.outcomes.get(picture.input_digest)
        return None if outcome is None else second_picture(self.setup, self.read(outcome), outcome.task)


def second_picture(setup: Setup, content: bytes, task: Task) -> Image:
    """Decode a file of the second vendor to (H, W, 3) uint8; errors as for `read_output`."""
    assert setup.second is not None
    kind, size = setup.second.capabilities.output_size, output_size(task, setup)
    return read_output(content, size, resample=kind == "resample", any_scale=kind == "any").pixels


def second_tasks(setup: Setup, pictures: Sequence[Prepared]) -> dict[str, Task]:
    """Return the second vendor's task of each picture, by its input's digest; empty without a second vendor."""
    if setup.second is None:
        return {}
    tasks = {}
    for picture in pictures:
        upload = picture.tasks[0].upload
        if setup.perturbation is not None:
            # The first vendor may be sent a larger picture; the second gets the plain input.
            plain = setup.perturbation.undo(read_image(upload.png).pixels, 0, 1)
            upload = upload_from(plain, upload.name)
        chosen = setup.procedure.seed(picture.input_digest, 0, setup.second.capabilities.seed_range)
        tasks[picture.input_digest] = Task(upload, 0, chosen)
    return tasks


@contextmanager
def second_opinions(
    setup: Setup,
    pictures: Sequence[Prepared],
    run: Path,
    limits: Limits,
    listener: Callable[[Event], None] | None = None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
    shared: AnyRun | None = None,
    draw: InTurn = Sampler.draw,
) -> Iterator[SecondOpinions]:
    """Draw each picture once by the second vendor, under the same ledger and limits; `shared`: see `Sampler`.

    `draw` draws all tasks, in an order of its own.
    """
    vendor = setup.second
    if vendor is None:
        yield SecondOpinions(setup, {}, lambda _: b"")
        return

    def check(content: bytes, task: Task) -> None:
        second_picture(setup, content, task)

    tasks = second_tasks(setup, pictures)
    picture_of = {task.upload.digest: digest for digest, task in tasks.items()}
    outcomes: dict[str, Outcome] = {}
    with Sampler(vendor, run, limits, check=check, listener=listener, shared=shared) as sampler:
        on_sampler(sampler)
        for outcome in draw(sampler, list(tasks.values())):
            if outcome.state != "stored":
                raise IncompleteError(
                    f"the second vendor's picture of {printable(outcome.task.upload.name)} "
                    f"{ENDED[outcome.state]}: {outcome.error}. Run again, or leave the photograph out"
                )
            outcomes[picture_of[outcome.task.upload.digest]] = outcome
        if vendor.capabilities.local:
            yield SecondOpinions(setup, outcomes, sampler.read)
            return
    with closing(store_of(run)) as store:
        yield SecondOpinions(setup, outcomes, lambda outcome: store.read(outcome.digest or ""))


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture with all its draws, or the vendor's refusal.

    `reopened`: earlier refusals that were reopened. `asked`: the last vendor of a cascade that got the picture, from 0.
    """

    prepared: Prepared
    outcomes: tuple[Outcome, ...]
    refusal: VendorError | None
    reopened: int = 0
    asked: int = 0

    @property
    def fell_back(self) -> FellBack | None:
        """Say why a cascade's last vendor did not answer; None where it did."""
        return self.outcomes[0].fell_back if self.outcomes else None


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """One answer: its pixels, (H, W, 3) uint8, notes, and its resemblance to what was sent."""

    pixels: Image
    notes: tuple[str, ...]
    resemblance: Resemblance


class LatestPictures:
    """A few decoded answers, kept from arrival until `evaluate` asks for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int | None], tuple[Setup, bytes, DrawnPicture]] = OrderedDict()

    def keep(self, setup: Setup, task: Task, content: bytes, picture: DrawnPicture) -> None:
        """Keep the picture that these bytes show; forget the oldest first."""
        with self._lock:
            self._kept[task.upload.digest, task.index, task.seed] = setup, content, picture
            while sum(kept.pixels.nbytes for _, _, kept in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)

    def take(self, setup: Setup, task: Task, content: bytes) -> DrawnPicture | None:
        """Return, once, the kept picture that these bytes show; None where it is not kept."""
        with self._lock:
            found = self._kept.pop((task.upload.digest, task.index, task.seed), None)
        return found[2] if found is not None and found[0] is setup and found[1] == content else None


LATEST = LatestPictures()
KEPT_BYTES = 16 << 20


def output_check(setup: Setup) -> Callable[[bytes, Task], None]:
    """Return the sampler's check of each answer: decoding, size, content.

    Local draws cost nothing, so only their container is checked. Files that are no pictures are then told together with
    missing ones, and `evaluate` decodes by the same rules.
    """

    def check(content: bytes, task: Task) -> None:
        if setup.adapter.capabilities.local:
            inspect(content) if setup.bands is None else deep_kind(content)
        else:
            LATEST.keep(setup, task, content, drawn_picture(content, task, setup, setup.sent(sent_pixels(task.upload))))

    return check


def drawn_picture(content: bytes, task: Task, setup: Setup, sent: Sent) -> DrawnPicture:
    """Decode and check an answer to `sent`, the task's upload."""
    if (found := LATEST.take(setup, task, content)) is not None:
        return found
    kind = setup.adapter.capabilities.output_size
    size, resample, any_scale = output_size(task, setup), kind == "resample", kind == "any"
    picture = read_output(content, size, resample=resample, any_scale=any_scale, bands=setup.bands)
    if BLANK_NOTE in picture.conversions and not is_blank(sent.pixels):
        raise PayloadError(
            "expected a picture; the vendor answered one colour everywhere for an input that is not blank, as vendors "
            "do when they refuse. Look at the picture, and at the vendor's rules"
        )
    fit = sent.resemblance(rendered(picture.pixels))
    if fit.fault is not None:
        told = (
            "its colours have nothing in common with the upload's"
            if fit.edges is None
            else f"its edges correlate with the upload's at {fit.edges:.2f}, a faithful enlargement's at 0.9 or more"
        )
        raise PayloadError(
            f"expected an answer that shows what was sent; the vendor answered {fit.fault}: {told}. Look at the "
            "picture; tell the vendor if it mixes answers up"
        )
    return DrawnPicture(picture.pixels, picture.conversions, fit)


def output_size(task: Task, setup: Setup) -> tuple[int, int]:
    """Return (height, width) that the answer to `task` must have."""
    return task.upload.height * setup.procedure.scale, task.upload.width * setup.procedure.scale


def incomplete(unusable: Sequence[Outcome], *, local: bool) -> UnusableDrawsError:
    """Describe unusable draws, at least one. `local`: they are on this machine."""
    first = unusable[0]
    reason = str(first.error).removesuffix(".")
    several = len(unusable) > 1
    which = f"{len(unusable)} draws have" if several else "1 draw has"
    states = Counter(sorted(outcome.state for outcome in unusable))
    counts = ", ".join(f"{count} {state}" if several else state for state, count in states.items())
    paid = any(one.state == "invalid" or (one.state == "failed" and one.cost_usd > 0) for one in unusable)
    again = [
        *(["--retry-ambiguous"] if {"ambiguous", "expired"} & states.keys() else []),
        *(["--max-resample 1"] if paid else []),
    ]
    if local:
        advice = (
            "Put the right pictures in their place and run the same command again. If folders are swapped, name the "
            "photographs' first, and the answers' with -p path=FOLDER"
        )
    elif again:
        advice = (
            f"`blackbox-conformal ledger ls` lists them; the same command with {' '.join(again)} pays for them again"
        )
    else:
        advice = "The vendor billed nothing for them; the same command asks for them again"
    unanswered = [outcome.cost_usd for outcome in unusable if outcome.state == "ambiguous"]
    if unanswered and not local:
        advice += f". {may_be_billed(unanswered)}"
    pictures = list(dict.fromkeys(outcome.task.upload.name for outcome in unusable))
    of_several = f" Pictures: {names(pictures)}." if len(pictures) > 1 else ""
    return UnusableDrawsError(
        f"{which} no usable picture ({counts}); {'the first, ' * several}draw {first.task.index} of "
        f"{printable(first.task.upload.name)}{',' * several} {ENDED[first.state]}: {reason}.{of_several} {advice}"
    )


def drawn_pictures(
    sampler: Sampler,
    pictures: Sequence[Prepared],
    on_unusable: Callable[[Prepared, IncompleteError], None] | None = None,
    draw: InTurn = Sampler.draw,
) -> Iterator[Drawn]:
    """Give each picture once its last draw has arrived.

    `on_unusable` gets each picture that lacks a usable draw, instead of an error at the end; `draw` draws all tasks, in
    an order of its own.
    """
    owner = {(task.upload.digest, task.index): picture for picture in pictures for task in picture.tasks}
    waiting: dict[str, list[Outcome]] = {picture.input_digest: [] for picture in pictures}
    unusable: list[Outcome] = []
    tasks = [task for picture in pictures for task in picture.tasks]
    arriving = draw(sampler, tasks)
    if sampler.local and on_unusable is None:
        # Nothing is paid and little is read, so all missing draws are told at once.
        outcomes = list(arriving)
        missing = [outcome for outcome in outcomes if outcome.state not in ("stored", "refused")]
        if missing:
            raise incomplete(missing, local=True)
        arriving = iter(outcomes)
    for outcome in arriving:
        picture = owner[outcome.task.upload.digest, outcome.task.index]
        arrived = waiting[picture.input_digest]
        arrived.append(outcome)
        if len(arrived) < len(picture.tasks):
            continue
        del waiting[picture.input_digest]
        refusals = [outcome.error for outcome in arrived if outcome.state == "refused"]
        failed = [outcome for outcome in arrived if outcome.state not in ("stored", "refused")]
        if failed and on_unusable is not None:
            on_unusable(picture, incomplete(failed, local=sampler.local))
            continue
        unusable.extend(failed)
        reopened = sum(outcome.reopened for outcome in arrived)
        if refusals:
            refusal = refusals[0] or RefusedError("the vendor refused the picture")
            yield Drawn(picture, (), refusal, reopened, arrived[0].asked)
        elif not failed:
            in_order = tuple(sorted(arrived, key=lambda outcome: outcome.task.index))
            yield Drawn(picture, in_order, None, reopened, arrived[0].asked)
    if unusable:
        raise incomplete(unusable, local=False)


def map_pictures(
    drawn: Iterator[Drawn],
    work: Callable[[Drawn], Result],
    workers: int | None = None,
    *,
    memory_bytes: int | None = None,
    on_error: Callable[[Exception], None] | None = None,
) -> Iterator[tuple[Drawn, Result]]:
    """Run `work` on pictures in threads, at most `workers` in memory; give results in arrival order.

    `on_error`: Told at once of an error, in its thread, so that nothing more is bought; `drawn` must then end.
    `memory_bytes`: Memory limit, bytes: fewer large pictures at a time. None: no limit.
    """

    def told(picture: Drawn) -> Result:
        try:
            return work(picture)
        except Exception as error:
            if on_error is not None:
                on_error(error)
            raise

    workers = workers or evaluated_at_once()
    room = inf if memory_bytes is None else memory_bytes - BASE_BYTES
    with ThreadPoolExecutor(workers, thread_name_prefix="evaluate") as pool:
        pending: list[tuple[Drawn, Future[Result]]] = []
        try:
            for picture in drawn:
                refuse_beyond(picture.prepared.size, picture.prepared.name, memory_bytes)
                needed = picture_bytes(picture.prepared.size)
                while pending and sum(picture_bytes(waiting.prepared.size) for waiting, _ in pending) + needed > room:
                    ready, future = pending.pop(0)
                    yield ready, future.result()
                pending.append((picture, pool.submit(told, picture)))
                while len(pending) > workers:
                    ready, future = pending.pop(0)
                    yield ready, future.result()
            for ready, future in pending:
                yield ready, future.result()
        except Exception as error:
            if on_error is not None:
                on_error(error)
                # Draws under way are paid for, so let them end.
                for _ in drawn:
                    pass
            raise
        finally:
            for _, future in pending:
                future.cancel()


def must_differ(setup: Setup) -> bool:
    """Tell whether the score rests on the spread of several draws: equal draws would feign certainty."""
    return setup.procedure.draws > 1 and setup.score.minimum_draws > 1


def equal_draws(name: str, draws: int) -> AdapterError:
    """Describe a picture with equal draws."""
    return AdapterError(
        f"expected the {draws} draws of {printable(name)} to differ; the vendor answered "
        "the same picture every time, so a spread of zero would look like certainty. It is deterministic or serves "
        "a cache: set a seed parameter, add --perturbation dihedral, or take one draw: leave --draws and --score out"
    )


class EqualDraws:
    """A counter of draws, in any order and from any thread, each once."""

    def __init__(self, setup: Setup) -> None:
        # Under a perturbation draws are turned back before they are compared, which takes their pixels.
        self._draws = setup.procedure.draws if must_differ(setup) and setup.perturbation is None else 0
        self._first: dict[str, str] = {}
        self._equal: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, task: Task, digest: str) -> None:
        """Count a draw by its file's digest."""
        if not self._draws:
            return
        picture = task.upload.digest
        with self._lock:
            first = self._first.setdefault(picture, digest)
            equal = self._equal[picture] = self._equal.get(picture, 0) + (digest == first)
        # A picture of one colour has one answer.
        if equal == self._draws and not is_blank(sent_pixels(task.upload)):
            raise equal_draws(task.upload.name, self._draws)
