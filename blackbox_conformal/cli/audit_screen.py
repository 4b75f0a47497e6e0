"""An audit and random splits as tables and sentences for people."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.cli.console import Screen, share
from blackbox_conformal.cli.next_steps import report_on, view_of
from blackbox_conformal.errors import CheckFailedError
from blackbox_conformal.text import counted, printable
from blackbox_conformal.wording import at_least, at_most, between

if TYPE_CHECKING:
    from blackbox_conformal.audits.contamination import Leakage
    from blackbox_conformal.audits.findings import Audit, AuditedLevel
    from blackbox_conformal.audits.random_splits import SplitLevel, Splits
    from blackbox_conformal.pipeline.audit_parts.audited_rule import Outlook

_TOLD = 2
"""Up to so many levels are each told in a sentence."""


def show_audit(
    screen: Screen, audit: "Audit", worst: int, files: Mapping[tuple[float, str], Mapping[str, Path]]
) -> None:
    """The audit, for people: verdict, a paragraph and a table; with -v all that the report shows, too."""
    tiles = "" if audit.units == audit.n else f" (tiles of {audit.units})"
    screen.say(f"Audit on {counted(audit.n, 'unseen photograph')}{tiles}: {audit.found}")
    screen.say(" ".join(_paragraph(screen, audit)))
    claimed = _claimed(audit.levels)
    screen.table(
        f"Risk: {audit.quantity}",
        ["alpha", *claimed, "risk", "90 % interval", "trusted", "empty masks", "verdict"],
        [
            [
                f"{level.alpha:g}",
                *(f"{level.claimed:g}" for _ in claimed),
                f"{level.judgement.risk:.4f}",
                between(level.judgement.interval),
                share(level.trusted_share),
                share(level.empty_share),
                level.found,
            ]
            for level in audit.levels
        ],
    )
    if screen.verbose:
        _show_more(screen, audit, worst)
    if files:
        folder = next(iter(next(iter(files.values())).values())).parent
        screen.say(
            f"Worst places at full resolution, delivered, true and masked: {len(files)} crops of each in {folder}"
        )
    screen.say(f"Calls made: {audit.calls}. Draws that were stored already: {audit.cached}.")
    if audit.drift is not None:
        screen.note(f"warning: {audit.drift}")


def _paragraph(screen: Screen, audit: "Audit") -> list[str]:
    """What was found, in sentences: of one level or two each, of more those against which something speaks."""
    from blackbox_conformal.audits.kinds import kinds_in_words

    told = [
        level
        for level in audit.levels
        if screen.verbose or len(audit.levels) <= _TOLD or level.judgement.verdict in ("shifted", "contradicted")
    ]
    return [
        *(level.sentence for level in told),
        *kinds_in_words(audit.kinds),
        *([] if audit.stop is None else [audit.stop.sentence]),
        *audit.notes,
        *(
            []
            if screen.verbose
            else ["The report shows more, and so does -v: quality, worst and kinds of photographs."]
        ),
    ]


def _show_more(screen: Screen, audit: "Audit", worst: int) -> None:
    """What figures mean, risk by kind, quality, sensitivity to leaked photographs, and the worst photographs."""
    from blackbox_conformal.audits.kinds import TOGETHER
    from blackbox_conformal.audits.verdict import EXPLAINED, FIXED, beforehand

    screen.say(f"Trusted is the mean trusted share of the photographs. {FIXED}")
    for verdict in dict.fromkeys(level.judgement.verdict for level in audit.levels if level.tested):
        screen.say(EXPLAINED[verdict])
    if adding := beforehand([level.judgement for level in audit.levels]):
        screen.say(adding)
    if audit.kinds:
        screen.table(
            "Risk by kind of photograph",
            ["alpha", "photographs", "by", "n", "risk", "interval", "trusted", ""],
            [
                [
                    f"{one.alpha:g}",
                    printable(one.name),
                    one.range,
                    str(one.n),
                    f"{one.risk:.4f}",
                    "" if one.interval is None else between(one.interval),
                    share(one.trusted_share),
                    f"above {one.claimed:g}" if one.fails else "",
                ]
                for one in audit.kinds
            ],
        )
        screen.say(TOGETHER)
    _show_quality(screen, audit)
    if audit.leakage is not None:
        _show_leakage(screen, audit.leakage)
    _show_worst(screen, audit, worst)


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
            if promised and name == "psnr":
                figures.append(level.inside.psnr_in_space)
            row = [f"{level.alpha:g}", *(_number(value, 2 if name == "psnr" else 3) for value in figures)]
            least = getattr(level.promise, f"{name}_if_trusted")
            row += [at_least(least, 4 if name == "psnr" else 3) if math.isfinite(least) else "–"] if promised else []
            rows.append(row)
        measured = "PSNR, dB in sRGB" if name == "psnr" else "SSIM of luminance"
        against = ", against its bound" if promised else ""
        screen.table(f"{measured}, inside and outside the mask{against}", columns, rows)
    if (lower := ssim_lower(levels)) is not None:
        screen.say(lower)
    if bounded or similar:
        screen.say(f"Promised at least: {levels[0].promise.words}.")


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
                at_most(point.bound, 4),
                point.within,
                f"{point.risk_allowed:.4f}",
            ]
            for point in leakage.points
        ],
    )
    screen.say(
        "Photographs that the vendor knows show no error, so calibration on them is too hopeful; the bound is "
        f"alpha (n + 1) / (n - leaked + 1), n = {leakage.n}, and holds for the mean over calibrations and photographs: "
        f"a measured risk may exceed it by chance ({CHANCE:g} standard errors). Last column: with --guarantee "
        "…leaked=N."
    )


def _show_worst(screen: Screen, audit: "Audit", worst: int) -> None:
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
