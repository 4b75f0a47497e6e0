"""The files that go with one masked picture: image, mask, overlay, score map, certificate.

What is in the pictures is decided elsewhere.
"""

from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.files import write_new
from blackbox_conformal.images.encode import image_png, indecision_png, mask_png
from blackbox_conformal.images.names import file_stem
from blackbox_conformal.images.overlay import overlay
from blackbox_conformal.pipeline.apply import Result


@dataclass(frozen=True, slots=True)
class Products:
    """Where the files of one result lie."""

    image: Path
    mask: Path
    overlay: Path
    indecision: Path
    certificate: Path


def encode_products(result: Result) -> dict[str, bytes]:
    """Every picture of a result as PNG bytes, by the name that `Products` gives it."""
    scores, _ = indecision_png(result.indecision)
    return {
        "image": image_png(result.image),
        "mask": mask_png(result.mask),
        "overlay": image_png(overlay(result.image, result.mask)),
        "indecision": scores,
    }


def write_products(result: Result, folder: Path, *, force: bool = False) -> Products:
    """Write a result's files as ``<name>-<product>.png`` and ``<name>-certificate.json``; whole or not at all.

    Raises
    ------
    UsageError
        A file exists with other content and `force` is not set.
    """
    stem = file_stem(result.name)
    contents = encode_products(result)
    _, scaling = indecision_png(result.indecision)
    paths = {name: folder / f"{stem}-{name}.png" for name in contents}
    outputs = {name: {"file": paths[name].name, "digest": digest_bytes(content)} for name, content in contents.items()}
    outputs["indecision"] |= scaling
    certificate = result.certificate.model_copy(update={"outputs": outputs})
    for name, content in contents.items():
        write_new(paths[name], content, force=force)
    path = write_new(folder / f"{stem}-certificate.json", certificate.to_json().encode(), force=force)
    return Products(paths["image"], paths["mask"], paths["overlay"], paths["indecision"], path)
