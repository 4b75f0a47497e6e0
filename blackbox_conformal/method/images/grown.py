"""A mask and what lies close around it."""

from blackbox_conformal.support.types import Mask


def grown(mask: Mask, steps: int) -> Mask:
    """`mask`, (H, W) bool, and every pixel that is at most `steps` steps to a side, up or down away from it."""
    wider = mask
    for _ in range(steps):
        inner, wider = wider, wider.copy()
        wider[1:] |= inner[:-1]
        wider[:-1] |= inner[1:]
        wider[:, 1:] |= inner[:, :-1]
        wider[:, :-1] |= inner[:, 1:]
    return wider
