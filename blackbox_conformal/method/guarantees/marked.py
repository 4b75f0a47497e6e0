"""On average at least a share 1 - alpha of the invented detail is hatched: a bound on the false negative rate."""

from typing import ClassVar

from pydantic import Field

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve import MOST_PIXELS, Kind
from blackbox_conformal.support.wording import complement, exactly, percent

CEILING = 0.9
"""The largest threshold where scores are shares: a pixel whose score says nine tenths invented is never clear."""


class OfDetail(Expected):
    """``E[ L_new(t) ] <= alpha`` for a share L of detail, in [0, 1]; parameters of `Expected` but bound_from.

    `ceiling`: No pixel with at least this score is clear, whatever the level; must be the curves' ceiling. Above it the
      loss counts as 1, so that it never falls and no level below 1 allows it.
    `largest_error`: A level at which the same mask also keeps `Expected` for the calibration's metric; None: none. The
      threshold is the smaller of the two, and neither loss ever falls, so both hold.
    """

    curve_parameter: ClassVar[str] = "ceiling"
    unsaid: ClassVar[tuple[str, ...]] = (*Expected.unsaid, "largest_error")
    theorem: ClassVar[str] = "Angelopoulos, Bates, Fisch, Lei and Schuster (2024), Theorem 1, with B = 1"
    refused: ClassVar[dict[str, str]] = dict.fromkeys(
        ("delta", "confidence"),
        "it bounds a mean, also over calibration sets. Of single pictures --guarantee per-image:of=marked speaks, of "
        "one calibration --guarantee high-probability:of=marked",
    )

    ceiling: float = Field(default=CEILING, allow_inf_nan=False)
    largest_error: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[0.3])

    @property
    def beside(self) -> tuple[Guarantee, float] | None:
        """Return `Expected` at `largest_error`, for the same photographs."""
        if self.largest_error is None:
            return None
        same = {name: getattr(self, name) for name in Expected.model_fields.keys() & self.model_fields_set}
        return Expected(**same), self.largest_error

    def _promised(self, alpha: float, error: str) -> str:
        if self.beside is None:
            return self.within(alpha, error)
        rule, level = self.beside
        assert isinstance(rule, Expected)
        return f"{self.within(alpha, error)}, and {rule.within(level, error)}"

    @property
    def definitions(self) -> tuple[str, ...]:
        return (
            "Detail is what differs from plain enlargement of the input and is no wide cast of colour; it counts by "
            "its energy, the square of the difference.",
            f"No pixel is clear whose score is {exactly(self.ceiling)} or more.",
        )


COUNTED = (
    f"One grey level of detail at each pixel, of a larger picture at {MOST_PIXELS} of its pixels, is counted as "
    "invented and hatched."
)
COUNTED_BEFORE = "One grey level of detail at each pixel is counted as invented and hatched."
"""The words in certificates of earlier versions."""


class MarkedInvention(OfDetail):
    """At most a share alpha of what the vendor invented or removed is clear, on average; the rest is hatched.

    ``L(t)``: energy invented where score < t, over all invented energy plus a square grey level a pixel.

    At most `MOST_PIXELS` of these grey levels count. The energies are >= 0 and their pixels only grow with t, so L
    never falls, is left-continuous and lies in [0, 1].
    """

    curve_kind: ClassVar[Kind] = "marked"
    own_bound_refused: ClassVar[str] = "an error, and not how much of the invented detail is trusted"

    def within(self, alpha: float, error: str = "error") -> str:
        return f"at least {percent(complement(alpha))} % of the detail that the vendor invented or removed is hatched"

    def briefly(self, alpha: float, error: str = "error") -> str:
        return f"at least {percent(complement(alpha))} % of detail invented or removed is hatched"

    @property
    def left_open(self) -> str:
        return (
            "The clear part may lack detail that the input does not show, and a picture with hardly any invention "
            "counts as hatched enough."
        )

    @property
    def definitions(self) -> tuple[str, ...]:
        return (*super().definitions, COUNTED)

    def loss_in_words(self, error: str = "error") -> str:
        return "the share of invented detail that lies in the clear part of the picture"


PLUGIN = MarkedInvention
