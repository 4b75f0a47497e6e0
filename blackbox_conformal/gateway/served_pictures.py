"""The files of a request: some are kept when it ends, some are made when a client asks."""

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.documents.certificate import AnswerCheck, Certificate
from blackbox_conformal.documents.credentials import Ingredient, Provenance
from blackbox_conformal.gateway.file_store import FileStore
from blackbox_conformal.gateway.request import Kept, Request, RequestOutcome
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.mark import with_xmp
from blackbox_conformal.method.images.metadata import Metadata
from blackbox_conformal.method.images.picture import shown_digest
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.metrics._detail import about_detail, kinds_of_detail
from blackbox_conformal.method.risk.trust import threshold_json
from blackbox_conformal.study.mask.products import (
    Product,
    Result,
    encode_product,
    mixture_of,
    overlay_of,
    safe_of,
    signed_product,
    with_credentials,
    xmp_of,
)
from blackbox_conformal.study.result_files import VENDOR_ENDINGS
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.types import Mask

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey
    from blackbox_conformal.documents.x509 import CertifiedKey

MEDIA_TYPES = {ending: f"image/{name.lower()}" for name, ending in VENDOR_ENDINGS.items()} | {
    "json": "application/json"
}
"""Ending of a name → media type."""

ENDINGS = {media_type: ending for ending, media_type in MEDIA_TYPES.items()}  # Media type → ending of a name.
NAMES = ("picture", "mask", "overlay", "safe", "certificate")  # Files that a request may have, as named in links.
XMP = xmp_of("mask.png", "certificate.json")  # Marks pictures that are made here.

FILES = {
    "image": "picture.png",
    "mask": "mask.png",
    "vendor": "the vendor's answer",
    "certificate": "certificate.json",
}
"""Kind of file → its name in Content Credentials."""

MADE = ("overlay", "safe")  # Files made on demand, by decoding two pictures.


def marked(content: bytes, mask: str = "", certificate: str = "") -> bytes:
    """Return a vendor's file with the mark that `mask` writes, and what its own XMP said beside that."""
    return with_xmp(content, lambda own: xmp_of(mask, certificate, Metadata(xmp=own).carried()[1]))


def media_type(content: bytes) -> str:
    """Return the media type of a picture's file; errors as `inspect`."""
    return f"image/{inspect(content).format.lower()}"


def keep_masked(
    result: Result,
    store: FileStore,
    sign_with: "SigningKey | None",
    credentials: "CertifiedKey | None" = None,
    *,
    mark: bool = True,
) -> RequestOutcome:
    """Keep the files of a masked picture, and return how its request ended.

    The answer is the picture under the mask: the vendor's file, with a `mark` or byte by byte, or one made here, such
    as a mean of draws or with the input's alpha.
    """
    certificate = result.certificate
    changed = result.vendor is None or str(certificate.procedure["delivery"]).startswith(("aligned", "consistent"))
    changed = changed or result.opacity is not None
    kinds = {"picture": "image" if changed else "vendor", "mask": "mask"}
    encoded = {kind: encode_product(result, kind, xmp=XMP) for kind in kinds.values()}
    products = {kind: product for kind, product in encoded.items() if product is not None}
    if credentials is not None:
        products = with_credentials(result, products, credentials, FILES)
    if (vendor := products.get("vendor")) is not None:
        found, remarks = inspect(vendor.content), dict(vendor.remarks)
        if (found.height, found.width) == result.mask.shape:  # Else it was resampled.
            remarks["pixels"] = shown_digest(result.image, None)
        content = marked(vendor.content, "mask.png", "certificate.json") if mark else vendor.content
        if content != vendor.content:
            remarks["statement"] += ", and marked (XMP)"
        products["vendor"] = replace(vendor, content=content, remarks=remarks)
    files: dict[str, Kept] = {}
    outputs = {}
    for name, kind in kinds.items():
        if (product := products.get(kind)) is None:
            continue
        kept = files[name] = Kept(store.keep(product.content), MEDIA_TYPES[product.ending])
        outputs[name] = {"file": f"{name}.{product.ending}", "digest": kept.digest, **product.remarks}
    certificate = certificate.model_copy(update={"outputs": outputs})
    if sign_with is not None:
        certificate = certificate.signed(sign_with)
    content = certificate.to_json().encode()
    files["certificate"] = Kept(store.keep(content), "application/json")
    facts = {
        "trusted_share": certificate.trusted_share,
        "threshold": threshold_json(float.fromhex(certificate.threshold_hex)),
        "alpha": certificate.alpha,
        "status": certificate.status,
        "promise": None if certificate.short == certificate.stated else certificate.short,
        "guarantee": certificate.stated,
        "reason": certificate.reason,
        "quality": None if certificate.quality is None else certificate.quality.model_dump(),
        "reaches_floor": certificate.reaches_floor,
        "notes": list(certificate.notes),
        "certificate": digest_bytes(content),
        "model": certificate.vendor_model,
        **_told(certificate.answer_check),
    }
    return RequestOutcome(state="done", facts=facts, files=files)


def keep_unmasked(
    content: bytes,
    model: str | None,
    reason: str,
    store: FileStore,
    check: AnswerCheck | None = None,
    *,
    mark: bool = True,
) -> RequestOutcome:
    """Keep the vendor's file without a mask, with a `mark`, and return how its request ended.

    `check`: tells how the answer differs.
    """
    files = {"picture": Kept(store.keep(marked(content) if mark else content), media_type(content))}
    facts = {"status": "unmasked", "reason": reason, "model": model, **_told(check)}
    return RequestOutcome(state="done", facts=facts, files=files)


def _told(check: AnswerCheck | None) -> dict[str, Any]:
    """Return how an answer differs from its input: nothing where it was not compared, or does not."""
    if check is None or not check.facts:
        return {}
    return {"differs": check.line, "facts": [fact.model_dump(mode="json") for fact in check.facts]}


def product_of(
    request: Request, name: str, store: FileStore, credentials: "CertifiedKey | None" = None
) -> Product | None:
    """Return a file of a request, by name without ending; None: there is none.

    The safe picture is signed with `credentials` each time.
    """
    files = request.outcome.files
    if name in files:
        return Product(store.read(files[name].digest), ENDINGS[files[name].type])
    if name not in MADE or "mask" not in files:
        return None
    mask_file, picture_file = (store.read(files[kind].digest) for kind in ("mask", "picture"))
    with PillowImage.open(io.BytesIO(mask_file)) as grey:
        mask: Mask = np.asarray(grey.convert("L")) == 255
    opened, given = read_image(picture_file, transparent=True), store.read(request.input)
    picture, opacity = opened.pixels, opened.opacity
    certificate = Certificate.from_json(store.read(files["certificate"].digest).decode())
    low = read_image(given, transparent=True).pixels
    if name == "overlay":
        shown = about_detail(certificate.guarantee, certificate.procedure["metric"])
        detail = kinds_of_detail(picture, low, mixture_of(certificate)) if shown else None
        return overlay_of(picture, mask, certificate, detail, XMP, opacity)
    pixels, outside = safe_of(picture, mask, low, certificate)
    safe = Product(image_png(pixels, XMP, opacity=opacity))
    if credentials is None:
        return safe
    provenance = Provenance(
        title="safe.png",
        paper=FILES["certificate"],
        certificate=certificate,
        given=Ingredient(request.name, given),
        vendor=Ingredient(f"picture.{ENDINGS[files['picture'].type]}", picture_file),
        mask=Ingredient(FILES["mask"], mask_file),
        outside=outside,
    )
    return signed_product(safe, provenance, credentials)
