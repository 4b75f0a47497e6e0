"""`mask`: pictures with trust masks and certificates; `-` is stdin to stdout."""

import math
import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import from_options, next_steps, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.consent import Consent
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.from_options import photograph_paths
from blackbox_conformal.cli.sign import load_calibration, load_certified_key, load_signing_key, sign_paper, trusted
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError, IncompleteError, UsageError
from blackbox_conformal.study.settings_table import ApplyAllSettings
from blackbox_conformal.support.files import require_writable
from blackbox_conformal.support.text import name_of, printable
from blackbox_conformal.support.wording import share

if TYPE_CHECKING:
    from blackbox_conformal.documents.certificate import Certificate
    from blackbox_conformal.documents.signature import SigningKey
    from blackbox_conformal.documents.x509 import CertifiedKey
    from blackbox_conformal.drawing.spending.estimate import Estimate
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.study.mask.mask_request import MaskRequest
    from blackbox_conformal.study.mask.products import Products, Result, Wanted
    from blackbox_conformal.study.stages.prepare import Prepared
    from blackbox_conformal.study.stages.settings import Setup


# The files that `mask` writes of each picture, beside their calculation.


@dataclass(frozen=True, slots=True)
class Written:
    """The files written of a picture, and its preview in the run folder."""

    name: str
    certificate: "Certificate"
    products: "Products"
    preview: Path
    metadata: str  # What became of the input's EXIF, in short.


@dataclass(frozen=True, slots=True)
class MaskWriter:
    """A writer of one picture's files, in a thread or on a worker that sees the same folders."""

    out: Path
    wanted: "Wanted"
    store: Any
    key: "SigningKey | None"
    credentials: "CertifiedKey | None"
    force: bool
    replacing: frozenset[int] = frozenset()

    def __call__(self, place: int, result: "Result") -> Written:
        """Write the files of the picture at `place` among the inputs."""
        from blackbox_conformal.study.mask.products import write_products

        force = self.force or place in self.replacing
        products = write_products(
            result, self.out, self.wanted, sign_with=self.key, credentials=self.credentials, force=force
        )
        preview = self.store.masked(result, result.low_resolution, products.image)
        told = result.metadata.told(kept=self.wanted.keep_metadata)
        return Written(result.name, result.certificate, products, preview, told)


PRODUCTS = ("image", "mask", "overlay", "score-map", "certificate", "safe")
"""Products that can go to stdout."""

OPTIONAL = ("overlay", "score-map", "vendor", "xmp")
LARGE, LARGE_BYTES, LARGE_SECONDS = 50_000_000, 65, 1.7e-6
"""Pixels from which on time and memory are told, and both of a pixel: of 192 million with --safe, on two processors."""
SAVES = "`Result.save` writes files"
FULL_SIZE = "full-size"
"""Files that the run folder keeps of each picture for `view`."""


@dataclass(frozen=True, kw_only=True)
class MaskOptions(shared.ClusterOptions, shared.VendorOptions, shared.TermsOptions):
    inputs: tuple[str, ...] = shared.arguments(required=True, type=shared.PicturesPath(exists=True, allow_dash=True))
    calibration: str = shared.calibration(required=True)
    trust: tuple[str, ...] = shared.setting()
    sign_with: str | None = shared.sign_with()
    credentials: bool = shared.credentials()
    credentials_with: str | None = shared.credentials_with()
    alpha: float = shared.alpha(required=True)
    seed: int | None = shared.setting()
    degradation: str | None = shared.setting()
    guarantee: str | None = shared.setting()
    group: str | None = shared.setting()
    out: str = shared.declared(
        "--out", type=shared.FOLDER, default="masked", main=True, no_keyword=SAVES, help="Folder for the results."
    )
    product: str = shared.declared(
        "--product",
        type=click.Choice(PRODUCTS),
        default="overlay",
        no_keyword=SAVES,
        help="What is written to stdout when the input is -.",
    )
    safe: bool = shared.declared(
        "--safe",
        is_flag=True,
        main=True,
        no_keyword=SAVES,
        help="Write a picture to use, too: NAME-safe.png shows, where trusted and elsewhere, what was nearest to the "
        "truth there on the calibration photographs.",
    )
    sharp: bool = shared.declared(
        "--sharp",
        is_flag=True,
        no_keyword=SAVES,
        help="Where NAME-safe.png is not trusted, show the most detail that is no worse than plain enlargement.",
    )
    dotted: bool = shared.declared(
        "--dotted",
        is_flag=True,
        no_keyword=SAVES,
        help="Show in NAME-overlay.png what was added: dots for nothing, crosses for detail that a free enlargement "
        "contradicts. Guarantees about detail always do.",
    )
    feather: int = shared.declared(
        "--feather",
        type=values.whole(0, 256),
        metavar="PIXELS",
        default=0,
        no_keyword=SAVES,
        help="Fade the trusted part of NAME-safe.png out over so many untrusted pixels.",
    )
    full: bool = shared.declared(
        "--full",
        is_flag=True,
        no_keyword=shared.SCREEN,
        help="Say the guarantee with its conditions, and each picture's certified PSNR, as certificates do.",
    )
    leave_out: tuple[str, ...] = shared.declared(
        "--leave-out",
        multiple=True,
        type=click.Choice([*OPTIONAL, FULL_SIZE]),
        no_keyword=SAVES,
        help="Do not write this of each picture. xmp: the note in pictures that a machine made them; full-size: what "
        "`view` needs. Repeatable.",
    )
    keep_metadata: bool = shared.declared(
        "--keep-metadata",
        is_flag=True,
        no_keyword=SAVES,
        help="Keep EXIF (with GPS) and XMP of the input in NAME-image.png and NAME-safe.png.",
    )
    empty_masks: bool = shared.setting()
    outside: float = shared.setting()
    fallback: str | None = shared.setting()
    keep_going: bool = shared.declared(
        "--keep-going",
        is_flag=True,
        no_keyword="`on_failure` gets them",
        help="Leave out pictures that cannot be used or are refused, list them at the end, and exit with 6.",
    )
    force: bool = shared.force()
    opened: bool = shared.opened()

    @property
    def wanted(self) -> "Wanted":
        """Return which files are written of each picture."""
        from blackbox_conformal.study.mask.products import Wanted

        left_out = tuple(kind.replace("-", "_") for kind in self.leave_out if kind != FULL_SIZE)
        return Wanted(
            self.safe or self.product == "safe", self.feather, left_out, self.sharp, self.dotted, self.keep_metadata
        )


@shared.command(
    "mask",
    MaskOptions,
    ApplyAllSettings,
    only_typed=shared.FIXED,
    examples=(
        "blackbox-conformal mask small.png --calibration runs/NAME/calibration.json --alpha 0.1",
        "blackbox-conformal mask inputs/ --calibration runs/NAME/calibration.json --alpha 0.1 --safe --max-cost 2",
    ),
)
def command(screen: Screen, options: MaskOptions) -> None:
    """Have INPUTS (pictures or folders of them) super-resolved or restored, each with the files that say what to trust.

    The vendor and every setting come from the calibration; -p is needed only for what a calibration does not keep, such
    as an address. INPUT - reads a picture from stdin and writes --product to stdout.

    Exit code 3: inputs or answers are unlike the calibration's, so masks carry no guarantee. Everything is written.
    """
    from blackbox_conformal.study.mask.mask_request import MaskRequest
    from blackbox_conformal.study.mask.products import encode_product, with_credentials
    from blackbox_conformal.support import catalog

    piped, wanted = "-" in options.inputs, options.wanted
    if not piped:
        require_writable(Path(options.out))
    else:
        if options.cluster is not None:
            raise UsageError("expected no --cluster beside -: one picture is masked here. Leave --cluster out")
        if len(options.inputs) > 1 or screen.as_json:
            raise UsageError(
                "expected - to be the only input, without --json: stdout carries one product. Mask other pictures apart"
            )
        if sys.stdout.isatty():
            raise UsageError(
                "expected stdout to be a file or a pipe, since it carries a PNG; got a terminal. Add > FILE"
            )
        screen.free_stdout()
    key = load_signing_key(screen, options.sign_with)
    calibration = load_calibration(screen, options.calibration, options.trust, key)
    credentials = load_certified_key(screen, options.credentials, options.credentials_with, key, calibration)
    if credentials is not None and options.cluster is not None:
        raise UsageError("expected no --cluster beside --credentials: no key goes to a worker. Leave --cluster out")
    request = MaskRequest.of(
        calibration,
        options.alpha,
        options.guarantee,
        options.group,
        empty_masks=options.empty_masks,
        outside=options.outside,
        file=Path(options.calibration),
        trusted=trusted(options.trust),
    )
    batch = _read_batch(request, options)
    request = request.falling_back(batch.setup.adapter, options.fallback)
    hopeless = request.nothing
    run = from_options.calibrated_folder(screen, options, calibration.procedure, options.calibration)
    store = catalog.hook("pages").report_material(
        run, calibration, (options.alpha,), full_size=FULL_SIZE not in options.leave_out
    )
    from_options.place(options, run)
    delivery = _Delivery(screen, options, batch, request, store, hopeless, key, credentials)
    _note_pictures(screen, request, batch)
    # Workers get no key.
    keys = (key, credentials) if options.cluster is None else (None, None)
    out = Path(options.out) if options.cluster is None else Path(options.out).absolute()
    writer = MaskWriter(out, wanted, store, *keys, options.force, batch.replacing)
    results = _masked(delivery, None if piped else writer, run)
    if piped and results:
        (result,) = results
        delivery.judge(result.certificate)
        signed = result if key is None else replace(result, certificate=result.certificate.signed(key))
        kind = options.product.replace("-", "_")
        product = encode_product(signed, kind, wanted)
        assert product is not None
        if credentials is not None:
            product = with_credentials(result, {kind: product}, credentials)[kind]
        sys.stdout.buffer.write(product.content)
    else:
        delivery.show(run)
    delivery.refuse_unlike()


def _note_pictures(screen: Screen, request: "MaskRequest", batch: "_Batch") -> None:
    """Say which inputs are unlike the calibration's, and what a large answer takes."""
    checks = [check for check in map(request.check, batch.pictures.values()) if check is not None]
    outside = [check for check in checks if check.outside]
    if outside:
        which = f"{len(outside)} of {len(checks)} inputs are" if len(checks) > 1 else "this input is"
        screen.note(
            f"warning: {which} not like the calibration's, so a mask would carry no guarantee: {outside[0].differs}"
        )
    if (most := max((math.prod(one.size) for one in batch.pictures.values()), default=0)) >= LARGE:
        room, minutes = most * LARGE_BYTES / 2**30, math.ceil(most * LARGE_SECONDS / 60)
        screen.note(
            f"note: an answer of {most / 1e6:.0f} million pixels takes about {room:.0f} GiB of memory and {minutes} "
            "minutes, beside the vendor's time"
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """The inputs by place: path, name with file or content, prepared picture or error.

    `replacing`: places whose files replace an answer that stood in for a cascade's last vendor.
    """

    setup: "Setup"
    paths: list[Path]
    sources: "list[tuple[str, Path | bytes]]"
    pictures: "dict[int, Prepared]"
    failed: dict[int, BlackboxConformalError]
    replacing: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Delivery:
    screen: Screen
    options: MaskOptions
    batch: _Batch
    request: "MaskRequest"
    store: Any
    hopeless: str | None
    key: "SigningKey | None"
    credentials: "CertifiedKey | None"
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    previews: dict[int, Path] = field(default_factory=dict)
    unlike: "list[Certificate]" = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    shown_outside: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    promises: list[str] = field(default_factory=list)

    def judge(self, certificate: "Certificate") -> None:
        """Keep why a mask carries no guarantee, unless only its own p-value says so, as chance does for a few."""
        own, answer = certificate.input_check, certificate.answer_check
        by_chance = own is not None and certificate.reason == own.reason
        if answer is not None and certificate.changed:
            by_chance = not answer.is_certain(int(certificate.procedure["scale"]))
        if certificate.status == "outside-calibration" and not by_chance:
            self.unlike.append(certificate)

    def refuse_unlike(self) -> None:
        """End with exit code 3 if inputs or answers are unlike the calibration's."""
        if self.unlike:
            masks = "1 mask carries" if len(self.unlike) == 1 else f"{len(self.unlike)} masks carry"
            first = self.unlike[0]
            inputs = f". If the inputs changed, find how they are made: {_suggesting(self.options, self.batch)}"
            raise CheckFailedError(
                f"{first.reason}. {masks} no guarantee, and everything is written{'' if first.changed else inputs}"
            )
        if self.warned:
            raise CheckFailedError(f"{self.warned[0]}. The masks are written")

    def warn(self, note: str, advice: str = "") -> None:
        """Report a finding about all pictures together; the command then ends with exit code 3."""
        self.warned.append(note)
        self.screen.note(f"warning: {note}{advice}")

    def tell(self, place: int, written: Written) -> None:
        from blackbox_conformal.method.risk.trust import threshold_json
        from blackbox_conformal.study.mask.products import inside_of, outside_of

        name, certificate, products, preview = written.name, written.certificate, written.products, written.preview
        if self.options.cluster is not None and self.key is not None:
            # Workers get no key.
            sign_paper(products.certificate, self.key, force=self.options.force)()
        self.previews[place] = preview
        self.entries[place] = {
            "input": str(self.batch.paths[place]),
            **{key: file and str(file.resolve()) for key, file in asdict(products).items()},
            "alpha": certificate.alpha,
            "threshold": threshold_json(float.fromhex(certificate.threshold_hex)),
            "trusted_share": certificate.trusted_share,
            "status": certificate.status,
            "reason": certificate.reason,
            "quality": None if certificate.quality is None else certificate.quality.model_dump(),
            "reaches_floor": certificate.reaches_floor,
            "differs": [] if certificate.answer_check is None else certificate.answer_check.model_dump()["facts"],
            "input_p_value": None if certificate.input_check is None else certificate.input_check.p_value,
            "notes": list(certificate.notes),
            "signed_with": None if self.key is None else self.key.key,
            "credentials": None if self.credentials is None else self.credentials.signer,
        }
        # Usually equal for all pictures.
        for promise in [certificate.short, certificate.statement][: 1 + self.options.full]:
            if certificate.is_promised and promise not in self.promises:
                self.promises.append(promise)
                self.screen.say(promise)
        trusted = f"{share(certificate.trusted_share)} trusted, {self.status(certificate)}"
        if certificate.reaches_floor is not None:
            trusted += f", {'certified' if certificate.reaches_floor else 'not certified'} to reach the floor"
        self.screen.say(f"{printable(name)}: {trusted}; {products.safe or products.overlay or products.image}")
        # Notes say more of some conversions.
        notes, conversions = list(certificate.notes), certificate.input["conversions"]
        changed = [next((note for note in notes if note.startswith(one)), one) for one in conversions]
        if changed := [*changed, *filter(None, [written.metadata])]:
            self.screen.say(f"  changed: {'; '.join(changed)}")
        if certificate.quality is not None and self.options.full:
            self.screen.say(f"  {certificate.quality.short}")
        if products.safe is not None:
            sharp = self.options.sharp
            inside, outside = (of(certificate, sharp=sharp)[1] for of in (inside_of, outside_of))
            told = f"  inside the mask the safe picture is {inside}\n" if inside else ""
            told += f"  outside the mask the safe picture is {outside}"
            # Usually equal for all pictures.
            if told not in self.shown_outside:
                self.shown_outside.append(told)
                self.screen.say(told)
        if certificate.differs is not None and not certificate.changed:
            self.screen.say(f"  the answer {certificate.differs}")
        self.judge(certificate)
        for note in notes:
            if note not in changed:
                self.screen.note(f"  note: {note}")

    def status(self, certificate: "Certificate") -> str:
        """Say whether a picture's guarantee holds; give a reason in full only the first time."""
        check, reason = certificate.input_check, str(certificate.reason)
        match certificate.status:
            case "guaranteed":
                return "guaranteed"
            case "if-like-calibration":
                figure = "" if check is None else f" (p = {check.p_value:.2g})"
                return f"if it is like the calibration's inputs{figure}"
            case "abstains" | "not-judged" if self.hopeless:
                return "as warned"
        if reason in self.reasons:
            reason = "as above"
        else:
            self.reasons.append(reason)
        return f"{'no guarantee:' if certificate.status == 'outside-calibration' else 'since'} {reason}"

    def add_drift(self, found: Mapping[int, str]) -> None:
        """Add to certificates, by place, that the answers to these pictures are unlike the calibration's."""
        from blackbox_conformal.study.mask.products import add_doubt

        for place, drift in found.items():
            entry = self.entries.get(place)
            if entry is None:
                continue
            certificate = add_doubt(Path(entry["certificate"]), drift, self.key, self.credentials)
            entry |= {"notes": list(certificate.notes), "status": certificate.status, "reason": certificate.reason}
            self.store.add_doubt(self.previews[place], certificate)
        for drift in dict.fromkeys(found.values()):
            self.warn(drift)

    def show(self, run: Path) -> None:
        from blackbox_conformal.study.mask.mask_request import ways_out

        screen, options = self.screen, self.options
        if self.entries and self.key is not None:
            screen.say(f"The certificates are signed with {self.key.key} as {self.key.name}")
        if self.entries and self.credentials is not None:
            screen.say(f"The pictures carry Content Credentials, signed by {self.credentials.signer}")
        advice = self.request.calibration.worth(self.request.rule, self.request.alpha).advice
        if self.entries:
            if advice is not None:
                screen.say(advice)
            (first, *others) = (Path(entry["overlay"] or entry["image"]) for _, entry in sorted(self.entries.items()))
            next_steps.offer(screen, first.parent if others else first, opened=options.opened)
            if empty := sum(
                not entry["trusted_share"] and entry["status"] != "not-judged" for entry in self.entries.values()
            ):
                screen.say(ways_out(self.request, self.batch.setup, empty))
            screen.next(*next_steps.view_of(run, options.calibration))
            screen.next(*next_steps.report_on(run, options.calibration))
            audit = ("audit", "other-photographs", options.calibration)
            promised = ("--alpha", str(options.alpha), *next_steps.typed("guarantee", "group", "run"))
            # Groups that pictures are in by themselves are audited one after the other.
            for group in self.request.calibration.own_groups[:1]:
                promised += "--group", group
            screen.next(*next_steps.with_calibration(*audit, self.batch.setup.adapter, options), *promised)
        lost = [(str(self.batch.paths[place]), str(error)) for place, error in sorted(self.batch.failed.items())]
        outside = sum(entry["status"] == "outside-calibration" for entry in self.entries.values())
        if outside:
            screen.note(f"warning: {outside} of {len(self.entries)} masks carry no guarantee: outside-calibration")
        unsure = [entry["reason"] for entry in self.entries.values() if entry["status"] == "if-like-calibration"]
        if unsure:
            which = f"{len(unsure)} of {len(self.entries)} guarantees hold" if len(self.entries) > 1 else "it holds"
            screen.note(f"note: {which} if the input is like the calibration's: {unsure[0]}")
        if lost:
            screen.table("Not masked", ["picture", "why"], [list(row) for row in lost])
        screen.data(
            {
                "pictures": [entry for _, entry in sorted(self.entries.items())],
                "advice": advice,
                "failed": [{"input": path, "error": error} for path, error in lost],
            }
        )
        if lost:
            raise IncompleteError(
                f"{len(lost)} of {len(self.batch.paths)} pictures could not be masked; all others are done. Correct or "
                "leave out the rest, and run the same command again: what is paid is kept"
            )


def _read_batch(request: "MaskRequest", options: MaskOptions) -> _Batch:
    from blackbox_conformal.study.result_files import refuse_existing
    from blackbox_conformal.study.stages.grouped_errors import refuse_together
    from blackbox_conformal.study.stages.prepare import prepare_inputs

    calibration = request.calibration
    setup = from_options.calibrated_setup(calibration, options, seed=options.seed, degradation=options.degradation)
    sources: list[tuple[str, Path | bytes]]
    failed, replacing = dict[int, BlackboxConformalError](), set[int]()
    if "-" in options.inputs:
        paths, sources = [Path("-")], [("stdin", sys.stdin.buffer.read())]
    else:
        paths = [
            path
            for name in options.inputs
            for path in (photograph_paths([name]) if Path(name).is_dir() else [Path(name)])
        ]
        sources = [(name_of(path), path) for path in paths]
        # Inputs whose files would overwrite another's or an earlier result fail; some are to be replaced.
        count = Counter(name for name, _ in sources)
        for place, ((name, _), path) in enumerate(zip(sources, paths, strict=True)):
            try:
                if count[name] > 1:
                    raise UsageError(
                        f"{printable(path)}: expected inputs with different names, since their files are named after "
                        f"them; {count[name]} are called {printable(name)}. Rename them, or mask them into different "
                        "folders"
                    )
                told = options.alpha, calibration, request.rules, options.outside
                if not options.force and refuse_existing(name, Path(options.out), *told):
                    replacing.add(place)
            except UsageError as error:
                failed[place] = error
    pictures = prepare_inputs(sources, setup, calibration, failed, memory_bytes=options.memory)
    if not options.keep_going:
        advice = "Correct or leave out these, or add --keep-going to mask the others" if len(paths) > 1 else ""
        refuse_together([(sources[place][0], failed[place]) for place in sorted(failed)], len(paths), advice=advice)
    return _Batch(setup, paths, sources, pictures, failed, frozenset(replacing))


def _suggesting(options: MaskOptions, batch: _Batch) -> str:
    words = ["blackbox-conformal", "inputs", *options.inputs, "--suggest", "--photographs", "PHOTOGRAPHS"]
    return shlex.join([*words, "--scale", str(batch.setup.procedure.scale)])


def _masked(delivery: _Delivery, writer: MaskWriter | None, run: Path) -> "list[Result]":
    # Results go to `delivery` as they come; only stdin's is returned.
    from blackbox_conformal.study.mask.masking import Receiver, mask_pictures

    screen, options, batch = delivery.screen, delivery.options, delivery.batch
    consent = Consent(screen, options)

    def ask(job: "Job", expected: "Estimate") -> None:
        if delivery.hopeless:
            screen.note(f"warning: every mask will be empty: {delivery.hopeless}")
        consent(job, expected)

    with from_options.job_terms(screen, options, run, ask) as terms:
        if terms.cluster is not None:
            terms.cluster.refuse_unshared(Path(options.out))
            terms.cluster.refuse_unshared(run)
        receiver = Receiver(
            on_result=None if writer is None else delivery.tell,
            in_thread=writer,
            on_failure=batch.failed.__setitem__ if options.keep_going else None,
            on_drift=delivery.add_drift,
            on_watch=lambda note: delivery.warn(
                note, f". If the inputs changed, find how they are made: {_suggesting(options, batch)}"
            ),
            sign_with=delivery.key,
        )
        return mask_pictures(terms, batch.setup, batch.sources, batch.pictures, delivery.request, receiver)
