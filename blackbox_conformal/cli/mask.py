"""`mask`: pictures with trust masks and certificates; `-` is stdin to stdout."""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, share

if TYPE_CHECKING:
    from blackbox_conformal.calibration import Calibration

PRODUCTS = ("image", "mask", "overlay", "indecision", "certificate")


@click.command("mask")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
@shared.option("--calibration", required=True, type=click.Path(exists=True, dir_okay=False), help="Calibration file.")
@shared.option("--alpha", type=shared.Level(), required=True, help="The level: the risk that is accepted.")
@shared.vendor
@shared.seed
@shared.guarantee
@shared.option("--group", metavar="NAME", help="The group that these pictures belong to.")
@shared.spending
@shared.memory
@shared.option(
    "--out", type=click.Path(file_okay=False), default="masked", show_default=True, help="Folder for the files."
)
@shared.option(
    "--product", type=click.Choice(PRODUCTS), default="overlay", show_default=True, help="What - writes to stdout."
)
@shared.force
@shared.output
def command(inputs: tuple[str, ...], **options: Any) -> None:
    """Super-resolve INPUTS (pictures or folders of them): image, mask, overlay, indecision map, certificate for each.

    The vendor and every setting come from the calibration; -p only needs what identifies no procedure, such as an
    address. INPUT - reads a picture from stdin and writes --product to stdout.
    """
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.catalog import parse
    from blackbox_conformal.certificate import threshold_json
    from blackbox_conformal.cli import consent, session
    from blackbox_conformal.errors import UsageError
    from blackbox_conformal.images.names import printable
    from blackbox_conformal.images.read import read_image
    from blackbox_conformal.pipeline.apply import Result, apply_calibration
    from blackbox_conformal.pipeline.products import encode_products, refuse_existing, write_products
    from blackbox_conformal.pipeline.stages.memory import MASK_PIXEL_BYTES
    from blackbox_conformal.pipeline.stages.room import refuse_large
    from blackbox_conformal.report.store import ReportStore

    piped = "-" in inputs
    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"], piped=piped)
    if piped and (len(inputs) > 1 or options["as_json"]):
        raise UsageError("expected - alone and without --json: stdout carries the one product")
    if piped and sys.stdout.isatty():
        raise UsageError("expected stdout to be a file or a pipe, since it would carry a PNG; redirect it")
    calibration = Calibration.load(options["calibration"])
    adapter = session.open_calibrated_vendor(calibration, options)
    named = [] if piped else [path for name in inputs for path in _pictures(name)]
    sources: list[tuple[str, Path | bytes]] = (
        [("stdin", sys.stdin.buffer.read())] if piped else [(path.stem, path) for path in named]
    )
    refuse_large(
        [source for _, source in sources],
        options["memory"],
        scale=calibration.procedure.scale,
        pixel_bytes=MASK_PIXEL_BYTES,
    )
    twice = [stem for stem, count in Counter(stem for stem, _ in sources).items() if count > 1]
    if twice:
        raise UsageError(
            f"expected inputs with different names, since their files are named after them; two are called "
            f"{printable(twice[0])}. Rename one, or mask them into different folders"
        )
    if not piped and not options["force"]:
        for stem, _ in sources:
            refuse_existing(stem, Path(options["out"]), options["alpha"], calibration.digest)
    name, parameters = parse(options["guarantee"]) if options["guarantee"] else (None, {})
    written: dict[int, dict[str, Any]] = {}

    def keep(index: int, result: Result) -> None:
        products = write_products(result, Path(options["out"]), force=options["force"])
        store.masked(result, read_image(sources[index][1]).pixels)
        level = result.certificate
        written[index] = {
            "input": str(named[index]),
            **{key: str(path.resolve()) for key, path in asdict(products).items()},
            "alpha": level.alpha,
            "threshold": threshold_json(float.fromhex(level.threshold_hex)),
            "trusted_share": level.trusted_share,
            "status": level.status,
            "reason": level.reason,
            "notes": list(level.notes),
        }
        screen.say(f"{result.name}: {share(level.trusted_share)} trusted at alpha={level.alpha:g}; {products.overlay}")
        if level.reason and not hopeless:
            screen.say(f"  nothing is trusted: {level.reason}")
        for note in level.notes:
            screen.note(f"  note: {note}")

    run = session.folder_of(options, calibration.procedure)
    store = ReportStore(run, calibration, (options["alpha"],))
    hopeless = _reason_of_nothing(calibration, name, parameters, options)
    if hopeless:
        screen.note(f"warning: every mask will be empty: {hopeless}")
    with screen.progress(), session.interruptible(screen) as on_sampler:
        limits = consent.confirm_draws(screen, adapter, calibration, sources, options)
        results = apply_calibration(
            adapter,
            sources,
            calibration,
            options["alpha"],
            guarantee=name,
            parameters=parameters,
            group=options["group"],
            second=session.open_second_vendor(options, calibration.procedure.second_opinion),
            run=run,
            limits=limits,
            memory_bytes=options["memory"],
            listener=screen.event,
            progress=screen.step,
            on_sampler=on_sampler,
            on_result=None if piped else keep,
        )
    if piped:
        contents = {**encode_products(results[0]), "certificate": results[0].certificate.to_json().encode()}
        sys.stdout.buffer.write(contents[options["product"]])
        return
    screen.data([entry for _, entry in sorted(written.items())])


def _pictures(name: str) -> list[Path]:
    """The file itself as it was named, or every picture in the folder."""
    from blackbox_conformal.images.photographs import find_photographs

    path = Path(name)
    return [one.path for one in find_photographs([path])] if path.is_dir() else [path]


def _reason_of_nothing(
    calibration: "Calibration", name: str | None, parameters: dict[str, Any], options: dict[str, Any]
) -> str | None:
    """Why every mask will be empty; None when some pixel might be trusted."""
    from blackbox_conformal.pipeline.stages.at_hand import reason_of_nothing

    rule = calibration.rule(name, **parameters)
    if options["group"] is not None:
        rule = calibration.rule_of_group(options["group"], rule)
    return reason_of_nothing(rule, calibration.curves_for(rule), options["alpha"])
