"""What one visit found, layer by layer, and what that comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Layer = Literal["identity", "pixels", "canaries", "harm", "inputs", "answers"]
"""What the vendor says of itself; answers to equal requests; answers of a vendor that varies; the risk itself; inputs
of the pictures that are masked, and the answers to them."""

Verdict = Literal["same", "note", "changed", "above", "cannot tell", "not watched"]
"""``note``: a difference that is no alarm. ``changed``: the vendor is not what was calibrated. ``above``: the risk is
above what the guarantee allows. Only harm is ``above``, and harm is never ``changed``: they are two statements."""

State = Literal["watched", "suspended", "void", "accepted"]
"""Of a calibration. ``suspended``: its vendor changed, so that its guarantee is not known to hold. ``void``: its risk
is above what it allows. ``accepted``: somebody said why it is used nevertheless."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one layer found.

    Attributes
    ----------
    statement
        One sentence for people.
    value
        The figure behind it: the wealth of a martingale or of bets, or the largest difference of pixels, 0 to 255;
        None where there is none.
    """

    layer: Layer
    verdict: Verdict
    statement: str
    value: float | None = None


def state_after(findings: Sequence[Finding], before: State) -> State:
    """The calibration's state after a visit that found this."""
    verdicts = {finding.verdict for finding in findings}
    # Above comes first: a risk that is too high is worse than a vendor that changed.
    if "above" in verdicts:
        return "void"
    return "suspended" if "changed" in verdicts else before


def outcome(findings: Sequence[Finding]) -> Literal["same", "changed", "cannot tell"]:
    """What the visit comes to; it could not tell where a layer that is watched could not."""
    verdicts = {finding.verdict for finding in findings}
    if {"changed", "above"} & verdicts:
        return "changed"
    # A layer that could not tell is never taken for one that found nothing.
    return "cannot tell" if "cannot tell" in verdicts else "same"
