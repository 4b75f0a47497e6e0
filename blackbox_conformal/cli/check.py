"""`check`: how answers differ from their inputs, told from the pairs alone."""

from dataclasses import dataclass

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.study.settings_table import CheckSettings
from blackbox_conformal.support.text import counted


@dataclass(frozen=True, kw_only=True)
class CheckAnswerOptions:
    pictures: tuple[str, ...] = shared.arguments(required=True, type=shared.PicturesPath(exists=True))
    usual: str | None = shared.setting(type=shared.FILE)
    calibration: str | None = shared.setting(type=shared.FILE)
    level: float = shared.setting()
    out: str | None = shared.setting(type=shared.NEW_FOLDER)
    force: bool = shared.setting()


@shared.command(
    "check",
    CheckAnswerOptions,
    CheckSettings,
    examples=(
        "blackbox-conformal check input.png answer.png",
        "blackbox-conformal check inputs/ answers/ --usual earlier.json --out marked",
    ),
)
def command(screen: Screen, options: CheckAnswerOptions) -> None:
    """Tell how an answer differs from the input that was sent: PICTURES are SMALL and BIG, two files or two folders.

    Colours, geometry, seams, halos, flattened and changed parts, repeats, borders, added detail and traces of JPEG are
    measured. Nothing is sent, nothing is paid, and no calibration or truth is needed. A folder of answers holds
    NAME.png, NAME_x4.png or NAME/0.png for each input NAME.

    A fact is a difference that is larger than those of honest vendors; with --usual or --calibration, colours,
    sharpness and detail are compared with a vendor's own pairs, which differ far less. Exit code 3: there is one. To
    differ is not to be wrong.
    """
    from blackbox_conformal.study.choose.checking import check

    if len(options.pictures) != 2:
        raise UsageError(
            f"expected two paths, the input that was sent and the answer to it, or folders of them; got "
            f"{len(options.pictures)}. Give both: blackbox-conformal check input.png answer.png"
        )
    with screen.progress():
        found = check(
            *options.pictures,
            usual=options.usual,
            calibration=options.calibration,
            level=options.level,
            out=options.out,
            force=options.force,
            progress=screen.step,
        )
    screen.show(found.blocks())
    if options.out is not None:
        screen.say(f"marked answers: {options.out}")
    screen.data(found.document())
    if found.differing:
        which = f"{found.differing} of {counted(len(found.pairs), 'answer')} differ from their inputs"
        which = which if len(found.pairs) > 1 else "the answer differs from its input"
        raise CheckFailedError(f"{which} by more than is usual")
