"""GeoTIFFs lie where their scene lies, windows give the mask of the whole, and no name in a file is followed."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine
from support.made_up import calibrated_in
from support.recording_server import RecordingServer
from support.synthetic import photograph

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import BlackboxConformalError, ImageError, IncompleteError, MissingPackageError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.geotiff import Grid, opened, read_geotiff
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.pages import geotiff_command
from blackbox_conformal.pages.geotiff_command import ScoredScene, mask_scene, new_geotiff
from blackbox_conformal.testing.raw_http import Response

UTM = rasterio.crs.CRS.from_epsg(32632)
PLACES = {
    "north up": Affine(10, 0, 499980, 0, -10, 5300040),
    "south up": Affine(10, 0, 499980, 0, 10, 5300040),
    "turned": Affine(8.5, 5.25, 499980, 5.25, -8.5, 5300040),
    "in degrees": Affine(1e-4, 0, 11.1, 0, -1e-4, 47.3),
}


def raster(path: Path, numbers: NDArray[Any], **profile: Any) -> Path:
    """A GeoTIFF of (bands, H, W), in UTM zone 32 unless `profile` says otherwise."""
    count, height, width = numbers.shape
    place = {"crs": UTM, "transform": PLACES["north up"], **profile}
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=numbers.dtype, **place) as dataset:
        dataset.write(numbers)
    return path


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``c.json``, the draws beside it, and ``out/p8-certificate.json`` of the scene ``p8.tif``."""
    folder = tmp_path_factory.mktemp("geotiff")
    vendor, calibration = calibrated_in(folder)
    small = np.asarray(Image.fromarray(photograph(8)).resize((20, 16), Image.Resampling.BICUBIC))
    raster(folder / "p8.tif", np.moveaxis(small, 2, 0), photometric="rgb")
    result = bc.mask(vendor, str(folder / "p8.tif"), calibration, 0.6, run=folder / "run")
    result.save(folder / "out", safe=True)
    return folder / "c.json"


@pytest.fixture
def masked(calibrated: Path) -> Path:
    return calibrated.with_name("out") / "p8-certificate.json"


def test_files_of_a_certificate_lie_in_the_place_of_its_scene(masked, tmp_path):
    words = ["geotiff", "write", str(masked), "--input", str(masked.parents[1] / "p8.tif"), "--out", str(tmp_path)]
    assert run(words) == 0
    certificate = bc.Certificate.from_json(masked.read_text())
    with rasterio.open(masked.parents[1] / "p8.tif") as scene:
        expected = scene.transform
    for kind in ("image", "safe", "score-map", "mask"):
        with rasterio.open(tmp_path / f"p8-{kind}.tif") as dataset:
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert (dataset.crs, dataset.shape) == (UTM, (64, 80))
            assert dataset.transform == Affine(2.5, 0, expected.c, 0, -2.5, expected.f)
            assert dataset.tags()["CERTIFICATE"] == certificate.digest
            xmp = dataset.tags(ns="xml:XMP").get("xml:XMP", "")
            numbers = dataset.read()
        if kind in ("image", "safe"):
            assert xmp.startswith("<?xpacket")
            assert "compositeWithTrainedAlgorithmicMedia" in xmp
            assert "p8-mask.tif" in xmp
            assert (np.moveaxis(numbers, 0, 2) == read_image(masked.with_name(f"p8-{kind}.png")).pixels).all()
    trusted = np.asarray(Image.open(masked.with_name("p8-mask.png")))
    assert 0 < trusted.mean() < 1
    assert (numbers[0] == trusted).all()
    with rasterio.open(tmp_path / "p8-score-map.tif") as dataset:
        scores = dataset.read(1)
        assert math.isnan(dataset.nodata)
    assert (bc.trusted(scores, float.fromhex(certificate.threshold_hex)) == trusted).mean() > 0.999
    before = (tmp_path / "p8-mask.tif").read_bytes()
    assert (run(words), (tmp_path / "p8-mask.tif").read_bytes()) == (0, before)
    (tmp_path / "p8-mask.tif").write_bytes(b"mine")
    assert (run(words), (tmp_path / "p8-mask.tif").read_bytes(), run([*words, "--force"])) == (2, b"mine", 0)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_bands_of_reflectance_go_from_geotiff_to_geotiff(tmp_path):
    def deep(seed: int, height: int, width: int) -> NDArray[np.uint16]:
        """Reflectances, (H, W, 4): a photograph's three colours and their mean, with noise where they are dark."""
        share = np.asarray(Image.fromarray(photograph(seed % 100)).resize((width, height))).astype(np.float64) / 255
        share = np.dstack([share, share.mean(axis=2)])
        noise = np.random.default_rng(seed).normal(0, 0.1, share.shape) * (share.mean(axis=2, keepdims=True) < 0.5)
        return np.rint(10_000 * np.clip(share + noise, 0, 1)).astype(np.uint16)

    truths, inputs = ([deep(seed, *size) for seed in range(9)] for size in ((64, 80), (16, 20)))
    outputs = [[deep(1000 * draw + seed, 64, 80) for draw in (1, 2)] for seed in range(9)]
    pairs = {"inputs": inputs[:8], "outputs": outputs[:8], "truths": truths[:8], "bands": "4:0:10000", "label": "x"}
    calibration = bc.calibrate(**pairs, metric="band-l1", score="pixel-variance", run=tmp_path / "run")
    scene = raster(tmp_path / "scene.tif", np.moveaxis(inputs[8], 2, 0), nodata=0)
    result = bc.mask(outputs[8], scene, calibration, 0.12, run=tmp_path / "run")
    result.save(tmp_path, safe=True)
    assert 0 < result.mask.mean() < 1
    assert run(["geotiff", "write", str(tmp_path / "scene-certificate.json"), "--input", str(scene)]) == 0
    with rasterio.open(tmp_path / "scene-safe.tif") as safe, rasterio.open(tmp_path / "scene-mask.tif") as mask:
        assert safe.dtypes == ("uint16",) * 4
        assert safe.transform == mask.transform == Affine(2.5, 0, 499980, 0, -2.5, 5300040)
        trusted = mask.read(1) == 1
        assert (trusted == result.mask).all()
        assert (np.moveaxis(safe.read(), 0, 2)[trusted] == outputs[8][0][trusted]).all()


def test_overviews_of_a_picture_are_no_further_pictures(tmp_path):
    numbers = np.moveaxis(photograph(3), 2, 0)
    with new_geotiff(
        tmp_path / "a.tif", Grid(64, 80, UTM, PLACES["turned"]), "uint8", 3, nodata=None, said={}, force=False
    ) as dataset:
        dataset.write(numbers)
    with rasterio.open(tmp_path / "a.tif", "r+", IGNORE_COG_LAYOUT_BREAK=True) as dataset:
        dataset.build_overviews([2, 4])
    assert (read_image(tmp_path / "a.tif").pixels == photograph(3)).all()
    with rasterio.open(tmp_path / "a.tif", "r+", IGNORE_COG_LAYOUT_BREAK=True) as dataset:
        dataset.write_mask(numbers[0] > 0)
    with pytest.raises(ImageError, match="pictures"):
        read_image(tmp_path / "a.tif")


def test_another_scene_and_a_calibration_are_refused(masked, tmp_path, capsys):
    other = raster(tmp_path / "other.tif", np.zeros((3, 16, 20), np.uint8), photometric="rgb")
    assert run(["geotiff", "write", str(masked), "--input", str(other)]) == 2
    assert "none of --input has its pixels" in capsys.readouterr().err
    scene = masked.parents[1] / "p8.tif"
    assert run(["geotiff", "write", str(masked.parents[1] / "c.json"), "--input", str(scene)]) == 2


def test_alpha_becomes_the_fourth_band(tmp_path):
    pixels, opacity = photograph(1), np.full((64, 80), 7, np.uint8)
    (tmp_path / "a.png").write_bytes(image_png(pixels, opacity=opacity))
    ((kind, found, _),) = geotiff_command._rasters({"image": {"file": "a.png"}}, tmp_path, (64, 80), None)
    assert kind == "image"
    assert (found == np.moveaxis(np.dstack([pixels, opacity]), 2, 0)).all()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_transform_is_read_back_equal(place, scale, tmp_path):
    grid = Grid(7, 5, UTM, PLACES[place]).finer(scale)
    numbers = np.arange(grid.height * grid.width, dtype=np.uint16).reshape(1, grid.height, grid.width)
    with new_geotiff(tmp_path / "a.tif", grid, "uint16", nodata=None, said={}, force=False) as dataset:
        dataset.write(numbers)
    with opened(tmp_path / "a.tif") as tiff:
        assert tiff.grid == grid
        assert (tiff.read() == numbers).all()
    corners = [
        np.reshape(one, (3, 3)) @ far
        for one, far in ((grid.transform, (5 * scale, 7 * scale, 1)), (PLACES[place], (5, 7, 1)))
    ]
    assert corners[0] == pytest.approx(corners[1])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_without_a_place_are_refused(tmp_path):
    numbers = np.zeros((1, 8, 8), np.uint8)
    points = [GroundControlPoint(row, column, 11 + column, 47 - row, 0) for row in (0, 8) for column in (0, 8)]
    cases = {
        "is missing": raster(tmp_path / "a.tif", numbers, crs=None),
        "one of them is missing": raster(tmp_path / "b.tif", numbers, transform=Affine.identity()),
        "control points": raster(tmp_path / "c.tif", numbers, crs=UTM, transform=Affine.identity(), gcps=points),
    }
    for words, path in cases.items():
        with opened(path) as tiff, pytest.raises(ImageError, match=words):
            _ = tiff.grid


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geotiff_command, "TILE", 64)
    monkeypatch.setattr(geotiff_command, "ROOM", 1)


def masked_share(scene: ScoredScene, threshold: float, folder: Path) -> float:
    return mask_scene(scene, threshold, folder / "m.tif", folder / "s.tif", said={}, force=True)


def scene_files(folder: Path, **profile: Any) -> tuple[NDArray[np.float32], NDArray[np.uint16], list[Path]]:
    """Scores with ties and gaps, their 13-band picture, and the files of both and of what it was made of."""
    generator = np.random.default_rng(5)
    scores = (generator.integers(0, 40, (150, 200)) / 40).astype(np.float32)
    scores[:20, :30] = np.nan
    scores[40:50] = np.inf
    picture = generator.integers(1, 10_000, (13, 150, 200)).astype(np.uint16)
    coarse = raster(folder / "low.tif", picture[:, ::2, ::2], transform=Affine(20, 0, 499980, 0, -20, 5300040))
    fine = [
        raster(folder / "score.tif", scores[np.newaxis], **profile),
        raster(folder / "image.tif", picture, nodata=0),
    ]
    return scores, picture, [*fine, coarse]


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    ("threshold", "tiles"),
    [(0.5, {}), (0.5, {"tiled": True, "blockxsize": 32, "blockysize": 48}), (math.inf, {}), (-math.inf, {})],
)
def test_windows_give_the_mask_of_the_whole(threshold, tiles, tmp_path):
    scores, picture, files = scene_files(tmp_path, **tiles)
    expected = bc.trusted(scores, threshold)
    for with_input in (False, True):
        with opened(files[0]) as first, opened(files[1]) as second, opened(files[2]) as third:
            scene = ScoredScene(first, second, third if with_input else None)
            share = masked_share(scene, threshold, tmp_path)
        with opened(tmp_path / "m.tif") as mask, opened(tmp_path / "s.tif") as safe:
            assert ((mask.read(indexes=1) == 1) == expected).all()
            shown = safe.read()
            assert mask.grid == safe.grid == Grid(150, 200, UTM, PLACES["north up"])
        assert share == expected.mean()
        assert (shown[:, expected] == picture[:, expected]).all()
        assert ((shown[:, ~expected] == 0).all()) == (not with_input or expected.all())


def test_enlargement_by_windows_is_that_of_the_whole(tmp_path, monkeypatch):
    _, _, files = scene_files(tmp_path)
    shown = []
    for room in (geotiff_command.ROOM, 1):
        monkeypatch.setattr(geotiff_command, "ROOM", room)
        with opened(files[0]) as scores, opened(files[1]) as picture, opened(files[2]) as low:
            masked_share(ScoredScene(scores, picture, low), 0.0, tmp_path)
        with opened(tmp_path / "s.tif") as safe:
            shown.append(safe.read())
        monkeypatch.setattr(geotiff_command, "TILE", 64)
    assert (shown[0] == shown[1]).all()
    with rasterio.open(files[2]) as low:
        coarse = low.read(4).astype(np.float32)
    plain = np.asarray(Image.fromarray(coarse).resize((200, 150), Image.Resampling.BICUBIC))
    # GDAL weighs the last few pixels beside a border in its own way.
    inner = slice(8, -8)
    assert np.abs(np.clip(plain, 0, 65535) - shown[0][3])[inner, inner].max() <= 1


def test_what_a_file_calls_no_data_is_never_trusted(tmp_path):
    scores = np.full((1, 32, 32), 0.25, np.float32)
    scores[0, :4] = -9999
    scores[0, 4:8] = 0.75
    path = raster(tmp_path / "a.tif", scores, nodata=-9999)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        other = raster(tmp_path / "b.tif", np.abs(scores) % 9999)
        with rasterio.open(other, "r+") as dataset:
            dataset.write_mask(scores[0] != -9999)
    for one in (path, other):
        with opened(one) as tiff:
            share = masked_share(ScoredScene(tiff), 0.5, tmp_path)
        assert share == 24 / 32


def test_blocks_that_are_not_there_are_no_scores_of_nought(tmp_path):
    profile = {"tiled": True, "blockxsize": 16, "blockysize": 16, "dtype": "float32", "count": 1, "sparse_ok": True}
    place = {"width": 32, "height": 32, "crs": UTM, "transform": PLACES["north up"]}
    for nodata in (None, math.nan):
        path = tmp_path / f"{nodata}.tif"
        with rasterio.open(path, "w", "GTiff", nodata=nodata, **profile, **place) as dataset:
            dataset.write(np.ones((16, 16), np.float32), 1, window=((0, 16), (0, 16)))
        if nodata is None:
            with pytest.raises(ImageError, match="block 1, 0 is missing"), opened(path):
                pass
        else:
            with opened(path) as tiff:
                assert masked_share(ScoredScene(tiff), 2, tmp_path) == 1 / 4


def test_command_masks_by_a_calibration_and_by_a_threshold(calibrated, tmp_path, capsys):
    scores, _, files = scene_files(tmp_path)
    calibration = bc.Calibration.load(calibrated)
    threshold = calibration.threshold(0.6)
    given = ["geotiff", "mask", str(files[0]), "--out", str(tmp_path / "out")]
    assert run([*given, "--calibration", str(calibrated), "--alpha", "0.6", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["threshold"] == threshold
    with rasterio.open(tmp_path / "out" / "score-mask.tif") as dataset:
        assert ((dataset.read(1) == 1) == bc.trusted(scores, threshold)).all()
        tags = dataset.tags()
    assert (float.fromhex(tags["THRESHOLD"]), tags["CALIBRATION"]) == (threshold, calibration.digest)
    assert tags["TIFFTAG_IMAGEDESCRIPTION"].startswith("If these are scores of the calibrated procedure")
    assert run([*given, "--threshold", "0.5"]) == 2
    assert run([*given, "--threshold", "0.5", "--image", str(files[1]), "--force"]) == 0
    assert (tmp_path / "out" / "score-safe.tif").exists()
    capsys.readouterr()
    for wrong, words in (
        (["--threshold", "0.5", "--alpha", "0.6"], "Name one of the two"),
        (["--threshold", "0.5", "--input", str(files[2])], "Add --image"),
        (["--threshold", "0.5", "--image", str(files[2])], "in another"),
        (["--threshold", "0.5", "--input", str(files[1]), "--image", str(files[1])], ""),
        (["--calibration", str(calibrated), "--alpha", "0.6", "--guarantee", "expected:bound_from=delivered"], "bound"),
    ):
        assert (run([*given, "--force", *wrong]) == 2) == bool(words)
        assert words in capsys.readouterr().err
    assert run(["geotiff", "mask", str(files[1]), "--threshold", "0.5", "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_a_disk_that_fills_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("rasterio.shutil.copy", Mock(side_effect=SystemError("unknown GDAL error")))
    with (
        pytest.raises(IncompleteError, match="disk may be full"),
        new_geotiff(tmp_path / "a.tif", Grid(8, 8, UTM, PLACES["turned"]), "uint8", nodata=None, said={}, force=False),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch):
    path = raster(tmp_path / "a.tif", np.zeros((1, 8, 8), np.uint8))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingPackageError, match="pip install rasterio"), opened(path):
        pass


# Files of strangers.


@pytest.fixture
def asked() -> Iterator[RecordingServer]:
    with RecordingServer(lambda head: Response(404)) as server:
        yield server


def test_names_in_and_beside_a_file_are_not_followed(asked, tmp_path):
    address, paths = asked.url, asked.asked
    scores = np.full((1, 64, 64), 0.25, np.float32)
    path = raster(tmp_path / "a.tif", scores)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{address}/o.tif")
    lies = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>0.25</NoDataValue></PAMRasterBand></PAMDataset>'
    (tmp_path / "a.tif.aux.xml").write_text(lies)
    (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    raster(tmp_path / "a.tif.msk", np.zeros((1, 64, 64), np.uint8))
    with opened(path) as tiff:
        assert tiff.grid == Grid(64, 64, UTM, PLACES["north up"])
        assert masked_share(ScoredScene(tiff), 0.5, tmp_path) == 1
        tiff.read(out_shape=(1, 16, 16))
    # Each of these would have been: the test sees what it looks for.
    with rasterio.open(path) as dataset:
        assert dataset.nodata == 0.25
        dataset.read(out_shape=(1, 16, 16))
    assert paths
    del paths[:]
    source = f"<SourceFilename>/vsicurl/{address}/b.tif</SourceFilename><SourceBand>1</SourceBand>"
    band = f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>{source}</SimpleSource></VRTRasterBand>'
    vrt = tmp_path / "vrt.tif"
    vrt.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{band}</VRTDataset>')
    for hostile in (vrt, vrt.read_bytes(), Path(f"/vsicurl/{address}/c.tif"), Path(f"{address}/d.tif")):
        with pytest.raises(ImageError), opened(hostile):
            pass
    assert paths == []


@pytest.mark.parametrize("seed", range(3))
def test_mutated_files_are_read_or_refused_in_a_sentence(seed, tmp_path):
    generator = np.random.default_rng(seed)
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16} if seed else {}
    kinds = {"compress": ("deflate", "lzw", "none")[seed], "predictor": 2, **tiles}
    content = raster(tmp_path / "a.tif", generator.integers(0, 9, (3, 40, 40)).astype(np.uint16), **kinds).read_bytes()
    sentences = []
    for _ in range(60):
        changed = bytearray(content)
        # Half of them in what says how to read the rest.
        reach = len(content) if generator.random() < 0.5 else min(600, len(content))
        for place in generator.integers(0, reach, generator.integers(1, 6)):
            changed[place] = generator.integers(0, 256)
        del changed[len(changed) - (generator.integers(1, 400) if generator.random() < 0.2 else 0) :]
        try:
            read_geotiff(bytes(changed), limited)
        except BlackboxConformalError as error:
            sentences.append(str(error))
    assert 10 < len(sentences) < 60
    assert [text for text in sentences if not ("expected" in text or text == "it is too large")] == []


def limited(width: int, height: int, count: int) -> None:
    if width * height * count > 10_000_000:
        raise ImageError("it is too large")


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs Debian's gdal-bin")
def test_gdalinfo_says_the_same(tmp_path):
    grid = Grid(16, 20, UTM, PLACES["turned"]).finer(4)
    with new_geotiff(tmp_path / "a.tif", grid, "uint8", nodata=None, said={"STATUS": "x"}, force=False) as dataset:
        dataset.write(np.ones((1, 64, 80), np.uint8))
    said = json.loads(subprocess.check_output(["gdalinfo", "-json", str(tmp_path / "a.tif")]))
    assert said["size"] == [80, 64]
    assert said["geoTransform"] == pytest.approx(list(grid.transform.to_gdal()), rel=1e-15)
    assert (said["stac"]["proj:epsg"], said["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"]) == (32632, "COG")
    assert said["metadata"][""]["STATUS"] == "x"
