"""How many visits a change takes to be found, as `examples/watch_rates.py` measured it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """Visits from a change to the alarm; None: more than 100.

    Attributes
    ----------
    canaries
        Pictures at a visit, with four reference draws each; the change comes after 30 visits.
    shift
        How far it moves a feature, in standard deviations of the vendor's own draws.
    """

    canaries: int
    shift: float
    median: int | None
    ninety: int | None


SPEEDS = (
    Speed(4, 0.5, None, None),
    Speed(4, 1.0, 12, 21),
    Speed(4, 2.0, 7, 8),
    Speed(4, 5.0, 6, 6),
    Speed(8, 0.5, 25, None),
    Speed(8, 1.0, 6, 9),
    Speed(8, 2.0, 4, 4),
    Speed(8, 5.0, 3, 3),
    Speed(16, 0.5, 12, 20),
    Speed(16, 1.0, 4, 5),
    Speed(16, 2.0, 2, 2),
    Speed(16, 5.0, 2, 2),
)


def speeds(canaries: int) -> tuple[Speed, ...]:
    """Those of the largest number of canaries that was measured and is not above `canaries`; none below the least."""
    measured = [speed.canaries for speed in SPEEDS if speed.canaries <= canaries]
    return tuple(speed for speed in SPEEDS if measured and speed.canaries == max(measured))


def speed_of(canaries: int, shift: float) -> Speed | None:
    """That of the largest shift that was measured and is not above the size of `shift`; None below the least."""
    return max(
        (speed for speed in speeds(canaries) if speed.shift <= abs(shift)), key=lambda it: it.shift, default=None
    )
