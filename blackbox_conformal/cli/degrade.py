"""`degrade`: files of the inputs that a calibration would send."""

from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.study.settings_table import DegradeSettings
from blackbox_conformal.support.text import counted, printable


@dataclass(frozen=True, kw_only=True)
class DegradeOptions:
    images: tuple[str, ...] = shared.photographs()
    scale: int | None = shared.setting()
    degradation: str | None = shared.setting()
    seed: int | None = shared.setting()
    out: str = shared.declared("--out", type=shared.NEW_FOLDER, required=True, help="Folder for the inputs.")
    force: bool = shared.setting()


@shared.command(
    "degrade",
    DegradeOptions,
    DegradeSettings,
    examples=(
        "blackbox-conformal degrade photographs/ --out inputs",
        "blackbox-conformal degrade photographs/ --out inputs --degradation area:4+jpeg:75",
    ),
)
def command(screen: Screen, options: DegradeOptions) -> None:
    """Write the inputs that `calibrate` would make of IMAGES, for a vendor that you ask by other means.

    Calibrate on the same photographs afterwards, with --adapter folder and the same --scale, --degradation and --seed.
    """
    from blackbox_conformal.study.choose.degrading import degrade

    with screen.progress():
        made = degrade(
            options.images,
            options.out,
            scale=options.scale,
            degradation=options.degradation or "bicubic",
            seed=options.seed or 0,
            force=options.force,
            progress=screen.step,
        )
    for each in made:
        height, width = each.size
        screen.say(f"{printable(each.input.name)}: {width}×{height}, {each.drawn or 'left as it is'}")
    folder = Path(options.out).resolve()
    screen.say(f"\n{counted(len(made), 'input')} in {folder}. Put the answers to NAME.png into outputs/NAME/.")
    screen.say("Then calibrate on these photographs, or audit a calibration of others with them:")
    words = ["calibrate", *options.images, "--adapter", "folder", "-p", "path=outputs", "-p", "label=VENDOR"]
    words += [] if options.scale is None else ["-p", f"scale={options.scale}"]
    words += ["--degradation", options.degradation] if options.degradation else []
    screen.next(*words, *(["--seed", str(options.seed)] if options.seed else []))
    of_others = ("audit", *options.images, "--calibration", "runs/VENDOR/calibration.json", "-p", "path=outputs")
    screen.next(*of_others)
    screen.data(
        [
            {
                "photograph": str(each.photograph),
                "input": str(each.input.resolve()),
                "size": each.size,
                "drawn": each.drawn,
            }
            for each in made
        ]
    )
