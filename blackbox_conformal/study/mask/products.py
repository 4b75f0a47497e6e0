"""Write the files of one masked picture: image, mask, overlay, score map, safe picture, vendor's file, certificate."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.credentials import (
    Ingredient,
    Provenance,
    refuse_bands,
    sign_picture,
    without_credentials,
)
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.documents.x509 import CertifiedKey
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.bands import is_deep, rendered
from blackbox_conformal.method.images.deep_files import DEEP_ENDINGS, deep_kind, picture_file
from blackbox_conformal.method.images.encode import image_png, mask_png, score_map_png
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.metadata import Metadata, has_caption
from blackbox_conformal.method.images.overlay import overlay
from blackbox_conformal.method.images.picture import shown_digest
from blackbox_conformal.method.metrics._detail import (
    CLEAR,
    CROSSED,
    DIFFERS,
    DOTTED,
    NOT_ADDED,
    STRIPED,
    about_detail,
    kinds_of_detail,
)
from blackbox_conformal.method.safe_pictures import picture_to_show, safe_picture, safe_statement
from blackbox_conformal.study.result_files import (
    VENDOR_ENDINGS,
    certificate_in,
    comparable,
    files_named_by,
    is_signed_with,
    keeping_signature,
    possible_paths,
    product_path,
    refuse_unsigned,
)
from blackbox_conformal.support.blocks import Block, Faces, Figure, Note, Table
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_together
from blackbox_conformal.support.plots import Raster
from blackbox_conformal.support.text import file_stem, printable
from blackbox_conformal.support.types import Image, Map, Mask


@dataclass(frozen=True, repr=False)
class Result(Faces):
    """One super-resolved or restored picture with its trust mask.

    Attributes
    ----------
    image
        The delivered picture: (H, W, 3) uint8; of declared bands levels, (H, W, bands) uint16.
    mask
        (H, W) bool, True = trusted.
    score_map
        The score map: (H, W) float32.
    low_resolution
        What the vendor was sent: (h, w, 3) uint8.
    certificate
        The guarantee in words and numbers.
    vendor
        The vendor's file, as received, of the delivered picture or of the one that was made consistent; None where the
        picture is the mean of several draws or was turned back.
    metadata
        What the input's file says beside its pixels.
    opacity
        (H, W) uint8: the alpha channel of the input, enlarged plainly; None where every pixel is opaque. Files of
        pictures have it.
    input_file
        The input's file; empty where there is none.
    """

    name: str
    image: Image
    mask: Mask
    score_map: Map
    low_resolution: Image
    certificate: Certificate
    vendor: bytes | None = None
    metadata: Metadata = field(default=Metadata(), repr=False)
    opacity: NDArray[np.uint8] | None = field(default=None, repr=False)
    input_file: bytes = field(default=b"", repr=False)

    def __repr__(self) -> str:
        height, width = self.mask.shape
        level = self.certificate
        said = {
            "outside-calibration": ", no guarantee: outside-calibration",
            "if-like-calibration": ", if like calibration",
        }
        return (
            f"<Result {printable(self.name, 60)}: {width}×{height} pixels, {level.trusted_share:.1%} trusted at "
            f"alpha={level.alpha:g}, {level.guarantee['name']}{said.get(level.status, '')}>"
        )

    @property
    def values(self) -> NDArray[Any]:
        """Return the delivered picture in its own numbers: values of declared bands, else `image`."""
        bands = Procedure.model_validate(self.certificate.procedure).bands
        return self.image if bands is None else bands.values(self.image)

    @property
    def safe(self) -> Image:
        """Return a picture to use, (H, W, 3) uint8: where trusted and elsewhere, what came nearest to the truth there.

        See `safe_of`.
        """
        return safe_of(self.image, self.mask, self.low_resolution, self.certificate)[0]

    @property
    def showing(self) -> int:
        """Return how many pixels are not hidden; the trusted share counts these."""
        return self.mask.size if self.opacity is None else int(np.count_nonzero(self.opacity))

    @cached_property
    def detail(self) -> NDArray[np.uint8]:
        """Return what was added to each pixel, (H, W) uint8: 0 no detail, 1 detail, 2 detail that is contradicted.

        Detail is contradicted where a free enlargement of the input shows other detail.

        Raises
        ------
        UsageError
            The picture has declared bands, and added detail is counted in sRGB.
        """
        if is_deep(self.image):
            raise UsageError("expected an 8-bit sRGB picture for dots; got declared bands. Leave --dotted out")
        return kinds_of_detail(self.image, self.low_resolution, mixture_of(self.certificate))

    @property
    def unchanged(self) -> Mask:
        """Return where the vendor added no detail, (H, W) bool; see `detail`."""
        unchanged: Mask = self.detail == NOT_ADDED
        return unchanged

    @property
    def shown_detail(self) -> NDArray[np.uint8] | None:
        """Return `detail` where the guarantee is about detail, so that overlays show it; else None."""
        certificate = self.certificate
        return self.detail if about_detail(certificate.guarantee, certificate.procedure["metric"]) else None

    def save(
        self,
        folder: str | Path,
        *,
        safe: bool = False,
        sharp: bool = False,
        dotted: bool = False,
        feather: int = 0,
        leave_out: Collection[str] = (),
        keep_metadata: bool = False,
        sign_with: SigningKey | None = None,
        credentials: SigningKey | CertifiedKey | None = None,
        force: bool = False,
    ) -> Products:
        """Write image, mask, overlay, score map, the vendor's file and the certificate into `folder`, as `mask` does.

        Parameters
        ----------
        safe
            Write the picture `safe` too.
        sharp
            Where nothing is trusted, the safe picture shows the most detail that is no worse than plain enlargement.
        dotted
            Show in the overlay what was added: dots for no detail, crosses for detail that is contradicted; always so
            where the guarantee is about detail.
        feather
            Over how many untrusted pixels the delivered picture fades into the other one in the safe picture; 0: a hard
            edge.
        leave_out
            What not to write: ``overlay``, ``score_map``, ``vendor``, or ``xmp``, the mark in pictures; see `xmp_of`.
        keep_metadata
            Keep EXIF and XMP of the input in image and safe picture; the certificate says what is kept.
        sign_with
            Sign the certificate with this key.
        credentials
            Sign Content Credentials (C2PA) in image and safe picture with this key.
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
        MissingPackageError
            Credentials are to be signed, and the extra ``c2pa`` is not installed.
        """
        wanted = Wanted(safe, feather, tuple(leave_out), sharp, dotted, keep_metadata)
        certified = CertifiedKey.of(credentials) if isinstance(credentials, SigningKey) else credentials
        return write_products(self, Path(folder), wanted, sign_with=sign_with, credentials=certified, force=force)

    def blocks(self) -> Iterator[Block]:
        """Give guarantee, name, size, level, trusted share and pictures.

        `pandas.concat` joins the rows of several results.
        """
        certificate = self.certificate
        height, width = self.mask.shape
        row = {
            "name": self.name,
            "width": width,
            "height": height,
            "status": certificate.status,
            "guarantee": certificate.guarantee["name"],
            "alpha": certificate.alpha,
            "threshold": float.fromhex(certificate.threshold_hex),
            "trusted_share": certificate.trusted_share,
            "n_calibration": certificate.n_calibration,
        }
        yield Note(certificate.short)
        if (line := certificate.differs) is not None:
            yield Note(f"{line[:1].upper()}{line[1:]}.", remark="note")
        for note in certificate.notes:
            yield Note(f"{note}.", remark="note")
        yield Table("results", {}, [row])
        yield Figure(self._shown)

    def _shown(self) -> list[Raster]:
        scores = self.score_map
        known = scores[np.isfinite(scores)]
        low, high = np.percentile(known, [1, 99]) if known.size else (0.0, 0.0)
        scaled = 255 * (np.nan_to_num(scores, nan=high, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
        shown = {
            "Sent": rendered(self.low_resolution),
            "Delivered, untrusted part marked": overlay(
                rendered(self.image), self.mask, self.shown_detail, self.certificate.places
            ),
            "Score: brighter is less sure": np.clip(scaled, 0, 255).astype(np.uint8),
        }
        return [_raster(title, pixels, self.mask.shape) for title, pixels in shown.items()]


SHOWN_SIDE = 320
"""The longest side of a picture in a notebook, in units of its figure; it is stored with twice as many pixels."""


def _raster(title: str, pixels: NDArray[np.uint8], size: tuple[int, ...]) -> Raster:
    factor = SHOWN_SIDE / max(size)
    height, width = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
    picture = PillowImage.fromarray(pixels)
    picture.thumbnail((2 * SHOWN_SIDE, 2 * SHOWN_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return Raster(title, buffer.getvalue(), width, height)


SIGNED = {"image", "safe"}  # Kinds of pictures that can carry Content Credentials: this package encodes them for use.

OPTIONAL = ("overlay", "score_map", "vendor", "xmp")
"""Parts of a result that may be left out; ``xmp``: the mark in pictures, see `xmp_of`."""

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's word for a picture that a trained model made in part."""

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
{description}   <dc:relation><rdf:Bag>{files}</rdf:Bag></dc:relation>
  </rdf:Description>
{carried} </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""

_DESCRIPTION = """   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">A machine enlarged or restored this picture \
and may have invented detail. {said}</rdf:li></rdf:Alt></dc:description>
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The choice of a result's files, beside the files that are always written."""

    safe: bool = False  # The picture to use.
    feather: int = 0  # Over how many untrusted pixels its trusted part fades out; 0: a hard edge.
    leave_out: tuple[str, ...] = ()  # Some of `OPTIONAL`, which are not written.
    sharp: bool = False  # The picture to use is sharp where nothing is trusted.
    # The overlay shows where no detail was added, as it always does where the guarantee is about detail.
    dotted: bool = False
    keep_metadata: bool = False  # EXIF and XMP of the input are kept in image and safe picture.

    def __post_init__(self) -> None:
        if (self.feather or self.sharp) and not self.safe:
            got = "sharp" if self.sharp else f"feather {self.feather}"
            raise UsageError(f"expected a feather or sharp with the safe picture alone; got {got}. Add --safe")
        if self.keep_metadata and "xmp" in self.leave_out:
            raise UsageError("expected metadata of the input, or pictures without XMP; got both. Leave one out")
        if not set(self.leave_out) <= set(OPTIONAL):
            raise UsageError(f"expected to leave out some of {', '.join(OPTIONAL)}; got {', '.join(self.leave_out)}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of pictures to write."""
        kept = [kind for kind in OPTIONAL if kind not in self.leave_out and kind != "xmp"]
        return ("image", "mask", *kept, *(["safe"] if self.safe else []))

    def xmp(self, stem: str, carried: str = "") -> str:
        """Return the mark in pictures of a result whose files are named `stem`; empty where it is left out."""
        return "" if "xmp" in self.leave_out else xmp_of(f"{stem}-mask.png", f"{stem}-certificate.json", carried)


@dataclass(frozen=True, slots=True)
class Products:
    """The files of one result; None for a file that is not written."""

    image: Path
    mask: Path
    certificate: Path
    overlay: Path | None = None
    score_map: Path | None = None
    safe: Path | None = None
    vendor: Path | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One file of a result."""

    content: bytes
    ending: str = "png"
    remarks: dict[str, Any] = field(default_factory=dict)  # What the certificate says about it beside name and digest.


def safe_of(
    image: Image, mask: Mask, low_resolution: Image, certificate: Certificate, feather: int = 0, *, sharp: bool = False
) -> tuple[Image, str]:
    """Return the picture to use, (H, W, 3) uint8, and what is promised about it.

    Inside and outside the mask it shows the picture with the least squared error there on calibration photographs: it
    was not farther from their truth than any one picture. `sharp`: delivered pixels inside, and outside the picture
    with most detail that is no worse than plain enlargement. Where the guarantee does not hold, or the calibration
    keeps no errors, every untrusted pixel is plain enlargement.
    """
    guaranteed, mixture = certificate.status != "outside-calibration", mixture_of(certificate)
    (within, said), (name, words) = inside_of(certificate, sharp=sharp), outside_of(certificate, sharp=sharp)
    shown = {one: picture_to_show(one, image, low_resolution, mixture) for one in {within, name}}
    picture = safe_picture(shown[within], mask if guaranteed else np.zeros_like(mask), shown[name], feather)
    return picture, safe_statement(words, said, feather=feather, guaranteed=guaranteed)


def inside_of(certificate: Certificate, *, sharp: bool = False) -> tuple[str, str]:
    """Return which picture of `SHOWN` a safe picture shows inside the mask, and why; empty for the delivered one."""
    choice = None if sharp else certificate.inside
    name = "delivered" if choice is None else choice.trusted()
    if choice is None or name == "delivered":
        return name, ""
    return name, choice.words(name, enlarged=certificate.procedure["scale"] > 1)


def outside_of(certificate: Certificate, *, sharp: bool = False) -> tuple[str, str]:
    """Return which picture of `SHOWN` a safe picture shows outside the mask, and say why."""
    enlarged, choice = certificate.procedure["scale"] > 1, certificate.outside
    if choice is not None and certificate.status not in ("outside-calibration", "not-judged"):
        name = choice.shown(sharp=sharp)
        return name, choice.words(name, enlarged=enlarged)
    plain = "plain enlargement" if enlarged else "the input itself"
    if choice is None and certificate.status != "outside-calibration":
        plain += " (this calibration keeps no errors to choose by; calibrated anew, without a call, it does)"
    return "enlargement", plain


def mixture_of(certificate: Certificate) -> Mixture:
    """Return how the input of a certificate's picture was made."""
    return Procedure.model_validate(certificate.procedure).mixture


def xmp_of(mask: str, certificate: str = "", carried: str = "") -> str:
    """Return an XMP packet: a machine made the picture, and these files beside it say what to trust.

    `carried`: descriptions of the input, see `Metadata.carried`; a caption among them stays. Names of files are made of
    letters, digits, spaces and ``. _ -`` alone.

    IPTC, Photo Metadata Standard, Digital Source Type, and its vocabulary: a picture that a trained model modified.
    """
    said = f"{mask} shows the trusted part in white." if mask else "No mask says which part to trust."
    if certificate:
        said = f"{certificate} says what is promised of which part; {mask} shows that part in white."
    files = "".join(f"<rdf:li>{name}</rdf:li>" for name in (certificate, mask) if name)
    description = "" if has_caption(carried) else _DESCRIPTION.format(said=said)
    return _XMP.format(
        source=DIGITAL_SOURCE_TYPE, description=description, files=files, carried=carried and f"  {carried}\n"
    )


def overlay_of(
    image: Image,
    mask: Mask,
    certificate: Certificate,
    detail: NDArray[np.uint8] | None = None,
    xmp: str = "",
    opacity: NDArray[np.uint8] | None = None,
) -> Product:
    """Return the overlay's file, with the places where the certificate says that the answer differs; see `overlay`."""
    places = certificate.places
    legend = [*([] if detail is None else [CLEAR, DOTTED, STRIPED, CROSSED]), *([DIFFERS] if places else [])]
    marked = overlay(rendered(image), mask, detail, places)
    return Product(image_png(marked, xmp, opacity=opacity), remarks={"statement": "; ".join(legend)} if legend else {})


def encode_product(result: Result, kind: str, wanted: Wanted = Wanted(), *, xmp: str | None = None) -> Product | None:
    """Return one file of a result by its kind, a field of `Products`; None where there is none.

    Pictures carry `xmp`; by default it names files after the result.
    """
    exif, described, kept = result.metadata.carried() if wanted.keep_metadata else (b"", "", "")
    of_input = {"metadata": kept} if kept else {}
    xmp = wanted.xmp(file_stem(result.name), described) if xmp is None else xmp
    bands = Procedure.model_validate(result.certificate.procedure).bands
    match kind:
        case "image":
            remarks = {"pixels": shown_digest(result.image, result.opacity), **of_input}
            return Product(*picture_file(result.image, bands, xmp, exif, result.opacity), remarks)
        case "mask":
            return Product(mask_png(result.mask))
        case "overlay":
            detail = result.detail if wanted.dotted else result.shown_detail
            return overlay_of(result.image, result.mask, result.certificate, detail, xmp, result.opacity)
        case "score_map":
            content, scaling = score_map_png(result.score_map)
            return Product(content, remarks=scaling)
        case "safe":
            image, low, certificate = result.image, result.low_resolution, result.certificate
            picture, statement = safe_of(image, result.mask, low, certificate, wanted.feather, sharp=wanted.sharp)
            said = {"feather": wanted.feather, "statement": statement, "pixels": shown_digest(picture, result.opacity)}
            return Product(*picture_file(picture, bands, xmp, exif, result.opacity), {**said, **of_input})
        case "vendor":
            if result.vendor is None:
                return None
            ending = DEEP_ENDINGS[deep_kind(result.vendor)] if bands else VENDOR_ENDINGS[inspect(result.vendor).format]
            changed = str(result.certificate.procedure["delivery"]).startswith(("aligned", "consistent"))
            of = "from which the delivered picture was made" if changed else "of the delivered picture"
            return Product(result.vendor, ending, {"statement": f"the vendor's file {of}, as received"})
    return Product(result.certificate.to_json().encode(), "json")


def with_credentials(
    result: Result, products: Mapping[str, Product], key: CertifiedKey, names: Mapping[str, str] | None = None
) -> dict[str, Product]:
    """Return files by kind, with Content Credentials in image and safe picture.

    `names`: names of files by kind, where they are not as `write_products` gives them.
    """
    refuse_bands(Procedure.model_validate(result.certificate.procedure))
    if names is None:
        named = {kind: product_path(result.name, Path(), kind).name for kind in ("image", "safe", "mask")}
        named["certificate"] = product_path(result.name, Path(), "certificate", "json").name
        if result.vendor is not None:
            ending = VENDOR_ENDINGS[inspect(result.vendor).format]
            named["vendor"] = product_path(result.name, Path(), "vendor", ending).name
        names = named
    signed, mask = dict(products), mask_png(result.mask)
    for kind in SIGNED & products.keys():
        product = products[kind]
        provenance = Provenance(
            title=names[kind],
            paper=names["certificate"],
            certificate=result.certificate,
            given=Ingredient(result.name, result.input_file or image_png(result.low_resolution)),
            vendor=None if result.vendor is None else Ingredient(names["vendor"], result.vendor),
            mask=Ingredient(names["mask"], mask),
            outside=product.remarks.get("statement", ""),
        )
        signed[kind] = signed_product(product, provenance, key)
    return signed


def signed_product(product: Product, provenance: Provenance, key: CertifiedKey) -> Product:
    """Return a picture's file with Content Credentials, which its certificate mentions."""
    content, said = sign_picture(product.content, key, provenance)
    return replace(product, content=content, remarks={**product.remarks, "credentials": said})


def write_products(
    result: Result,
    folder: Path,
    wanted: Wanted = Wanted(),
    *,
    sign_with: SigningKey | None = None,
    credentials: CertifiedKey | None = None,
    force: bool = False,
) -> Products:
    """Write a result's files as ``<name>-<product>.png`` and ``<name>-certificate.json``; all or none.

    Files of the same result are kept, and stay in its certificate. With `force`, files of an earlier result under this
    name are replaced or removed. A picture with `credentials` replaces the same one without them or with earlier ones.
    """
    products = {kind: encode_product(result, kind, wanted) for kind in wanted.kinds}
    encoded = {kind: product for kind, product in products.items() if product is not None}
    paths = {kind: product_path(result.name, folder, kind, product.ending) for kind, product in encoded.items()}
    paths["certificate"] = product_path(result.name, folder, "certificate", "json")
    renewed = []
    if credentials is not None:
        for kind in SIGNED & encoded.keys():
            path = paths[kind]
            if path.exists() and without_credentials(path.read_bytes()) == encoded[kind].content:
                renewed.append(path)
        encoded = with_credentials(result, encoded, credentials)
    outputs = {
        kind: {"file": paths[kind].name, "digest": digest_bytes(product.content), **product.remarks}
        for kind, product in encoded.items()
    }
    earlier = certificate_in(paths["certificate"])
    certificate = result.certificate
    same = earlier is not None and comparable(earlier) == comparable(certificate)
    watch = certificate.watch
    if earlier is not None and same and not force:
        refuse_unsigned(earlier, outputs, paths["certificate"], sign_with)
        outputs = {**earlier.outputs, **outputs}
        if sign_with is None or is_signed_with(earlier, sign_with):
            # The earlier certificate was issued when the watch stood there.
            watch = earlier.watch
    certificate = certificate.model_copy(update={"outputs": outputs, "watch": watch})
    if sign_with is not None:
        certificate = certificate.signed(sign_with)
    elif earlier is not None and same and not force:
        certificate = keeping_signature(certificate, earlier, paths["certificate"])
    written = {paths[kind]: product.content for kind, product in encoded.items()}
    written[paths["certificate"]] = certificate.to_json().encode()
    # A certificate of the same result may have had less to say, or fewer files to name.
    write_together(written, force=force, may_differ=[*renewed, *([paths["certificate"]] if same else [])])
    if earlier is not None and force:
        for path in possible_paths(result.name, folder):
            if path not in written and path.name in files_named_by(earlier):
                path.unlink(missing_ok=True)
    return Products(**paths)


def add_doubt(
    certificate: Path, found: str, sign_with: SigningKey | None = None, credentials: CertifiedKey | None = None
) -> Certificate:
    """Add what a whole batch found to a certificate just written; return it as it is now.

    The `credentials` of its pictures say so, too: each has its earlier version as input.
    """
    written = Certificate.from_json(certificate.read_text(encoding="utf-8"))
    remarked, files = written.marked(found).model_copy(update={"signature": None}), dict[Path, bytes]()
    if credentials is not None:
        outputs = dict(remarked.outputs)
        mask = certificate.parent / outputs["mask"]["file"]
        for kind in SIGNED & outputs.keys():
            path, remarks = certificate.parent / outputs[kind]["file"], outputs[kind]
            earlier = path.read_bytes()
            provenance = Provenance(
                title=path.name,
                paper=certificate.name,
                certificate=remarked,
                given=Ingredient(path.name, earlier),
                vendor=None,
                mask=Ingredient(mask.name, mask.read_bytes()),
                outside=remarks.get("statement", ""),
            )
            product = signed_product(Product(without_credentials(earlier), remarks=remarks), provenance, credentials)
            files[path] = product.content
            outputs[kind] = {**product.remarks, "digest": digest_bytes(product.content)}
        remarked = remarked.model_copy(update={"outputs": outputs})
    if sign_with is not None:
        if not is_signed_with(written, sign_with):
            raise CheckFailedError(f"{printable(certificate)} was changed after it was written; it is not signed again")
        remarked = remarked.signed(sign_with)
    write_together({**files, certificate: remarked.to_json().encode()}, force=True)
    return remarked
