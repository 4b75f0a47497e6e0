"""Pictures of a second vendor, for scores that compare with one: one paid draw of each input, in the same run folder.

The same ledger and the same limits hold for both vendors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.ledger.backends import store_of
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.open_run import AnyRun
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import ENDED, Outcome, Task
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.method.images.making_inputs import upload_from
from blackbox_conformal.method.images.read import read_image, read_output
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image


@dataclass(frozen=True, slots=True)
class SecondOpinions:
    """What the second vendor made of each picture.

    Attributes
    ----------
    outcomes
        Its one draw of each picture, by the digest of the picture's input; none when none is needed.
    read
        The file of a draw.
    """

    setup: Setup
    outcomes: Mapping[str, Outcome]
    read: Callable[[Outcome], bytes]

    def of(self, picture: Prepared) -> Image | None:
        """(H, W, 3) uint8; None when none is needed."""
        outcome = self.outcomes.get(picture.input_digest)
        return None if outcome is None else second_picture(self.setup, self.read(outcome), outcome.task)


def second_picture(setup: Setup, content: bytes, task: Task) -> Image:
    """The picture in a file of the second vendor, (H, W, 3) uint8; errors as for `read_output`."""
    assert setup.second is not None
    kind, scale = setup.second.capabilities.output_size, setup.procedure.scale
    size = (task.upload.height * scale, task.upload.width * scale)
    return read_output(content, size, resample=kind == "resample", any_scale=kind == "any").pixels


def second_tasks(setup: Setup, pictures: Sequence[Prepared]) -> dict[str, Task]:
    """The second vendor's one draw of each picture, by the digest of its input; none when no second is needed."""
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
) -> Iterator[SecondOpinions]:
    """One draw of the second vendor for each picture, paid for at once; `shared`: see `Sampler`."""
    vendor = setup.second
    if vendor is None:
        yield SecondOpinions(setup, {}, _nothing)
        return

    def check(content: bytes, task: Task) -> None:
        second_picture(setup, content, task)

    tasks = second_tasks(setup, pictures)
    picture_of = {task.upload.digest: digest for digest, task in tasks.items()}
    outcomes: dict[str, Outcome] = {}
    with Sampler(vendor, run, limits, check=check, listener=listener, shared=shared) as sampler:
        on_sampler(sampler)
        for outcome in sampler.draw(list(tasks.values())):
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


def _nothing(outcome: Outcome) -> NoReturn:
    raise AssertionError(outcome)
