"""How many visits a change takes to be found, as `examples/watch_rates.py` measured it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """Visits from a change to the alarm; None: more than 100.

    Attributes
    ----------
    canaries
        Pictures at a visit; the change comes after 30 visits.
    shift
        How far it moves a feature, in standard deviations of the vendor's own draws.
    """

    canaries: int
    shift: float
    median: int | None
    ninety: int | None


SPEEDS = (
    Speed(4, 0.5, None, None),
    Speed(4, 1.0, 24, None),
    Speed(4, 2.0, 6, 9),
    Speed(4, 5.0, 6, 6),
    Speed(8, 0.5, None, None),
    Speed(8, 1.0, 9, 17),
    Speed(8, 2.0, 6, 6),
    Speed(8, 5.0, 6, 6),
    Speed(16, 0.5, 22, None),
    Speed(16, 1.0, 6, 9),
    Speed(16, 2.0, 6, 6),
    Speed(16, 5.0, 6, 6),
)


def speeds(canaries: int) -> tuple[Speed, ...]:
    """Those of the largest number of canaries that was measured and is not above `canaries`; none below the least."""
    measured = [speed.canaries for speed in SPEEDS if speed.canaries <= canaries]
    # Numbers between those that were measured would be invented.
    return tuple(speed for speed in SPEEDS if measured and speed.canaries == max(measured))


def speed_of(canaries: int, shift: float) -> Speed | None:
    """That of the largest shift that was measured and is not above the size of `shift`; None below the least."""
    return max(
        (speed for speed in speeds(canaries) if speed.shift <= abs(shift)), key=lambda it: it.shift, default=None
    )
