"""One masked picture and its files: image, mask, overlay, score map, safe picture, certificate."""

import base64
import html
import io
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.certificate import Certificate
from blackbox_conformal.errors import CheckFailedError, FileFormatError, UsageError
from blackbox_conformal.files import write_new, write_together
from blackbox_conformal.images.encode import image_png, indecision_png, mask_png
from blackbox_conformal.images.overlay import overlay
from blackbox_conformal.images.safe import safe_picture, safe_statement
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
    low_resolution
        What the vendor was sent: (h, w, 3) uint8.
    certificate
        The guarantee in words and numbers.
    """

    name: str
    image: Image
    mask: Mask
    indecision: Map
    low_resolution: Image
    certificate: Certificate

    def __repr__(self) -> str:
        height, width = self.mask.shape
        level = self.certificate
        outside = ", no guarantee: outside-calibration" if level.status == "outside-calibration" else ""
        return (
            f"<Result {printable(self.name)}: {width}×{height} pixels, {level.trusted_share:.1%} trusted at "
            f"alpha={level.alpha:g}, {level.guarantee['name']}{outside}>"
        )

    @property
    def safe(self) -> Image:
        """A picture to use, (H, W, 3) uint8: the delivered pixels where trusted, plain enlargement elsewhere.

        Where the input is outside the calibration, no pixel is a delivered one.
        """
        return safe_picture(self.image, self.guaranteed, self.low_resolution)

    @property
    def guaranteed(self) -> Mask:
        """The trusted pixels that the guarantee speaks of, (H, W) bool: none of an input outside the calibration."""
        if self.certificate.status == "outside-calibration":
            return np.zeros_like(self.mask)
        return self.mask

    def save(self, folder: str | Path, *, safe: bool = False, feather: int = 0, force: bool = False) -> "Products":
        """Write image, mask, overlay, score map and certificate into `folder`, as the command `mask` does.

        Parameters
        ----------
        safe
            Write the picture `safe` too.
        feather
            Over how many untrusted pixels the delivered picture fades into the enlargement in it; 0: a hard edge.
        force
            Overwrite files with other content.

        Returns
        -------
        Products
            Where each file lies: ``<name>-image.png`` and so on.

        Raises
        ------
        UsageError
            A file exists with other content and `force` is not set.
        """
        return write_products(self, Path(folder), Wanted(safe, feather), force=force)

    def _repr_html_(self) -> str:
        buffer = io.BytesIO()
        PillowImage.fromarray(overlay(self.image, self.mask)).save(buffer, "PNG")
        source = base64.b64encode(buffer.getvalue()).decode()
        share = f"{self.certificate.trusted_share:.1%} trusted"
        return (
            f'<figure><img alt="{share}" src="data:image/png;base64,{source}" style="max-width:100%">'
            f"<figcaption>{html.escape(share)}. {html.escape(self.certificate.stated)}</figcaption></figure>"
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files are written of a result, beside those that always are.

    Attributes
    ----------
    safe
        The picture to use.
    feather
        Over how many untrusted pixels its trusted part fades out; 0: a hard edge.

    Raises
    ------
    UsageError
        A feather without the picture.
    """

    safe: bool = False
    feather: int = 0

    def __post_init__(self) -> None:
        if self.feather and not self.safe:
            raise UsageError(f"expected a feather with the safe picture alone; got {self.feather}. Add --safe")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of pictures to be written."""
        return ("image", "mask", "overlay", "indecision", *(["safe"] if self.safe else []))


@dataclass(frozen=True, slots=True)
class Products:
    """Where the files of one result lie; None for one that was not asked for."""

    image: Path
    mask: Path
    overlay: Path
    indecision: Path
    certificate: Path
    safe: Path | None = None


PRODUCTS = tuple(field.name for field in fields(Products))
"""Every kind of file that a result can have."""


@dataclass(frozen=True, slots=True)
class Product:
    """One file of a result.

    Attributes
    ----------
    content
        The file's bytes.
    remarks
        What the certificate says of it beside name and digest.
    """

    content: bytes
    remarks: dict[str, Any] = field(default_factory=dict)


def refuse_existing(name: str, folder: Path, alpha: float, calibration_digest: str) -> None:
    """Refuse, before anything is paid, to mask a picture whose files would overwrite others.

    Raises
    ------
    UsageError
        Some of the files exist, and they are not one whole result of this calibration at this level.
    """
    there = {kind: path for kind in PRODUCTS if (path := product_path(name, folder, kind)).exists()}
    if not there:
        return
    try:
        earlier = _certificate_in(product_path(name, folder, "certificate"))
        same = earlier is not None and (earlier.alpha, earlier.calibration_digest) == (alpha, calibration_digest)
        if earlier is not None:
            earlier.verify(folder)
            same = same and there.keys() <= {*earlier.outputs, "certificate"}
    except CheckFailedError:
        same = False
    if not same:
        raise UsageError(
            f"{next(iter(there.values()))} exists and is no result of this calibration at alpha={alpha:g}; it is not "
            "overwritten. Give --force or another --out"
        )


def product_path(name: str, folder: Path, kind: str) -> Path:
    """Where the file of this kind of a result called `name` lies."""
    return folder / f"{file_stem(name)}-{kind}.{'json' if kind == 'certificate' else 'png'}"


def encode_product(result: Result, kind: str, feather: int = 0) -> Product:
    """One file of a result by its kind, a name of `PRODUCTS`."""
    match kind:
        case "image":
            return Product(image_png(result.image))
        case "mask":
            return Product(mask_png(result.mask))
        case "overlay":
            return Product(image_png(overlay(result.image, result.mask)))
        case "indecision":
            return Product(*indecision_png(result.indecision))
        case "safe":
            enlarged = result.image.shape != result.low_resolution.shape
            picture = safe_picture(result.image, result.guaranteed, result.low_resolution, feather)
            guaranteed = result.certificate.status != "outside-calibration"
            statement = safe_statement(enlarged=enlarged, feather=feather, guaranteed=guaranteed)
            return Product(image_png(picture), {"feather": feather, "statement": statement})
    return Product(result.certificate.to_json().encode())


def write_products(result: Result, folder: Path, wanted: Wanted = Wanted(), *, force: bool = False) -> Products:
    """Write a result's files as ``<name>-<product>.png`` and ``<name>-certificate.json``; whole or not at all.

    Files of the same result that are there already are kept, and stay in its certificate. With `force`, files of an
    earlier result under this name are replaced, and those that this one does not have are removed.

    Raises
    ------
    UsageError
        A file exists with other content and `force` is not set.
    IncompleteError
        The disk is full.
    """
    encoded = {kind: encode_product(result, kind, wanted.feather) for kind in wanted.kinds}
    paths = {kind: product_path(result.name, folder, kind) for kind in (*encoded, "certificate")}
    outputs = {
        kind: {"file": paths[kind].name, "digest": digest_bytes(product.content), **product.remarks}
        for kind, product in encoded.items()
    }
    earlier = _certificate_in(paths["certificate"])
    certificate = result.certificate
    same = earlier is not None and _comparable(earlier) == _comparable(certificate)
    if earlier is not None and same and not force:
        outputs = {**earlier.outputs, **outputs}
    certificate = certificate.model_copy(update={"outputs": outputs})
    written = {paths[kind]: product.content for kind, product in encoded.items()}
    written[paths["certificate"]] = certificate.to_json().encode()
    # A certificate of the same result may have had less to say, or fewer files to name.
    write_together(written, force=force, may_differ=[paths["certificate"]] if same else [])
    if earlier is not None and force:
        for kind in earlier.outputs.keys() & set(PRODUCTS) - paths.keys():
            product_path(result.name, folder, kind).unlink(missing_ok=True)
    return Products(**paths)


def add_note(certificate: Path, note: str) -> None:
    """Add to a certificate that was just written what became known after it, such as what concerns a whole batch."""
    written = Certificate.from_json(certificate.read_text(encoding="utf-8"))
    remarked = written.model_copy(update={"notes": (*written.notes, note)})
    write_new(certificate, remarked.to_json().encode(), force=True)


def _certificate_in(path: Path) -> Certificate | None:
    """The certificate in a file; None where there is none that can be read."""
    try:
        return Certificate.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, FileFormatError):
        return None


def _comparable(certificate: Certificate) -> Certificate:
    """The certificate without notes and files: equal for equal results, whatever was said and written of them."""
    return certificate.model_copy(update={"notes": (), "outputs": {}})
