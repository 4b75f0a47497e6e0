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
    from blackbox_conformal.certificate import Certificate
    from blackbox_conformal.errors import BlackboxConformalError
    from blackbox_conformal.pipeline.products import Products

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
@shared.option(
    "--empty-masks", is_flag=True, help="Pay for the pictures also where every mask is known to be empty at this level."
)
@shared.option(
    "--keep-going",
    is_flag=True,
    help="Mask the others when some pictures cannot be used or are refused, list those at the end, and exit with 6.",
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
    from blackbox_conformal.cli import consent, next_steps, session
    from blackbox_conformal.errors import BlackboxConformalError, IncompleteError
    from blackbox_conformal.guarantees.instance_bound import reason_of_nothing
    from blackbox_conformal.images.read import read_image
    from blackbox_conformal.pipeline.job import Job, Watch
    from blackbox_conformal.pipeline.masking import Result, apply_job, mask_job
    from blackbox_conformal.pipeline.products import add_note, encode_products, write_products
    from blackbox_conformal.pipeline.stages.grouped_errors import refuse_together
    from blackbox_conformal.pipeline.stages.prepare import prepare_inputs
    from blackbox_conformal.pipeline.stages.settings import set_up_as
    from blackbox_conformal.reports.report_store import ReportStore
    from blackbox_conformal.text import name_of, printable

    piped = "-" in inputs
    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"], piped=piped)
    _refuse_terminal(inputs, options)
    calibration = Calibration.load(options["calibration"])
    adapter = session.open_calibrated_vendor(calibration, options)
    second = session.open_second_vendor(options, calibration.procedure.second_opinion)
    named = [Path("-")] if piped else [path for name in inputs for path in _pictures(name)]
    sources: list[tuple[str, Path | bytes]] = (
        [("stdin", sys.stdin.buffer.read())] if piped else [(name_of(path), path) for path in named]
    )
    failed: dict[int, BlackboxConformalError] = {} if piped else _in_the_way(named, calibration, options)
    setup = set_up_as(adapter, calibration.procedure, second)
    pictures = prepare_inputs(sources, setup, calibration, failed, memory_bytes=options["memory"])
    if not options["keep_going"]:
        advice = "Correct or leave out these, or add --keep-going to mask the others" if len(named) > 1 else ""
        refuse_together([(sources[place][0], failed[place]) for place in sorted(failed)], len(named), advice=advice)
    name, parameters = parse(options["guarantee"]) if options["guarantee"] else (None, {})
    written: dict[int, dict[str, Any]] = {}
    previews: dict[int, Path] = {}

    def keep(place: int, result: Result) -> None:
        products = write_products(result, Path(options["out"]), force=options["force"])
        previews[place] = store.masked(result, read_image(sources[place][1]).pixels)
        level = result.certificate
        written[place] = _entry(named[place], products, level)
        screen.say(
            f"{printable(result.name)}: {share(level.trusted_share)} trusted at alpha={level.alpha:g}; "
            f"{products.overlay}"
        )
        if level.reason and not hopeless:
            screen.say(f"  nothing is trusted: {level.reason}")
        for note in level.notes:
            screen.note(f"  note: {note}")

    def remark(drift: str) -> None:
        for place, entry in written.items():
            entry["notes"].append(drift)
            add_note(Path(entry["certificate"]), drift)
            store.add_note(previews[place], drift)
        screen.note(f"warning: {drift}")

    rule = calibration.rule(name, **parameters)
    if options["group"] is not None:
        rule = calibration.rule_of_group(options["group"], rule)
    hopeless = reason_of_nothing(rule, calibration.curves_for(rule), options["alpha"])
    run = session.folder_of(options, calibration.procedure)
    session.say_folder(screen, options, run)
    store = ReportStore(run, calibration, (options["alpha"],))
    agree = consent.asking(screen, options)

    def ask(job: Job, expected: Any) -> None:
        if hopeless:
            screen.note(f"warning: every mask will be empty: {hopeless}")
        agree(job, expected)

    with screen.progress(), session.interruptible(screen) as on_sampler:
        watch, limits = Watch(screen.event, screen.step, on_sampler), session.build_limits(options)
        job = mask_job(setup, pictures, run, limits, calibration, memory_bytes=options["memory"], ask=ask, watch=watch)
        results = apply_job(
            job,
            sources,
            pictures,
            calibration,
            rule,
            options["alpha"],
            group=options["group"],
            empty_masks=options["empty_masks"],
            on_result=None if piped else keep,
            on_failure=failed.__setitem__ if options["keep_going"] else None,
            on_drift=remark,
        )
    if piped and results:
        contents = {**encode_products(results[0]), "certificate": results[0].certificate.to_json().encode()}
        sys.stdout.buffer.write(contents[options["product"]])
        return
    if written:
        screen.say(next_steps.report_on(run, options["calibration"]))
        words = next_steps.with_calibration(
            "audit", "other-photographs", Path(options["calibration"]), adapter, options
        )
        screen.say(next_steps.next_command(*words))
    lost = [(str(named[place]), str(error)) for place, error in sorted(failed.items())]
    if lost:
        screen.table("Not masked", ["picture", "why"], [list(row) for row in lost])
    screen.data(
        {
            "pictures": [entry for _, entry in sorted(written.items())],
            "failed": [{"input": path, "error": error} for path, error in lost],
        }
    )
    if lost:
        raise IncompleteError(
            f"{len(lost)} of {len(named)} pictures could not be masked; all others are done. Correct or leave out the "
            "rest, and run the same command again: what is paid is kept"
        )


def _refuse_terminal(inputs: tuple[str, ...], options: dict[str, Any]) -> None:
    """A picture on stdout stands alone, and never on a terminal."""
    from blackbox_conformal.errors import UsageError

    if "-" not in inputs:
        return
    if len(inputs) > 1 or options["as_json"]:
        raise UsageError("expected - alone and without --json: stdout carries the one product")
    if sys.stdout.isatty():
        raise UsageError("expected stdout to be a file or a pipe, since it would carry a PNG; redirect it")


def _in_the_way(
    named: list[Path], calibration: "Calibration", options: dict[str, Any]
) -> "dict[int, BlackboxConformalError]":
    """Inputs, by place, whose files would overwrite those of another input or of an earlier result."""
    from blackbox_conformal.errors import UsageError
    from blackbox_conformal.pipeline.products import refuse_existing
    from blackbox_conformal.text import name_of, printable

    found: dict[int, BlackboxConformalError] = {}
    count = Counter(map(name_of, named))
    for place, path in enumerate(named):
        if count[name_of(path)] > 1:
            found[place] = UsageError(
                f"{printable(path)}: expected inputs with different names, since their files are named after them; "
                f"{count[name_of(path)]} are called {printable(name_of(path))}. Rename them, or mask them "
                "into different folders"
            )
            continue
        if options["force"]:
            continue
        try:
            refuse_existing(name_of(path), Path(options["out"]), options["alpha"], calibration.digest)
        except UsageError as error:
            found[place] = error
    return found


def _entry(path: Path, products: "Products", level: "Certificate") -> dict[str, Any]:
    """What the document says of one masked picture."""
    from blackbox_conformal.certificate import threshold_json

    return {
        "input": str(path),
        **{key: str(file.resolve()) for key, file in asdict(products).items()},
        "alpha": level.alpha,
        "threshold": threshold_json(float.fromhex(level.threshold_hex)),
        "trusted_share": level.trusted_share,
        "status": level.status,
        "reason": level.reason,
        "notes": list(level.notes),
    }


def _pictures(name: str) -> list[Path]:
    """The file itself as it was named, or every picture in the folder."""
    from blackbox_conformal.images.photographs import find_photographs

    path = Path(name)
    return [one.path for one in find_photographs([path])] if path.is_dir() else [path]
