"""A picture that was saved again: which certificates of a folder name its pixels, and how far the nearest is."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from blackbox_conformal.documents.certificate import CERTIFICATES, Certificate
from blackbox_conformal.errors import BlackboxConformalError, ImageError
from blackbox_conformal.method.audits.quality import peak_signal_to_noise
from blackbox_conformal.method.images.picture import Picture, shown_digest
from blackbox_conformal.method.images.read import DEFAULT_LIMITS, read_image
from blackbox_conformal.support.canonical import digest_bytes

_KINDS = ("image", "picture", "safe", "vendor")  # Outputs that people pass on.
_HEAD = 200  # Bytes of a paper in which its format stands.


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """A picture that a certificate names, and how far another one is from it."""

    paper: Path  # The certificate's file.
    certificate: Certificate
    kind: str
    psnr_db: float = math.inf
    largest: int = 0  # Difference of a channel, of 255.

    @property
    def words(self) -> str:
        """Name the picture and its certificate."""
        return f"the {self.kind} {Path(str(self.certificate.outputs[self.kind].get('file'))).name} of {self.paper}"

    def content(self, kind: str) -> bytes | None:
        """Return the bytes of an output, as long as they are those that the certificate names.

        They lie beside it, or under their digest, as a gateway keeps files.
        """
        output, paper = self.certificate.outputs[kind], self.paper
        name, digest = Path(str(output.get("file"))).name, str(output.get("digest"))
        stored = Path(digest.removeprefix("sha256:")).name
        for place in (paper.parent / name, paper.parent.parent / stored[:2] / stored):
            if place.is_file() and place.stat().st_size <= DEFAULT_LIMITS.max_bytes:
                content = place.read_bytes()
                if digest_bytes(content) == digest:
                    return content
        return None


@dataclass(frozen=True, slots=True)
class FoundAgain:
    """What a folder has of a picture: `own` has its very pixels, at most one a certificate; `nearest` its size."""

    own: list[NamedPicture]
    nearest: NamedPicture | None
    certificates: int
    damaged: list[Path]  # Certificates that cannot be read.


def found_again(picture: Picture, folder: Path) -> FoundAgain:
    """Look for the pixels of `picture` in a folder with certificates and, for `nearest`, their files."""
    digest, named, papers, damaged = (
        shown_digest(picture.pixels, picture.opacity),
        list[NamedPicture](),
        0,
        list[Path](),
    )
    for paper in _papers(folder):
        papers += 1
        try:
            certificate = CERTIFICATES.read(paper)
        except BlackboxConformalError:
            damaged.append(paper)
            continue
        outputs = certificate.outputs
        named += [NamedPicture(paper, certificate, kind) for kind in _KINDS if isinstance(outputs.get(kind), dict)]
    recorded = [one for one in named if one.certificate.outputs[one.kind].get("pixels") == digest]
    own, nearest = list[NamedPicture](), None
    # Certificates of earlier versions record no pixels; only their files tell.
    for one in recorded or named:
        measured = _measured(one, picture)
        if measured is None:
            own += [one] if recorded else []
        elif not measured.largest:
            own.append(measured)
        elif nearest is None or measured.psnr_db > nearest.psnr_db:
            nearest = measured
    first = {one.paper: one for one in reversed(own)}
    return FoundAgain(list(reversed(first.values())), nearest, papers, damaged)


def _papers(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in ("", ".json") and path.is_file():
            with path.open("rb") as file:
                if CERTIFICATES.format.encode() in file.read(_HEAD):
                    yield path


def _measured(named: NamedPicture, picture: Picture) -> NamedPicture | None:
    """Return how far a picture is from a named one; None: its file is gone, or has another size."""

    def same_size(width: int, height: int) -> None:
        if (height, width) != picture.size:
            raise ImageError("another size")

    content = named.content(named.kind)
    if content is None:
        return None
    with suppress(ImageError):
        other = read_image(content, check_size=same_size, transparent=True)
        if other.size == picture.size:
            one, two = (_levels(each, opaque=picture.opacity is other.opacity) for each in (picture, other))
            largest = int(np.abs(one.astype(np.int16) - two).max())
            return replace(named, psnr_db=peak_signal_to_noise(one, two), largest=largest)
    return None


def _levels(picture: Picture, *, opaque: bool) -> np.ndarray:
    hidden = np.full(picture.size, 255, np.uint8) if picture.opacity is None else picture.opacity
    return picture.pixels if opaque else np.dstack([picture.pixels, hidden])
