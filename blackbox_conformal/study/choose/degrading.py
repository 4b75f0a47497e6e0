"""Write inputs as files, for a vendor without an adapter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Unpack

from blackbox_conformal.documents.claim import MANIFEST_FILE, ClaimManifest, NamedInput
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.vendor_claim import VendorClaim
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.from_keywords import named_keywords
from blackbox_conformal.study.listeners import shown_progress
from blackbox_conformal.study.pictures_in_memory import Photographs, as_files, photograph_paths
from blackbox_conformal.study.settings_table import DegradeSettings
from blackbox_conformal.study.stages.prepare import prepare_photographs
from blackbox_conformal.study.stages.ready import DescribedVendor
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.text import file_stem, name_of, printable
from blackbox_conformal.support.types import Image
from blackbox_conformal.vendor.adapter import FREE, Capabilities


@dataclass(frozen=True, slots=True)
class Degraded:
    """One input."""

    photograph: Path  # The photograph's file; for a picture in memory its name.
    pixels: Image = field(repr=False)  # The input, (h, w, 3) uint8.
    file: Path | None  # The file that was written: an 8-bit RGB PNG; None where no folder was named.
    size: tuple[int, int]  # (height, width) of the input in pixels.
    # What the photograph underwent, as ``--degradation`` takes it: a single number for each range. Empty where it
    # underwent nothing.
    drawn: str

    @property
    def input(self) -> Path:
        """Return the file that was written."""
        if self.file is None:
            raise UsageError("expected a folder for the inputs; none was named. Give out='inputs', or take pixels")
        return self.file


@named_keywords
def degrade(
    photographs: Photographs,
    out: str | Path | None = None,
    *,
    claim: str | None = None,
    **settings: Unpack[DegradeSettings],
) -> list[Degraded]:
    """Make the inputs that `calibrate` would send for `photographs` with the same scale, degradation and seed.

    Parameters
    ----------
    photographs
        Files and folders, or pictures in memory, alone or by name.
    out
        Folder for the inputs, each a PNG with its photograph's name. None: they are not written.
    claim
        A vendor's claim, such as ``invented:at_most=0.05``, that `audit_claim` is to put to these inputs: a manifest
        beside them fixes it, with digests of the inputs and of the photographs.

    Raises
    ------
    UsageError
        A step does not exist, two photographs have one name, or a file exists with other content.
    PicturesError, ImageError, CalibrationError
        A photograph cannot calibrate; see `calibrate`.
    """
    if claim is not None:
        claim = VendorClaim.of(claim).text
        if out is None:
            raise UsageError("expected a folder for the inputs and the manifest of the claim; give out='inputs'")
    degradation, seed = settings.get("degradation") or "bicubic", settings.get("seed", 0)
    scale, force = settings.get("scale"), settings.get("force", False)
    no_vendor = DescribedVendor(known=Capabilities(scale_factors=tuple(range(1, 17)), price=FREE, local=True))
    setup = set_up(no_vendor, scale=scale, draws=1, score="texture", degradation=degradation, seed=seed)
    with as_files(photographs) as files, shown_progress(settings.get("progress")) as step:
        paths = photograph_paths(files)
        (often, count), *_ = Counter(path.stem for path in paths).most_common(1)
        if count > 1:
            raise UsageError(
                f"expected photographs with different names; {count} are called {printable(often)}. Rename one"
            )
        procedure, made, named = setup.procedure, list[Degraded](), list[NamedInput]()
        for picture in prepare_photographs(paths, setup, step):
            assert picture.path is not None
            upload = picture.tasks[0].upload
            name = f"{file_stem(picture.name)}.png"
            file = None if out is None else write_new(Path(out) / name, upload.png, force=force)
            drawn = procedure.mixture.drawn(procedure.root_seed, str(picture.truth_digest))
            pixels = read_image(upload.png).pixels
            made.append(Degraded(picture.path, pixels, file, (upload.height, upload.width), drawn.text))
            named.append(NamedInput(picture.name, picture.input_digest, str(picture.truth_digest)))
    if claim is not None and out is not None:
        in_order = tuple(sorted(named, key=lambda one: one.truth))
        manifest = ClaimManifest(claim, procedure.scale, procedure.mixture.text, seed or 0, in_order)
        write_new(Path(out) / MANIFEST_FILE, manifest.to_json().encode(), force=force)
    return [one if one.photograph.exists() else replace(one, photograph=Path(name_of(one.photograph))) for one in made]
