"""What follows from an audit, and what one can be expected to show, in sentences for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import report_on, view_of
from blackbox_conformal.errors import CheckFailedError
from blackbox_conformal.support.text import counted

if TYPE_CHECKING:
    from blackbox_conformal.method.audits.findings import Audit
    from blackbox_conformal.study.audit.audited_rule import Outlook


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


def show_outlook(screen: Screen, outlooks: "Sequence[Outlook]", photographs: int) -> None:
    """Say for which levels so few photographs are unlikely to confirm the guarantee, or cannot."""
    from blackbox_conformal.method.audits.verdict import about

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
