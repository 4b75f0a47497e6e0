"""`inputs`: whether pictures that are to be sent look like those that a calibration was made with."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen

if TYPE_CHECKING:
    from blackbox_conformal.audits.input_shift import InputShift


@dataclass(frozen=True, kw_only=True)
class InputsOptions:
    """What `inputs` is given."""

    inputs: tuple[str, ...] = shared.photographs()
    calibration: str = shared.declared("--calibration", required=True, type=shared.FILE, help="Calibration file.")
    group: str | None = shared.declared("--group", metavar="NAME", help="The group that these pictures belong to.")
    level: float = shared.declared(
        "--level",
        type=shared.SHARE,
        default=0.05,
        help="Probability of calling inputs of one kind different.",
    )
    seed: int = shared.declared("--seed", type=click.IntRange(0), default=0, help="Seed of the random permutations.")
    out: str | None = shared.declared("--out", type=shared.NEW_FILE, help="HTML file that shows both distributions.")
    force: bool = shared.force()


@click.command("inputs")
@shared.takes(InputsOptions)
def command(screen: Screen, options: InputsOptions) -> None:
    """Compare INPUTS, pictures as the vendor would be sent them, with the inputs of a calibration.

    Sharpness, noise, JPEG blocks, size and colour are compared. Nothing is sent and nothing is paid. Exit code 3: they
    differ, so the guarantee does not speak of them.
    """
    from blackbox_conformal.audits.input_shift import shift_json
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.pipeline.input_comparison import compare_inputs
    from blackbox_conformal.reports.inputs_page import write_inputs_page

    calibration = Calibration.load(options.calibration)
    with screen.progress():
        shift = compare_inputs(
            options.inputs,
            calibration,
            level=options.level,
            group=options.group,
            seed=options.seed,
            progress=screen.step,
        )
    degradation = calibration.procedure.mixture.text
    show_shift(screen, shift, degradation)
    page = None
    if options.out is not None:
        page = write_inputs_page(shift, degradation, Path(options.out), force=options.force).resolve()
        screen.say(f"both distributions: {page}")
    screen.data({**shift_json(shift), "degradation": degradation, "page": None if page is None else str(page)})
    refuse_shift(shift)


def show_shift(screen: Screen, shift: "InputShift", degradation: str) -> None:
    """The comparison with inputs that were made by a degradation, for people."""
    rows = []
    for movement in shift.movements:
        known, new = map(movement.statistic.shown, movement.medians)
        p_value = f"{movement.p_value:.2g}" + (" *" if movement in shift.moved else "")
        rows.append([movement.statistic.name, known, new, p_value])
    screen.table(
        f"{shift.m} inputs beside {shift.n} made by {degradation}",
        ["median of", "calibration's", "yours", "p, for all statistics"],
        rows,
    )
    for movement in shift.moved:
        screen.say(f"* {movement.sentence}")
    screen.say(f"p = {shift.p_value:.2g}: {shift.verdict}")


def refuse_shift(shift: "InputShift") -> None:
    """End with exit code 3 where the inputs differ.

    Raises
    ------
    CheckFailedError
        They do.
    """
    from blackbox_conformal.errors import CheckFailedError

    if shift.differ:
        raise CheckFailedError(
            f"{shift.moved[0].sentence}. Calibrate with a --degradation that makes such inputs, or send others"
        )
