"""Which photographs calibrate and which are kept unseen: fixed by content alone, before anything is drawn.

The unit is the photograph, so that no part of one stands on both sides.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from blackbox_conformal.pipeline.stages.prepare import Prepared


class Identified(Protocol):
    """Anything with the digest of its pixels."""

    @property
    def digest(self) -> str:
        """Identity of the content."""


Item = TypeVar("Item", bound=Identified)


def split(photographs: Sequence[Item], held_out: int, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """`photographs` without `held_out` of them, and those, chosen by a hash of seed and content.

    The choice depends neither on names nor on order, so renaming files cannot move one across the split.
    """
    if not 0 <= held_out <= len(photographs):
        raise ValueError(f"expected to hold out 0 to {len(photographs)} photographs; got {held_out}")
    ranked = sorted(
        photographs, key=lambda photograph: hashlib.sha256(f"split {seed} {photograph.digest}".encode()).digest()
    )
    return ranked[held_out:], ranked[:held_out]


@dataclass(frozen=True, slots=True)
class _Photograph:
    prepared: Prepared
    digest: str


def split_prepared(pictures: Sequence[Prepared], held_out: int, seed: int) -> tuple[list[Prepared], list[Prepared]]:
    """The same for prepared pictures, by their high-resolution versions, whatever a vendor is sent."""
    photographs = [_Photograph(picture, picture.truth_digest or picture.input_digest) for picture in pictures]
    calibrating, unseen = split(photographs, held_out, seed)
    return [photograph.prepared for photograph in calibrating], [photograph.prepared for photograph in unseen]
