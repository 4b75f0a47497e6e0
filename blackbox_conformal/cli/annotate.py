"""`annotate`: a page on this machine on which people mark where delivered pictures differ in meaning."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import from_options, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.cache import LEDGER_OF_RUN
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import listening
from blackbox_conformal.cli.named_files import photograph_paths
from blackbox_conformal.cli.serve import refuse_missing
from blackbox_conformal.cli.signing import load_calibration
from blackbox_conformal.support.text import counted

if TYPE_CHECKING:
    from blackbox_conformal.pages.annotating.pairs import Pairs


LARGEST_BODY = 256 * 2**20
"""Bytes of the marks of a picture, one a pixel."""


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions(shared.VendorOptions):
    """What `annotate` is given."""

    images: tuple[str, ...] = shared.photographs()
    calibration: str = shared.declared(
        "--calibration",
        type=shared.FILE,
        required=True,
        help="Calibration file, of any metric, whose draws are stored.",
    )
    annotator: str = shared.declared("--annotator", metavar="NAME", required=True, help="Who marks.")
    annotations: str = shared.declared(
        "--annotations", type=shared.FOLDER, default="annotations", help="Folder for the marks."
    )
    run: str | None = shared.declared(
        "--run", type=shared.FOLDER, help="Run folder with the draws.  [default: the calibration's]"
    )
    ledger: str | None = shared.declared("--ledger", type=values.ledger_address, metavar="ADDRESS", help=LEDGER_OF_RUN)
    trust: tuple[str, ...] = shared.trust()
    port: int = shared.declared(
        "--port", type=values.whole(0, 65535), default=0, help="Port of the page; 0 takes a free one."
    )


@click.command("annotate")
@shared.takes(AnnotateOptions)
def command(screen: Screen, options: AnnotateOptions) -> None:
    """Mark, on a page in the browser, where the delivered pictures of IMAGES differ in meaning from them.

    IMAGES are photographs that `calibrate` drew, with any metric. Nothing is drawn and nothing is paid. Afterwards
    `annotations combine` makes of everyone's marks what `calibrate --metric semantic` reads.
    """
    refuse_missing()
    from blackbox_conformal.pages.annotating.annotation_site import AnnotationSite
    from blackbox_conformal.pages.viewer.local_site import LocalSite

    pairs = _pairs(screen, options)
    routes = AnnotationSite(pairs, Path(options.annotations), options.annotator).routes

    def on_start(url: str) -> None:
        screen.say(f"Open {url} in a browser; stop with Ctrl-C")
        screen.data({"url": url, "pictures": len(pairs), "annotations": str(Path(options.annotations).resolve())})

    with LocalSite(routes, port=options.port, largest_body=LARGEST_BODY) as site:
        site.run(on_start)
    screen.next("annotations", "combine", options.annotations)


def _pairs(screen: Screen, options: AnnotateOptions) -> "Pairs":
    from blackbox_conformal.drawing.ledger.address import LEDGERS
    from blackbox_conformal.pages.annotating.pairs import Pairs
    from blackbox_conformal.study.run_folder import usual_folder
    from blackbox_conformal.study.stages.settings import set_up_as

    calibration = load_calibration(screen, options.calibration, options.trust)
    adapter = from_options.open_calibrated_vendor(calibration, options)
    setup = set_up_as(adapter, calibration.procedure, from_options.open_second_vendor(options, calibration))
    run = Path(options.run) if options.run else usual_folder(calibration.procedure, Path(options.calibration))
    if options.ledger is not None:
        LEDGERS.name(options.ledger)
    with listening(screen) as listeners:
        pairs = Pairs.of_photographs(setup, photograph_paths(options.images), run, listeners)
    if pairs.missing:
        screen.note(f"note: {counted(pairs.missing, 'photograph')} left out, which {run} has no draws of")
    return pairs
