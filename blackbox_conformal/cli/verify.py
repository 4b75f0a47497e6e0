"""`verify`: papers against the files beside them, the calibration that they name, and the keys that are trusted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import from_options
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import typed
from blackbox_conformal.cli.papers import read_paper
from blackbox_conformal.cli.signing import trusted
from blackbox_conformal.documents import ed25519
from blackbox_conformal.errors import (
    BlackboxConformalError,
    CheckFailedError,
    FileFormatError,
    MissingPackageError,
    UsageError,
)
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.wording import share

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.certificate import Certificate
    from blackbox_conformal.documents.credentials import Credentials
    from blackbox_conformal.documents.signature import Vouching
    from blackbox_conformal.support.types import Image


# What `verify` says of the watch of a calibration, and of the place in it that a certificate names.


@dataclass(frozen=True, slots=True)
class WatchedPapers:
    """The watches of the papers of one call of `verify`.

    Attributes
    ----------
    against
        The calibration that certificates are checked against.
    keys
        Public keys that the reader trusts.
    named
        Calibration and number of an entry → its digest, and the certificate that named it first.
    """

    against: "Calibration | None"
    keys: Collection[str]
    named: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)

    def of_calibration(self, path: Path, calibration: "Calibration") -> tuple[str, dict[str, Any]] | None:
        """What the watch beside a calibration says, for people and for scripts; None where there is none.

        Raises
        ------
        FileFormatError, CheckFailedError
            It was changed, or is not signed as the calibration is.
        """
        from blackbox_conformal.study.watched import watching

        standing = watching().standing_of(path, calibration, self.keys)
        if standing is None:
            return None
        signed = {**standing.vouching.to_json(), "entries": standing.vouched}
        return standing.words, {"head": standing.head.model_dump(mode="json"), "signed": signed}

    def of_certificate(self, name: str, certificate: "Certificate") -> tuple[str, dict[str, Any]] | None:
        """Where the watch stood when a certificate was issued, and whether the watch file still knows of it.

        Raises
        ------
        CheckFailedError
            The signature of the entry is broken, another certificate or the watch file contradicts it, or it is one of
            another calibration.
        """
        head = certificate.watch
        if head is None:
            return None
        if head.calibration != certificate.calibration_digest:
            raise CheckFailedError("the watch that the certificate names is another calibration's")
        vouching = head.vouching(self.keys)
        chain, first = self.named.setdefault((head.calibration, head.entries), (head.chain, name))
        if chain != head.chain:
            raise CheckFailedError(
                f"entry {head.entries} of the watch is another one than in {first}: one of the two watch files was put "
                "back or written anew"
            )
        compared = self._compared(certificate)
        words = f"{head.words}; {vouching.words()}; {compared or 'compared with no watch file'}"
        return words, {"head": head.model_dump(mode="json"), "signed": vouching.to_json(), "compared": bool(compared)}

    def _compared(self, certificate: "Certificate") -> str | None:
        """That the watch file has the entry of the certificate; None where there is no watch file to look into."""
        from blackbox_conformal.study.watched import watching

        calibration, head = self.against, certificate.watch
        if calibration is None or calibration.file is None or head is None:
            return None
        standing = watching().standing_of(calibration.file, calibration, self.keys)
        if standing is None:
            return None
        if not watching().holds(calibration.file, head):
            raise CheckFailedError(
                f"the certificate names entry {head.entries} of the watch, and the watch file beside "
                f"{calibration.file} has no such entry (it is {standing.head.words}): an older file was put back, or "
                "another watch begun"
            )
        return f"the watch file has this entry, and is {standing.head.words}"


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    papers: tuple[str, ...] = shared.arguments(required=True, type=shared.PAPER)
    calibration: str | None = shared.declared(
        "--calibration", type=shared.FILE, help="Calibration file: check also that the certificates follow from it."
    )
    trust: tuple[str, ...] = shared.trust()
    inputs: tuple[str, ...] = shared.declared(
        "--input",
        type=shared.FILE,
        multiple=True,
        help="A picture that was sent, by which a certificate's bound from the input is computed again; repeatable.",
    )
    trust_anchors: str | None = shared.declared(
        "--trust-anchors", type=shared.FILE, help="Authorities (PEM) whose signers of Content Credentials you trust."
    )
    require_signature: bool = shared.declared(
        "--require-signature", is_flag=True, help="Refuse what is not signed; any signature will do."
    )


@click.command("verify")
@shared.takes(VerifyOptions)
def command(screen: Screen, options: VerifyOptions) -> None:
    """Check PAPERS: certificates with the files beside them, calibrations, reports (.html), and pictures.

    A picture is checked by the Content Credentials in it, and against its certificate where that lies beside it.

    With --calibration also that statement, level, threshold and number of photographs follow from that file. A digest
    finds damage, and anybody can compute it: a paper without a signature is `undamaged, not signed`, and never
    verified. A signature tells who vouches for a paper; whether its key is the signer's own, you alone can know:
    give those that are with --trust. Of a watch it is told how far it reached, and a certificate that names more than
    the watch file beside the calibration has is refused.
    """
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.method.images.picture import pixels_digest
    from blackbox_conformal.method.images.read import read_image

    keys = trusted(options.trust)
    against = None
    if options.calibration:
        against = Calibration.load(options.calibration)
        _require(against.vouching(keys), printable(options.calibration), options)
    rows, watches = [], WatchedPapers(against, keys)
    pictures = (read_image(Path(name), transparent=True).pixels for name in options.inputs)
    sent = {pixels_digest(pixels): pixels for pixels in pictures}
    for name in options.papers:
        row = _checked(name, watches, options, keys, sent)
        rows.append(row)
    _say(screen, rows)
    screen.data([row.entry for row in rows])
    failed = [row.name for row in rows if row.failed]
    if failed:
        are = "is" if len(failed) == 1 else "are"
        which = "the paper is" if len(rows) == 1 else f"{len(failed)} of {len(rows)} papers {are}"
        raise CheckFailedError(f"{which} not verified{', first' if len(failed) > 1 else ':'} {printable(failed[0])}")
    unchecked = [row.name for row in rows if not row.checked]
    if against is not None and options.calibration and not _is_checked(against.vouching()):
        unchecked.append(options.calibration)
    if unchecked:
        raise UsageError(
            f"no signature can be checked here, and {printable(unchecked[0])} has one: only digests were checked. "
            f"Install what is missing, and verify again: {ed25519.INSTALL}"
        )
    calibrations = [row.name for row in rows if row.entry["status"] is None]
    calibration = options.calibration or next(iter(calibrations), "calibration.json")
    vendor = next((row.vendor for row in rows if row.vendor), None)
    blanks = [] if vendor is None else from_options.blanks(vendor, "audit")
    screen.next("audit", "other-photographs", "--calibration", calibration, *blanks, *typed("trust"))


def _say(screen: Screen, rows: "list[_Row]") -> None:
    """Papers of which the same is to be said together, unless -v; then those that are not verified."""
    together: dict[tuple[str, ...], list[str]] = {}
    for number, row in enumerate(sorted(rows, key=lambda row: row.failed)):
        apart = (str(number),) if row.failed or screen.verbose else ()
        together.setdefault((*row.lines, *apart), []).append(row.name)
    by_name = {row.name: row for row in rows}
    for names in together.values():
        who = printable(names[0]) if len(names) == 1 else f"{len(names)} papers"
        screen.say(f"{who}: " + "\n  ".join(by_name[names[0]].lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What became of one paper: the lines for people, and the entry for scripts.

    `checked`: every signature of it. `vendor`: the identity of the vendor that it names.
    """

    name: str
    lines: tuple[str, ...]
    entry: dict[str, Any]
    failed: bool = False
    checked: bool = True
    vendor: Mapping[str, Any] | None = None


def _checked(
    name: str, watches: WatchedPapers, options: VerifyOptions, keys: frozenset[str], sent: "Mapping[str, Image]"
) -> _Row:
    from blackbox_conformal.documents.certificate import Certificate

    entry: dict[str, Any] = {"paper": name, "verified": False, "status": None, "reason": None}
    try:
        if Path(name).suffix == ".html":
            return _report(name, watches.against, options, entry)
        if _is_picture(Path(name)):
            return _picture(Path(name), watches.against, options, keys, entry)
        paper = read_paper(Path(name))
        vouching = paper.vouching(keys)
        of_calibration = paper.calibration_vouching(keys) if isinstance(paper, Certificate) else None
        if isinstance(paper, Certificate):
            _refuse_contradictions(paper, watches.against)
            unchecked = _unchecked(Path(name), paper, watches.against, sent)
            vouched, unread = _credentials_of(Path(name), paper, keys, options)
            unchecked += unread
            watch = watches.of_certificate(name, paper)
        else:
            watch = watches.of_calibration(Path(name), paper)
        _require(vouching, "the paper", options)
    except BlackboxConformalError as error:
        return _Row(name=name, lines=(f"not verified: {error}",), failed=True, entry={**entry, "reason": str(error)})
    entry["signature"] = vouching.to_json()
    entry["watch"] = None if watch is None else watch[1]
    checked = _is_checked(vouching) and (of_calibration is None or _is_checked(of_calibration))
    entry["verified"] = checked and vouching.signature is not None
    outcome, further = "verified" if entry["verified"] else "undamaged", []
    if isinstance(paper, Certificate):
        assert of_calibration is not None
        entry["status"] = paper.status
        entry["calibration_signature"] = of_calibration.to_json()
        further.append(f"its calibration: {of_calibration.words()}")
        if paper.status == "outside-calibration":
            outcome += f", and it gives no guarantee: {paper.reason}"
        if paper.status == "if-like-calibration":
            further.append(f"its guarantee holds if the input is like the calibration's: {paper.reason}")
        further += [f"note: {note}" for note in paper.notes]
        further += vouched
        entry["unchecked"] = unchecked
        further += [f"not checked: {'; '.join(unchecked)}"] if unchecked else []
    if watch is not None:
        further.append(f"its watch: {watch[0]}")
    separator = ", " if outcome == "undamaged" else "; "
    vendor = paper.procedure["vendor"] if isinstance(paper, Certificate) else paper.procedure.vendor
    lines = (f"{outcome}{separator}{vouching.words()}", *further)
    return _Row(name=name, lines=lines, entry=entry, checked=checked, vendor=vendor)


def _unchecked(
    path: Path, certificate: "Certificate", against: "Calibration | None", sent: "Mapping[str, Image]"
) -> list[str]:
    """What a certificate says that nothing here shows, in words.

    Raises
    ------
    BlackboxConformalError
        Its bound from the input, or a note that is missing, contradicts what is here.
    """
    from blackbox_conformal.method.images.read import read_image
    from blackbox_conformal.study.stages.certify import (
        SCORE_MAPS,
        due_notes,
        input_bound_contradiction,
        known_errors_agree,
    )

    image = path.parent / Path(certificate.outputs[certificate.pictured]["file"]).name
    low_resolution = sent.get(str(certificate.input.get("pixels")))
    delivered = None if low_resolution is None else read_image(image, transparent=True).pixels
    wrong = input_bound_contradiction(certificate, delivered, low_resolution)
    if wrong is not None:
        raise CheckFailedError(f"the certificate contradicts itself or its files: {wrong}")
    notes, unchecked = list(certificate.notes), []
    if against is None:
        unchecked.append("that it follows from its calibration (add --calibration FILE)")
    else:
        for due in due_notes(certificate, against, image.read_bytes()):
            if due not in notes:
                raise CheckFailedError(f"it does not follow from the calibration: it lacks the note: {due}")
            notes.remove(due)
    if certificate.input_bound is not None and low_resolution is None:
        unchecked.append("the numbers in its bound from the input (add --input FILE, the picture that was sent)")
    if against is None or delivered is None or low_resolution is None:
        if certificate.quality is not None:
            missing = [
                f"--{name} FILE"
                for name, given in (("calibration", against), ("input", low_resolution))
                if given is None
            ]
            unchecked.append(f"its quality (add {' and '.join(missing)})" if missing else "its quality")
    elif not known_errors_agree(certificate, against, delivered, low_resolution):
        raise CheckFailedError("the certificate contradicts its files: its quality does not follow from the picture")
    if notes:
        unchecked.append("its notes" if against is None else f"{len(notes)} of its notes")
    further = sorted(certificate.outputs.keys() - {certificate.pictured, "mask", *SCORE_MAPS})
    return [*unchecked, *([f"more than the digest of {', '.join(further)}"] if further else [])]


def _report(name: str, against: "Calibration | None", options: VerifyOptions, entry: dict[str, Any]) -> _Row:
    """A report names its calibration and its own digest in its last line, and carries no signature."""
    from blackbox_conformal.documents.signature import Vouching
    from blackbox_conformal.study.pages import pages

    try:
        of = pages().calibration_of(Path(name).read_bytes())
    except OSError as error:
        raise FileFormatError(f"expected a report that can be read; {error.strerror}") from None
    if of is None:
        raise CheckFailedError(
            "expected a report as `blackbox-conformal report` wrote it; this page was changed, or is another one. Make "
            "it anew from the run folder, or verify the calibration and the certificates alone"
        )
    if against is not None and of != against.digest:
        raise CheckFailedError(f"it is a report of calibration {of}, and --calibration is {against.digest}")
    vouching = Vouching(None)
    if options.trust or options.require_signature:
        raise CheckFailedError(
            "a report carries no signature, so no key vouches for it. Verify it without --trust and "
            "--require-signature, or make it anew from a signed calibration and its run folder"
        )
    entry |= {"status": "report", "calibration": of, "signature": vouching.to_json(), "watch": None}
    lines = (
        f"the digest agrees, and anybody can compute it; it says that it is of calibration {of}, {vouching.words()}",
    )
    return _Row(name=name, lines=lines, entry=entry)


def _is_picture(path: Path) -> bool:
    from blackbox_conformal.documents.stored import PICTURES

    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(PICTURES) or head[4:8] == b"ftyp"


def _picture(
    path: Path, against: "Calibration | None", options: VerifyOptions, keys: frozenset[str], entry: dict[str, Any]
) -> _Row:
    """A picture by its Content Credentials; the certificate that they name is looked for beside it."""
    from blackbox_conformal.support.canonical import digest_bytes

    content, found = _read(path, options, keys)
    if found is None:
        raise CheckFailedError(
            "expected Content Credentials in the picture; it has none. Name its …-certificate.json, or make it anew "
            "with mask --credentials"
        )
    if (options.trust or options.trust_anchors) and not found.trusted:
        raise CheckFailedError(
            f"expected a signer that you trust (--trust, --trust-anchors); its {found.words}. Get it from a signer "
            "whom you trust"
        )
    claim = dict(found.claim or {})
    entry |= {"verified": True, "status": claim.get("status"), "credentials": found.to_json()}
    further = ["they hold no certificate of this package"]
    if claim:
        certificate = _beside(path, found.paper, digest_bytes(content))
        _refuse_disagreement(content, found, certificate, against)
        further = [
            f"they say: {claim.get('statement')}",
            f"they say: {share(claim.get('trusted_share'))} trusted at alpha={claim.get('alpha')}, "
            f"{claim.get('status')}{'; the mask in them agrees' if found.mask else ''}",
            *([f"they say: {claim['outside_the_mask']}"] if claim.get("outside_the_mask") else []),
            f"its certificate {found.paper} says the same"
            if certificate
            else f"not checked: its certificate {found.paper}, which does not lie beside it",
        ]
    lines = (f"verified; its {found.words}", *further, *found.carried)
    return _Row(name=str(path), lines=tuple(printable(line, 2000) for line in lines), entry=entry)


def _beside(path: Path, name: str | None, digest: str) -> "Certificate | None":
    """The certificate of a picture with this digest, which lies beside it; None where there is none."""
    from blackbox_conformal.documents.certificate import CERTIFICATES

    if name is None or not (path.parent / name).is_file():
        return None
    certificate = CERTIFICATES.read(path.parent / name)
    certificate.vouching()
    for output in certificate.outputs.values():
        if output.get("file") == path.name and output.get("digest") != digest:
            raise CheckFailedError(f"it is not the picture that {name} beside it names {path.name}")
    return certificate


def _credentials_of(
    path: Path, certificate: "Certificate", keys: frozenset[str], options: VerifyOptions
) -> tuple[list[str], list[str]]:
    """What the pictures beside a certificate carry that names their Content Credentials, and what is not read here."""
    told: dict[str, list[str]] = {}
    for kind, output in certificate.outputs.items():
        if "credentials" not in output:
            continue
        try:
            content, found = _read(path.parent / Path(output["file"]).name, options, keys)
        except MissingPackageError as error:
            return [], [f"Content Credentials of its pictures ({error})"]
        if found is None or found.signer != output["credentials"]["signed_by"]:
            raise CheckFailedError(f"the {kind} has not the Content Credentials that the certificate names")
        _refuse_disagreement(content, found, certificate, None)
        told.setdefault(found.words, []).append(kind)
    return [f"{' and '.join(kinds)}: {words}" for words, kinds in told.items()], []


def _read(path: Path, options: VerifyOptions, keys: frozenset[str]) -> "tuple[bytes, Credentials | None]":
    """A picture's file, and its Content Credentials."""
    from blackbox_conformal.documents.credentials import read_credentials
    from blackbox_conformal.method.images.read import DEFAULT_LIMITS

    if path.stat().st_size > DEFAULT_LIMITS.max_bytes:
        raise FileFormatError(f"expected a picture of at most {DEFAULT_LIMITS.max_bytes} bytes; it is larger")
    content = path.read_bytes()
    anchors = "" if options.trust_anchors is None else Path(options.trust_anchors).read_text(encoding="utf-8")
    return content, read_credentials(content, keys, anchors)


def _refuse_disagreement(
    content: bytes,
    found: "Credentials",
    certificate: "Certificate | None",
    against: "Calibration | None",
) -> None:
    """Refuse credentials that say something else than the mask in them, the certificate or the calibration."""
    from blackbox_conformal.documents.credentials import contradictions

    wrong = contradictions(found, content, certificate)
    if against is not None and dict(found.claim or {}).get("calibration") != against.digest:
        wrong.append(f"they name another calibration than --calibration, {against.digest}")
    if wrong:
        raise CheckFailedError(f"its Content Credentials contradict what lies there: {'; '.join(wrong)}")


def _is_checked(vouching: "Vouching") -> bool:
    return vouching.signature is None or vouching.checked


def _require(vouching: "Vouching", paper: str, options: VerifyOptions) -> None:
    # What cannot be checked is told apart from what was checked and failed.
    if (options.trust or options.require_signature) and _is_checked(vouching):
        vouching.require(paper, trusted=bool(options.trust))


def check(path: Path, calibration: "Calibration | None" = None) -> "Certificate":
    """The certificate at `path`, checked, against `calibration` too where there is one.

    Raises
    ------
    BlackboxConformalError
        It is no certificate, or something does not agree.
    """
    from blackbox_conformal.documents.certificate import Certificate

    paper = read_paper(path)
    if not isinstance(paper, Certificate):
        raise FileFormatError("expected a certificate; this is a calibration")
    _refuse_contradictions(paper, calibration)
    return paper


def _refuse_contradictions(certificate: "Certificate", calibration: "Calibration | None") -> None:
    from blackbox_conformal.study.stages.certify import contradictions

    wrong = [] if calibration is None else contradictions(certificate, calibration)
    if wrong:
        raise CheckFailedError(f"it does not follow from the calibration: {'; '.join(wrong)}")
