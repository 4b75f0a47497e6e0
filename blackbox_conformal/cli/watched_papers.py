"""What `verify` says of the watch of a calibration, and of the place in it that a certificate names."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox_conformal.errors import CheckFailedError

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.certificate import Certificate


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
