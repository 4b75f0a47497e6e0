"""What live pictures come to: whether their inputs drifted, and whether their answers say that the vendor changed."""

from collections.abc import Mapping
from math import ceil, exp, floor, log

from blackbox_conformal.method.images.input_statistics.statistics import STATISTICS
from blackbox_conformal.support.wording import at_least
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live import ANSWERS, INPUTS, POWERS, Wealth, highest
from blackbox_conformal.watching.watch_findings import Finding, Layer

DOUBT = 0.05
"""Where inputs have reached what unchanged ones reach with this probability, another answer may be theirs, and a vendor
is not called changed for it. It can only make false alarms rarer."""


def inputs_finding(wealth: Mapping[str, Wealth], level: Level) -> Finding:
    """Whether inputs are still like the calibration's. They are no doing of the vendor, so that this is no alarm."""
    if not wealth:
        return _nothing("inputs", level)
    name, logarithm = highest(wealth, INPUTS)
    needed = len(INPUTS) / level.inputs
    told = _told(logarithm, needed)
    if logarithm < log(needed):
        return Finding("inputs", "same", told, _figure(logarithm))
    statistic = next(one for one in STATISTICS if one.name == name)
    words = statistic.more if _larger(wealth[name]) else statistic.less
    drifted = f"the inputs drifted: those of the pictures that are masked are {words} than the calibration's"
    return Finding("inputs", "note", f"{drifted}; {told}", _figure(logarithm))


def answers_finding(wealth: Mapping[str, Wealth], level: Level) -> Finding:
    """Whether answers, given their inputs, are still like those to the calibration photographs."""
    if not wealth:
        return _nothing("answers", level)
    name, logarithm = highest(wealth, ANSWERS)
    needed = len(ANSWERS) / level.answers
    told = _told(logarithm, needed)
    if logarithm < log(needed):
        return Finding("answers", "same", told, _figure(logarithm))
    which = "larger" if name in wealth and _larger(wealth[name]) else "smaller"
    moved = f"the {name} of answers is {which} than their inputs explain"
    # A change of inputs that reached this may move answers too, so the vendor is not blamed for it.
    if highest(wealth, INPUTS)[1] >= log(len(INPUTS) / DOUBT):
        unclear = "the inputs are other ones, too, so that it cannot be told whether the vendor changed; visit it"
        return Finding("answers", "note", f"{moved}; {unclear}; {told}", _figure(logarithm))
    return Finding("answers", "changed", f"{moved}; {told}", _figure(logarithm))


def _nothing(layer: Layer, level: Level) -> Finding:
    why = "no picture was masked since the watch began" if level.live else "the watch was begun without this layer"
    return Finding(layer, "not watched", why)


def _larger(wealth: Wealth) -> bool:
    """Whether values are larger than before, by which bets have most of the capital."""
    # The bets on small p-values hold the capital where values are larger, as small means large here.
    return sum(wealth.shares[1 : 1 + len(POWERS)]) >= sum(wealth.shares[1 + len(POWERS) :])


def _told(logarithm: float, needed: float) -> str:
    # Above 700 the exponential no longer fits a float.
    figure = at_least(exp(logarithm)) if logarithm < 700 else f"10^{floor(logarithm / log(10))}"
    return f"evidence {figure} of the {ceil(needed)} that are an alarm"


def _figure(logarithm: float) -> float:
    return exp(min(logarithm, 700.0))
