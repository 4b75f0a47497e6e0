"""Build a vendor, a set-up, limits and a run folder from options, and read the files that a user names."""

import csv
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli.consent import Consent
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import listening
from blackbox_conformal.cli.option_sources import lookup, origin_of
from blackbox_conformal.cli.options import JobOptions, SpendingOptions, VendorOptions, settings_of
from blackbox_conformal.cli.values import vendor_parameters
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.wording import as_typed, option_words

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.procedure import Procedure
    from blackbox_conformal.method.audits.mask_worth import MaskWorth
    from blackbox_conformal.method.guarantees.guarantee import Guarantee
    from blackbox_conformal.study.calibrate.calibrating import Question
    from blackbox_conformal.study.job import Ask, Job, Terms
    from blackbox_conformal.study.stages.prepare import Prepared
    from blackbox_conformal.study.stages.settings import Setup
    from blackbox_conformal.vendor.adapter import Adapter


def photograph_paths(images: Sequence[str]) -> list[Path]:
    """Return every photograph in these files and folders."""
    from blackbox_conformal.study.pictures_in_memory import photograph_paths

    return photograph_paths(images)


def read_groups(path: str | None) -> dict[str, str] | None:
    """Read photograph (its file's stem) → group from a CSV file with lines ``photograph,group``."""
    if path is None:
        return None
    groups: dict[str, str] = {}
    with Path(path).open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if len(row) != 2 or not all(cell.strip() for cell in row):
                raise UsageError(f"{path}, line {number}: expected photograph,group; got {','.join(row)!r}")
            photograph, group = (cell.strip() for cell in row)
            if Path(photograph).stem in groups:
                raise UsageError(f"{path}, line {number}: {photograph!r} is given a group twice")
            groups[Path(photograph).stem] = group
    return groups


def refuse_other_calibration(
    path: Path, procedure: "Procedure | None", truths: Collection[str], tuning: Collection[str] = ()
) -> None:
    """Refuse if `path` holds anything but a calibration of this procedure (None: any) on these photographs.

    Call it before drawing, because a result that cannot be written is lost.
    """
    from blackbox_conformal.documents.calibration import Calibration

    if not path.exists():
        return
    try:
        existing = Calibration.load(path)
    except (OSError, BlackboxConformalError):
        raise UsageError(f"{path} exists and is no calibration; give --force or another --out") from None
    differences = [] if procedure is None else existing.procedure.differences(procedure)
    same_photographs = {image.truth for image in existing.images} == set(truths)
    if differences or not same_photographs or {image.truth for image in existing.tuning} != set(tuning):
        other = f"another procedure ({'; '.join(differences)})" if differences else "other photographs"
        raise UsageError(f"{path} is a calibration of {other} and is not overwritten; give --force or another --out")


def open_vendor(options: VendorOptions) -> "Adapter":
    from blackbox_conformal.study.plugins import adapter_class

    name = options.adapter
    if not name:
        raise UsageError("expected --adapter NAME; `blackbox-conformal list adapters` shows them")
    parameters = vendor_parameters(options.parameters)
    if options.scale is not None and "scale" in adapter_class(name).model_fields and "scale" not in parameters:
        parameters["scale"] = str(options.scale)
    return _load(name, parameters, "-p" if options.parameters else None)


def _load(name: str, parameters: dict[str, Any], option: str | None) -> "Adapter":
    # An error about the parameters says where `option` came from.
    from blackbox_conformal.study.plugins import load_adapter

    try:
        return load_adapter(name, **parameters)
    except UsageError as error:
        if option is None:
            raise
        origin = origin_of("parameters" if option == "-p" else "second_parameters")
        came = f"from {option} on the command line"
        if origin is not None:
            came = f"from {origin}: correct them there, or type {option} KEY=VALUE instead of all of them"
        raise UsageError(f"{error}. Those given came {came}") from None


def open_second_vendor(options: VendorOptions, calibration: "Calibration | None" = None) -> "Adapter | None":
    """Build the second vendor, if the options ask for one or the calibration needs one."""
    identity = (None if calibration is None else calibration.procedure.second_opinion) or {}
    name = options.second_adapter or identity.get("adapter")
    if name is None:
        return None
    if not options.second_adapter:
        _installed(name, "--second-adapter")
    calibrated = {key: value for key, value in identity.get("parameters", {}).items() if value is not None}
    parameters = {**calibrated, **vendor_parameters(options.second_parameters)}
    return _load(name, parameters, "--second" if options.second_parameters else None)


def build_setup(options: JobOptions, guarantee: "str | Guarantee | None" = None) -> "Setup":
    from blackbox_conformal.study.from_keywords import setup_of

    named = {"second_adapter": open_second_vendor(options), "guarantee": guarantee}
    return setup_of(open_vendor(options), {**settings_of(options), **named})


def note_address(screen: Screen, setup: "Setup") -> None:
    """Note that a calibration will be bound to an address, if no parameter names the vendor there."""
    if "address" in setup.procedure.vendor and hasattr(setup.adapter, "label"):
        screen.note(
            "note: the calibration will hold for this address alone, port included; if the server may move, name what "
            "is behind it first: -p label=NAME"
        )


def refuse_without_key(options: SpendingOptions, setup: "Setup", run: Path) -> None:
    """Refuse a missing key before photographs are read, unless stored draws may need none."""
    import numpy as np

    from blackbox_conformal.drawing.ledger.backends import has_ledger
    from blackbox_conformal.drawing.spending.estimate import missing_key
    from blackbox_conformal.drawing.task import Task
    from blackbox_conformal.method.images.encode import upload_png
    from blackbox_conformal.vendor.adapter import Upload

    if options.ledger or has_ledger(run):
        return
    blank = Upload("blank", "", upload_png(np.zeros((64, 64, 3), np.uint8)), 64, 64)
    for vendor in (setup.adapter, setup.second):
        error = None if vendor is None else missing_key(vendor, Task(blank, 0, None))
        if error is not None:
            raise error


def photograph_job(
    screen: Screen,
    setup: "Setup",
    paths: Sequence[Path],
    terms: "Terms",
    *,
    to_draw: bool = True,
    tiles: Mapping[str, str] | None = None,
) -> "Job":
    """Return the job on photographs; note what follows from them, as `note_photographs`.

    `to_draw`, `tiles`: see `Job.of_photographs`.
    """
    from blackbox_conformal.study.job import Job

    job = Job.of_photographs(setup, paths, terms, to_draw=to_draw, tiles=tiles)
    note_photographs(screen, job)
    return job


def show_worth(screen: Screen, worth: "MaskWorth | None", *, shares: bool = True) -> None:
    """Say what masks are worth; `shares`: a level was asked for, since nobody is to choose one by shares of detail."""
    if worth is None:
        return
    for sentence in filter(None, [worth.shares_in_words if shares else "", worth.gains_in_words, worth.advice]):
        screen.say(sentence)
    if worth.warning is not None:
        screen.note(f"warning: {worth.warning}")


def note_photographs(screen: Screen, job: "Job") -> None:
    """Note which photographs were made to fit the vendor, and what follows for inputs where they are lossy files."""
    from blackbox_conformal.study.stages.certify import lossy_note
    from blackbox_conformal.study.stages.grouped_errors import NAMED

    formats = [picture.file_format for picture in job.pictures]
    if (note := lossy_note(formats, job.setup.procedure.mixture)) is not None:
        screen.note(f"note: {note}")

    done = [f"{printable(picture.name)} {picture.fitted}" for picture in job.pictures if picture.fitted]
    if done:
        more = f"\n  and {len(done) - NAMED} more" if len(done) > NAMED else ""
        screen.note(
            f"note: {len(done)} of {len(job.pictures)} photographs break a limit of the vendor and were made to fit; "
            "the guarantee is about pictures like them after that:"
            + "".join(f"\n  {text}" for text in done[:NAMED])
            + more
        )


def ask_about_parts(screen: Screen, pictures: "Sequence[Prepared]", *, sure: bool) -> "Question | None":
    """Ask whether photographs are parts of the same ones if they look so; with `sure` or no terminal, note it."""
    from blackbox_conformal.study.calibrate.calibrating import question_of

    question = question_of(pictures)
    if question is None:
        return None
    way = "calibrate with --tiles FILE, a CSV file with a line tile,photograph for each"
    screen.note(f"note: {question.words}. If they are parts, {way}")
    if sure or not sys.stdin.isatty():
        return question
    with screen.paused():
        different = click.confirm("Are they different photographs?", err=True)
    if not different:
        raise UsageError(f"expected independent photographs; got parts of the same ones. So {way}")
    return question


def say_promises(
    screen: Screen,
    calibration: "Calibration",
    rule: "Guarantee",
    levels: Sequence[float],
    *,
    full: bool,
    lead: str = "",
) -> None:
    """Say what `rule` promises at each level in short, after `lead`, and with `full` in whole."""
    from blackbox_conformal.method.guarantees.corollaries import in_short, statement

    for level, words in product(levels, (in_short, statement) if full else (in_short,)):
        screen.say(lead + words(rule, level, calibration.n, calibration.procedure.metric))


def show_left_out(screen: Screen, photographs: int, left_out: int) -> None:
    if left_out:
        screen.note(f"note: {left_out} of {photographs} photographs were looked at before and do not calibrate")


@contextmanager
def job_terms(screen: Screen, options: SpendingOptions, run: Path, ask: "Ask | None" = None) -> "Iterator[Terms]":
    """Open the terms of a job for the ``with`` block: draws in `run`, progress, signals, and the cluster.

    `ask` is called before anything is spent; by default the terminal asks.
    """
    from blackbox_conformal.study.from_keywords import terms_of
    from blackbox_conformal.study.stages.cluster import Cluster

    settings = {**settings_of(options), "run": run, "ask": ask or Consent(screen, options)}
    settings["check"] = getattr(options, "check", False)
    with listening(screen) as listeners, ExitStack() as stack:
        if (place := getattr(options, "cluster", None)) is not None:
            settings["cluster"] = stack.enter_context(Cluster(place, settings.get("memory")))
        yield replace(terms_of(run, settings), listeners=listeners)


def place(options: SpendingOptions, run: Path) -> None:
    """Place the run folder's ledger as `--ledger` says."""
    from blackbox_conformal.study import from_keywords

    from_keywords.place(run, settings_of(options))


def folder_of(options: SpendingOptions, procedure: "Procedure", calibration: str | None = None) -> Path:
    """Return the run folder that was named, else the calibration file's, else the procedure's own."""
    from blackbox_conformal.study.run_folder import usual_folder

    if options.run:
        return Path(options.run)
    return usual_folder(procedure, None if calibration is None else Path(calibration))


def calibrated_folder(screen: Screen, options: SpendingOptions, procedure: "Procedure", calibration: str) -> Path:
    """Return the run folder of a command on a calibration; note it if the user named none."""
    run = folder_of(options, procedure, calibration)
    if not options.run:
        screen.note(f"run folder: {run}")
    return run


def open_calibrated_vendor(
    calibration: "Calibration", options: VendorOptions, *, seed: int | None = None, priced: bool = False
) -> "Adapter":
    """Build a calibration's vendor; a calibration keeps no addresses, so they come from the options.

    `priced`: a limit on the cost is given, which needs the price of a call.
    """
    from blackbox_conformal.study.plugins import adapter_class

    identity = calibration.procedure.vendor
    name = options.adapter or _installed(identity["adapter"], "--adapter")
    if adapter_class(name).name != identity["adapter"]:
        raise UsageError(
            f"the calibration is of adapter {identity['adapter']}; got {origin_of('adapter') or '--adapter'} {name}. "
            f"Calibrate {name} first, or add --adapter {identity['adapter']}"
        )
    if options.scale not in (None, calibration.procedure.scale):
        raise UsageError(
            f"the calibration is for ×{calibration.procedure.scale}; got --scale {options.scale}. Calibrate that"
        )
    calibrated = {key: value for key, value in identity["parameters"].items() if value is not None}
    parameters = {**calibrated, **vendor_parameters(options.parameters)}
    vendor, procedure = adapter_class(name), calibration.procedure
    # The user is asked for all at once: address and, under a limit, price.
    if missing := _missing(vendor, parameters, priced=priced):
        fields = vendor.model_fields
        meant = "; ".join(f"{as_typed(name)}: {(fields[name].description or name).rstrip('.')}" for name in missing)
        price = ", nor what it costs" if "price_usd" in missing else ""
        blanks = " ".join(option_words(dict.fromkeys(missing, "…")))
        unsent = {name: value for name, value in vendor.key_parameters.items() if name not in parameters}
        key = f"; if it takes a key, add {shlex.join(option_words(unsent))} too" if unsent else ""
        raise UsageError(
            f"the calibration does not store where the vendor {vendor.name} is{price}. Add {blanks}{key} ({meant})"
        )
    adapter = _load(name, parameters, "-p" if options.parameters else None)
    # With another root seed, a mask could be rolled until it pleases.
    drawn = procedure.seeds != "shared" and adapter.capabilities.seed_range is not None
    if seed not in (None, procedure.root_seed) and (drawn or procedure.mixture.random):
        raise UsageError(
            f"expected no --seed beside --calibration, which fixes it to {procedure.root_seed}; got --seed {seed}: a "
            "picture that is drawn again until its mask pleases has no guarantee. Leave --seed out, or calibrate with "
            f"--seed {seed}"
        )
    return adapter


def calibrated_setup(
    calibration: "Calibration", options: VendorOptions, *, seed: int | None = None, degradation: str | None = None
) -> "Setup":
    """Return a calibration's set-up with its vendors, priced if `options` limit the cost."""
    from blackbox_conformal.study.stages.settings import set_up_as

    priced = getattr(options, "max_cost", None) is not None
    adapter = open_calibrated_vendor(calibration, options, seed=seed, priced=priced)
    return set_up_as(adapter, calibration.procedure, open_second_vendor(options, calibration), degradation)


def _installed(name: str, option: str) -> str:
    # A calibration is data and never says what to import: the user types an adapter of his own again.
    from blackbox_conformal.study.plugins import installed_adapter_class

    try:
        installed_adapter_class(name, "adapter in the calibration")
    except UsageError as error:
        raise UsageError(
            f"{str(error).removesuffix('.')}. Add {option} package.module:Class if it is your own"
        ) from None
    return name


def _missing(vendor: "type[Adapter]", parameters: Collection[str], *, priced: bool) -> list[str]:
    fields = vendor.model_fields
    missing = [name for name, field in fields.items() if field.is_required() and name not in parameters]
    if missing and priced and "price_usd" in fields and "price_usd" not in parameters:
        missing.append("price_usd")
    return missing


def blanks(identity: Mapping[str, Any], command: str) -> list[str]:
    """Return options of `command` to fill in: a vendor's needs that neither calibration nor settings keep."""
    from blackbox_conformal.study.plugins import installed_adapter_class

    try:
        vendor = installed_adapter_class(identity["adapter"], "adapter in the calibration")
    except BlackboxConformalError:
        return []
    setting = lookup("p", command, vendor=identity["adapter"])
    value = {} if setting is None else setting.value
    pairs = [f"{name}={entry}" for name, entry in value.items()] if isinstance(value, dict) else str(value).split()
    known = {*identity["parameters"], *vendor_parameters(pairs)}
    return option_words(dict.fromkeys(_missing(vendor, known, priced=True), "…"))
