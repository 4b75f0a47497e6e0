"""Pictures of a second vendor, for scores that compare with one: one paid draw of each input, in the same run folder.

The same ledger and the same limits hold for both vendors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.images.degrade import upload_from
from blackbox_conformal.images.read import read_image, read_output
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.ledger.places import store_of
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.open_run import OpenRun
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import ENDED, Outcome, Task
from blackbox_conformal.text import printable
from blackbox_conformal.types import Image

SecondOpinions = Callable[[Prepared], Image | None]
"""From a picture to what the second vendor made of it, (H, W, 3) uint8; None everywhere when none is needed."""


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
    shared: OpenRun | None = None,
) -> Iterator[SecondOpinions]:
    """One draw of the second vendor for each picture, paid for at once; `shared`: see `Sampler`.

    Raises
    ------
    IncompleteError
        The second vendor refused a picture, or a draw of it is missing.
    """
    vendor = setup.second
    if vendor is None:
        yield lambda _: None
        return
    capabilities = vendor.capabilities
    resample, any_scale = capabilities.output_size == "resample", capabilities.output_size == "any"
    scale = setup.procedure.scale

    def decode(content: bytes, task: Task) -> Image:
        size = (task.upload.height * scale, task.upload.width * scale)
        return read_output(content, size, resample=resample, any_scale=any_scale).pixels

    def check(content: bytes, task: Task) -> None:
        decode(content, task)

    tasks = second_tasks(setup, pictures)
    outcomes: dict[str, Outcome] = {}
    with Sampler(vendor, run, limits, check=check, listener=listener, shared=shared) as sampler:
        on_sampler(sampler)
        for outcome in sampler.draw(list(tasks.values())):
            if outcome.state != "stored":
                raise IncompleteError(
                    f"the second vendor's picture of {printable(outcome.task.upload.name)} "
                    f"{ENDED[outcome.state]}: {outcome.error}. Run again, or leave the photograph out"
                )
            outcomes[outcome.task.upload.digest] = outcome
        if capabilities.local:

            def read_here(picture: Prepared) -> Image:
                task = tasks[picture.input_digest]
                return decode(sampler.read(outcomes[task.upload.digest]), task)

            yield read_here
            return
    with closing(store_of(run)) as store:

        def read(picture: Prepared) -> Image:
            task = tasks[picture.input_digest]
            return decode(store.read(outcomes[task.upload.digest].digest or ""), task)

        yield read
