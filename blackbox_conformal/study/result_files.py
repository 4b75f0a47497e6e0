"""Decide which earlier results may be overwritten, and whose signature stays."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.errors import CheckFailedError, FileFormatError, UsageError
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.study.stages.certify import without_bound
from blackbox_conformal.support.canonical import canonical_json
from blackbox_conformal.support.text import file_stem, printable

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey

VENDOR_ENDINGS = {
    "PNG": "png",
    "JPEG": "jpg",
    "WEBP": "webp",
    "AVIF": "avif",
    "HEIF": "heif",
    "TIFF": "tif",
    "BMP": "bmp",
}
"""File format → ending of the vendor's file."""


def refuse_existing(
    name: str, folder: Path, alpha: float, calibration: Calibration, rules: Sequence[Guarantee], outside: float
) -> bool:
    """Refuse, before anything is paid, to overwrite another picture's files; tell whether replaceable ones exist.

    An unsigned answer that stood in for a cascade's last vendor may be replaced.

    `outside`: At this p-value and below a mask carries no guarantee.
    """
    there = [path for path in possible_paths(name, folder) if path.exists()]
    if not there:
        return False
    earlier = None
    stands_in = False
    try:
        earlier = certificate_in(product_path(name, folder, "certificate", "json"))
        same = earlier is not None and (earlier.alpha, earlier.calibration_digest) == (alpha, calibration.digest)
        if earlier is not None:
            vendor = dict(earlier.procedure.get("vendor") or {})
            parameters = dict(vendor.get("parameters") or {})
            stood_in = bool(parameters.pop("available", 0))
            of_all = {**vendor, "parameters": parameters} == calibration.procedure.vendor
            stands_in = earlier.signature is None and stood_in and of_all
            same = same or (stands_in and earlier.alpha == alpha)
            earlier.verify(folder)
            same = same and {path.name for path in there[:-1]} <= files_named_by(earlier)
    except CheckFailedError:
        same = False
    if not same:
        raise UsageError(
            f"{there[0]} exists and is no result of this calibration at alpha={alpha:g}; it is not "
            "overwritten. Give --force or another --out"
        )
    assert earlier is not None
    if stands_in:
        return True
    marked = None if earlier.input_check is None else earlier.input_check.level
    if marked not in (None, outside):
        raise UsageError(
            f"{there[0]} exists and was made with --outside {marked:g}; got --outside {outside:g}, and it is not "
            f"overwritten. Give --outside {marked:g}, --force or another --out"
        )
    promised = [canonical_json(without_bound(rule.specification())) for rule in rules]
    if canonical_json(without_bound(earlier.guarantee)) not in promised:
        raise UsageError(
            f"{there[0]} exists and was made with another guarantee, {earlier.guarantee.get('name')} with its "
            "parameters; it is not overwritten. Give that --guarantee or --group, --force or another --out"
        )
    return False


def product_path(name: str, folder: Path, kind: str, ending: str = "png") -> Path:
    """Return the path of a result's file: the file of this kind, for the result called `name`."""
    return folder / f"{file_stem(name)}-{kind.replace('_', '-')}.{ending}"


def possible_paths(name: str, folder: Path) -> list[Path]:
    """Return where files of any result called `name` would lie, its certificate last."""
    kinds = [(kind, "png") for kind in ("image", "mask", "overlay", "score_map", "safe")]
    kinds += [("image", "npy"), ("safe", "npy"), ("vendor", "npy")]
    files = [*kinds, *(("vendor", ending) for ending in VENDOR_ENDINGS.values()), ("certificate", "json")]
    return [product_path(name, folder, kind, ending) for kind, ending in files]


def is_signed_with(certificate: Certificate, key: "SigningKey") -> bool:
    """Tell whether a certificate has a genuine signature by this key."""
    return certificate.signature is not None and certificate.signature == certificate.signed(key).signature


def refuse_unsigned(earlier: Certificate, outputs: Collection[str], path: Path, sign_with: "SigningKey | None") -> None:
    """Refuse to sign what only an earlier certificate states, unless the same key signed it."""
    if sign_with is None or is_signed_with(earlier, sign_with):
        return
    other = sorted(earlier.outputs.keys() - set(outputs))
    if other or earlier.signature is not None:
        why = f"names a file that is not written now, {other[0]}" if other else "has another signature"
        raise UsageError(
            f"{printable(path)} {why}, and what others wrote is not signed; give --force, or choose another --out"
        )


def keeping_signature(certificate: Certificate, earlier: Certificate, path: Path) -> Certificate:
    """Return the certificate with the signature of an earlier one that says the same."""
    if earlier.signature is None or earlier.digest == certificate.digest:
        return certificate.model_copy(update={"signature": earlier.signature})
    raise UsageError(
        f"{printable(path)} is signed and would be written without its signature; sign it again (--sign-with FILE), "
        "give --force, or choose another --out"
    )


def certificate_in(path: Path) -> Certificate | None:
    """Read the certificate in a file; None where it cannot be read."""
    try:
        return Certificate.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, FileFormatError):
        return None


def files_named_by(certificate: Certificate) -> set[str]:
    """Return the names of the files that a certificate lists."""
    return {str(entry.get("file")) for entry in certificate.outputs.values() if isinstance(entry, dict)}


def comparable(certificate: Certificate) -> Certificate:
    """Strip notes, files, signatures and other inputs' findings: equal results compare equal."""
    vouching = {"assumptions": (), "calibration_signature": None, "watch": None, "signature": None}
    others = dict.fromkeys(("reason", "stream_check", "batch_check", "answer_check", "drift", "doubt", "quality")) | {
        "status": "abstains"
    }
    return certificate.model_copy(update={"notes": (), "outputs": {}, **vouching, **others})
