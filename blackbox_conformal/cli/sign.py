"""`sign`, and papers (calibrations, certificates), signing keys and trusted keys for other commands."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.option_sources import PREFIX, origin_of
from blackbox_conformal.errors import CheckFailedError, FileFormatError, IncompleteError, UsageError
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.certificate import Certificate
    from blackbox_conformal.documents.claim import ClaimAnswers, ClaimManifest, ClaimPaper
    from blackbox_conformal.documents.signature import SigningKey
    from blackbox_conformal.documents.trust_policy import TrustPolicy
    from blackbox_conformal.documents.x509 import CertifiedKey


def read_paper(path: Path) -> "Calibration | Certificate | ClaimPaper | ClaimManifest | ClaimAnswers":
    """Read the paper at `path`, and check its digest, signature and the files beside it."""
    from blackbox_conformal.documents.calibration import CALIBRATIONS, Calibration
    from blackbox_conformal.documents.certificate import Certificate
    from blackbox_conformal.documents.claim import CLAIM_ANSWERS, CLAIM_MANIFESTS, CLAIM_PAPERS
    from blackbox_conformal.study.stages.certify import file_contradictions
    from blackbox_conformal.support.canonical import strict_json

    try:
        if path.stat().st_size > CALIBRATIONS.limit:
            raise FileFormatError("expected a calibration or a certificate; the file is too large for one")
        text = path.read_text(encoding="utf-8")
        content = strict_json(text)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise FileFormatError(
            f"expected a calibration or a certificate that can be read; {why}. Name calibration.json, or the "
            "…-certificate.json beside a mask"
        ) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            "expected a calibration or a certificate; the file is neither, or was cut off. Name calibration.json, or "
            "the …-certificate.json beside a mask"
        ) from None
    kind = content.get("format") if isinstance(content, dict) else None
    if kind == CALIBRATIONS.format:
        return Calibration.load(path)
    if kind == CLAIM_PAPERS.format:
        paper = CLAIM_PAPERS.parse(text.encode())
        paper.vouching()
        paper.vouching_for_answers()
        return paper
    if kind == CLAIM_ANSWERS.format:
        answers = CLAIM_ANSWERS.parse(text.encode())
        answers.vouching()
        return answers
    if kind == CLAIM_MANIFESTS.format:
        manifest = CLAIM_MANIFESTS.parse(text.encode())
        manifest.vouching()
        manifest.refuse_changed(path.parent)
        return manifest
    certificate = Certificate.from_json(text)
    certificate.vouching()
    certificate.calibration_vouching()
    wrong = file_contradictions(certificate, path.parent)
    if wrong:
        raise CheckFailedError(f"the certificate contradicts itself or its files: {'; '.join(wrong)}")
    return certificate


def sign_paper(path: Path, key: "SigningKey", *, force: bool) -> Callable[[], object]:
    """Return a function that writes the paper at `path` with a signature."""
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.support import catalog
    from blackbox_conformal.support.files import write_new

    paper = read_paper(path)
    if isinstance(paper, Calibration):
        catalog.hook("watch").check_beside(path, replace(paper, signature=None))
    if paper.signature is not None and paper.signature.key != key.key and not force:
        raise UsageError(
            f"{printable(path)} is signed by {paper.signature.signer}; give --force to replace that signature by yours"
        )
    signed = paper.signed(key)

    def write() -> None:
        if isinstance(signed, Calibration):
            signed.save(path, force=True)
            # The log of the calibration's watch is signed, too.
            catalog.hook("watch").sign_beside(path, signed, key)
        else:
            write_new(path, signed.to_json().encode(), force=True)

    return write


PASSPHRASE = f"{PREFIX}SIGNING_PASSPHRASE"
"""The variable with the passphrase; with ``_FILE`` behind it, the variable that names a file with it."""


def load_signing_key(screen: Screen, path: str | None) -> "SigningKey | None":
    """Load the key in a file, asking for its passphrase if it has one; None if `path` is None."""
    from blackbox_conformal.documents.signature import SigningKey, is_encrypted

    if path is None:
        return None
    if not is_encrypted(path):
        return SigningKey.load(path)
    with screen.paused():
        return SigningKey.load(path, read_passphrase(f"Passphrase of {path}").reveal())


def load_certified_key(
    screen: Screen, credentials: bool, path: str | None, own: "SigningKey | None", calibration: "Calibration"
) -> "CertifiedKey | None":
    """Return the key that signs Content Credentials: the user's, or `own`; None if none are asked for."""
    from blackbox_conformal.documents.credentials import refuse_bands, refuse_unfit
    from blackbox_conformal.documents.signature import is_encrypted
    from blackbox_conformal.documents.x509 import CertifiedKey

    if path is not None:
        with screen.paused():
            secret = read_passphrase(f"Passphrase of {path}").reveal() if is_encrypted(path) else None
        key = CertifiedKey.load(path, secret)
    elif not credentials:
        return None
    elif own is None:
        raise UsageError(
            "expected a key for --credentials; got none. Add --sign-with lab.pem, which `blackbox-conformal key new "
            "lab.pem --name 'Laboratory X'` makes, or --credentials-with FILE with your own certificates and key"
        )
    else:
        key = CertifiedKey.of(own)
    refuse_bands(calibration.procedure)
    refuse_unfit(key)
    return key


def read_passphrase(question: str, *, twice: bool = False) -> Secret:
    """Read the passphrase from the environment or the terminal, without showing it."""
    text = os.environ.get(PASSPHRASE, "")
    file = os.environ.get(f"{PASSPHRASE}_FILE", "")
    if not text and file:
        try:
            text = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"expected a readable file in {PASSPHRASE}_FILE; {type(error).__name__} while reading it"
            ) from None
    if not text and sys.stdin.isatty():
        text = click.prompt(question, hide_input=True, confirmation_prompt=twice, err=True)
    if not text:
        raise UsageError(
            f"expected the passphrase of the signing key in {PASSPHRASE} (or a file named by {PASSPHRASE}_FILE), or a "
            "terminal to ask at; got neither"
        )
    return Secret(text)


def trusted(trust: tuple[str, ...]) -> "TrustPolicy":
    """Return the policy that the option `--trust` names."""
    from blackbox_conformal.documents.ed25519 import PREFIX as KEY
    from blackbox_conformal.documents.trust_policy import TrustPolicy

    origin = origin_of("trust")
    if origin is not None and not trust:
        # A missing secret in continuous integration is empty, and must not switch its check off.
        raise UsageError(
            f"expected public keys ({KEY}…) in {origin}; it is empty, which would trust everybody. Set it to the key, "
            "or unset it"
        )
    typed = click.get_current_context().get_parameter_source("trust") == click.core.ParameterSource.COMMANDLINE
    for text in trust:
        if not (typed or text.startswith(KEY) or Path(text).is_absolute()):
            raise UsageError(
                f"expected keys ({KEY}…) or whole paths, from /, where trust is a setting; got {text!r}, which is "
                "another file in each folder"
            )
    return TrustPolicy.read(trust)


def load_calibration(
    screen: Screen, path: str, trust: tuple[str, ...], own: "SigningKey | None" = None
) -> "Calibration":
    """Load a calibration; if keys are trusted, one must have signed it.

    `own`, the user's signing key, counts as trusted although it is not in `trust`.
    """
    from blackbox_conformal.documents.calibration import Calibration

    keys = trusted(trust)
    calibration = Calibration.load(path)
    vouching = calibration.vouching(keys)
    if trust:
        vouching.require(printable(path), trusted=True)
    if calibration.signature is not None:
        command = click.get_current_context().info_name
        told = calibration.vouching(keys.with_own(own))
        screen.note(f"calibration: {told.words(f'you have not told {command} that you trust this key')}")
    return calibration


@click.command("sign")
@click.argument("papers", nargs=-1, required=True, type=shared.FILE)
@shared.option("--sign-with", required=True, type=shared.FILE, help="Private key; `key new` makes one.")
@shared.option(
    "--answers",
    type=shared.EXISTING_FOLDER,
    help="For a vendor: sign the answers (NAME/0.png) in this folder to the manifest of a claim, in claim-answers.json "
    "there.",
)
@shared.option(
    "--timestamp",
    metavar="URL",
    help="Have the time stamp authority at this address stamp each paper, in PAPER.tsr (RFC 3161). It gets a digest.",
)
@shared.option("--force", is_flag=True, help="Replace signatures of others.")
@shared.output
def command(
    screen: Screen, papers: tuple[str, ...], sign_with: str, answers: str | None, timestamp: str | None, force: bool
) -> None:
    """Sign PAPERS in their files: calibrations, certificates, tested claims. You vouch for what stands in them.

    A paper is checked first, as `verify` does, with the files beside it. With a calibration the watch beside it is
    signed as it stands.
    """
    key = load_signing_key(screen, sign_with)
    assert key is not None
    if timestamp is not None and not timestamp.startswith(("https://", "http://")):
        raise UsageError(f"expected a web address in --timestamp; got {printable(timestamp)!r}. Begin it with https://")
    if answers is not None:
        _sign_answers(screen, papers, Path(answers), key, timestamp, force=force)
        return
    # All are read before the first is written, so that a wrong one leaves nothing half done.
    ready = [sign_paper(Path(name), key, force=force) for name in papers]
    for name, write in zip(papers, ready, strict=True):
        write()
        screen.say(f"{printable(name)}: signed with {key.key} as {key.name}")
        _stamp(screen, Path(name), timestamp)
    screen.next("verify", *papers, "--trust", key.key)
    screen.data([{"paper": name, "key": key.key, "name": key.name} for name in papers])


def _stamp(screen: Screen, paper: Path, address: str | None) -> None:
    from blackbox_conformal.documents.time_stamp import LARGEST, is_of, requested, stamp_file
    from blackbox_conformal.drawing.http.posting import UndeliveredError, post
    from blackbox_conformal.support.files import write_new

    if address is None:
        return
    content, file = paper.read_bytes(), stamp_file(paper)
    # The older stamp says more.
    if file.is_file() and file.stat().st_size <= LARGEST and is_of(file.read_bytes(), content):
        screen.say(f"{printable(file)}: stamps this already")
        return

    def ask(request: bytes) -> bytes:
        return post(address, request, {"Content-Type": "application/timestamp-query"}, LARGEST)

    try:
        write_new(file, requested(content, ask), force=True)
    except UndeliveredError as error:
        raise IncompleteError(
            f"{printable(paper)} is signed, and has no time stamp: {error} from the service. Give the same command "
            "again, or another address with --timestamp"
        ) from None
    screen.say(f"{printable(file)}: stamped. Readers check it with a policy that names the authority's certificate")


def _sign_answers(
    screen: Screen, papers: tuple[str, ...], folder: Path, key: "SigningKey", timestamp: str | None, *, force: bool
) -> None:
    from blackbox_conformal.documents.claim import ANSWERS_FILE, ClaimAnswers, ClaimManifest
    from blackbox_conformal.support.files import write_new

    manifest = read_paper(Path(papers[0]))
    if papers[1:] or not isinstance(manifest, ClaimManifest):
        raise UsageError("expected one manifest beside --answers; got another paper. Name inputs/claim-manifest.json")
    signed = ClaimAnswers.of(manifest, folder).signed(key)
    file = write_new(folder / ANSWERS_FILE, signed.to_json().encode(), force=force)
    screen.say(
        f"{printable(file)}: {len(signed.answers)} answers signed with {key.key} as {key.name}. Send it to the "
        "auditor, with the folder, before you see a photograph. The auditor adds to audit --claim:"
    )
    screen.say(f"  --answers {printable(file)} --trust {key.key}")
    _stamp(screen, file, timestamp)
    screen.data([{"paper": str(file), "key": key.key, "name": key.name}])
