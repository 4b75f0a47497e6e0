"""An OpenRaster file has the files of a masked picture as layers, and hatching exactly where nothing is trusted."""

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.made_up import calibrated_in
from support.synthetic import photograph

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of a masked picture with a safe picture, and ``c.json`` above its folder."""
    folder = tmp_path_factory.mktemp("layers")
    vendor, calibration = calibrated_in(folder)
    small = Image.fromarray(photograph(8)).resize((20, 16), Image.Resampling.BICUBIC)
    small.save(folder / "p8.png")
    result = bc.mask(vendor, str(folder / "p8.png"), calibration, 0.6, run=folder / "run")
    result.save(folder / "out", safe=True)
    return folder / "out" / "p8-certificate.json"


def test_layers_lie_where_they_are_asked_for(masked, tmp_path):
    assert run(["layers", str(masked), "--out", str(tmp_path / "new")]) == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["p8-layers.ora"]


def test_a_folder_and_a_picture_are_told_what_to_name(masked, capsys):
    for command in ("layers", "verify"):
        assert run([command, f"{masked.parent}/"]) == 2
        assert f"got a folder. Name those in it: {masked.parent}/*-certificate.json" in capsys.readouterr().err
    assert run(["layers", str(masked.with_name("p8-image.png"))]) == 2
    assert "it is no text. Name calibration.json, or the …-certificate.json beside" in capsys.readouterr().err


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_layers_are_the_files_and_hatching_where_nothing_is_trusted(masked):
    assert run(["layers", str(masked)]) == 0
    path = masked.with_name("p8-layers.ora")
    archive = zipfile.ZipFile(path)
    first = archive.infolist()[0]
    assert (first.filename, first.header_offset, archive.read(first)) == ("mimetype", 0, b"image/openraster")
    assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
    stack = ElementTree.fromstring(archive.read("stack.xml"))
    layers = [(one.get("name"), one.get("src"), one.get("visibility")) for one in stack.iter("layer")]
    assert layers == [
        ("Not trusted (hatched), status if-like-calibration", "data/hatched.png", "visible"),
        ("Mask (white is trusted)", "data/mask.png", "hidden"),
        ("Safe picture", "data/safe.png", "hidden"),
        ("Delivered picture", "data/image.png", "visible"),
    ]
    for kind in ("mask", "safe", "image"):
        assert archive.read(f"data/{kind}.png") == masked.with_name(f"p8-{kind}.png").read_bytes()
    assert archive.read("certificate.json") == masked.read_bytes()
    hatched, below = (picture(archive.read(f"data/{kind}.png")).convert("RGBA") for kind in ("hatched", "image"))
    trusted = np.asarray(picture(archive.read("data/mask.png")))
    assert 0 < trusted.mean() < 1
    assert ((np.asarray(hatched)[..., 3] == 0) == trusted).all()
    assert len(np.unique(np.asarray(hatched)[~trusted], axis=0)) == 2
    merged = np.asarray(picture(archive.read("mergedimage.png")), np.int16)
    composed = np.asarray(Image.alpha_composite(below, hatched).convert("RGB"), np.int16)
    assert np.abs(merged - composed).max() <= 1
    assert (merged[trusted] == np.asarray(below.convert("RGB"))[trusted]).all()
    assert max(picture(archive.read("Thumbnails/thumbnail.png")).size) <= 256
    before = path.read_bytes()
    assert (run(["layers", str(masked)]), path.read_bytes()) == (0, before)


def test_a_changed_file_a_calibration_and_another_file_in_the_way_are_refused(masked, tmp_path):
    for file in masked.parent.glob("p8-*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    certificate, path = tmp_path / masked.name, tmp_path / "p8-layers.ora"
    path.write_bytes(b"mine")
    assert (run(["layers", str(certificate)]), path.read_bytes()) == (2, b"mine")
    assert run(["layers", str(certificate), "--force"]) == 0
    path.unlink()
    assert run(["layers", str(masked.parents[1] / "c.json")]) == 2
    white = Image.new("1", picture((tmp_path / "p8-mask.png").read_bytes()).size, 1)
    white.save(tmp_path / "p8-mask.png")
    assert run(["layers", str(certificate)]) == 3
    assert not path.exists()
