"""Which photographs calibrate and which are kept unseen: fixed by content alone, before anything is drawn.

The unit is the photograph, so that no part of one stands on both sides.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from blackbox_conformal.study.stages.prepare import Prepared

Item = TypeVar("Item")


def split(
    photographs: Sequence[Item], held_out: int, seed: int = 0, *, digest: Callable[[Item], str]
) -> tuple[list[Item], list[Item]]:
    """`photographs` without `held_out` of them, and those, chosen by a hash of seed and `digest` of the content.

    The choice depends neither on names nor on order, so renaming files cannot move one across the split.
    """
    if not 0 <= held_out <= len(photographs):
        raise ValueError(f"expected to hold out 0 to {len(photographs)} photographs; got {held_out}")
    ranked = sorted(photographs, key=lambda item: hashlib.sha256(f"split {seed} {digest(item)}".encode()).digest())
    return ranked[held_out:], ranked[:held_out]


def split_prepared(pictures: Sequence[Prepared], held_out: int, seed: int) -> tuple[list[Prepared], list[Prepared]]:
    """The same for prepared pictures, by their high-resolution versions, whatever a vendor is sent."""
    return split(pictures, held_out, seed, digest=lambda picture: picture.truth_digest or picture.input_digest)
