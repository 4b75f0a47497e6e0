"""Time stamps of papers (RFC 3161) in files beside them, by the package `rfc3161-client` of the extra `timestamp`."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256, sha384, sha512
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from blackbox_conformal.documents.signature import Signature
from blackbox_conformal.documents.trust_policy import Trusted, TrustPolicy
from blackbox_conformal.documents.x509 import certificates
from blackbox_conformal.errors import CheckFailedError, FileFormatError, MissingPackageError
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse

LARGEST = 100_000
"""Bytes of the largest stamp that is read; with a whole chain of certificates one has a tenth of that."""

_HASHES = {32: sha256, 48: sha384, 64: sha512}  # By the bytes of a digest.


def stamp_file(paper: Path) -> Path:
    """Return where the stamp of a paper lies: its name with ``.tsr`` behind it."""
    return paper.with_name(f"{paper.name}.tsr")


def is_of(stamp: bytes, content: bytes) -> bool:
    """Tell whether a stamp names the digest of `content`; who made it is not looked at."""
    try:
        digest = _decoded(stamp).tst_info.message_imprint.message
    except (FileFormatError, ValueError):
        return False
    return len(digest) in _HASHES and _HASHES[len(digest)](content).digest() == digest


def requested(content: bytes, ask: Callable[[bytes], bytes]) -> bytes:
    """Return a stamp of `content`, for which `ask` posts a request to an authority and returns the answer.

    The authority's signature is left to the reader, who says whom he trusts.

    Raises
    ------
    CheckFailedError
        The authority refuses, or answers another request.
    FileFormatError
        The answer is no stamp.
    """
    library = _library()
    # The number drawn at random shows that the answer is none of before.
    request = library.TimestampRequestBuilder(content, library.HashAlgorithm.SHA256).build()
    answer = ask(request.as_bytes())
    stamp = _decoded(answer)
    if stamp.status != library.PKIStatus.GRANTED:
        said = printable("; ".join(stamp.status_string)) or f"status {stamp.status}"
        raise CheckFailedError(f"expected a time stamp; the service refused: {said}. Ask another service")
    if not is_of(answer, content) or stamp.tst_info.nonce != request.nonce:
        raise CheckFailedError("expected a stamp for this request; the service stamped another. Ask another service")
    return answer


def stamped_at(paper: Path, signature: Signature | None, policy: TrustPolicy) -> datetime | None:
    """Return when an authority of the policy stamped the file of a paper with this signature.

    Returns
    -------
    datetime or None
        In UTC; None where no stamp lies beside the paper, or the policy names no authority.

    Raises
    ------
    CheckFailedError
        The stamp is of another file, of no authority of the policy, or broken.
    """
    file = stamp_file(paper)
    if not policy.authorities or not file.is_file():
        return None
    library, content = _library(), paper.read_bytes()
    roots = [one for text in policy.authorities for one in certificates(text)]
    try:
        if file.stat().st_size > LARGEST:
            raise FileFormatError(f"it has more than {LARGEST} bytes")
        data = file.read_bytes()
        stamp = _decoded(data)
        if not is_of(data, content) or (signature is not None and signature.value.encode() not in content):
            raise FileFormatError("it is of another paper, or the paper was changed after it")
        library.VerifierBuilder(roots=roots).build().verify_message(stamp, content)
        return stamp.tst_info.gen_time
    except (library.VerificationError, ValueError) as error:
        ours = isinstance(error, FileFormatError)
        why = str(error) if ours else "no authority that your policy names made it, or it was changed"
        raise CheckFailedError(
            f"expected a time stamp of this paper in {printable(file.name)}; {why}. Get the stamp again from the "
            "signer, name its authority in your policy, or move it away to judge the paper without it"
        ) from None


def judged(paper: Path | None, signature: Signature | None, trusted: Trusted) -> Trusted:
    """Return what the reader trusts at the time of the stamp beside the paper, or as it is; errors as `stamped_at`."""
    if not isinstance(trusted, TrustPolicy) or trusted.stamped is not None or paper is None or signature is None:
        return trusted
    return replace(trusted, stamped=stamped_at(paper, signature, trusted))


def _decoded(data: bytes) -> "TimeStampResponse":
    try:
        stamp = _library().decode_timestamp_response(data)
        # A refusal has no content.
        if stamp.status in (0, 1):
            _ = stamp.tst_info.gen_time
    except ValueError:
        raise FileFormatError("expected a time stamp (RFC 3161); it cannot be read, or was cut off") from None
    return cast("TimeStampResponse", stamp)


def _library() -> Any:
    try:
        import rfc3161_client
    except ImportError:
        raise MissingPackageError(
            "expected the package rfc3161-client for time stamps; it cannot be imported. Run: pip install "
            "'blackbox-conformal[timestamp]'"
        ) from None
    return rfc3161_client
