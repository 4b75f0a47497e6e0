"""`geotiff`: masks, pictures and score maps as GeoTIFFs that lie where their scene lies, and masks of large scenes."""

import filecmp
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.sign import load_calibration, read_paper, trusted
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.errors import BlackboxConformalError, ImageError, IncompleteError, MapError, UsageError
from blackbox_conformal.method.images.bands import Bands
from blackbox_conformal.method.images.encode import NO_SCORE, grey_levels
from blackbox_conformal.method.images.geotiff import SETTINGS, GeoTiff, Grid, library, opened
from blackbox_conformal.method.images.picture import Picture
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk import trust
from blackbox_conformal.study.mask.products import xmp_of
from blackbox_conformal.study.settings_table import ApplyAllSettings
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Map
from blackbox_conformal.support.wording import share

FUNCTION = "in Python arrays and `bc.trusted` do it"
CONDITION = "If these are scores of the calibrated procedure, for a scene that is like the calibrated ones:"

# GeoTIFFs are written tile by tile, then once more in the order that lets readers fetch parts.

TILE = 512  # Pixels a side.
ROOM = 192 * 2**20  # Bytes of pixel values that are held at once.


@contextmanager
def new_geotiff(
    path: Path,
    grid: Grid,
    kind: str,
    count: int = 1,
    *,
    nodata: float | None,
    said: Mapping[str, str],
    xmp: str = "",
    force: bool,
) -> Iterator[Any]:
    """Open a cloud-optimised GeoTIFF for writing by rasterio; it gets its name when all is written.

    `kind`: Type of the values, such as ``uint16``.
    `said`, `xmp`: The file's tags, and the packet by which a picture says that a machine made it.
    """
    rasterio = library()
    from rasterio.shutil import copy

    path.parent.mkdir(parents=True, exist_ok=True)
    draft, whole = (path.with_name(f".{path.name[:64]}.{secrets.token_hex(8)}.tif") for _ in range(2))
    layout = {"compress": "deflate", "predictor": 3 if np.dtype(kind).kind == "f" else 2, "bigtiff": "if_safer"}
    place = {"height": grid.height, "width": grid.width, "crs": grid.crs, "transform": grid.transform}
    numbers = {"count": count, "dtype": kind, "nodata": nodata}
    tiles = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "interleave": "pixel", "zlevel": 1}
    try:
        with rasterio.Env(**SETTINGS), _written(path):
            with rasterio.open(draft, "w", "GTiff", **place, **numbers, **tiles, **layout) as dataset:
                dataset.update_tags(**said)
                if xmp:
                    # rasterio writes NAME=VALUE, so the packet's first "=" takes that place.
                    begins, _, rest = xmp.partition("=")
                    dataset.update_tags(ns="xml:XMP", **{begins: rest})
                yield dataset
            # GDAL writes overviews band by band: for 13 bands they take twenty times as long as the picture.
            smaller = {"overviews": "AUTO" if count <= 4 else "NONE", "overview_resampling": "nearest"}
            copy(draft, whole, "COG", blocksize=TILE, level=1, **smaller, **layout)
            with whole.open("rb+") as file:
                os.fsync(file.fileno())
            # GDAL may lose data without a word. The last pixel lies last in the file, so reading it shows a loss.
            with opened(whole) as tiff:
                tiff.read(window=((grid.height - 1, grid.height), (grid.width - 1, grid.width)))
        if path.exists() and not force and not filecmp.cmp(path, whole, shallow=False):
            raise UsageError(f"{path} exists with other content and is not overwritten; give --force or another --out")
        os.replace(whole, path)
    finally:
        for temporary in (draft, whole):
            temporary.unlink(missing_ok=True)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except BlackboxConformalError:
        raise
    except Exception as error:  # noqa: BLE001 - GDAL has exceptions of many kinds, some without a word
        raise IncompleteError(
            f"{path} cannot be written ({type(error).__name__}): the disk may be full. Make room and run the same "
            "command again"
        ) from None


# `write`: the files of a certificate.


@click.group("geotiff", cls=Group)
def command() -> None:
    """Masks, pictures and score maps as GeoTIFFs that lie where their scene lies; needs the extra geo."""


@command.command("write")
@click.argument("certificates", nargs=-1, required=True, type=shared.FILE)
@shared.option(
    "--input",
    "inputs",
    type=shared.FILE,
    multiple=True,
    required=True,
    help="A georeferenced scene that was masked; repeatable. Its pixels tell to which certificate it belongs.",
)
@shared.option("--out", type=shared.FOLDER, help="Where to write; beside each of CERTIFICATES if it is left out.")
@shared.option("--force", is_flag=True, help="Overwrite a file with other content.")
@shared.output
def write(screen: Screen, certificates: tuple[str, ...], inputs: tuple[str, ...], out: str | None, force: bool) -> None:
    """Write NAME-image.tif, NAME-mask.tif and so on for each of CERTIFICATES: cloud-optimised, in the place of its
    scene, each pixel as much smaller as the picture is larger.

    A certificate is checked first, as `verify` does, with the files beside it. In a mask 1 is trusted and 0 is not.
    """
    library()
    scenes = scenes_among(list(map(Path, inputs)))
    written = []
    for name in certificates:
        paths = write_geotiffs(Path(name), scenes, None if out is None else Path(out), force=force)
        for path in paths:
            screen.say(str(path))
        written.append({"certificate": name, "written": list(map(str, paths))})
    screen.data(written)


Scenes = Callable[[Bands | None], Mapping[str, Path]]  # Declared bands → inputs' paths, by the digest of their pixels.


def scenes_among(paths: Iterable[Path]) -> Scenes:
    """Return a function that reads the scenes at these paths when called; errors as for `read_image`."""
    return cache(lambda bands: {_read(path, bands).digest: path for path in paths})


def _read(source: Path | bytes, bands: Bands | None) -> Picture:
    return read_image(source, bands=bands, transparent=bands is None)


def write_geotiffs(certificate: Path, scenes: Scenes, folder: Path | None = None, *, force: bool = False) -> list[Path]:
    """Write the GeoTIFFs of the certificate at this path into `folder`, or beside it, and return their paths."""
    from blackbox_conformal.documents.certificate import Certificate

    paper = read_paper(certificate)
    if not isinstance(paper, Certificate):
        raise UsageError(
            f"expected the …-certificate.json beside a mask; {printable(certificate)} is a calibration. Name one"
        )
    bands = Procedure.model_validate(paper.procedure).bands
    scene = scenes(bands).get(paper.input["pixels"])
    if scene is None:
        raise UsageError(
            f"expected the scene that {printable(certificate)} speaks of, {printable(str(paper.input['name']))}; none "
            "of --input has its pixels. Add --input SCENE.tif"
        )
    if turned := [text for text in paper.input["conversions"] if "orientation" in text]:
        raise ImageError(
            f"{printable(scene)}: expected pixels in the order of their places; the file turns them ({turned[0]}). "
            "Save it without an orientation, and mask that file"
        )
    with opened(scene) as tiff:
        grid = tiff.grid.finer(int(paper.procedure["scale"]))
    said = {"TIFFTAG_IMAGEDESCRIPTION": paper.stated, "CERTIFICATE": paper.digest, "STATUS": paper.status}
    stem = certificate.name.removesuffix("-certificate.json")
    mark = xmp_of(f"{stem}-mask.tif", certificate.name)
    written = []
    for kind, numbers, nodata in _rasters(paper.outputs, certificate.parent, (grid.height, grid.width), bands):
        path = (folder or certificate.parent) / f"{stem}-{kind.replace('_', '-')}.tif"
        count, dtype = len(numbers), numbers.dtype.name
        xmp = mark if kind in ("image", "safe") else ""
        with new_geotiff(path, grid, dtype, count, nodata=nodata, said=said, xmp=xmp, force=force) as dataset:
            dataset.write(numbers)
        written.append(path)
    return written


def _rasters(
    outputs: Mapping[str, Mapping[str, Any]], folder: Path, size: tuple[int, int], bands: Bands | None
) -> Iterator[tuple[str, NDArray[Any], float | None]]:
    # Values of one GeoTIFF each, (bands, H, W), and the number that stands for no value, if there is one.
    # The mask comes last: a mask that is there means that all files are.
    for kind in ("image", "safe", "score_map", "mask"):
        if kind not in outputs:
            continue
        content = (folder / Path(outputs[kind]["file"]).name).read_bytes()
        if kind == "mask":
            yield kind, grey_levels(content, size, 1)[np.newaxis].astype(np.uint8), None
        elif kind == "score_map":
            levels = grey_levels(content, size, 16)
            scores = (outputs[kind]["offset"] + outputs[kind]["step"] * levels).astype(np.float32)
            yield kind, np.where(levels == NO_SCORE, np.float32(np.nan), scores)[np.newaxis], np.nan
        else:
            picture = _read(content, bands)
            pixels = picture.pixels if bands is None else bands.values(picture.pixels)
            alpha = () if picture.opacity is None else (picture.opacity,)
            # GDAL takes a fourth band of eight bits for alpha.
            yield kind, np.concatenate([np.moveaxis(pixels, 2, 0), *(one[np.newaxis] for one in alpha)]), None


# `mask`: a scene of any size, window by window.


def windows(grid: Grid, pixel_bytes: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield rows and columns of parts that cover a raster: whole tiles, within `ROOM` bytes."""
    across = max(1, ROOM // (pixel_bytes * TILE * TILE)) * TILE
    for top in range(0, grid.height, TILE):
        for left in range(0, grid.width, across):
            yield (top, min(top + TILE, grid.height)), (left, min(left + across, grid.width))


def scores_in(tiff: GeoTiff, window: Any) -> Map:
    """Read scores, (H, W) float32; NaN where the file says that there is none."""
    scores: Map = tiff.read(indexes=1, window=window, masked=True).filled(np.nan)
    return scores


@dataclass(frozen=True, slots=True)
class ScoredScene:
    """The score map of a large scene, the scored picture, and the picture's source: open GeoTIFFs."""

    scores: GeoTiff
    picture: GeoTiff | None = None
    low_resolution: GeoTiff | None = None

    def __post_init__(self) -> None:
        found, grid = self.scores.dataset, self.scores.grid
        if found.dtypes != ("float32",) or (found.scales, found.offsets) != ((1.0,), (0.0,)):
            raise MapError(
                f"{self.scores.name}expected scores, one band of float32 without a scale; got "
                f"{', '.join(found.dtypes)}. Name the score map"
            )
        if self.picture is not None and not self.picture.grid.lies_on(grid):
            raise ImageError(
                f"{self.picture.name}expected {grid.width}×{grid.height} pixels in the place of the score map; got "
                f"{self.picture.grid.width}×{self.picture.grid.height} in another. Name the picture that was scored"
            )
        if self.low_resolution is not None:
            coarse = self.low_resolution.grid
            if not coarse.finer(max(1, grid.width // coarse.width)).lies_on(grid):
                raise ImageError(
                    f"{self.low_resolution.name}expected a scene a whole number of times coarser than the score map, "
                    "in its place. Name what the picture was made of, or leave --input out"
                )

    @property
    def nodata(self) -> float | None:
        """Return the number that stands for no value in the picture."""
        assert self.picture is not None
        found = self.picture.dataset
        if found.nodata is None and self.low_resolution is None and np.dtype(found.dtypes[0]).kind != "f":
            raise UsageError(
                f"{self.picture.name}expected a nodata value to write where nothing is trusted, or --input; the file "
                "has none. Name the value: gdal_edit.py -a_nodata 0 in.tif"
            )
        return float(found.nodata) if found.nodata is not None else None if self.low_resolution else np.nan

    def outside(self, stack: ExitStack) -> Callable[[Any], NDArray[Any]]:
        """Return a function from a window to its untrusted filling: plain enlargement, or no value."""
        assert self.picture is not None
        picture, grid = self.picture.dataset, self.scores.grid
        if self.low_resolution is None:
            kind, value = np.dtype(picture.dtypes[0]), self.nodata
            return lambda window: np.full((picture.count, *(end - start for start, end in window)), value, kind)
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT

        place = {"crs": grid.crs, "transform": grid.transform, "height": grid.height, "width": grid.width}
        enlarged = WarpedVRT(self.low_resolution.dataset, resampling=Resampling.cubic, **place)
        tiff = GeoTiff(self.low_resolution.name, stack.enter_context(enlarged))
        return lambda window: tiff.read(window=window)


def mask_scene(
    scene: ScoredScene, threshold: float, mask: Path, safe: Path, *, said: Mapping[str, str], force: bool = False
) -> float:
    """Write a scene's mask and, if it has a picture, its safe picture, window by window.

    `trusted` decides each pixel by itself, so windows give the mask of the whole to the bit.

    Returns: The trusted share of the pixels.
    """
    picture, grid, count = scene.picture, scene.scores.grid, 0
    with ExitStack() as stack:
        masks = stack.enter_context(new_geotiff(mask, grid, "uint8", nodata=None, said=said, force=force))
        pixel = 16
        if picture is not None:
            bands, kind = picture.dataset.count, picture.dataset.dtypes[0]
            pixel += 3 * bands * np.dtype(kind).itemsize
            outside = scene.outside(stack)
            pictures = stack.enter_context(
                new_geotiff(safe, grid, kind, bands, nodata=scene.nodata, said=said, xmp=xmp_of(mask.name), force=force)
            )
        for window in windows(grid, pixel):
            part = trust.trusted(scores_in(scene.scores, window), threshold)
            masks.write(part.astype(np.uint8), 1, window=window)
            count += int(np.count_nonzero(part))
            if picture is not None:
                shown = outside(window)
                np.copyto(shown, picture.read(window=window), where=part)
                pictures.write(shown, window=window)
    return count / (grid.height * grid.width)


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """The options of `geotiff mask`."""

    scores: str = shared.arguments(nargs=1, required=True, type=shared.FILE)
    calibration: str | None = shared.calibration()
    alpha: float | None = shared.alpha()
    trust: tuple[str, ...] = shared.trust()
    guarantee: str | None = shared.setting()
    group: str | None = shared.setting()
    threshold: float | None = shared.declared(
        "--threshold",
        type=float,
        no_keyword=FUNCTION,
        help="In the place of --calibration and --alpha: what `bc.threshold` gave for maps of your own.",
    )
    image: str | None = shared.declared(
        "--image",
        type=shared.FILE,
        no_keyword=FUNCTION,
        help="The picture that was scored: NAME-safe.tif is written, too.",
    )
    input: str | None = shared.declared(
        "--input",
        type=shared.FILE,
        no_keyword=FUNCTION,
        help="The scene that the picture was made of: the safe picture shows its plain enlargement where nothing is "
        "trusted, instead of nodata.",
    )
    out: str = shared.declared(
        "--out", type=shared.FOLDER, default="masked", no_keyword=FUNCTION, help="Folder for the results."
    )
    force: bool = shared.force()


@command.command("mask", cls=shared.Command)
@shared.takes(SceneOptions, ApplyAllSettings, only_typed=shared.FIXED)
def mask(screen: Screen, options: SceneOptions) -> None:
    """Write the mask of SCORES, a score map of any size, window by window: NAME-mask.tif, 1 is trusted and 0 is not.

    No certificate is written: this command does not see how the scores were made.
    """
    threshold, said = _threshold(screen, options)
    name = Path(options.scores).stem
    paths = [Path(options.out) / f"{name}-{kind}.tif" for kind in ("mask", "safe")]
    with ExitStack() as stack:
        scores, *others = (
            None if name is None else stack.enter_context(opened(Path(name)))
            for name in (options.scores, options.image, options.input)
        )
        assert scores is not None
        scene = ScoredScene(scores, *others)
        trusted_share = mask_scene(scene, threshold, *paths, said=said, force=options.force)
    written = [str(path) for path in paths[: 2 if options.image else 1]]
    screen.say(f"{share(trusted_share)} trusted, scores below {threshold:g}; {', '.join(written)}")
    screen.data({"written": written, "trusted_share": trusted_share, "threshold": trust.threshold_json(threshold)})


def _threshold(screen: Screen, options: SceneOptions) -> tuple[float, dict[str, str]]:
    from blackbox_conformal.method.guarantees.corollaries import statement
    from blackbox_conformal.method.guarantees.instance_bound import reason_of_nothing
    from blackbox_conformal.study.mask.mask_request import MaskRequest

    if (options.threshold is None) == (options.calibration is None) or (options.alpha is None) != (
        options.calibration is None
    ):
        raise UsageError("expected --calibration with --alpha, or --threshold alone. Name one of the two")
    if options.input is not None and options.image is None:
        raise UsageError(
            "expected --input beside --image alone, whose enlarged scene it is. Add --image, or leave it out"
        )
    if options.threshold is not None:
        return options.threshold, {"THRESHOLD": options.threshold.hex()}
    assert options.calibration is not None
    assert options.alpha is not None
    calibration = load_calibration(screen, options.calibration, options.trust)
    request = MaskRequest.of(
        calibration,
        options.alpha,
        options.guarantee,
        options.group,
        file=Path(options.calibration),
        trusted=trusted(options.trust),
    )
    rule = request.rule
    if len(request.rules) > 1:
        raise UsageError(
            "expected a guarantee whose threshold is the same for every picture; this calibration has one for each of "
            f"{', '.join(calibration.own_groups)}. Calibrate one vendor by itself, without --score-groups"
        )
    if rule.bound_source != "metric":
        raise UsageError(
            f"expected a guarantee whose threshold is the same for every picture; {rule.plugin_name()} takes a bound "
            f"from each ({rule.bound_source}). Leave bound_from out: --guarantee expected"
        )
    if reason := reason_of_nothing(rule, request.curves, options.alpha):
        screen.note(f"warning: the mask will be empty: {reason}")
    threshold = rule.threshold(request.curves, options.alpha)
    promised = statement(rule, options.alpha, calibration.n, calibration.procedure.metric)
    words = f"{CONDITION} {promised}"
    return threshold, {
        "TIFFTAG_IMAGEDESCRIPTION": words,
        "CALIBRATION": calibration.digest,
        "ALPHA": repr(options.alpha),
        "THRESHOLD": threshold.hex(),
    }
