"""Tell whether the answers to a batch of pictures are like the answers to the calibration's photographs.

A vendor that changes without a word breaks the guarantee unseen. Four comparisons cost nothing: how much the answers
show of the input, how far they are from it, how much of each picture is trusted, and how well its detail agrees with
the free reference. The last one catches a vendor that knows the score and adds the reference's detail to its
inventions.

Under exchangeability the batch's m pictures are a random choice among all n + m. So the number of them among the K most
extreme is hypergeometric, and its upper tail is an exact p-value. Each of five measurements is tested at a fifth of
`FALSE_ALARMS` (Bonferroni). Equal values count as less extreme.
"""

from collections.abc import Sequence
from math import comb, floor

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.risk.answers import Answers

FALSE_ALARMS = 0.01  # Probability that a batch of pictures like the calibration's is called another.
MEASUREMENTS = 5  # How many measurements are tested, at most.
_Values = NDArray[np.float64]


_Side = tuple[_Values, _Values, str]
"""One way in which answers can differ: known and new values, the larger the more suspicious, and words."""


def drift(known: Answers, new: Answers, thresholds: Sequence[float], part: float = 1.0) -> str | None:
    """Say how the answers `new` differ from `known`, the answers to the calibration's photographs; None: they do not.

    `thresholds` make the masks; the one at which the calibration trusts most nearly a half tells most. `part` is the
    part of the false alarms that may be used.
    """
    sides = _sides(known, new, thresholds)
    found = [said for of_known, of_new, said in sides if p_value(of_known, of_new) <= part * FALSE_ALARMS / len(sides)]
    if not found:
        return None
    which = "answer to this picture is" if len(new) == 1 else f"answers to these {len(new)} pictures are"
    return (
        f"the {which} not like those to the calibration's {len(known)} photographs: "
        + "; ".join(found)
        + f". By chance this happens to at most {FALSE_ALARMS:.0%} of such batches. The vendor or the kind of picture "
        "has changed, and the guarantee is for pictures and answers like the calibration's: look at the pictures, "
        "audit, or calibrate again"
    )


def p_value(known: _Values, new: _Values) -> float:
    """Return the exact p-value of `new` being exchangeable with `known`, against being larger; 1 where one is empty."""
    known, new = known[~np.isnan(known)], new[~np.isnan(new)]
    n, m = len(known), len(new)
    if n == 0 or m == 0:
        return 1.0
    # Enough places for a whole batch; for a small one as many as the level allows for.
    places = max(m, floor(FALSE_ALARMS / MEASUREMENTS * (n + m)))
    together = np.sort(np.concatenate([known, new]))
    # "left" ranks equal values as less extreme, which makes the p-value larger: ties raise no false alarm.
    ranks = n + m - np.searchsorted(together, new, side="left")
    count = int((ranks <= places).sum())
    ways = sum(comb(places, k) * comb(n + m - places, m - k) for k in range(count, min(places, m) + 1))
    return ways / comb(n + m, m)


def _sides(known: Answers, new: Answers, thresholds: Sequence[float]) -> list[_Side]:
    shares = [(known.trusted_share(threshold), threshold) for threshold in thresholds]
    shares = [(share, threshold) for share, threshold in shares if not np.isnan(share).all()]
    sides: list[_Side] = [
        (
            -known.resemblance,
            -new.resemblance,
            f"they show less of what was sent (edges correlate at {_middle(new.resemblance):.3f}, there at "
            f"{_middle(known.resemblance):.3f})",
        ),
        (
            known.difference,
            new.difference,
            f"made small again they differ more from what was sent (by {_middle(new.difference):.1f} of 255, there by "
            f"{_middle(known.difference):.1f})",
        ),
    ]
    if not np.isnan(known.agreement).all():
        said = (
            "their detail agrees more with the free reference, which the score compares with (it correlates at "
            f"{_middle(new.agreement):.2f}, there at {_middle(known.agreement):.2f})"
        )
        sides.append((known.agreement, new.agreement, said))
    if shares:
        # Shares near a half can move both ways; near 0 or 1 they hardly can.
        own, threshold = min(shares, key=lambda share: abs(float(np.nanmean(share[0])) - 0.5))
        other = new.trusted_share(threshold)
        figures = f"(about {_middle(other):.1%}, there {_middle(own):.1%})"
        # Both directions: too much certainty is as suspicious as too little.
        sides.append((-own, -other, f"less of them is trusted {figures}"))
        sides.append((own, other, f"more of them is trusted {figures}"))
    return sides


def _middle(values: _Values) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
