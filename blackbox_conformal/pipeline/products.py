"""One masked picture and its files: image, mask, overlay, score map, certificate."""

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.certificate import Certificate
from blackbox_conformal.errors import CheckFailedError, FileFormatError, UsageError
from blackbox_conformal.files import write_new, write_together
from blackbox_conformal.images.encode import image_png, indecision_png, mask_png
from blackbox_conformal.images.overlay import overlay
from blackbox_conformal.text import file_stem, printable
from blackbox_conformal.types import Image, Map, Mask


@dataclass(frozen=True, repr=False)
class Result:
    """One super-resolved picture with its trust mask.

    Attributes
    ----------
    image
        The delivered picture: (H, W, 3) uint8.
    mask
        (H, W) bool, True = trusted.
    indecision
        The score map: (H, W) float32.
    certificate
        The guarantee in words and numbers.
    """

    name: str
    image: Image
    mask: Mask
    indecision: Map
    certificate: Certificate

    def __repr__(self) -> str:
        height, width = self.mask.shape
        level = self.certificate
        return (
            f"<Result {printable(self.name)}: {width}×{height} pixels, {level.trusted_share:.1%} trusted at "
            f"alpha={level.alpha:g}, {level.guarantee['name']}>"
        )

    def save(self, folder: str | Path, *, force: bool = False) -> "Products":
        """Write image, mask, overlay, score map and certificate into `folder`, as the command `mask` does.

        Returns
        -------
        Products
            Where each file lies: ``<name>-image.png`` and so on.

        Raises
        ------
        UsageError
            A file exists with other content and `force` is not set.
        """
        return write_products(self, Path(folder), force=force)

    def _repr_html_(self) -> str:
        buffer = io.BytesIO()
        PillowImage.fromarray(overlay(self.image, self.mask)).save(buffer, "PNG")
        source = base64.b64encode(buffer.getvalue()).decode()
        share = f"{self.certificate.trusted_share:.1%} trusted"
        return (
            f'<figure><img alt="{share}" src="data:image/png;base64,{source}" style="max-width:100%">'
            f"<figcaption>{html.escape(share)}. {html.escape(self.certificate.statement)}</figcaption></figure>"
        )


@dataclass(frozen=True, slots=True)
class Products:
    """Where the files of one result lie."""

    image: Path
    mask: Path
    overlay: Path
    indecision: Path
    certificate: Path


def product_paths(name: str, folder: Path) -> Products:
    """Where the files of a result called `name` will lie."""
    stem = file_stem(name)
    image, mask, overlaid, scores = (
        folder / f"{stem}-{kind}.png" for kind in ("image", "mask", "overlay", "indecision")
    )
    return Products(image, mask, overlaid, scores, folder / f"{stem}-certificate.json")


def refuse_existing(name: str, folder: Path, alpha: float, calibration_digest: str) -> None:
    """Refuse, before anything is paid, to mask a picture whose files would overwrite others.

    Raises
    ------
    UsageError
        Some of the files exist, and they are not one whole result of this calibration at this level.
    """
    paths = product_paths(name, folder)
    everything = (paths.image, paths.mask, paths.overlay, paths.indecision, paths.certificate)
    there = [path for path in everything if path.exists()]
    if not there:
        return
    try:
        earlier = Certificate.from_json(paths.certificate.read_text(encoding="utf-8"))
        earlier.verify(folder)
        same = (earlier.alpha, earlier.calibration_digest) == (alpha, calibration_digest)
    except (OSError, UnicodeDecodeError, FileFormatError, CheckFailedError):
        same = False
    if not same:
        raise UsageError(
            f"{there[0]} exists and is no result of this calibration at alpha={alpha:g}; it is not overwritten. "
            "Give --force or another --out"
        )


def encode_products(result: Result) -> dict[str, bytes]:
    """Every picture of a result as PNG bytes, by the name that `Products` gives it."""
    return _encode(result)[0]


def _encode(result: Result) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The pictures, and how the indecision map's levels were scaled."""
    scores, scaling = indecision_png(result.indecision)
    pictures = {
        "image": image_png(result.image),
        "mask": mask_png(result.mask),
        "overlay": image_png(overlay(result.image, result.mask)),
        "indecision": scores,
    }
    return pictures, scaling


def write_products(result: Result, folder: Path, *, force: bool = False) -> Products:
    """Write a result's files as ``<name>-<product>.png`` and ``<name>-certificate.json``; whole or not at all.

    Raises
    ------
    UsageError
        A file exists with other content and `force` is not set.
    IncompleteError
        The disk is full.
    """
    contents, scaling = _encode(result)
    products = product_paths(result.name, folder)
    paths = {name: getattr(products, name) for name in contents}
    outputs = {name: {"file": paths[name].name, "digest": digest_bytes(content)} for name, content in contents.items()}
    outputs["indecision"] |= scaling
    certificate = result.certificate.model_copy(update={"outputs": outputs})
    written = {paths[name]: content for name, content in contents.items()}
    if _is_remarked(products.certificate, certificate):
        # The same result of an earlier batch, of which more was to be said.
        write_new(products.certificate, certificate.to_json().encode(), force=True)
    written[products.certificate] = certificate.to_json().encode()
    write_together(written, force=force)
    return products


def add_note(certificate: Path, note: str) -> None:
    """Add to a certificate that was just written what became known after it, such as what concerns a whole batch."""
    written = Certificate.from_json(certificate.read_text(encoding="utf-8"))
    remarked = written.model_copy(update={"notes": (*written.notes, note)})
    write_new(certificate, remarked.to_json().encode(), force=True)


def _is_remarked(path: Path, certificate: Certificate) -> bool:
    """Whether the file holds this certificate with other notes."""
    try:
        earlier = Certificate.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, FileFormatError):
        return False
    return earlier.model_copy(update={"notes": certificate.notes}) == certificate
