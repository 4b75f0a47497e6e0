"""GeoTIFF, also cloud-optimised: pixels, and where on Earth they lie, read by GDAL (rasterio, the extra ``geo``).

A file may be a stranger's, so GDAL gets one driver and looks neither beside the file nor at any address: pictures,
masks and places that other files hold are not taken for its own.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, MissingPackageError
from blackbox_conformal.support.text import printable

SETTINGS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    # Metadata may name a file of overviews, which may lie anywhere; no name ends in this.
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    # MiB, instead of a twentieth of the machine's memory.
    "GDAL_CACHEMAX": 256,
    "GDAL_NUM_THREADS": "ALL_CPUS",
}
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LARGEST_BLOCK = 256 * 2**20  # Bytes that are decoded at once, at most: a strip or a tile of all bands.
LARGEST = 10**10  # Pixels, at most, of what is read window by window.


@dataclass(frozen=True, slots=True)
class Grid:
    """Where pixels lie: (height, width) of them, their coordinate reference system, and the affine transform to it."""

    height: int
    width: int
    crs: Any
    transform: Any

    def finer(self, scale: int) -> "Grid":
        """The same place in pixels whose sides are a `scale`-th."""
        from rasterio.transform import Affine

        a, b, c, d, e, f = self.transform[:6]
        transform = Affine(a / scale, b / scale, c, d / scale, e / scale, f)
        return Grid(self.height * scale, self.width * scale, self.crs, transform)

    def lies_on(self, other: "Grid") -> bool:
        """Whether both have as many pixels, at most a tenth of one apart."""
        if (self.height, self.width, self.crs) != (other.height, other.width, other.crs):
            return False
        own, others = (np.reshape(grid.transform, (3, 3)) for grid in (self, other))
        corners = np.array([[0, 0, self.width, self.width], [0, self.height, 0, self.height], [1, 1, 1, 1]])
        return bool(np.abs(np.linalg.solve(others, own @ corners) - corners).max() < 0.1)


@dataclass(frozen=True, slots=True)
class GeoTiff:
    """An open file: its path and a colon, or nothing, with which messages begin, and rasterio's dataset."""

    name: str
    dataset: Any

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""
        found = self.dataset
        lost = found.crs is None or found.transform.is_identity or found.transform.is_degenerate
        if lost and (found.gcps[0] or found.rpcs):
            raise ImageError(
                f"{self.name}expected a transform to coordinates; it has control points or RPCs alone. Put it on a "
                "grid (gdalwarp in.tif out.tif), and use that file for everything"
            )
        if lost:
            raise ImageError(
                f"{self.name}expected a coordinate reference system and a transform; one of them is missing. Say "
                "where it lies (gdal_edit.py -a_srs EPSG:… -a_ullr … in.tif)"
            )
        return Grid(found.height, found.width, found.crs, found.transform)

    def read(self, **options: Any) -> Any:
        """As rasterio's `read`."""
        with damage_named(self.name):
            return self.dataset.read(**options)


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Raise whatever GDAL finds wrong with a file as an `ImageError` that names it."""
    try:
        yield
    except (ImageError, MissingPackageError):
        raise
    except Exception as error:  # noqa: BLE001 - a hostile byte leads GDAL to exceptions of every kind
        raise ImageError(
            f"{name}expected a whole GeoTIFF; GDAL cannot read it ({type(error).__name__}). The file is truncated or "
            "damaged: get it again"
        ) from None


@contextmanager
def opened(source: Path | bytes) -> Iterator[GeoTiff]:
    """A GeoTIFF, by its path or content, for reading."""
    rasterio = library()
    shown = f"{printable(source)}: " if isinstance(source, Path) else ""
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(**SETTINGS))
        with damage_named(shown):
            if isinstance(source, Path):
                # Resolved: rasterio takes names such as `s3://…` or `zip://…` for addresses.
                path = source.resolve(strict=True)
                with path.open("rb") as file:
                    begins = file.read(4)
                opening = partial(rasterio.open, path)
            else:
                begins, opening = source[:4], stack.enter_context(rasterio.MemoryFile(source)).open
            if begins not in MAGIC:
                raise ImageError(f"{shown}expected a GeoTIFF; its first bytes are not those of a TIFF")
            dataset = stack.enter_context(opening(driver="GTiff"))
            _refuse(shown, dataset)
        yield GeoTiff(shown, dataset)


def library() -> Any:
    try:
        import rasterio
    except ImportError:
        raise MissingPackageError(
            "expected the extra geo, which reads and writes GeoTIFF; it is not installed. Run: pip install rasterio"
        ) from None
    # Where a place is needed, an error says that it is missing.
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio


def _refuse(name: str, dataset: Any) -> None:
    """Refuse more memory or time than an agreed size takes, more pictures than one, and blocks that are missing."""
    if dataset.subdatasets:
        raise ImageError(
            f"{name}expected one picture; got a TIFF of {len(dataset.subdatasets)}. Save the wanted one: "
            "gdal_translate GTIFF_DIR:1:in.tif out.tif"
        )
    height, width = dataset.block_shapes[0]
    together = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
    if (block := height * width * together * np.dtype(dataset.dtypes[0]).itemsize) > LARGEST_BLOCK:
        raise ImageError(
            f"{name}expected blocks of at most {LARGEST_BLOCK} bytes; got {block}. Save it in tiles: gdal_translate "
            "-of COG in.tif out.tif"
        )
    if dataset.width * dataset.height > LARGEST:
        raise ImageError(
            f"{name}expected at most {LARGEST} pixels; its header says {dataset.width}×{dataset.height}. Split it"
        )
    # GDAL fills with 0 what is not in the file, unless the file says what stands for no data.
    bands = dataset.indexes[: 1 if dataset.profile.get("interleave") == "pixel" else None]
    for band in bands if dataset.nodata is None else ():
        for (row, column), _ in dataset.block_windows(band):
            if dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band) is None:
                raise ImageError(
                    f"{name}expected every block in the file, or a nodata value; block {column}, {row} is missing. "
                    "Get the file again, or name the value: gdal_edit.py -a_nodata 0 in.tif"
                )


def read_geotiff(content: bytes, check: Callable[[int, int, int], None]) -> NDArray[Any]:
    """The numbers of a TIFF: (H, W, count), in the file's own type.

    `check`: Gets width, height and count before memory is taken for pixels; what it raises is raised.
    """
    with opened(content) as tiff:
        found = tiff.dataset
        check(found.width, found.height, found.count)
        if len(set(found.dtypes)) > 1 or np.dtype(found.dtypes[0]).kind not in "uif":
            raise ImageError(f"expected bands of one type of real numbers; got {', '.join(set(found.dtypes))}")
        if set(found.scales) != {1.0} or set(found.offsets) != {0.0}:
            raise ImageError(
                "expected numbers without a scale and an offset of their own; got a TIFF that states some. Apply them: "
                "gdal_translate -unscale -ot Float32 in.tif out.tif"
            )
        return np.ascontiguousarray(np.moveaxis(tiff.read(), 0, 2))
