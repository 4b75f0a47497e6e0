"""What a vendor says of itself with an answer (model, format, size, price) beside what it said with earlier ones."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from blackbox_conformal.support.text import dollars, printable
from blackbox_conformal.watching.watch_findings import Finding


@dataclass(frozen=True, slots=True)
class Declared:
    """What came with one answer.

    Attributes
    ----------
    model
        As the vendor calls the model that answered; None where it names none.
    format
        Of the file, such as ``PNG``.
    magnification
        Width and height of the answer by those of what was sent.
    cost_usd
        What the draw is booked at.
    """

    model: str | None
    format: str
    magnification: tuple[float, float]
    cost_usd: Decimal


def compare(before: Sequence[Declared], now: Sequence[Declared], models: Collection[str]) -> Finding:
    """Whether the answers `now` declare what those `before` did.

    Parameters
    ----------
    before
        The draws that are known: the calibration's, or those of the first visit.
    models
        What the vendor called the models that were calibrated; empty where it named none.
    """
    if not now:
        return Finding("identity", "cannot tell", "no answer came that could be looked at")
    known = set(models) | {each.model for each in before if each.model}
    named = {each.model for each in now if each.model}
    changes = []
    if known and named - known:
        changes.append(f"the model is {_words(named - known)}, and was {_words(known)}")
    for what, old, new in (
        ("files are", {each.format for each in before}, {each.format for each in now}),
        ("sizes are", _sizes(before), _sizes(now)),
    ):
        # A side that says nothing is not a side that changed.
        if old and new - old:
            changes.append(f"{what} {_words(new - old)}, and were {_words(old)}")
    if changes:
        return Finding("identity", "changed", "; ".join(changes))
    notes = []
    if known and not named:
        notes.append(f"the vendor names no model any more, and named {_words(known)}")
    # The dearest of both, since a bill that differs shows another product.
    highest, price = (max((each.cost_usd for each in answers), default=Decimal(0)) for answers in (before, now))
    if before and price != highest:
        notes.append(f"a draw costs {dollars(price)}, and cost {dollars(highest)}")
    if notes:
        return Finding("identity", "note", "; ".join(notes))
    model = _words(named) if named else "no model is named"
    return Finding("identity", "same", f"{model}, {_words({each.format for each in now})}, {_words(_sizes(now))}")


def _sizes(answers: Sequence[Declared]) -> set[str]:
    return {"×" + " by ×".join(dict.fromkeys(f"{side:.3g}" for side in each.magnification)) for each in answers}


def _words(names: Collection[str | None]) -> str:
    return " or ".join(printable(name) for name in sorted(filter(None, names)))
