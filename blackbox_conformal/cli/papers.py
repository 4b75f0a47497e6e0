"""A paper, that is a calibration or a certificate, from its file and into it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.errors import CheckFailedError, FileFormatError, UsageError
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.certificate import Certificate
    from blackbox_conformal.documents.signing_key import SigningKey


def read_paper(path: Path) -> "Calibration | Certificate":
    """The calibration or certificate at `path`: its own digest, its signature, and the files beside it, are checked."""
    from blackbox_conformal.documents.calibration import CALIBRATIONS, Calibration
    from blackbox_conformal.documents.certificate import Certificate
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
    if isinstance(content, dict) and content.get("format") == CALIBRATIONS.format:
        return Calibration.load(path)
    certificate = Certificate.from_json(text)
    certificate.vouching()
    certificate.calibration_vouching()
    wrong = file_contradictions(certificate, path.parent)
    if wrong:
        raise CheckFailedError(f"the certificate contradicts itself or its files: {'; '.join(wrong)}")
    return certificate


def sign_paper(path: Path, key: "SigningKey", *, force: bool) -> Callable[[], object]:
    """What writes the paper at `path` with a signature."""
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.support.files import write_new

    paper = read_paper(path)
    if isinstance(paper, Calibration):
        _check_watch(path, paper)
    if paper.signature is not None and paper.signature.key != key.key and not force:
        raise UsageError(
            f"{printable(path)} is signed by {paper.signature.signer}; give --force to replace that signature by yours"
        )
    signed = paper.signed(key)
    if isinstance(signed, Calibration):
        return lambda: _write(path, signed, key)
    return lambda: write_new(path, signed.to_json().encode(), force=True)


def _check_watch(path: Path, calibration: "Calibration") -> None:
    """Refuse a watch file beside the calibration that was changed since it was written, by any signer."""
    from blackbox_conformal.study.watched import watching

    watching().check_beside(path, replace(calibration, signature=None))


def _write(path: Path, calibration: "Calibration", key: "SigningKey") -> None:
    """Write a signed calibration, and sign the log of the watch beside it, if there is one."""
    from blackbox_conformal.study.watched import watching

    calibration.save(path, force=True)
    watching().sign_beside(path, calibration, key)
