"""What lies beyond the border of a map: its own pixels, reflected (d c b a | a b c d | d c b a).

Everything that averages uses this one rule; a border of zeros would cut an error in a corner to a quarter.
"""

from blackbox_conformal.method.kernels._jit import kernel


@kernel
def reflected(index: int, length: int) -> int:
    """The pixel shown at `index`, reflected as often as it takes to land in [0, length)."""
    # The pattern repeats after the row and its mirror image, hence 2 `length`; Python's remainder is never negative.
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index
