"""Fit a cascade that draws or pays more until a floor is reached, on photographs that do not calibrate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.certificate import MISS_RATE
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.risk.whole_errors import LEAST, WholeErrors, foretold_psnr, squared_error
from blackbox_conformal.study.from_keywords import named_keywords, setup_of, terms_of
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.pictures_in_memory import Photographs, photograph_paths, photographs_as_files
from blackbox_conformal.study.plugins import cascade
from blackbox_conformal.study.run_folder import run_folder
from blackbox_conformal.study.settings_table import CascadeSettings
from blackbox_conformal.study.stages.evaluate import decoded_draws
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import known_picture
from blackbox_conformal.study.unseen_photographs import note_looked_at
from blackbox_conformal.support.blocks import Block, Faces, Facts
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.text import counted
from blackbox_conformal.vendor.adapter import FORETOLD_PSNR, Adapter

ALL = 1e30  # A PSNR that no answer reaches; every answer exceeds its negative.


@dataclass(frozen=True, slots=True, repr=False)
class FloorFit(Faces):
    """The cascade that goes on until a floor is reached, and its results on the photographs.

    Attributes
    ----------
    vendor
        What to calibrate, on other photographs.
    floor, limit
        The PSNR to reach, and the foretold PSNR that suffices, in dB.
    reached
        Photographs whose certified PSNR reaches the floor.
    answered
        Photographs that each vendor answered, in order.
    """

    vendor: Adapter
    floor: float
    limit: float
    reached: int
    answered: tuple[int, ...]

    @property
    def rules(self) -> tuple[dict[str, Any], ...]:
        """Return the rules as `bc.cascade` takes them."""
        return _rules(self.limit, self.answered)

    @property
    def toml(self) -> str:
        """Return the floor, first in cascade.toml, and the rules, last."""
        same = f'\n[[rules]]\nscore = "{FORETOLD_PSNR}"\nat_least = {self.limit!r}\n'
        rules = "".join(f"{same}passed_on = {rule['passed_on']}\n" for rule in self.rules)
        return f"floor = {self.floor!r}\n{rules}"

    @property
    def mean_draws(self) -> float:
        """Return the mean number of draws a photograph."""
        return sum(place * n for place, n in enumerate(self.answered, 1)) / sum(self.answered)

    def __repr__(self) -> str:
        return (
            f"<FloorFit of {self.floor:g} dB: {self.reached} of {sum(self.answered)} photographs reach it, "
            f"{self.mean_draws:.2f} draws each>"
        )

    def blocks(self) -> Iterator[Block]:
        """Show the rule, how many photographs reach the floor, and how many draws that took."""
        answered = ", ".join(f"{n} after {counted(place, 'draw')}" for place, n in enumerate(self.answered, 1))
        n = sum(self.answered)
        yield Facts(
            {
                "rule": f"{FORETOLD_PSNR} at least {self.limit:.2f} dB",
                "answered": f"{answered}: {self.mean_draws:.2f} draws a photograph",
                "reached": f"{self.reached} of {n} have a certified PSNR of at least {self.floor:g} dB",
            },
            {
                "floor": self.floor,
                "limit": self.limit,
                "answered": self.answered,
                "mean_draws": self.mean_draws,
                "reached": self.reached,
                "n": n,
            },
        )


class DrawnErrors(NamedTuple):
    """Foretold and true errors of n photographs by k vendors, (n, k) each."""

    # The foretold PSNR that the rule looks at; -inf for an answer that goes on in any case.
    figures: NDArray[np.float64]
    # Mean squared error of the delivered picture from the truth, and from the known picture.
    errors: NDArray[np.float64]
    known: NDArray[np.float64]

    def places(self, limit: float) -> NDArray[np.intp]:
        """Return which answer is delivered, (n,): the first that suffices, or else the last."""
        suffices = self.figures >= limit
        suffices[:, -1] = True
        found: NDArray[np.intp] = suffices.argmax(axis=1)
        return found

    def certified(self, limit: float) -> NDArray[np.float64]:
        """Return the PSNR in dB that these photographs would certify, (n,)."""
        rows, places = np.arange(len(self.figures)), self.places(limit)
        errors, known = self.errors[rows, places], self.known[rows, places]
        whole = WholeErrors(np.repeat(np.stack([errors, known], axis=1)[:, :, None], 3, axis=2))
        bounds: NDArray[np.float64] = np.sqrt(known) * whole.largest_ratios(MISS_RATE)[0]
        psnr: NDArray[np.float64] = -10 * np.log10(np.maximum(bounds, 1e-10))
        return psnr

    def limit(self, floor: float) -> float:
        """Return the smallest foretold PSNR at which every sufficient answer is certified to reach the floor."""
        earlier = self.figures[:, :-1]
        limits = np.unique(earlier[np.isfinite(earlier)])
        least = np.array([self.certified(limit)[(earlier >= limit).any(axis=1)].min() for limit in limits])
        if not (least >= floor).any():
            best = math.floor(100 * max(least, default=-math.inf)) / 100 if np.isfinite(least).any() else None
            cure = "Give 9 photographs or more" if best is None else f"Give floor={best} or less"
            raise UsageError(
                f"expected a floor that answers before the last are certified to reach; got {floor:g} dB. {cure}, or "
                "other vendors"
            )
        return float(limits[np.argmax(least >= floor)])


@named_keywords
@photographs_as_files("photographs")
def fit_floor(
    vendors: Sequence[Adapter], photographs: Photographs, floor: float, **settings: Unpack[CascadeSettings]
) -> FloorFit:
    """Fit the rule of a cascade that goes on until a floor is reached, on photographs that will not calibrate.

    Every vendor draws each photograph once. The run folder notes the photographs, so that `calibrate` refuses them.

    Parameters
    ----------
    vendors
        Two or more, the cheapest first; ``[vendor] * 3`` draws up to three times.
    photographs
        Files and folders, or pictures in memory, as for `calibrate`.
    floor
        PSNR in dB that certificates are to state of delivered pictures.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`.
    """
    last = len(vendors) - 1
    asks = []
    for place in range(last + 1):
        rules = [{"score": FORETOLD_PSNR, "at_least": ALL if each < place else -ALL} for each in range(last)]
        asks.append(setup_of(cascade(*vendors, rules=rules), settings))
    setup = asks[last]
    terms = terms_of(run_folder(Path("runs"), setup.procedure), settings)
    job = Job.of_photographs(setup, photograph_paths(photographs), terms)
    job.confirm()
    # The last first, for which all are drawn.
    looks = [asked.gathered("fitting", _look) for asked in (job, *map(job.chosen, reversed(asks[:last])))]
    seen = [{drawn.prepared.input_digest: figures for drawn, figures in look} for look in looks]
    note_looked_at(job.folder, job.pictures, specification_text(setup.score))
    table = np.array([[each[name] for each in reversed(seen)] for name in seen[0]])
    answers = DrawnErrors(*np.moveaxis(table, 2, 0))
    limit = answers.limit(floor)
    answered = tuple(np.bincount(answers.places(limit), minlength=last + 1).tolist())
    fitted = cascade(*vendors, rules=_rules(limit, answered), floor=floor)
    return FloorFit(fitted, floor, limit, int((answers.certified(limit) >= floor).sum()), answered)


def _rules(limit: float, answered: Sequence[int]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"score": FORETOLD_PSNR, "at_least": limit, "passed_on": [sum(answered[place + 1 :]), sum(answered[place:])]}
        for place in range(len(answered) - 1)
    )


def _look(ready: Ready) -> tuple[float, float, float]:
    setup, drawn = ready.setup, ready.drawn
    if drawn.refusal is not None:
        return -math.inf, math.inf, 1.0
    truth, low = ready.truth_and_input("fitted on")
    picture = next(decoded_draws(drawn, setup, ready.read, low))
    delivered = setup.delivered(picture, low)
    context = setup.context(delivered, low, None)
    known = known_picture(context, setup.score.reference_degraded, setup.procedure.mixture)
    # If another vendor answered, the vendor asked before it refused.
    asked = sum(rule["at_least"] > 0 for rule in setup.procedure.vendor["parameters"]["rules"])
    figure = foretold_psnr(squared_error(known, picture)) if drawn.outcomes[0].member == asked else -math.inf
    return figure, squared_error(truth, delivered), squared_error(known, delivered) + float(LEAST[0])
