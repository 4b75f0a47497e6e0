"""An audit and random splits as tables and sentences for people.

Nothing is computed here.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blackbox_conformal.cli.console import Screen, share


def show_audit(
    screen: Screen, found: Any, worst: int, files: Mapping[tuple[float, str], Mapping[str, Path]] | None = None
) -> None:
    """The audit, for people."""
    from blackbox_conformal.audit.verdict import BEFOREHAND

    tiles = "" if found.units == found.n else f" (tiles of {found.units})"
    screen.table(
        f"Audit on {found.n} unseen photographs{tiles}: {found.verdict}",
        ["alpha", "risk", "90 % interval", "trusted", "empty masks", "verdict"],
        [
            [
                f"{level.alpha:g}",
                f"{level.judgement.risk:.4f}",
                f"{level.judgement.interval[0]:.3f} to {level.judgement.interval[1]:.3f}",
                share(level.trusted_share),
                share(level.empty_share),
                level.judgement.verdict,
            ]
            for level in found.levels
        ],
    )
    screen.say(f"Risk is {found.quantity}.")
    for level in found.levels:
        screen.say(f"At {level.alpha:g}: {level.meaning}")
    if any(level.judgement.further is not None for level in found.levels):
        screen.say(BEFOREHAND)
    for note in found.notes:
        screen.say(note)
    _show_quality(screen, found)
    if found.leakage is not None:
        _show_leakage(screen, found.leakage)
    _show_worst(screen, found, worst, files or {})


def show_splits(screen: Screen, found: Any) -> None:
    """Random splits, for people."""
    from blackbox_conformal.audit.splits import CAUTION, VERDICT

    screen.table(
        f"{found.splits} random splits of {found.n_calibration + found.n_measured} {found.unit}: "
        f"{found.n_calibration} calibrate, {found.n_measured} are measured",
        ["alpha", "claimed at most", "risk", "trusted", "empty masks", "splits above", "verdict"],
        [
            [
                f"{level.alpha:g}",
                f"{level.claimed:g}",
                f"{level.risk[0]:.4f} ± {level.risk[1]:.4f}",
                f"{share(level.trusted_share[0])} ± {share(level.trusted_share[1])}",
                share(level.empty_share[0]),
                share(level.above),
                VERDICT,
            ]
            for level in found.levels
        ],
    )
    screen.say(f"Risk is {found.quantity}; ± is the standard deviation over splits.")
    screen.say(CAUTION)
    for note in found.notes:
        screen.say(note)


def _show_quality(screen: Screen, found: Any) -> None:
    bounded = any(math.isfinite(level.promise.psnr) for level in found.levels)
    similar = any(math.isfinite(level.promise.ssim) for level in found.levels)
    columns = ["alpha", "PSNR inside, dB", "outside", "whole"]
    columns += ["inside, metric's space", "promised at least"] if bounded else []
    columns += ["SSIM inside", "outside", "whole"] + (["promised at least"] if similar else [])
    rows = []
    for level in found.levels:
        row = [f"{level.alpha:g}", *(_number(one.psnr, 2) for one in (level.inside, level.outside, level.whole))]
        if bounded:
            row += [_number(level.inside.psnr_in_space, 2), _number(level.promise.psnr_if_trusted, 2)]
        row += [_number(one.ssim, 3) for one in (level.inside, level.outside, level.whole)]
        if similar:
            row.append(_number(level.promise.ssim_if_trusted, 3))
        rows.append(row)
    screen.table("Quality inside and outside the mask, against its bound", columns, rows)
    words = found.levels[0].promise.words
    if bounded or similar:
        words += ". It is for photographs whose mask is not empty: alpha is divided by their share"
    screen.say(f"Bound: {words}.")


def _show_leakage(screen: Screen, leakage: Any) -> None:
    screen.table(
        f"Planted leakage at alpha = {leakage.alpha:g}: photographs that the vendor knows by heart among the "
        f"{leakage.n} of the calibration",
        ["leaked", "share", "risk", "bound", "within", "risk when allowed for"],
        [
            [
                str(point.leaked),
                share(point.leaked / leakage.n),
                f"{point.risk:.4f}",
                f"{point.bound:.4f}",
                "yes" if point.risk <= point.bound else "no",
                f"{point.risk_allowed:.4f}",
            ]
            for point in leakage.points
        ],
    )


def _show_worst(screen: Screen, found: Any, worst: int, files: Mapping[tuple[float, str], Mapping[str, Path]]) -> None:
    from blackbox_conformal.images.names import printable

    rows = []
    for index, level in enumerate(found.levels):
        for one in found.worst(index, worst):
            place = one.worst[index]
            written = files.get((level.alpha, one.truth))
            where = f"row {place.row}, column {place.column}"
            row = [f"{level.alpha:g}", printable(one.name), f"{one.losses[index]:.4f}", where, f"{place.error:.4f}"]
            rows.append([*row, str(written["delivered"])] if files and written else [*row, "–"] if files else row)
    if rows:
        columns = ["alpha", "photograph", "loss", "worst pixel", "error there"]
        screen.table("Worst photographs", [*columns, "crop"] if files else columns, rows)


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
