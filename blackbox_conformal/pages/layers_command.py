"""`layers`: a masked picture and its hatch as layers of one OpenRaster file, for GIMP and Krita."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from xml.sax.saxutils import quoteattr

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.sign import read_paper
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.encode import grey_levels, image_png, write_png
from blackbox_conformal.method.images.overlay import stripe_pitch
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image, Mask

VEIL, STRIPE = (14, 150), (250, 170)
"""Grey level and opacity, 0 to 255, of the veil over untrusted pixels and of its stripes: translucent."""

WITH_OPACITY = 4  # Colour type of a PNG of grey levels with opacity.
ROWS = 64  # Rows that are blended at once.
THUMBNAIL = 256  # Most pixels of the thumbnail's longest side.


@click.command("layers")
@click.argument("certificates", nargs=-1, required=True, type=shared.PAPER)
@shared.option("--out", type=shared.FOLDER, help="Where to write; beside each of CERTIFICATES if it is left out.")
@shared.option("--force", is_flag=True, help="Overwrite a file with other content.")
@shared.output
def command(screen: Screen, certificates: tuple[str, ...], out: str | None, force: bool) -> None:
    """Write pictures that were masked as layers for GIMP and Krita: NAME-layers.ora for each of CERTIFICATES.

    From the top: hatching over what is not trusted; hidden, the mask, and the safe picture if there is one; the
    delivered picture. A certificate is checked first, as `verify` does, with the files beside it, and goes into the
    file.
    """
    written = []
    for name in certificates:
        written.append(str(write_layers(Path(name), None if out is None else Path(out), force=force)))
        screen.say(written[-1])
    screen.data([{"certificate": name, "layers": path} for name, path in zip(certificates, written, strict=True)])


def write_layers(path: Path, folder: Path | None = None, *, force: bool = False) -> Path:
    """Write the OpenRaster file of the certificate at `path` into `folder`, or beside it, and return its path."""
    from blackbox_conformal.documents.certificate import Certificate

    certificate = read_paper(path)
    if not isinstance(certificate, Certificate):
        raise UsageError(f"expected the …-certificate.json beside a mask; {printable(path)} is a calibration")
    kinds = sorted({"image", "mask", "safe"} & certificate.outputs.keys())
    files = {kind: (path.parent / Path(certificate.outputs[kind]["file"]).name).read_bytes() for kind in kinds}
    status = "" if certificate.status == "guaranteed" else f", status {certificate.status}"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in chain(_members(files, status), [("certificate.json", path.read_bytes())]):
            # Neither the date nor the system: equal pictures, equal bytes.
            member = zipfile.ZipInfo(name)
            member.create_system = 3
            archive.writestr(member, part)
    stem = path.stem.removesuffix("-certificate")
    return write_new((folder or path.parent) / f"{stem}-layers.ora", [content.getbuffer()], force=force)


def _members(files: Mapping[str, bytes], status: str) -> Iterator[tuple[str, bytes]]:
    # The type comes first; `files` go in as they are.
    picture = read_image(files["image"], transparent=True)
    pixels, opacity = picture.pixels, picture.opacity
    height, width = pixels.shape[:2]
    hatched = hatching(grey_levels(files["mask"], (height, width), 1))
    if opacity is not None:
        hatched[..., 1] = np.minimum(hatched[..., 1], opacity)
    layers = [
        (f"Not trusted (hatched){status}", "hatched", write_png(hatched.reshape(height, -1), width, 8, WITH_OPACITY)),
        ("Mask (white is trusted)", "mask", files["mask"]),
        *([("Safe picture", "safe", files["safe"])] if "safe" in files else []),
        ("Delivered picture", "image", files["image"]),
    ]
    stack = [
        f'<layer name={quoteattr(title)} src="data/{kind}.png" x="0" y="0" opacity="1.0" composite-op="svg:src-over" '
        f'visibility="{"hidden" if kind in ("mask", "safe") else "visible"}"/>'
        for title, kind, _ in layers
    ]
    yield "mimetype", b"image/openraster"
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<image version="0.0.5" w="{width}" h="{height}"><stack>']
    yield "stack.xml", "\n".join([*lines, *stack, "</stack></image>\n"]).encode()
    for _, kind, content in layers:
        yield f"data/{kind}.png", content
    merged = blended(pixels, hatched)
    if opacity is not None:
        merged = np.dstack([merged, opacity])
    yield "mergedimage.png", _png(merged)
    step = -(-max(height, width) // (4 * THUMBNAIL))
    small = PillowImage.fromarray(np.ascontiguousarray(merged[::step, ::step]))
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    yield "Thumbnails/thumbnail.png", _png(np.asarray(small))


def _png(pixels: Image) -> bytes:
    return image_png(pixels[..., :3], opacity=pixels[..., 3] if pixels.shape[2] == 4 else None)


def hatching(mask: Mask) -> NDArray[np.uint8]:
    """Draw stripes and a veil where the (H, W) bool `mask` is False: (H, W, 2) uint8, grey level and opacity."""
    height, width = mask.shape
    pitch = stripe_pitch(height, width)
    layer = np.zeros((height, width, 2), np.uint8)
    layer[~mask] = VEIL
    columns = np.arange(width)
    for row in range(height):
        layer[row, ~mask[row] & ((columns + row) % pitch < pitch // 4)] = STRIPE
    return layer


def blended(pixels: Image, layer: NDArray[np.uint8]) -> Image:
    """Blend the (H, W, 2) `layer` over `pixels`: (H, W, 3) uint8."""
    merged = np.empty_like(pixels)
    for top in range(0, len(pixels), ROWS):
        band = slice(top, top + ROWS)
        grey, opacity = np.split(layer[band].astype(np.uint32), 2, axis=2)
        merged[band] = (grey * opacity + pixels[band] * (255 - opacity) + 127) // 255
    return merged
