"""`audit`: a calibration measured on photographs that it has not seen; exit 3 when they contradict it.

`--splits` splits one pool at random instead, or besides. What is printed lives in `audit_screen`.
"""

from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen

_OF_PROCEDURE = ("draws", "score", "metric", "delivery", "perturbation", "seeds")


@click.command("audit")
@click.argument("images", nargs=-1, type=click.Path(exists=True))
@shared.option("--calibration", type=click.Path(exists=True, dir_okay=False), help="Calibration file.")
@shared.option("--alpha", "alphas", type=shared.Level(), multiple=True, help="Level to audit; repeatable.")
@shared.option(
    "--splits",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Split one pool N times at random: IMAGES without --calibration, else its photographs, with IMAGES if given.",
)
@shared.option(
    "--calibrate-on",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Share of the pool that calibrates in a split.  [default: 0.7; with a calibration and IMAGES, its own number]",
)
@shared.procedure
@shared.guarantee
@shared.option("--group", metavar="NAME", help="Audit the guarantee within this group, that all IMAGES belong to.")
@shared.option(
    "--clusters",
    type=click.Path(exists=True, dir_okay=False),
    help="CSV of tile,photograph lines: tiles of one photograph count once.",
)
@shared.option(
    "--worst", type=click.IntRange(0, 1000), default=3, show_default=True, help="How many of the worst to name."
)
@shared.option("--out", type=click.Path(file_okay=False), help="Folder for crops of the worst places.")
@shared.spending
@shared.memory
@shared.force
@shared.output
def command(images: tuple[str, ...], **options: Any) -> None:
    """Realised risk, trusted share, PSNR and SSIM on IMAGES (photographs that calibration has not seen).

    With --calibration the vendor and every setting come from it. Without, --splits draws IMAGES once, as `calibrate`
    does, and splits them at random into a part that calibrates and one that is measured.
    """
    from blackbox_conformal.calibration import Calibration
    from blackbox_conformal.cli import session
    from blackbox_conformal.cli.audit_screen import show_pool
    from blackbox_conformal.errors import UsageError

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    if options["calibration"] is None:
        if options["splits"] is None:
            raise UsageError(
                "expected --calibration FILE, or --splits N to split IMAGES at random; got neither. "
                "`blackbox-conformal calibrate` makes a calibration"
            )
        if not images:
            raise UsageError("expected IMAGES or --calibration FILE to split; got neither")
        pool = _pool(screen, images, options)
        _split(screen, pool, options)
        show_pool(screen, session.folder_of(options, pool.procedure))
        return
    _refuse_procedure(click.get_current_context())
    calibration = Calibration.load(options["calibration"])
    if not images:
        if options["splits"] is None:
            raise UsageError(
                "expected IMAGES that calibration has not seen, or --splits N to split its own photographs; got neither"
            )
        _split(screen, calibration, options)
        return
    _audit(screen, calibration, images, options)


def _audit(screen: Screen, calibration: Any, images: tuple[str, ...], options: dict[str, Any]) -> None:
    from blackbox_conformal.cli import session
    from blackbox_conformal.cli.audit_screen import show_audit, show_next, tell_outlook
    from blackbox_conformal.cli.consent import asking
    from blackbox_conformal.errors import CheckFailedError
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.audit_parts.audited_rule import audited_rule, is_own, outlook, refuse_hopeless
    from blackbox_conformal.pipeline.audit_parts.measure import WorstCrops
    from blackbox_conformal.pipeline.auditing import audit_calibration, audit_json
    from blackbox_conformal.pipeline.planning import audited_levels
    from blackbox_conformal.reports.report_store import ReportStore

    adapter = session.open_calibrated_vendor(calibration, options)
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    run = session.folder_of(options, calibration.procedure)
    session.say_folder(screen, options, run)
    chosen = _chosen(options)
    rule = audited_rule(calibration, **chosen)
    levels = tuple(options["alphas"] or audited_levels(calibration.bound_for(rule)))
    store = ReportStore(run, calibration, levels)
    own = is_own(calibration, rule)
    crops = WorstCrops(options["worst"] if options["out"] else 0)
    if not adapter.capabilities.local:
        refuse_hopeless(calibration, rule, levels)
        if chosen["clusters"] is None:
            # How many photographs tiles are of is known to the audit alone.
            tell_outlook(screen, outlook(calibration, rule, levels), len(paths))
    with screen.progress(), session.interruptible(screen) as on_sampler:
        found = audit_calibration(
            adapter,
            paths,
            calibration,
            levels,
            on_picture=store.audited if own else lambda *_: None,
            crops=crops,
            second=session.open_second_vendor(options, calibration.procedure.second_opinion),
            run=run,
            limits=session.build_limits(options),
            memory_bytes=options["memory"],
            listener=screen.event,
            progress=screen.step,
            on_sampler=on_sampler,
            ask=asking(screen, options),
            **chosen,
        )
    if own:
        store.keep_audit(found)
    files = crops.write(Path(options["out"]), force=options["force"]) if options["out"] else {}
    show_audit(screen, found, options["worst"], files)
    if found.drift is not None:
        screen.note(f"warning: {found.drift}")
    document = audit_json(found, options["worst"], files)
    if options["splits"] is not None:
        document["splits"] = _splits(screen, calibration, options, found)
    show_next(screen, run, options["calibration"], kept=own)
    screen.data(document)
    if found.verdict == "contradicted":
        raise CheckFailedError(
            f"the guarantee is contradicted by {found.n} unseen photographs: they are not of the same population, or "
            "the vendor has changed. Do not use this calibration"
        )
    if found.verdict == "shifted":
        screen.note(
            f"warning: {found.n} unseen photographs are not like those of the calibration, and their risk is above "
            "what is claimed. No promise is shown to be broken, but none is made for photographs like these. Audit "
            "more of them, or calibrate on them"
        )


def _pool(screen: Screen, images: tuple[str, ...], options: dict[str, Any]) -> Any:
    """Draw a pool once: a calibration on all of it."""
    from blackbox_conformal.cli import session
    from blackbox_conformal.cli.consent import asking
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.calibrating import run_calibration

    setup = session.build_setup(options)
    run = session.folder_of(options, setup.procedure)
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    with screen.progress(), session.interruptible(screen) as on_sampler:
        return run_calibration(
            setup,
            paths,
            run=run,
            guarantee=options["guarantee"] or "expected",
            limits=session.build_limits(options),
            memory_bytes=options["memory"],
            listener=screen.event,
            progress=screen.step,
            on_sampler=on_sampler,
            ask=asking(screen, options),
        ).calibration


def _split(screen: Screen, calibration: Any, options: dict[str, Any]) -> None:
    screen.data(_splits(screen, calibration, options))


def _splits(screen: Screen, calibration: Any, options: dict[str, Any], audited: Any = None) -> dict[str, Any]:
    from blackbox_conformal.cli import session
    from blackbox_conformal.cli.audit_screen import show_splits
    from blackbox_conformal.pipeline.audit_parts.audit_document import splits_json
    from blackbox_conformal.pipeline.audit_parts.audited_rule import audited_rule, is_own
    from blackbox_conformal.pipeline.auditing import audit_splits
    from blackbox_conformal.pipeline.planning import audited_levels
    from blackbox_conformal.reports.report_store import ReportStore

    chosen = _chosen(options)
    rule = audited_rule(calibration, **chosen)
    levels = tuple(options["alphas"] or audited_levels(calibration.bound_for(rule)))
    found = audit_splits(
        calibration,
        levels,
        audited=audited,
        splits=options["splits"],
        share=options["calibrate_on"],
        seed=calibration.procedure.root_seed if options["seed"] is None else options["seed"],
        **chosen,
    )
    run = session.folder_of(options, calibration.procedure)
    if run.is_dir() and is_own(calibration, rule):
        ReportStore(run, calibration, levels).keep_splits(found)
    show_splits(screen, found)
    return splits_json(found)


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    """Which guarantee is audited, as the pipeline takes it."""
    from blackbox_conformal.catalog import parse
    from blackbox_conformal.cli.calibrate import read_groups

    name, parameters = parse(options["guarantee"]) if options["guarantee"] else (None, {})
    return {
        "guarantee": name,
        "parameters": parameters,
        "group": options["group"],
        "clusters": read_groups(options["clusters"]),
    }


def _refuse_procedure(context: click.Context) -> None:
    """With a calibration its settings are fixed; one that is given all the same would be ignored."""
    from blackbox_conformal.errors import UsageError

    given = [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name in _OF_PROCEDURE
        and context.get_parameter_source(parameter.name) == click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(
            f"expected no {', '.join(sorted(given))} beside --calibration, which fixes it; got it. Leave it out, or "
            "calibrate with it"
        )
