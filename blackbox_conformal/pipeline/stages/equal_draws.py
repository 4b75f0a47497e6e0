"""Notices that every draw of a picture is the same one, as soon as the last of them is there.

`evaluate` compares the pixels when it reads the draws; by then many more may have been bought. Equal files are seen
here while drawing.
"""

import threading

from blackbox_conformal.adapter import Upload
from blackbox_conformal.errors import AdapterError
from blackbox_conformal.images.names import printable
from blackbox_conformal.images.picture import is_blank
from blackbox_conformal.images.read import read_image
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.sampling.task import Task


def must_differ(setup: Setup) -> bool:
    """Whether the score rests on the spread of several draws, which equal ones would feign to be certain."""
    return setup.procedure.draws > 1 and setup.score.minimum_draws > 1


def may_be_equal(upload: Upload) -> bool:
    """Whether equal draws of this upload are no fault: a picture of one colour has one enlargement."""
    return is_blank(read_image(upload.png).pixels)


def equal_draws(name: str, draws: int) -> AdapterError:
    """What is said of a picture whose draws are all the same."""
    return AdapterError(
        f"expected the {draws} draws of {printable(name)} to differ; the vendor answered "
        "the same picture every time, so a spread of zero would look like certainty. It is deterministic or serves "
        "a cache: set a seed parameter, add --perturb dihedral, or choose a one-draw score with --draws 1"
    )


class EqualDraws:
    """Told of every draw that counts, in any order and from any thread; a draw is told of once."""

    def __init__(self, setup: Setup) -> None:
        # Under a perturbation draws are turned back before they are compared, which takes their pixels.
        self._draws = setup.procedure.draws if must_differ(setup) and setup.perturbation is None else 0
        self._first: dict[str, str] = {}
        self._equal: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, task: Task, digest: str) -> None:
        """Count a draw whose file has this digest.

        Raises
        ------
        AdapterError
            It was the last draw of its picture, which is not of one colour, and all of them are the same file.
        """
        if not self._draws:
            return
        picture = task.upload.digest
        with self._lock:
            first = self._first.setdefault(picture, digest)
            equal = self._equal[picture] = self._equal.get(picture, 0) + (digest == first)
        if equal == self._draws and not may_be_equal(task.upload):
            raise equal_draws(task.upload.name, self._draws)
