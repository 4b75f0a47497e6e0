"""Any other guarantee within pictures whose median scores lie together, so that it holds for low and for high ones."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from blackbox_conformal.method.guarantees.by_group import ByGroup

NAMES = {
    2: ("lower half", "higher half"),
    3: ("lowest third", "middle third", "highest third"),
    4: ("lowest quarter", "second quarter", "third quarter", "highest quarter"),
}
"""The groups by their number, from the lowest scores on."""

Key = tuple[float, str]
"""What groups a picture: the median of its scores, and the digest of its input, which orders equal medians."""


class ByMedianScore(ByGroup):
    """Another guarantee, `of`, within the pictures whose median scores lie together.

    `ByGroup` by where a picture's median score lies among those of the calibration photographs. The photographs at the
    cuts calibrate no group, so that the cuts depend on no photograph that calibrates.
    """

    kind: ClassVar[str] = "pictures in the"
    fixed: ClassVar[str] = (
        "A picture's group follows from its input and its answer alone; the photographs at the cuts between groups "
        "calibrate none."
    )

    @property
    def pictures(self) -> str:
        return f"pictures in the {self.group_new} by median score"

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        # What it is conditional on, and that no other part is worse off.
        among = f"Among {self.pictures}"
        return (
            super()
            .statement(alpha, n, error)
            .replace(among, f"{among} of the calibration photographs, and likewise in each other part", 1)
        )

    @property
    def compared_group(self) -> None:
        """Return None: the group is known once the answer was looked at."""
        return


def groups_of(keys: Sequence[Key], count: int) -> list[str | None]:
    """Return each calibration photograph's group, one of `NAMES`; None for the photograph at each cut."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    # With the new picture, n + 1 lie in blocks of one length. The last calibration photograph of a block is the cut.
    cuts = [place for part in range(1, count) if (place := (len(keys) + 1) * part // count - 1) >= 0]
    found: list[str | None] = [None] * len(keys)
    for place, index in enumerate(order):
        if place not in cuts:
            found[index] = NAMES[count][bisect_left(cuts, place)]
    return found


def group_of(key: Key, cuts: Sequence[Key], count: int) -> str:
    """Return the group of a new picture; `cuts`: the keys of the photographs at the cuts."""
    return NAMES[count][bisect_left(sorted(cuts), key)]


def in_smallest(n: int, count: int) -> int:
    """Return how many of `n` photographs calibrate the smallest of `count` groups; all of them without groups."""
    return max(0, (n + 1) // count - 1)


def for_each(needed: int, count: int) -> int:
    """Return the fewest photographs of which each of `count` groups has at least `needed`."""
    return count * (needed + 1) - 1


PLUGIN = ByMedianScore
