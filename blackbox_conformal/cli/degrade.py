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
    claim: str | None = shared.declared(
        "--claim",
        metavar="FIGURE:at_most=SHARE",
        help="Also write a manifest of the inputs, by which vendor and auditor agree on a claim before the answers.",
    )
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
    from blackbox_conformal.documents.claim import MANIFEST_FILE
    from blackbox_conformal.study.choose.degrading import degrade

    with screen.progress():
        made = degrade(
            options.images,
            options.out,
            scale=options.scale,
            degradation=options.degradation or "bicubic",
            seed=options.seed or 0,
            claim=options.claim,
            force=options.force,
            progress=screen.step,
        )
    for each in made:
        height, width = each.size
        screen.say(f"{printable(each.input.name)}: {width}×{height}, {each.drawn or 'left as it is'}")
    folder = Path(options.out).resolve()
    screen.say(f"\n{counted(len(made), 'input')} in {folder}. Put the answers to NAME.png into outputs/NAME/.")
    vendor = ["--adapter", "folder", "-p", "path=outputs", "-p", "label=VENDOR"]
    vendor += [] if options.scale is None else ["-p", f"scale={options.scale}"]
    if options.claim is not None:
        manifest = Path(options.out) / MANIFEST_FILE
        screen.say(
            f"{MANIFEST_FILE} there names the claim, each input and, by digest alone, each photograph. Give the vendor "
            "the folder; the photographs stay with you. The vendor checks it by `verify`. With the vendor's answers:"
        )
        screen.next("audit", *options.images, *vendor, "--claim", str(manifest))
    else:
        _calibrate_next(screen, options, vendor)
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


def _calibrate_next(screen: Screen, options: DegradeOptions, vendor: list[str]) -> None:
    screen.say("Then calibrate on these photographs, or audit a calibration of others with them:")
    words = ["calibrate", *options.images, *vendor]
    words += ["--degradation", options.degradation] if options.degradation else []
    screen.next(*words, *(["--seed", str(options.seed)] if options.seed else []))
    of_others = ("audit", *options.images, "--calibration", "runs/VENDOR/calibration.json", "-p", "path=outputs")
    screen.next(*of_others)
