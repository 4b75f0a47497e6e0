"""Which guarantee a calibration is for, and whether its photographs are enough and are those of the user's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.by_cluster import in_tiles
from blackbox_conformal.method.guarantees.guarantee import Guarantee, number_in_words
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
from blackbox_conformal.method.guarantees.marked import CEILING
from blackbox_conformal.method.risk.curve import DEFAULT_TOLERANCE, Losses
from blackbox_conformal.study.stages.settings import Setup, member
from blackbox_conformal.support.text import printable

SHOWN = 3
"""How many names a message shows."""


def checked_rule(
    names: Sequence[str],
    setup: Setup,
    guarantee: str | Guarantee,
    alpha: float | None,
    groups: Mapping[str, str] | None,
    tiles: Mapping[str, str] | None,
) -> Guarantee:
    """The guarantee of a calibration on photographs with these names, which are enough for `alpha`."""
    if groups is not None and setup.procedure.vendors_that_end:
        raise UsageError(
            "expected no groups beside a cascade: its photographs are grouped by the vendor that they end at. Leave "
            "--groups out (groups in Python)"
        )
    check_groups(groups, names)
    rule = rule_for(guarantee, names, tiles)
    refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    tolerance = max(rule.losses.tolerances, default=0.0)
    if tolerance >= setup.metric.capped_bound:
        raise UsageError(
            f"expected a tolerance below {setup.metric.capped_bound:g}, the largest error that counts; got "
            f"{tolerance:g}, which no pixel can exceed, so nothing would be promised. Name a smaller one: "
            "--guarantee false-trust:tolerance=…"
        )
    refuse_detail(rule, setup)
    check_enough(rule, len(names), alpha, setup.metric.capped_bound)
    return rule


def rule_for(guarantee: str | Guarantee, names: Sequence[str], tiles: Mapping[str, str] | None) -> Guarantee:
    """The guarantee of a calibration on pictures with these names; tiles of one photograph count once."""
    rule: Guarantee = member("guarantees", guarantee)
    if tiles is None:
        return rule
    check_tiles(tiles, names)
    return in_tiles(rule, [tiles[name] for name in names])


def stored_losses(rule: Guarantee, setup: Setup) -> Losses:
    """What a calibration stores for `rule`: that, the share wrong by the usual tolerance, and shares of detail where
    metric and score are such shares.
    """
    losses = rule.losses
    usual = CEILING if setup.score.is_share and setup.metric.counts_detail else None
    return replace(
        losses,
        tolerances=tuple(sorted({DEFAULT_TOLERANCE, *losses.tolerances})),
        ceiling=usual if losses.ceiling is None else losses.ceiling,
    )


def refuse_detail(rule: Guarantee, setup: Setup) -> None:
    """Refuse a guarantee of detail of inputs that show no whole picture, or without a ceiling in the score's unit."""
    if rule.threshold_ceiling is None:
        return
    inner, kind = rule.innermost, rule.needs.curve_kind
    name = inner.plugin_name()
    setup.detail_metric.require_degradation(setup.procedure.mixture)
    if not setup.score.is_share and "ceiling" not in inner.model_fields_set:
        raise UsageError(
            f"expected a score that is a share for the ceiling {rule.threshold_ceiling:g} of {kind}; got "
            f"{setup.score.plugin_name()}, which has another unit. Give --score predicted-invention, or the score from "
            f"which on no pixel may be clear, in its unit: --guarantee {name}:{f'of={kind},' * (name != kind)}ceiling=…"
        )


def check_enough(rule: Guarantee, n: int, alpha: float | None, bound: float) -> None:
    """Refuse a level that `n` photographs cannot reach, before they cost anything."""
    if n < 1:
        raise CalibrationError("expected at least one calibration photograph; got none. Name files or folders")
    if alpha is None:
        return
    check_beside(rule, n, bound)
    largest = rule.loss_bound(bound)
    rule.check_level(alpha, largest)
    n = rule.counted(n)
    needed = rule.minimum_images(alpha, largest)
    if n < needed:
        raise CalibrationError(
            f"alpha={alpha:g} needs at least {number_in_words(needed)} calibration photographs for a loss bounded by "
            f"{largest:g}; got {n}, so {number_in_words(needed - n)} are missing. Add photographs or raise alpha"
        )


def check_beside(rule: Guarantee, n: int, bound: float) -> None:
    """Refuse so few photographs that what is promised beside allows nothing at any level; errors as `check_enough`."""
    if rule.beside is None:
        return
    other, level = rule.beside
    missing = other.minimum_images(level, bound) - rule.counted(n)
    if missing > 0:
        name, there = rule.innermost.plugin_name(), rule.counted(n)
        raise CalibrationError(
            f"largest_error={level:g} of {name} needs at least {number_in_words(missing + there)} calibration "
            f"photographs; got {there}. Add {number_in_words(missing)}, or promise less: --guarantee {name}"
        )


def check_groups(groups: Mapping[str, str] | None, names: Sequence[str]) -> str | None:
    """What to say of photographs without a group; None when each has one, or no groups are given."""
    without = [name for name in names if groups is not None and name not in groups]
    if groups is None or not without:
        return None
    if len(without) == len(names):
        raise UsageError(
            f"expected groups of these photographs, {_few(names)}; got groups of {_few(list(groups))}. Write one "
            "photograph,group line for each photograph, by the name of its file"
        )
    return (
        f"{len(without)} of {len(names)} photographs have no group: {_few(without)}; "
        "within a group they do not calibrate"
    )


def check_tiles(tiles: Mapping[str, str] | None, names: Sequence[str]) -> None:
    """Refuse tiles whose photograph is not named, since how many photographs there are is then unknown."""
    without = [name for name in names if tiles is not None and name not in tiles]
    if without:
        raise UsageError(
            f"expected the photograph of every calibration picture; {len(without)} of {len(names)} have none: "
            f"{_few(without)}. Write one tile,photograph line for each; a picture that is no tile is its own photograph"
        )


def _few(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more
