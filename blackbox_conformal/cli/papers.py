"""A paper, that is a calibration or a certificate, from its file."""

from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.errors import CheckFailedError, FileFormatError

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.certificate import Certificate


def read_paper(path: Path) -> "Calibration | Certificate":
    """The calibration or certificate at `path`: its own digest, its signature, and the files beside it, are checked.

    Raises
    ------
    BlackboxConformalError
        It is neither, or something does not agree.
    """
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
        raise FileFormatError(f"expected a calibration or a certificate that can be read; {why}") from None
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
