"""An audit and random splits as tables and sentences for people."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.cli.console import Screen, share
from blackbox_conformal.cli.next_steps import report_on, view_of
from blackbox_conformal.errors import CheckFailedError
from blackbox_conformal.text import counted, printable

if TYPE_CHECKING:
    from blackbox_conformal.audits.contamination import Leakage
    from blackbox_conformal.audits.findings import Audit, AuditedLevel
    from blackbox_conformal.audits.random_splits import SplitLevel, Splits
    from blackbox_conformal.pipeline.audit_parts.audited_rule import Outlook


def show_audit(
    screen: Screen, audit: "Audit", worst: int, files: Mapping[tuple[float, str], Mapping[str, Path]]
) -> None:
    """The audit, for people."""
    from blackbox_conformal.audits.verdict import EXPLAINED, FIXED, beforehand

    tiles = "" if audit.units == audit.n else f" (tiles of {audit.units})"
    claimed = _claimed(audit.levels)
    screen.table(
        f"Audit on {audit.n} unseen photographs{tiles}: {audit.verdict}",
        ["alpha", *claimed, "risk", "90 % interval", "trusted", "empty masks", "verdict"],
        [
            [
                f"{level.alpha:g}",
                *(f"{level.claimed:g}" for _ in claimed),
                f"{level.judgement.risk:.4f}",
                f"{level.judgement.interval[0]:.3f} to {level.judgement.interval[1]:.3f}",
                share(level.trusted_share),
                share(level.empty_share),
                level.judgement.verdict if level.tested else "nothing trusted",
            ]
            for level in audit.levels
        ],
    )
    if audit.stop is not None:
        screen.say(audit.stop.sentence)
    screen.say(f"Risk is {audit.quantity}; trusted is their mean trusted share. {FIXED}")
    for level in audit.levels:
        screen.say(level.sentence)
    for verdict in dict.fromkeys(level.judgement.verdict for level in audit.levels if level.tested):
        screen.say(EXPLAINED[verdict])
    if adding := beforehand([level.judgement for level in audit.levels]):
        screen.say(adding)
    for note in audit.notes:
        screen.say(note)
    _show_quality(screen, audit)
    if audit.leakage is not None:
        _show_leakage(screen, audit.leakage)
    _show_worst(screen, audit, worst, files)
    screen.say(f"Calls made: {audit.calls}. Draws that were stored already: {audit.cached}.")
    if audit.drift is not None:
        screen.note(f"warning: {audit.drift}")


def show_pool(screen: Screen, run: Path) -> None:
    """What to do next after random splits of a pool that was drawn for them."""
    screen.say(
        f"The draws are kept. `calibrate` on the same photographs with --run {run} makes no call and gives a "
        "calibration whose report shows these splits."
    )


def show_next(screen: Screen, run: Path, calibration: str, *, kept: bool) -> None:
    """The report that shows the audit, or why none does."""
    if kept:
        screen.next(*view_of(run, calibration))
        screen.next(*report_on(run, calibration))
        return
    screen.say(
        "The report shows audits of the calibration's own guarantee; this one is of another and is not kept for it. "
        "Calibrate with this guarantee to have it there: the draws are stored, so no call is made."
    )


def show_verdict(screen: Screen, audit: "Audit") -> None:
    """What follows from a verdict against the guarantee.

    Raises
    ------
    CheckFailedError
        The guarantee is contradicted.
    """
    if audit.verdict == "contradicted":
        raise CheckFailedError(
            f"the guarantee is contradicted by {audit.n} unseen photographs: they are not of the same population, or "
            "the vendor has changed. Do not use this calibration"
        )
    if audit.verdict == "shifted":
        screen.note(
            f"warning: {audit.n} unseen photographs are not like those of the calibration, and their risk is above "
            "what is claimed. No promise is shown to be broken, but none is made for photographs like these. Audit "
            "more of them, or calibrate on them"
        )


def show_splits(screen: Screen, study: "Splits") -> None:
    """Random splits, for people."""
    from blackbox_conformal.audits.random_splits import CAUTION

    claimed = _claimed(study.levels)
    screen.table(
        f"{study.splits} random splits of {study.n_calibration + study.n_measured} {study.unit}, "
        f"{study.n_calibration} calibrate and {study.n_measured} are measured: no verdict",
        ["alpha", *claimed, "risk", "trusted", "empty masks", "splits above"],
        [
            [
                f"{level.alpha:g}",
                *(f"{level.claimed:g}" for _ in claimed),
                f"{level.risk[0]:.4f} ± {level.risk[1]:.4f}",
                f"{share(level.trusted_share[0])} ± {share(level.trusted_share[1])}",
                share(level.empty_share[0]),
                share(level.above),
            ]
            for level in study.levels
        ],
    )
    screen.say(
        f"Risk is {study.quantity}. Each figure is a mean over splits, ± its standard deviation over them; splits "
        "above is the share of splits whose risk exceeds what is claimed."
    )
    screen.say(CAUTION)
    for note in study.notes:
        screen.say(note)


def _show_quality(screen: Screen, audit: "Audit") -> None:
    from blackbox_conformal.audits.findings import ssim_lower

    levels = audit.levels
    bounded = any(math.isfinite(level.promise.psnr) for level in levels)
    similar = any(math.isfinite(level.promise.ssim) for level in levels)
    for name, promised in (("psnr", bounded), ("ssim", similar)):
        columns, rows = ["alpha", "inside", "outside", "whole"], []
        if promised:
            columns += ["inside, metric's space", "promised at least"] if name == "psnr" else ["promised at least"]
        for level in levels:
            figures = [getattr(quality, name) for quality in (level.inside, level.outside, level.whole)]
            if promised:
                figures += [level.inside.psnr_in_space] if name == "psnr" else []
                figures.append(getattr(level.promise, f"{name}_if_trusted"))
            rows.append([f"{level.alpha:g}", *(_number(value, 2 if name == "psnr" else 3) for value in figures)])
        measured = "PSNR, dB in sRGB" if name == "psnr" else "SSIM of luminance"
        against = ", against its bound" if promised else ""
        screen.table(f"{measured}, inside and outside the mask{against}", columns, rows)
    if (lower := ssim_lower(levels)) is not None:
        screen.say(lower)
    words = levels[0].promise.words
    screen.say(f"Promised at least: {words}." if bounded or similar else f"{words[:1].upper()}{words[1:]}.")


def _show_leakage(screen: Screen, leakage: "Leakage") -> None:
    from blackbox_conformal.audits.contamination import CHANCE

    screen.table(
        f"Sensitivity at alpha = {leakage.alpha:g}: what if the vendor trained on some of the {leakage.n} calibration "
        "photographs?",
        ["leaked", "share", "risk", "bound", "within", "risk when allowed for"],
        [
            [
                str(point.leaked),
                share(point.leaked / leakage.n),
                f"{point.risk:.4f}",
                f"{point.bound:.4f}",
                point.within,
                f"{point.risk_allowed:.4f}",
            ]
            for point in leakage.points
        ],
    )
    screen.say(
        "Photographs that the vendor knows show no error, so calibration on them is too hopeful; the bound is "
        f"alpha (n + 1) / (n - leaked + 1), n = {leakage.n}, and holds for the mean over calibrations and photographs: "
        f"these may be above it by chance, which explains up to {CHANCE:g} standard errors. "
        "In the last column calibration is told of the leak, by leaked=N in --guarantee."
    )


def _show_worst(
    screen: Screen, audit: "Audit", worst: int, files: Mapping[tuple[float, str], Mapping[str, Path]]
) -> None:
    rows = [
        (level.alpha, picture, picture.losses[index], place)
        for index, level in enumerate(audit.levels)
        for picture in audit.worst(index, worst)
        if (place := picture.worst[index]) is not None
    ]
    # Of a largest error the loss is the error itself; of a share of wrong pixels it is not.
    apart = ["error there"] if any(loss != place.error for _, _, loss, place in rows) else []
    if rows:
        screen.table(
            "Worst photographs, with the trusted pixel of the largest error",
            ["alpha", "photograph", "loss", *apart, "row", "column"],
            [
                [
                    f"{alpha:g}",
                    printable(picture.name),
                    f"{loss:.4f}",
                    *(f"{place.error:.4f}" for _ in apart),
                    str(place.row),
                    str(place.column),
                ]
                for alpha, picture, loss, place in rows
            ],
        )
    if files:
        folder = next(iter(next(iter(files.values())).values())).parent
        screen.say(
            f"Their worst places at full resolution, delivered, true and masked: {len(files)} crops of each in {folder}"
        )


def _claimed(levels: "Sequence[AuditedLevel | SplitLevel]") -> list[str]:
    """A column for what is claimed, where that is not alpha itself."""
    return ["claimed at most"] if any(level.claimed != level.alpha for level in levels) else []


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def show_outlook(screen: Screen, outlooks: "Sequence[Outlook]", photographs: int) -> None:
    """Say for which levels so few photographs are unlikely to confirm the guarantee, or cannot."""
    from blackbox_conformal.audits.verdict import about

    for level in outlooks:
        if level.likely is not None and level.likely <= photographs:
            continue
        needed = "no practical number" if level.likely is None else f"about {about(level.likely)}"
        needed += " if they err as the calibration's photographs do"
        if level.fewest is None or photographs < level.fewest:
            able = "but not confirm it"
            needed = f"{level.fewest} if none of them shows an error, {needed}"
        else:
            able = "and may not be enough to confirm it"
        if level.fixed is not None:
            needed += f". With --no-stop, which fixes the number, {level.fixed} without an error confirm it"
        screen.note(
            f"note: {counted(photographs, 'photograph')} can reveal that alpha={level.alpha:g} does not hold, {able}. "
            f"To confirm it takes {needed}"
        )
