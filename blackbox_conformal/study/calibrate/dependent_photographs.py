"""Ask whether photographs are crops or a burst of the same ones, by their names, times and inputs.

Parts of one photograph must not count as independent pictures. Names that differ only in a final number or letter are
common, so a further sign is needed: shots within a second, or inputs more alike within names than between. For the
latter statistics and mean colours are ranked over all photographs, the squared rank sums of names are added up (Kruskal
and Wallis 1952), and the sum is compared with sums of names dealt out at random, which is exact (Phipson & Smyth 2010).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.input_shift import centred_ranks
from blackbox_conformal.method.audits.permutation import random_orders
from blackbox_conformal.method.images.metadata import time_shot
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.support.text import printable

_LAST = re.compile(r"(?:\d+|(?<=[\d _.-])[A-Za-z])\)?$")
"""A number at the end, or a letter after a number or a separator."""

LEVEL, PERMUTATIONS = 0.001, 1999
FEWEST_NAMES = 3
"""With fewer, two cameras or two places would do."""

BURST = timedelta(seconds=1)
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Question:
    """Photographs that may be parts of the same ones, by name, and the sign that tells so."""

    groups: tuple[tuple[str, ...], ...]
    sign: str

    @property
    def words(self) -> str:
        """Ask, naming the first few."""
        shown = ["/".join(map(printable, names[:SHOWN])) + "/…" * (len(names) > SHOWN) for names in self.groups[:SHOWN]]
        more = f" and {len(self.groups) - SHOWN} more" if len(self.groups) > SHOWN else ""
        return (
            f"are these parts of the same photographs, or bursts? {', '.join(shown)}{more}: {self.sign}. Each counts "
            "as an independent photograph"
        )


def question_of(pictures: Sequence[Prepared]) -> Question | None:
    """Return what to ask about these photographs; None where nothing suggests parts of the same ones."""
    named = [_LAST.sub("", picture.name) for picture in pictures]
    members = defaultdict(list)
    for name, picture in zip(named, pictures, strict=True):
        members[name].append(picture)
    several = [group for group in members.values() if len(group) > 1]
    at_once = []
    for group in several:
        timed = [(time_shot(one.path), one.name) for one in group if one.path is not None]
        known = sorted((time, name) for time, name in timed if time is not None)
        # Only neighbours in time need be compared.
        pairs = [(one[1], next_one[1]) for one, next_one in pairwise(known) if next_one[0] - one[0] <= BURST]
        at_once.append(tuple(dict.fromkeys(name for pair in pairs for name in pair)))
    if any(at_once):
        return Question(tuple(filter(None, at_once)), "they were shot within a second of each other")
    largest = max(Counter(named).values(), default=0)
    # With few names, or one that covers half of the photographs, a difference may have many reasons.
    if len(several) < FEWEST_NAMES or 2 * largest > len(pictures) or _p_value(pictures, named) > LEVEL:
        return None
    groups = tuple(tuple(picture.name for picture in group) for group in several)
    return Question(groups, "those of like names are more alike than chance explains")


def _p_value(pictures: Sequence[Prepared], named: Sequence[str]) -> float:
    names, group = np.unique(named, return_inverse=True)
    members = (np.arange(len(names))[:, None] == group).astype(np.float64)
    sizes = members.sum(axis=1, keepdims=True)
    colours = [picture.sketch.thumbnail.reshape(-1, 3).mean(axis=0, dtype=np.float32) for picture in pictures]
    seen = [np.concatenate([one.statistics.values[0], mean]) for one, mean in zip(pictures, colours, strict=True)]
    ranks = centred_ranks(np.stack(seen)).astype(np.float64)

    def between(orders: NDArray[np.int64]) -> NDArray[np.float64]:
        # Squared rank sums by size, as in Kruskal and Wallis (1952), summed over all features.
        found: NDArray[np.float64] = ((members @ ranks[orders]) ** 2 / sizes).sum(axis=(1, 2))
        return found

    # Sums of the same ranks in another order may differ by rounding.
    least = between(np.arange(len(group))[None])[0] * (1 - 1e-12)
    as_large = sum(int((between(orders) >= least).sum()) for orders in random_orders(len(group), PERMUTATIONS, 0))
    return (1 + as_large) / (1 + PERMUTATIONS)
