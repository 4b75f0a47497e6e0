"""How many requests a vendor takes in a time, as its documents say or a person types it."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from blackbox_conformal.errors import UsageError

Purpose = Literal["submit", "poll", "download", "lookup", "quote", "cancel"]

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_FORM = re.compile(rf"(\d{{1,9}})/({'|'.join(_SECONDS)})(?: ({'|'.join(get_args(Purpose))}))?")
_LONGEST_S = 86400.0


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in any `seconds` (at most a day), for one `purpose` or (None) for all."""

    count: int
    seconds: float
    purpose: Purpose | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or not (math.isfinite(self.seconds) and 0 < self.seconds <= _LONGEST_S):
            raise UsageError(
                f"expected a rate of at least 1 request in above 0 and at most {_LONGEST_S:g} seconds; got {self.count}"
                f" in {self.seconds:g}"
            )

    @classmethod
    def of_text(cls, text: str) -> "Rate":
        """Read a rate such as ``50/hour`` or ``100/hour poll``; any other text is a `UsageError`."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise UsageError(
                "expected a rate such as 5/second, 50/hour or 900/day, and after it a purpose such as submit or poll if"
                f" it holds for those requests only; got {text!r}"
            )
        count, unit, purpose = found.groups()
        return cls(int(count), _SECONDS[unit], purpose)  # type: ignore[arg-type]

    def __str__(self) -> str:
        unit = next((name for name, seconds in _SECONDS.items() if seconds == self.seconds), f"{self.seconds:g} s")
        return f"{self.count}/{unit}{f' {self.purpose}' if self.purpose else ''}"

    @property
    def kept_seconds(self) -> float:
        """Return the time in which at most `count` requests are sent: 1 % and up to a second longer than `seconds`.

        A vendor counts requests when they arrive, and some travel longer than later ones.
        """
        return self.seconds * 1.01 + min(1.0, self.seconds / 4)

    def counts(self, purpose: Purpose) -> bool:
        """Tell whether the rate limits requests of this purpose."""
        return self.purpose in (None, purpose)

    def least_seconds(self, requests: int) -> float:
        """Return the least seconds from the first to the last of `requests` requests."""
        return (requests - 1) // self.count * self.seconds if requests else 0.0


def least_seconds(rates: Iterable[Rate], submissions: int, polls: int) -> float | None:
    """Return the least seconds for all submissions and polls under the strictest rate; None without rates."""
    counts: dict[Purpose, int] = {"submit": submissions, "poll": polls}
    return max(
        (rate.least_seconds(sum(n for purpose, n in counts.items() if rate.counts(purpose))) for rate in rates),
        default=None,
    )
