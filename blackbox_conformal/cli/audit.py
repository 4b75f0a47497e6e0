"""`audit`: a calibration measured on photographs that it has not seen; exit 3 when they contradict it.

`--splits` splits one pool at random instead, or besides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli import from_options, next_steps, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.consent import Consent
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.from_options import photograph_paths, read_groups
from blackbox_conformal.cli.sign import load_calibration, trusted
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.study.settings_table import AuditSettings
from blackbox_conformal.support.text import counted

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.method.audits.findings import Audit
    from blackbox_conformal.study.audit.audited_rule import Outlook

_OF_PROCEDURE = ("draws", "score", "metric", "delivery", "perturbation", "seeds", "fit")


@dataclass(frozen=True, kw_only=True)
class AuditOptions(shared.ClusterOptions, shared.JobOptions):
    images: tuple[str, ...] = shared.photographs(required=False)
    calibration: str | None = shared.calibration()
    trust: tuple[str, ...] = shared.trust(no_keyword="`Calibration.vouching` says who signed")
    alphas: tuple[float, ...] = shared.alpha(flag="--alpha", multiple=True)
    splits: int | None = shared.declared(
        "--splits",
        type=values.whole(1, 100_000),
        metavar="N",
        no_keyword="a program splits and audits in a loop",
        help="Split one pool N times at random: IMAGES without --calibration, else its photographs, with IMAGES if "
        "given.",
    )
    calibrate_on: float | None = shared.declared(
        "--calibrate-on",
        type=values.share,
        metavar="SHARE",
        no_keyword="a program splits and audits in a loop",
        help="Share of the pool that calibrates in a split.  [default: 0.7; with a calibration and IMAGES, its own "
        "number]",
    )
    claim: str | None = shared.declared(
        "--claim",
        metavar="FIGURE:at_most=SHARE",
        no_keyword="`audit_claim` takes it",
        help="Test what a vendor says of itself, without a calibration: invented:at_most=0.2, erased:at_most=0.1 or "
        "restored:at_least=0.3, on average or with ,in=0.95 in that share of photographs. Or the manifest of "
        "`degrade --claim`.",
    )
    answers: str | None = shared.declared(
        "--answers",
        type=shared.FILE,
        no_keyword="`audit_claim` takes them",
        help="With the manifest of a claim: the file of `sign --answers`, by which a vendor vouches for its answers. "
        "No others count. Whose signature counts, --trust says.",
    )
    guarantee: str | None = shared.setting()
    group: str | None = shared.setting()
    groups: str | None = shared.setting(type=shared.FILE)
    tiles: str | None = shared.setting(type=shared.FILE)
    worst: int = shared.declared(
        "--worst",
        type=values.whole(0, 1000),
        default=3,
        no_keyword="`Audit.worst` has them",
        help="How many of the worst photographs to name.",
    )
    out: str | None = shared.declared(
        "--out",
        type=shared.NEW_FOLDER,
        main=True,
        no_keyword="`crops` keeps them",
        help="Folder for crops of the worst places.",
    )
    full: bool = shared.full()
    stop: bool = shared.setting()
    paid: int | None = shared.setting()
    force: bool = shared.force()


@shared.command(
    "audit",
    AuditOptions,
    AuditSettings,
    only_typed="for --splits and --calibrate-on; else a calibration fixes it",
    examples=(
        "blackbox-conformal audit other-photographs/ --calibration runs/NAME/calibration.json --alpha 0.1 --max-cost 2",
        "blackbox-conformal audit --calibration runs/NAME/calibration.json --splits 100",
    ),
)
def command(screen: Screen, options: AuditOptions) -> None:
    """Measure risk, trusted share, PSNR, SSIM, restored and invented detail on IMAGES that calibration has not seen.

    With --calibration the vendor and every setting come from it. Without, --splits draws IMAGES once, as `calibrate`
    does, and splits them at random into a part that calibrates and one that is measured. --claim tests what the
    vendor says of itself.
    """
    from blackbox_conformal.study.calibrate.calibrating import calibrate_job

    if options.claim is not None:
        _audit_claim(screen, options, options.claim)
        return
    if options.calibration is None:
        if options.splits is None:
            raise UsageError(
                "expected --calibration FILE, or --splits N to split IMAGES at random; got neither. "
                "`blackbox-conformal calibrate` makes a calibration"
            )
        if not options.images:
            raise UsageError("expected IMAGES or --calibration FILE to split; got neither")
        setup = from_options.build_setup(options, options.guarantee)
        run = from_options.folder_of(options, setup.procedure)
        paths = photograph_paths(options.images)
        with from_options.job_terms(screen, options, run) as terms:
            job = from_options.photograph_job(screen, setup, paths, terms, tiles=read_groups(options.tiles))
            pool = calibrate_job(job, guarantee=options.guarantee).calibration
        screen.data(_splits(screen, options, pool, options.splits))
        screen.say(
            f"The draws are kept. `calibrate` on the same photographs with --run {run} makes no call and gives a "
            "calibration whose report shows these splits."
        )
        return
    if typed := shared.typed_flags(_OF_PROCEDURE):
        raise UsageError(
            f"expected no {', '.join(sorted(typed))} beside --calibration, which fixes it. Leave it out, or "
            "calibrate with it"
        )
    calibration = load_calibration(screen, options.calibration, options.trust)
    if options.degradation is not None:
        calibration.procedure.require_degradation(options.degradation)
    if options.images:
        own = calibration.own_groups if options.group is None else ()
        found = {group: _audit(screen, replace(options, group=group), calibration) for group in own or [options.group]}
        contents = {group: content for group, (content, _) in found.items()}
        screen.data({"groups": contents} if own else contents[options.group])
        for _, audit in found.values():
            _judge(screen, audit)
    elif options.splits is not None:
        screen.data(_splits(screen, options, calibration, options.splits))
    else:
        raise UsageError(
            "expected IMAGES that calibration has not seen, or --splits N to split its own photographs; got neither"
        )


def _audit(screen: Screen, options: AuditOptions, calibration: "Calibration") -> "tuple[dict[str, Any], Audit]":
    from blackbox_conformal.method.guarantees.guarantee import usual_level
    from blackbox_conformal.study.audit.audited_rule import is_own, outlook, refuse_hopeless
    from blackbox_conformal.study.audit.auditing import AuditRequest, audit_photographs
    from blackbox_conformal.study.audit.measure import WorstCrops
    from blackbox_conformal.support import catalog
    from blackbox_conformal.support.blocks import document

    assert options.calibration is not None
    file = options.calibration
    if options.group in calibration.own_groups:
        screen.say(f"Group {options.group!r}:")
    # The audit goes on whatever the watch found.
    notes = list[str]()
    watched, entry = None, catalog.hook("watch").state_of(Path(file), calibration, trusted(options.trust))
    if entry is not None and entry.state != "watched":
        notes.append(f"note: this calibration is {entry.state} since {entry.at}: {entry.reason}")
        watched = {"state": entry.state, "at": entry.at, "reason": entry.reason}
    setup = from_options.calibrated_setup(calibration, options, seed=options.seed)
    paths = photograph_paths(options.images)
    run = from_options.folder_of(options, calibration.procedure, file)
    request = AuditRequest.of(
        calibration,
        options.alphas,
        guarantee=options.guarantee,
        group=options.group,
        tiles=read_groups(options.tiles),
        groups=read_groups(options.groups),
    )
    store = (
        catalog.hook("pages").report_material(run, calibration, request.levels)
        if is_own(calibration, request.rule)
        else None
    )
    crops = WorstCrops(options.worst if options.out else 0)
    if not setup.adapter.capabilities.local:
        refuse_hopeless(request.calibration, request.rule, request.levels)
        if request.tiles is None and options.paid is None:
            # The audit alone knows how many photographs the tiles show.
            found = outlook(request.calibration, request.rule, request.levels, fixed=not options.stop)
            notes += _outlook_notes(found, len(paths))
    if calibration.procedure.fit_assumption:
        notes.append(f"note: {calibration.procedure.fit_assumption}")
    if not options.run:
        notes.insert(0, f"run folder: {run}")
    with from_options.job_terms(screen, options, run, Consent(screen, options, notes=notes)) as terms:
        on_picture = store.audited if store is not None else lambda *_: None
        if terms.cluster is not None and store is not None:
            terms.cluster.refuse_unshared(store.folder)
        audit = audit_photographs(
            request, setup, paths, terms, on_picture=on_picture, crops=crops, stop=options.stop, paid=options.paid
        )
    if store is not None:
        store.keep_audit(audit)
    files = crops.write(Path(options.out), force=options.force) if options.out else {}
    blocks = list(audit.blocks(options.worst, files))
    usual = usual_level(request.calibration.bound_for(request.rule), request.rule)
    said = sorted(set(options.alphas)) or [level for level in request.levels if level == usual]
    from_options.say_promises(screen, request.calibration, request.rule, said, full=options.full, lead="Promised: ")
    screen.show(blocks)
    if not screen.verbose:
        screen.say("The report shows more, and so does -v: quality, worst and kinds of photographs.")
    if files:
        screen.say(
            f"Worst places at full resolution, delivered, true and masked: {len(files)} crops of each in {options.out}"
        )
    content = {**document(blocks), "watch": watched}
    if options.splits is not None:
        content["splits"] = _splits(screen, options, calibration, options.splits, audit)
    if store is not None:
        screen.next(*next_steps.view_of(run, file))
        screen.next(*next_steps.report_on(run, file))
    elif options.group not in calibration.own_groups:
        screen.say(
            "The report shows audits of the calibration's own guarantee; this one is of another and is not kept for "
            "it. Calibrate with this guarantee to have it there: the draws are stored, so no call is made."
        )
    if any(kind.fails for kind in audit.kinds):
        screen.next(*next_steps.calibrate_by_group(setup, options))
    return content, audit


def _judge(screen: Screen, audit: "Audit") -> None:
    if audit.verdict == "contradicted":
        raise CheckFailedError(
            f"the guarantee is contradicted by {audit.n} unseen photographs: they are not of the same population, or "
            "the vendor has changed. Do not use this calibration"
        )
    if audit.verdict == "shifted":
        screen.note(
            f"warning: {audit.n} unseen photographs are not like those of the calibration, and their risk is above "
            "what is claimed. No promise is shown to be broken, but none is made for photographs like these. Audit "
            "more of them, or calibrate on them"
        )


def _audit_claim(screen: Screen, options: AuditOptions, text: str) -> None:
    from blackbox_conformal.study.audit.auditing import (
        put_to_photographs,
        read_answers,
        read_claim,
        settings_of_claim,
    )
    from blackbox_conformal.study.from_keywords import setup_of

    claim, manifest = read_claim(text)
    if options.calibration or options.alphas or options.splits or options.guarantee:
        raise UsageError(
            "expected no calibration beside --claim, which is about pictures and not about masks; leave --calibration, "
            "--alpha, --splits and --guarantee out"
        )
    answers = None if options.answers is None else read_answers(options.answers, manifest, trusted(options.trust))
    setup = setup_of(from_options.open_vendor(options), settings_of_claim(shared.settings_of(options), manifest))
    screen.note(f"note: {claim.outlook()}")
    run = from_options.folder_of(options, setup.procedure)
    paths = photograph_paths(options.images)
    with from_options.job_terms(screen, options, run) as terms:
        audit = put_to_photographs(claim, setup, paths, terms, manifest, answers)
    screen.show(audit.blocks())
    screen.summary({"document": str(audit.file), "page to print": str(audit.page)})
    if audit.verdict == "undecided" and manifest is None:
        screen.say(f"Go on with more photographs and --run {run}: stored answers are used again and not paid again.")
    screen.next("sign", str(audit.file), "--sign-with", "lab.pem")
    screen.data(audit.document())
    if audit.verdict == "contradicted":
        raise CheckFailedError(
            f"the vendor's claim is contradicted by {counted(audit.looked, 'photograph')}; do not rely on it"
        )


def _splits(
    screen: Screen, options: AuditOptions, calibration: "Calibration", splits: int, audit: "Audit | None" = None
) -> dict[str, Any]:
    from blackbox_conformal.method.guarantees.guarantee import audited_levels
    from blackbox_conformal.method.guarantees.high_probability import levels_together
    from blackbox_conformal.study.audit.audited_rule import audited_rule, is_own
    from blackbox_conformal.study.audit.auditing import audit_splits
    from blackbox_conformal.support import catalog

    guarantee, group, tiles = options.guarantee, options.group, read_groups(options.tiles)
    rule = audited_rule(calibration, guarantee, group, tiles)
    levels = tuple(options.alphas or levels_together(rule) or audited_levels(calibration.bound_for(rule), rule))
    study = audit_splits(
        calibration,
        levels,
        audited=audit,
        splits=splits,
        share=options.calibrate_on,
        seed=calibration.procedure.root_seed if options.seed is None else options.seed,
        guarantee=guarantee,
        group=group,
        tiles=tiles,
    )
    run = from_options.folder_of(options, calibration.procedure, options.calibration)
    if run.is_dir() and is_own(calibration, rule):
        catalog.hook("pages").report_material(run, calibration, levels).keep_splits(study)
    screen.show(study.blocks())
    return study.document()


def _outlook_notes(outlooks: "Sequence[Outlook]", photographs: int) -> Iterator[str]:
    from blackbox_conformal.method.audits.verdict import about

    for level in outlooks:
        if level.likely is not None and level.likely <= photographs:
            continue
        needed = "no practical number" if level.likely is None else f"about {about(level.likely)}"
        needed += " if they err as the calibration's photographs do"
        if level.fewest is None or photographs < level.fewest:
            able = "but not confirm it"
            needed = f"{level.fewest} if none of them shows an error, {needed}"
        else:
            able = "and may not be enough to confirm it"
        if level.fixed is not None:
            needed += f". With --no-stop, which fixes the number, {level.fixed} without an error confirm it"
        yield (
            f"note: {counted(photographs, 'photograph')} can reveal that alpha={level.alpha:g} does not hold, {able}. "
            f"To confirm it takes {needed}"
        )
