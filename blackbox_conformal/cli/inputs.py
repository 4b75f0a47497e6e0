"""`inputs`: whether pictures that are to be sent look like a calibration's inputs, and which degradation makes such."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import from_options, next_steps, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import CheckFailedError
from blackbox_conformal.study.settings_table import InputsSettings

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class InputsOptions:
    inputs: tuple[str, ...] = shared.photographs()
    calibration: str | None = shared.calibration()
    suggest: bool = shared.flag(
        "--suggest",
        is_flag=True,
        no_keyword="`suggest_degradation` does it",
        help="Compare with no calibration: find the degradation that makes such inputs of the --photographs.",
    )
    photographs: tuple[str, ...] = shared.flag(
        "--photographs",
        multiple=True,
        type=shared.PicturesPath(exists=True),
        metavar="PATH",
        help="For --suggest: high-resolution photographs, of what the inputs show, too; repeatable.",
    )
    scale: int = shared.declared(
        "--scale",
        type=values.whole(1, 16),
        default=4,
        help="For --suggest: how many times smaller an input is to be than its photograph.",
    )
    group: str | None = shared.setting()
    level: float = shared.setting()
    seed: int | None = shared.setting()
    out: str | None = shared.declared(
        "--out", type=shared.NEW_FILE, no_keyword=shared.SCREEN, help="HTML file that shows both distributions."
    )
    force: bool = shared.force()
    opened: bool = shared.opened()


@shared.command(
    "inputs",
    InputsOptions,
    InputsSettings,
    examples=(
        "blackbox-conformal inputs real-inputs/ --calibration runs/NAME/calibration.json",
        "blackbox-conformal inputs real-inputs/ --suggest --photographs photographs/",
    ),
)
def command(screen: Screen, options: InputsOptions) -> None:
    """Compare INPUTS, pictures as the vendor would be sent them, with the inputs of a calibration.

    Sharpness, noise, JPEG blocks, size and colour are compared. Nothing is sent and nothing is paid. Exit code 3: they
    differ, so the guarantee does not speak of them.

    With --suggest a chain is found that makes such inputs of photographs, ready to paste. The half of the inputs that
    the search did not see proves it. Exit code 3: they still differ.
    """
    if options.suggest:
        _suggest(screen, options)
        return
    if options.calibration is None:
        raise click.UsageError("expected the inputs to compare with; give --calibration FILE, or --suggest")
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.study.choose.input_comparison import compare_inputs
    from blackbox_conformal.support import catalog
    from blackbox_conformal.support.blocks import document

    calibration = Calibration.load(options.calibration)
    with screen.progress():
        shift = compare_inputs(
            options.inputs,
            calibration,
            level=options.level,
            group=options.group,
            seed=options.seed or 0,
            progress=screen.step,
        )
    degradation = calibration.procedure.mixture.text
    blocks = list(shift.blocks(degradation))
    screen.show(blocks)
    page = None
    if options.out is not None:
        title, about = "Are these inputs like the calibration’s?", f"inputs beside those of {calibration.digest}"
        page = (
            catalog.hook("pages").write_blocks(title, blocks, Path(options.out), about, force=options.force).resolve()
        )
        screen.say(f"both distributions: {page}")
        next_steps.offer(screen, page, opened=options.opened)
    if not shift.differ:
        # What a calibration does not keep is not known here.
        words = ("--calibration", options.calibration, *from_options.blanks(calibration.procedure.vendor, "mask"))
        words += ("--alpha", f"{catalog.hook('pages').opening_level(calibration):g}", *next_steps.typed("group"))
        screen.next("mask", *options.inputs, *words)
    screen.data({**document(blocks), "degradation": degradation, "page": None if page is None else str(page)})
    next_steps.refuse_shift(shift)


def _suggest(screen: Screen, options: InputsOptions) -> None:
    from blackbox_conformal.study.choose.suggesting import suggest_degradation
    from blackbox_conformal.support.blocks import document

    if not options.photographs:
        raise click.UsageError("expected photographs to make such inputs of; give --photographs FOLDER")
    for name in ("calibration", "group", "out"):
        if getattr(options, name) is not None:
            raise click.UsageError(f"expected --suggest without --{name}; leave one of them out")
    with screen.progress():
        suggestion = suggest_degradation(
            options.inputs,
            options.photographs,
            scale=options.scale,
            level=options.level,
            seed=options.seed or 0,
            progress=screen.step,
        )
    proof = suggestion.proof
    found, tried = suggestion.chain.compression, suggestion.chain.tried
    traces = "no trace of JPEG"
    if found is not None:
        qualities = f"{found.low}" if found.low == found.high else f"{found.low} to {found.high}"
        traces = f"traces of JPEG in {found.share:.0%} of the inputs, quality {qualities}"
    screen.say(f"{traces}; {'1 chain was' if tried == 1 else f'{tried} chains were'} tried\n")
    blocks = list(proof.blocks(suggestion.degradation, suggestion.verdict))
    screen.show(blocks)
    screen.say("None of these pictures was used to find the chain. Size is left out: no chain makes it.\n")
    if not proof.differ:
        photographs = [str(one) for one in options.photographs]
        screen.next("plan", *photographs, "--adapter", "NAME", *suggestion.options)
    # The last line stands alone, for scripts.
    screen.say(shlex.join(suggestion.options))
    screen.data(
        {"scale": suggestion.scale, "degradation": suggestion.degradation, "tried": suggestion.chain.tried}
        | {"proof": document(blocks)}
    )
    if proof.differ:
        raise CheckFailedError(
            f"after the nearest chain {proof.moved[0].sentence}. Give photographs that are more like the inputs, "
            "inputs of one kind at a time, or write a --degradation of your own; see `list degradations`"
        )
