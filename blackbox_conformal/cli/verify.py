"""`verify`: papers against the files beside them, the calibration that they name, and the keys that are trusted."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import from_options
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import typed
from blackbox_conformal.cli.sign import read_paper, trusted
from blackbox_conformal.documents import ed25519
from blackbox_conformal.errors import (
    BlackboxConformalError,
    CheckFailedError,
    FileFormatError,
    MissingPackageError,
    StrangerError,
    UsageError,
)
from blackbox_conformal.support import catalog
from blackbox_conformal.support.blocks import Block, Faces, Note
from blackbox_conformal.support.text import counted, printable
from blackbox_conformal.support.wording import share

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.certificate import Certificate
    from blackbox_conformal.documents.claim import ClaimAnswers, ClaimManifest, ClaimPaper
    from blackbox_conformal.documents.credentials import Credentials
    from blackbox_conformal.documents.signature import Vouching
    from blackbox_conformal.documents.trust_policy import TrustPolicy
    from blackbox_conformal.method.images.picture import Picture
    from blackbox_conformal.study.found_again import FoundAgain
    from blackbox_conformal.support.types import Image

_LONG = 1000  # Characters of a path.
_NEAR_DB = 20.0  # Below it, pictures of one size are different pictures.

VERIFIED, STRANGER, UNDAMAGED, FAILED = "verified", "signed by a stranger", "undamaged", "not verified"
"""The verdicts on a paper: a trusted key vouches, another key does, none does, or something does not agree."""


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
        help="A picture that was sent, by which a certificate's mask and bounds are computed again; repeatable.",
    )
    trust_anchors: str | None = shared.declared(
        "--trust-anchors", type=shared.FILE, help="Authorities (PEM) whose signers of Content Credentials you trust."
    )
    certificates: str | None = shared.declared(
        "--certificates",
        type=shared.EXISTING_FOLDER,
        help="Folder with certificates and their files, or a run folder of `serve`: find there, by its pixels, the "
        "certificate of a picture that was saved again.",
    )
    require_signature: bool = shared.declared(
        "--require-signature", is_flag=True, help="Refuse what is not signed. Whose signatures count, --trust says."
    )


@click.command("verify")
@shared.takes(VerifyOptions)
def command(screen: Screen, options: VerifyOptions) -> None:
    """Check PAPERS: certificates with the files beside them, calibrations, reports (.html), pictures, and claims.

    A picture is checked by the Content Credentials in it, and against its certificate and mask where they lie beside
    it. With --calibration also that statement, level, threshold and number of photographs follow from that file, and
    with --input that the mask does.

    With --certificates a picture that was saved again without loss is found by its pixels, and its certificate is
    checked. After a JPEG save the nearest picture is named, with the difference, and nothing is verified.

    Only a paper with the signature of a key that you give with --trust is `verified`. Anybody can make a key: a paper
    that another one signed is `signed by a stranger`, with exit code 7. Anybody can compute a digest: a paper without a
    signature is `undamaged`. Of a watch it is told how far it reached, and a certificate that names more than the watch
    file beside the calibration has is refused. The verdict on a claim is computed again from its figures; give the
    manifest that it names, too.
    """
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.method.images.picture import pixels_digest
    from blackbox_conformal.method.images.read import read_image

    keys = trusted(options.trust)
    against = None
    if options.calibration:
        against = Calibration.load(options.calibration)
        _require(against.vouching(keys), printable(options.calibration), options)
    pictures = (read_image(Path(name), transparent=True).pixels for name in options.inputs)
    check = _Check(options, keys, against, {pixels_digest(pixels): pixels for pixels in pictures})
    found = [one for name in options.papers for one in check.paper(name)]
    # What papers have in common is said once, unless -v; unverified papers come last.
    together: dict[tuple[object, ...], list[_Found]] = {}
    for one in sorted(found, key=lambda one: one.outcome == FAILED):
        apart = one if one.outcome == FAILED or screen.verbose else None
        together.setdefault((*one.lines, id(apart) if apart else None), []).append(one)
    for alike in together.values():
        who = f"{len(alike)} papers" if alike[1:] else printable(alike[0].name)
        screen.say(f"{who}: " + "\n  ".join(alike[0].lines))
    screen.data([one.document() for one in found])
    failed, strangers = ([one.name for one in found if one.outcome == outcome] for outcome in (FAILED, STRANGER))
    if failed:
        raise CheckFailedError(f"{_which(failed, found)} not verified{', first' if failed[1:] else ':'} {failed[0]}")
    unchecked = [one.name for one in found if not one.checked]
    if against is not None and options.calibration and not _is_checked(against.vouching()):
        unchecked.append(options.calibration)
    if unchecked:
        raise UsageError(
            f"no signature can be checked here, and {printable(unchecked[0])} has one: only digests were checked. "
            f"Install what is missing, and verify again: {ed25519.INSTALL}"
        )
    if strangers:
        raise StrangerError(
            f"{_which(strangers, found)} signed by a key that you have not said you trust, and anybody can make a key. "
            "If you know from its owner that it is theirs, add --trust KEY (--trust-anchors FILE for an authority)"
        )
    if all(one.claim for one in found):
        return
    calibrations = [one.name for one in found if one.vendor]
    calibration = options.calibration or next(iter(calibrations), "calibration.json")
    # Only a calibration can check a certificate's words about its vendor.
    vendor = against.procedure.vendor if against else next((one.vendor for one in found if one.vendor), None)
    blanks = [] if vendor is None else from_options.blanks(vendor, "audit")
    screen.next("audit", "other-photographs", "--calibration", calibration, *blanks, *typed("trust"))


def _which(names: list[str], found: "list[_Found]") -> str:
    return "the paper is" if not found[1:] else f"{len(names)} of {len(found)} papers {'are' if names[1:] else 'is'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found(Faces):
    """The verdict on one paper; each note speaks to people and to scripts.

    `checked`: all its signatures were. `vendor`: a calibration's vendor identity. `claim`: it is about a claim.
    """

    name: str
    outcome: str
    notes: tuple[Note, ...]
    checked: bool = True
    vendor: Mapping[str, Any] | None = None
    claim: bool = False

    def blocks(self) -> Iterator[Block]:
        """Yield the findings that scripts get for every paper, then the notes."""
        verified = self.outcome == VERIFIED
        every = {"paper": self.name, "verified": verified, "outcome": self.outcome, "status": None, "reason": None}
        yield Note("", every)
        yield from self.notes

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(note.text for note in self.notes if note.text)


def _outcome(*, signed: bool, known: bool) -> str:
    return VERIFIED if known else STRANGER if signed else UNDAMAGED


@dataclass(frozen=True, slots=True)
class _Check:
    """The measure of papers: the calibration `against`, trusted `keys`, and `sent` pictures by digest.

    `named` maps calibration and entry of a watch to its digest and the certificate that named it first.
    """

    options: VerifyOptions
    keys: "TrustPolicy"
    against: "Calibration | None"
    sent: "Mapping[str, Image]"
    named: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)

    @property
    def _now(self) -> "TrustPolicy":
        # A watch file grows after its calibration was stamped.
        return replace(self.keys, stamped=None)

    def paper(self, name: str) -> list[_Found]:
        """Check one paper, a picture once for each certificate; whatever is wrong, the others are still checked."""
        from blackbox_conformal.documents.stored import PICTURES

        path = Path(name)
        try:
            if path.suffix == ".html":
                return [self._report(name)]
            with path.open("rb") as file:
                head = file.read(12)
            is_picture = head.startswith(PICTURES) or head[4:8] == b"ftyp"
            return self._picture(path) if is_picture else [self._certificate_or_calibration(name)]
        except BlackboxConformalError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a hostile paper leads its readers to exceptions of every kind
            why = getattr(error, "strerror", None) or type(error).__name__
            reason = f"expected a paper that can be read, with the files that it names; {why}"
        return [_failed(name, reason)]

    def _report(self, name: str) -> _Found:
        # A page carries no signature; its last line names its calibration or claim, and its own digest.
        from blackbox_conformal.documents.signature import Vouching
        from blackbox_conformal.support import catalog

        vouching, about = Vouching(None), catalog.hook("pages").about_of(Path(name).read_bytes()) or ""
        kind, _, of = about.partition(" of ")
        if kind not in ("report", "claim"):
            raise CheckFailedError(
                "expected a report as `blackbox-conformal report` wrote it; this page was changed, or is another one. "
                "Make it anew from the run folder, or verify the calibration and the certificates alone"
            )
        if kind == "report" and self.against is not None and of != self.against.digest:
            raise CheckFailedError(f"it is a report of calibration {of}, and --calibration is {self.against.digest}")
        if self.options.trust or self.options.require_signature:
            raise CheckFailedError(
                f"a {kind if kind == 'report' else 'page'} carries no signature, so no key vouches for it. Verify it "
                "without --trust and --require-signature, or make it anew from signed papers and their run folder"
            )
        paper = "calibration" if kind == "report" else "document"
        said = f"the digest agrees, and anybody can compute it; it says that it is of {paper} {of}"
        data = {"status": kind, paper: of, "signature": vouching.to_json(), "watch": None}
        notes = (Note(f"{said}, {vouching.words()}", data),)
        return _Found(name=name, outcome=UNDAMAGED, notes=notes, claim=kind == "claim")

    def _certificate_or_calibration(self, name: str) -> _Found:
        from blackbox_conformal.documents.time_stamp import stamped_at

        paper = read_paper(Path(name))
        stamped = stamped_at(Path(name), paper.signature, self.keys)
        # Whatever stands in the paper is as old as its stamp, other signatures too.
        return replace(self, keys=replace(self.keys, stamped=stamped))._paper(name, paper)

    def _paper(
        self, name: str, paper: "Calibration | Certificate | ClaimPaper | ClaimManifest | ClaimAnswers"
    ) -> _Found:
        from blackbox_conformal.documents.calibration import Calibration
        from blackbox_conformal.documents.certificate import Certificate

        vouching, checked = paper.vouching(self.keys), True
        void, status = "", None
        if isinstance(paper, Certificate):
            of_calibration = paper.calibration_vouching(self.keys)
            checked = _is_checked(of_calibration)
            notes = [
                Note(f"its calibration: {of_calibration.words()}", {"calibration_signature": of_calibration.to_json()}),
                *self._of_certificate(name, paper),
                self._watch_of_certificate(name, paper),
            ]
            status = paper.status
            void = f", and it gives no guarantee: {paper.reason}" if status == "outside-calibration" else ""
        elif not isinstance(paper, Calibration):
            notes = list(self._of_claim(paper))
        else:
            notes = []
            if (standing := catalog.hook("watch").standing_of(Path(name), paper, self._now)) is not None:
                signed = {**standing.vouching.to_json(), "entries": standing.vouched}
                head = standing.head.model_dump(mode="json")
                notes.append(Note(f"its watch: {standing.words}", {"watch": {"head": head, "signed": signed}}))
        _require(vouching, "the paper", self.options)
        outcome = _outcome(signed=vouching.checked, known=vouching.trusted)
        separator = ", " if outcome == UNDAMAGED and not void else "; "
        words = vouching.words().removeprefix("signed by " if outcome == STRANGER else "")
        first = Note(
            f"{outcome}{void}{separator}{words}", {"status": status, "signature": vouching.to_json(), "watch": None}
        )
        return _Found(
            name=name,
            outcome=outcome,
            notes=(first, _stamp_note(Path(name), self.keys), *notes),
            checked=checked and _is_checked(vouching),
            vendor=paper.procedure.vendor if isinstance(paper, Calibration) else None,
            claim=not isinstance(paper, Calibration | Certificate),
        )

    def _of_claim(self, paper: "ClaimPaper | ClaimManifest | ClaimAnswers") -> Iterator[Note]:
        from blackbox_conformal.documents.claim import CLAIM_MANIFESTS, STRANGE, ClaimAnswers, ClaimManifest
        from blackbox_conformal.method.audits.vendor_claim import VendorClaim

        if isinstance(paper, ClaimAnswers):
            said = f"{counted(len(paper.answers), 'answer')} to the manifest {paper.manifest}"
            yield Note(said, {"manifest": paper.manifest, "digest": paper.digest})
            yield _not_checked(["that the answers are these (audit --claim with --answers)"])
            return
        if isinstance(paper, ClaimManifest):
            sentence = VendorClaim.of(paper.claim).sentence
            yield Note(f"claimed: {sentence}", {"claim": paper.claim, "digest": paper.digest})
            yield Note(f"its {len(paper.inputs)} inputs lie beside it, unchanged; its digest is {paper.digest}")
            return
        yield Note(paper.statement, {"statement": paper.statement, "verdict": paper.verdict, "claim": paper.claim})
        yield Note("this verdict follows from the figures of its photographs; it was computed again")
        if paper.answered is not None:
            vendor = paper.vouching_for_answers(self.keys)
            yield Note(f"its answers: {vendor.words(STRANGE)}", {"answers_signature": vendor.to_json()})
        unchecked = ["that its figures follow from photographs and answers (audit --claim on both)"]
        if paper.manifest is not None:
            there = list[ClaimManifest]()
            for name in self.options.papers:
                with suppress(BlackboxConformalError):  # Most are no manifests.
                    there.append(CLAIM_MANIFESTS.read(Path(name)))
            manifest = next((one for one in there if one.digest == paper.manifest), None)
            if manifest is None and there:
                raise CheckFailedError(f"it names another manifest, {paper.manifest}, than the one given")
            if manifest is None:
                unchecked.append(f"that it keeps to the manifest {paper.manifest} (verify both together)")
            else:
                paper.refuse_manifest(manifest)
                yield Note("it is about the claim and all photographs of the manifest")
        yield _not_checked(unchecked)

    def _of_certificate(self, name: str, certificate: "Certificate") -> Iterator[Note]:
        unchecked = self._unchecked(Path(name), certificate)
        if certificate.status == "if-like-calibration":
            yield Note(f"its guarantee holds if the input is like the calibration's: {certificate.reason}")
        yield from (Note(f"note: {note}") for note in certificate.notes)
        told: dict[str, list[str]] = {}
        try:
            for kind, output in certificate.outputs.items():
                if "credentials" in output:
                    content, found = self._read(Path(name).parent / Path(output["file"]).name)
                    if found is None or found.signer != output["credentials"]["signed_by"]:
                        raise CheckFailedError(f"the {kind} has not the Content Credentials that the certificate names")
                    self._refuse_disagreement(content, found, certificate)
                    told.setdefault(found.words, []).append(kind)
        except MissingPackageError as error:
            unchecked.append(f"Content Credentials of its pictures ({error})")
        yield from (Note(f"{' and '.join(kinds)}: {words}") for words, kinds in told.items())
        yield _not_checked(unchecked)

    def _unchecked(self, path: Path, certificate: "Certificate") -> list[str]:
        from blackbox_conformal.method.images.read import read_image
        from blackbox_conformal.study.stages.certify import (
            SCORE_MAPS,
            answer_check_agrees,
            contradictions,
            due_notes,
            input_bound_contradiction,
            known_errors_agree,
            mask_contradictions,
        )

        implied = [] if self.against is None else contradictions(certificate, self.against)
        if implied:
            raise CheckFailedError(f"it does not follow from the calibration: {'; '.join(implied)}")
        against, image = self.against, path.parent / Path(certificate.outputs[certificate.pictured]["file"]).name
        sent = self.sent.get(str(certificate.input.get("pixels")))
        delivered = None if sent is None else read_image(image, transparent=True).pixels
        wrong = input_bound_contradiction(certificate, delivered, sent)
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
            unchecked += ["the vendor's model that it names"] if not against.vendor_models else []
        if certificate.input_bound is not None and sent is None:
            unchecked.append("the numbers in its bound from the input (add --input FILE, the picture that was sent)")
        missing = [f"--{name} FILE" for name, given in (("calibration", against), ("input", sent)) if given is None]
        if against is None or delivered is None or sent is None:
            needs = f" (add {' and '.join(missing)})"
            unchecked.append(f"that its mask follows from the pictures{needs}")
            unchecked += [f"its quality{needs}"] if certificate.quality is not None else []
        else:
            contradicted = mask_contradictions(certificate, against, path.parent, delivered, sent)
            if contradicted is None:
                unchecked.append("that its mask follows from the pictures, which needs all draws of the vendor")
            elif not known_errors_agree(certificate, against, delivered, sent):
                contradicted.append("its quality does not follow from the picture")
            if not answer_check_agrees(certificate, against, delivered, sent):
                contradicted = [*(contradicted or ()), "its answer_check does not follow from the pictures"]
            if contradicted:
                raise CheckFailedError(f"the certificate contradicts its files: {'; '.join(contradicted)}")
        if notes:
            unchecked.append("its notes" if against is None else f"{len(notes)} of its notes")
        further = sorted(certificate.outputs.keys() - {certificate.pictured, "mask", *SCORE_MAPS})
        return [*unchecked, *([f"more than the digest of {', '.join(further)}"] if further else [])]

    def _picture(self, path: Path) -> list[_Found]:
        content, found = b"", None
        with suppress(*[MissingPackageError] if self.options.certificates else []):
            content, found = self._read(path)
        if self.options.certificates and (found is None or not found.claim):
            return self._by_pixels(path, Path(self.options.certificates))
        if found is None:
            raise CheckFailedError(
                "expected Content Credentials in the picture; it has none. Name its …-certificate.json, add "
                "--certificates FOLDER to find it there by the pixels, or make it anew with mask --credentials"
            )
        if (self.options.trust or self.options.trust_anchors) and not found.trusted:
            raise CheckFailedError(
                f"expected a signer that you trust (--trust, --trust-anchors); its {found.words}. Get it from a signer "
                "whom you trust"
            )
        claim, outcome = dict(found.claim or {}), _outcome(signed=True, known=found.trusted)
        data = {"status": claim.get("status"), "credentials": found.to_json()}
        notes = [Note(f"{outcome}; its {found.words}", data)]
        if claim:
            certificate = _beside(path, found, content)
            self._refuse_disagreement(content, found, certificate)
            # Files that the credentials name and that do not lie beside the picture, and facts that no picture shows.
            named = {kind: found.file(kind) for kind in ("certificate", "mask")}
            unchecked = [
                f"its {kind} {name}, which does not lie beside it"
                for kind, name in named.items()
                if name and not (path.parent / name).is_file()
            ]
            unchecked.append("that its mask follows from the pictures (verify its certificate)")
            notes += [
                Note(f"they say: {claim.get('statement')}"),
                Note(
                    f"they say: {share(claim.get('trusted_share'))} trusted at alpha={claim.get('alpha')}, "
                    f"{claim.get('status')}{'; the mask in them agrees' if found.mask else ''}"
                ),
                Note(f"they say: {claim['outside_the_mask']}" if claim.get("outside_the_mask") else ""),
                Note("" if certificate is None else f"its certificate {found.file('certificate')} says the same"),
                _not_checked(unchecked),
            ]
        else:
            notes.append(Note("they hold no certificate of this package"))
        notes += map(Note, found.carried)
        lines = tuple(Note(printable(note.text, 2000), note.data) for note in notes)
        return [_Found(name=str(path), outcome=outcome, notes=lines)]

    def _by_pixels(self, path: Path, folder: Path) -> list[_Found]:
        from blackbox_conformal.method.images.read import read_image
        from blackbox_conformal.study.found_again import found_again

        picture = read_image(path, transparent=True)
        found, checked = found_again(picture, folder), list[_Found]()
        for one in found.own:
            said = f"its pixels are those of {printable(one.words, _LONG)}"
            same = picture.file_digest == one.certificate.outputs[one.kind].get("digest")
            said += ", and so are its bytes" if same else "; the file was saved again"
            with tempfile.TemporaryDirectory() as beside:
                paper = one.paper
                if not paper.suffix:
                    # A gateway keeps files by digest; a certificate is checked beside files with their names.
                    paper = Path(beside) / "certificate.json"
                    paper.write_bytes(one.paper.read_bytes())
                    for kind, output in one.certificate.outputs.items():
                        if (content := one.content(kind)) is not None:
                            (Path(beside) / Path(output["file"]).name).write_bytes(content)
                (of_paper,) = self.paper(str(paper))
            note = Note(said, {"certificate": str(one.paper), "output": one.kind, "same_file": same})
            # Of a safe picture, or a file that was changed afterwards, nothing is promised.
            of_it = one.certificate.outputs[one.kind].get("statement")
            told = Note(printable(f"its certificate says of it: {of_it}", 2000) if of_it else "")
            first, *others = of_paper.notes
            checked.append(replace(of_paper, name=str(path), notes=(first, note, told, *others)))
        return checked or [_unlike(path, picture, found, printable(folder))]

    def _read(self, path: Path) -> "tuple[bytes, Credentials | None]":
        from blackbox_conformal.documents.credentials import read_credentials
        from blackbox_conformal.method.images.read import DEFAULT_LIMITS

        if path.stat().st_size > DEFAULT_LIMITS.max_bytes:
            raise FileFormatError(f"expected a picture of at most {DEFAULT_LIMITS.max_bytes} bytes; it is larger")
        content, anchors = path.read_bytes(), self.options.trust_anchors
        text = "" if anchors is None else Path(anchors).read_text(encoding="utf-8")
        return content, read_credentials(content, self.keys, text)

    def _refuse_disagreement(self, content: bytes, found: "Credentials", certificate: "Certificate | None") -> None:
        # Credentials must not contradict their mask, the certificate or the calibration.
        from blackbox_conformal.documents.credentials import contradictions

        wrong = contradictions(found, content, certificate)
        if self.against is not None and dict(found.claim or {}).get("calibration") != self.against.digest:
            wrong.append(f"they name another calibration than --calibration, {self.against.digest}")
        if wrong:
            raise CheckFailedError(f"its Content Credentials contradict what lies there: {'; '.join(wrong)}")

    def _watch_of_certificate(self, name: str, certificate: "Certificate") -> Note:
        # The note tells where the watch stood at that time, and whether the watch file still knows.
        from blackbox_conformal.support import catalog

        head = certificate.watch
        if head is None:
            return Note("")
        if head.calibration != certificate.calibration_digest:
            raise CheckFailedError("the watch that the certificate names is another calibration's")
        vouching = head.vouching(self.keys)
        chain, first = self.named.setdefault((head.calibration, head.entries), (head.chain, name))
        if chain != head.chain:
            raise CheckFailedError(
                f"entry {head.entries} of the watch is another one than in {first}: one of the two watch files was put "
                "back or written anew"
            )
        file, standing, compared = None if self.against is None else self.against.file, None, ""
        if self.against is not None and file is not None:
            standing = catalog.hook("watch").standing_of(file, self.against, self._now)
        if file is not None and standing is not None:
            if not catalog.hook("watch").holds(file, head):
                raise CheckFailedError(
                    f"the certificate names entry {head.entries} of the watch, and the watch file beside {file} has no "
                    f"such entry (it is {standing.head.words}): an older file was put back, or another watch begun"
                )
            compared = f"the watch file has this entry, and is {standing.head.words}"
        said = f"its watch: {head.words}; {vouching.words()}; {compared or 'compared with no watch file'}"
        data = {"head": head.model_dump(mode="json"), "signed": vouching.to_json(), "compared": bool(compared)}
        return Note(said, {"watch": data})


def _stamp_note(paper: Path, keys: "TrustPolicy") -> Note:
    from blackbox_conformal.documents.time_stamp import stamp_file

    at, file = keys.stamped, stamp_file(paper)
    if at is None and file.is_file():
        return Note(
            f"its time stamp {printable(file.name)} is not checked: add --trust policy.toml with authorities = "
            '["authority.pem"], the certificate of the authority that made it',
            {"stamped": None},
        )
    said = "" if at is None else f"stamped on {at:%Y-%m-%d at %H:%M:%S} UTC by an authority that your policy names"
    return Note(said, {"stamped": None if at is None else at.isoformat()})


def _failed(name: str, reason: str, **data: Any) -> _Found:
    return _Found(name=name, outcome=FAILED, notes=(Note(f"{FAILED}: {reason}", {"reason": reason, **data}),))


def _unlike(path: Path, picture: "Picture", found: "FoundAgain", folder: str) -> _Found:
    """Say that no certificate names these pixels, and how far the nearest is."""
    (height, width), nearest, said = picture.size, found.nearest, None
    reason = f"of {counted(found.certificates, 'certificate')} in {folder} none names its pixels"
    if not found.certificates:
        reason = f"expected certificates in {folder}; there are none. Give the folder that mask wrote, or serve's --run"
    elif nearest is None:
        reason += f" or has a picture of its size, {width}×{height}: it was resized or cropped, or is another picture"
    else:
        far = f"PSNR {nearest.psnr_db:.1f} dB, largest difference {nearest.largest} of 255"
        reason += f". The nearest of its size is {printable(nearest.words, _LONG)}: {far}. "
        reason += (
            "That is another picture"
            if nearest.psnr_db < _NEAR_DB
            else "Saving as JPEG changes that much, and an edit may, too: nothing is promised of this file. Get the "
            "one that was handed over"
        )
        measured = {"psnr_db": nearest.psnr_db, "largest_difference": nearest.largest}
        said = {"certificate": str(nearest.paper), "output": nearest.kind, **measured}
    if found.damaged:
        damaged = counted(len(found.damaged), "certificate")
        reason += f". {damaged} there cannot be read, first {printable(found.damaged[0], _LONG)}"
    return _failed(str(path), reason, nearest=said)


def _not_checked(unchecked: list[str]) -> Note:
    return Note(f"not checked: {'; '.join(unchecked)}" if unchecked else "", {"unchecked": unchecked})


def _beside(path: Path, found: "Credentials", content: bytes) -> "Certificate | None":
    from blackbox_conformal.documents.certificate import CERTIFICATES
    from blackbox_conformal.support.canonical import digest_bytes

    mask, paper = found.file("mask"), found.file("certificate")
    if mask and (path.parent / mask).is_file() and (path.parent / mask).read_bytes() != found.mask:
        raise CheckFailedError(f"the mask {mask} beside it is not the one in its Content Credentials")
    if paper is None or not (path.parent / paper).is_file():
        return None
    certificate = CERTIFICATES.read(path.parent / paper)
    certificate.vouching()
    for kind, output in certificate.outputs.items():
        name = Path(output["file"]).name
        if name == path.name and output.get("digest") != digest_bytes(content):
            raise CheckFailedError(f"it is not the picture that {paper} beside it names {name}")
        if (path.parent / name).is_file() and output.get("digest") != digest_bytes((path.parent / name).read_bytes()):
            raise CheckFailedError(f"the {kind} {name} beside it is not the one that {paper} names")
    return certificate


def _is_checked(vouching: "Vouching") -> bool:
    return vouching.signature is None or vouching.checked


def _require(vouching: "Vouching", paper: str, options: VerifyOptions) -> None:
    # An uncheckable signature differs from one that failed its check.
    if (options.trust or options.require_signature) and _is_checked(vouching):
        vouching.require(paper, trusted=bool(options.trust))
