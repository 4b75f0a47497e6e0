"""`mask` on the command line: files, pipes, and refusals that come before anything is paid."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import called
from support.shop import Shop
from support.synthetic import photograph

from blackbox_conformal.cli.mask import FULL_SIZE, OPTIONAL
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.safe_pictures import picture_to_show
from blackbox_conformal.study.mask import products
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with FaultServer() as server:
        yield Shop(tmp_path_factory.mktemp("shop"), server)


def test_files_and_json(shop):
    found = shop.mask("--alpha", "0.9", "--out", "files", "--json")
    assert found.returncode == 0, found.stderr
    (entry,) = json.loads(found.stdout)["pictures"]
    assert set(entry) >= {"input", "image", "mask", "overlay", "score_map", "certificate", "alpha", "threshold"}
    assert entry["trusted_share"] == np.asarray(PillowImage.open(entry["mask"])).mean()
    before = shop.paid
    again = shop.mask("--alpha", "0.9", "--out", "files", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["pictures"] == [entry]
    assert shop.paid == before


def test_another_level_does_not_overwrite_a_result(shop):
    shop.mask("--alpha", "0.9", "--out", "kept")
    certificate = (shop.folder / "kept" / "small-certificate.json").read_bytes()
    found = shop.mask("--alpha", "0.8", "--out", "kept")
    assert found.returncode == 2
    assert b"alpha=0.8" in found.stderr
    assert (shop.folder / "kept" / "small-certificate.json").read_bytes() == certificate
    assert shop.mask("--alpha", "0.8", "--out", "kept", "--force").returncode == 0


def test_a_foreign_file_is_refused_before_anything_is_paid_and_nothing_is_half_written(shop):
    PillowImage.fromarray(photograph(21)[:16, :20]).save(shop.folder / "other.png")
    (shop.folder / "foreign").mkdir()
    (shop.folder / "foreign" / "other-mask.png").write_bytes(b"mine")
    before = shop.paid
    found = shop.mask("--alpha", "0.9", "--out", "foreign", source="other.png")
    assert found.returncode == 2
    assert b"other-mask.png exists" in found.stderr
    assert shop.paid == before
    assert [path.name for path in (shop.folder / "foreign").iterdir()] == ["other-mask.png"]


def test_another_scale_is_refused(shop):
    found = shop.mask("--alpha", "0.9", "--out", "scale", "--scale", "2")
    assert found.returncode == 2
    assert "×4".encode() in found.stderr


def test_a_safe_picture_costs_nothing_more_and_is_verified(shop):
    assert shop.mask("--alpha", "0.5", "--out", "safe").returncode == 0
    before = shop.paid
    found = shop.mask("--alpha", "0.5", "--out", "safe", "--safe", "--json")
    assert found.returncode == 0, found.stderr
    (entry,) = json.loads(found.stdout)["pictures"]
    image, mask = (np.asarray(PillowImage.open(entry[kind])) for kind in ("image", "mask"))
    assert 0 < mask.mean() < 1
    low, calibration = read_image(shop.folder / "small.png").pixels, Calibration.load(shop.calibration)
    certificate = Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
    sharp = json.loads(shop.mask("--alpha", "0.5", "--out", "sharp", "--safe", "--sharp", "--json").stdout)["pictures"]
    for one, name in (
        (entry, certificate.outside.shown()),
        (*sharp, certificate.outside.shown(sharp=True)),
    ):
        expected = picture_to_show(name, image, low, calibration.procedure.mixture)
        safe = np.asarray(PillowImage.open(one["safe"]))
        np.testing.assert_array_equal(safe, np.where(mask[..., None], image, expected))
    words = certificate.outside.words(certificate.outside.shown(), enlarged=True)
    said = shop.mask("--alpha", "0.5", "--out", "safe", "--safe").stdout.decode()
    assert f"outside the mask the safe picture is {words}" in " ".join(said.split())
    outputs = json.loads(Path(entry["certificate"]).read_bytes())["outputs"]
    assert outputs["safe"]["file"] == "small-safe.png"
    assert shop.paid == before
    Path(entry["safe"]).write_bytes(b"another")
    assert "the safe small-safe.png was changed" in called("verify", entry["certificate"], code=3).stdout


def test_the_vendors_file_is_delivered_as_it_was_received(shop):
    found = shop.mask("--alpha", "0.9", "--out", "vendor", "--json")
    assert found.returncode == 0, found.stderr
    (entry,) = json.loads(found.stdout)["pictures"]
    content = Path(entry["vendor"]).read_bytes()
    assert content in [path.read_bytes() for path in (shop.folder / "run" / "samples").rglob("*") if path.is_file()]
    assert read_image(content).digest == read_image(Path(entry["image"])).digest
    certificate = Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
    assert certificate.outputs["vendor"]["digest"] == digest_bytes(content)
    assert Path(entry["vendor"]).name == certificate.outputs["vendor"]["file"] == "small-vendor.png"


def beside_pixels(path: str) -> dict[str | tuple[int, int], Any]:
    with PillowImage.open(path) as opened:
        return opened.info


def test_pictures_say_that_a_machine_made_them_and_what_says_which_part_to_trust(shop):
    found = shop.mask("--alpha", "0.9", "--out", "marked", "--json", "--safe")
    assert found.returncode == 0, found.stderr
    (entry,) = json.loads(found.stdout)["pictures"]
    for kind in ("image", "safe", "overlay"):
        packet = ElementTree.fromstring(beside_pixels(entry[kind])["xmp"])
        said = {child.tag.rpartition("}")[2]: "".join(child.itertext()) for child in packet[0][0]}
        assert said["DigitalSourceType"].endswith("/digitalsourcetype/compositeWithTrainedAlgorithmicMedia")
        named = [item.text for item in packet.iter(f"{RDF}li")][1:]
        assert [Path(entry["image"]).with_name(name) for name in named] == [
            Path(entry["certificate"]),
            Path(entry["mask"]),
        ]
        assert all(name in said["description"] for name in named)
    assert all(not beside_pixels(entry[kind]) for kind in ("mask", "score_map"))


def test_metadata_of_the_input_is_kept_where_asked_and_the_certificate_says_what(shop):
    exif = PillowImage.Exif()
    exif[0x13B] = "Ana"
    path = shop.folder / "told.png"
    PillowImage.fromarray(read_image(shop.folder / "small.png").pixels).save(path, exif=exif)
    for name, extra in (("kept", ["--keep-metadata", "--safe"]), ("plain", ["--safe"])):
        found = shop.mask("--alpha", "0.9", "--out", name, "--json", *extra, source=str(path))
        assert found.returncode == 0, found.stderr
        (entry,) = json.loads(found.stdout)["pictures"]
        certificate = Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
        for kind in ("image", "safe"):
            assert ("exif" in beside_pixels(entry[kind])) == (name == "kept")
            assert ("EXIF kept" in certificate.outputs[kind].get("metadata", "")) == (name == "kept")
        certificate.verify(shop.folder / name)
    both = shop.mask("--alpha", "0.9", "--out", "kept-twice", "--json", "--keep-metadata", str(path))
    assert both.returncode == 0, both.stderr
    images = [entry["image"] for entry in json.loads(both.stdout)["pictures"]]
    assert [("exif" in beside_pixels(image), Path(image).name) for image in images] == [
        (False, "small-image.png"),
        (True, "told-image.png"),
    ]
    found = shop.mask("--alpha", "0.9", "--out", "both", "--keep-metadata", "--leave-out", "xmp")
    assert (found.returncode, b"Leave one out" in found.stderr) == (2, True)


def test_files_that_are_left_out_are_not_written_and_the_rest_is_verified(shop):
    left_out = [word for kind in (*OPTIONAL, FULL_SIZE) for word in ("--leave-out", kind)]
    found = shop.mask("--alpha", "0.9", "--out", "few", "--json", *left_out)
    assert found.returncode == 0, found.stderr
    (entry,) = json.loads(found.stdout)["pictures"]
    names = ["small-certificate.json", "small-image.png", "small-mask.png"]
    assert sorted(path.name for path in (shop.folder / "few").iterdir()) == names
    assert [entry[kind.replace("-", "_")] for kind in OPTIONAL if kind != "xmp"] == [None, None, None]
    assert beside_pixels(entry["image"]) == {}
    Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8")).verify(shop.folder / "few")
    assert tuple(kind.replace("-", "_") for kind in OPTIONAL) == products.OPTIONAL


def test_a_feather_without_a_safe_picture_is_refused_before_anything_is_paid(shop):
    before = shop.paid
    for alone in (["--feather", "4"], ["--sharp"]):
        found = shop.mask("--alpha", "0.9", "--out", "feather", *alone)
        assert (found.returncode, b"Add --safe" in found.stderr, shop.paid) == (2, True, before)


def test_a_foreign_safe_picture_beside_a_result_is_refused(shop):
    assert shop.mask("--alpha", "0.9", "--out", "beside").returncode == 0
    (shop.folder / "beside" / "small-safe.png").write_bytes(b"mine")
    found = shop.mask("--alpha", "0.9", "--out", "beside", "--safe")
    assert (found.returncode, b"exists" in found.stderr) == (2, True)
    assert (shop.folder / "beside" / "small-safe.png").read_bytes() == b"mine"


def test_stdin_to_stdout(shop):
    found = shop.mask("--alpha", "0.9", "--product", "mask", source="-", data=(shop.folder / "small.png").read_bytes())
    assert found.returncode == 0, found.stderr
    with PillowImage.open(io.BytesIO(found.stdout)) as mask:
        assert (mask.mode, mask.size) == ("1", (80, 64))


def test_the_others_are_written_when_one_is_refused(tmp_path):
    refusal = [None] * 16 + ["status:code=422"]
    with FaultServer({"submit": refusal}) as server:
        shop = Shop(tmp_path, server)
        (tmp_path / "inputs").mkdir()
        for seed in (20, 21, 22):
            small = PillowImage.fromarray(photograph(seed)).resize((20, 16), PillowImage.Resampling.BICUBIC)
            small.save(tmp_path / "inputs" / f"p{seed}.png")
        found = shop.mask("--alpha", "0.9", "--out", "some", "--concurrency", "1", source="inputs")
        assert found.returncode == 6
        assert b"the vendor refused 1 picture; first p2" in found.stderr
        assert b"All others are done; leave out what was refused" in found.stderr
        written = {path.name.split("-")[0] for path in (tmp_path / "some").iterdir()}
        assert len(written) == 2
        assert len(list((tmp_path / "some").iterdir())) == 12


def test_a_picture_of_another_size_than_the_photographs_is_named_so(shop):
    usual = shop.mask("--alpha", "0.9", "--out", "usual", "--json")
    (entry,) = json.loads(usual.stdout)["pictures"]
    assert json.loads(Path(entry["certificate"]).read_text(encoding="utf-8"))["notes"] == []
    PillowImage.fromarray(photograph(21)[:12, :12]).save(shop.folder / "tiny.png")
    found = shop.mask("--alpha", "0.9", "--out", "tiny", "--json", source="tiny.png")
    assert found.returncode == 0, found.stderr
    (entry,) = json.loads(found.stdout)["pictures"]
    note, unlike = json.loads(Path(entry["certificate"]).read_text(encoding="utf-8"))["notes"]
    assert unlike.startswith("this input's ")
    assert note.startswith("the picture has 48×48 pixels, the calibration photographs 80×64: the guarantee is for")
    assert note in " ".join(found.stderr.decode().split())


def test_equal_pictures_under_two_names_have_files_and_certificates_of_their_own(shop):
    folder = shop.folder / "equal"
    folder.mkdir()
    for name in ("one", "other"):
        (folder / f"{name}.png").write_bytes((shop.folder / "small.png").read_bytes())
    found = shop.mask("--alpha", "0.9", "--out", "of-equal", "--json", source="equal")
    assert found.returncode == 0, found.stderr
    entries = json.loads(found.stdout)["pictures"]
    assert [Path(entry["input"]).stem for entry in entries] == ["one", "other"]
    for entry in entries:
        name = Path(entry["input"]).stem
        files = [Path(entry[kind]) for kind in ("image", "mask", "overlay", "score_map", "certificate")]
        assert all(path.name.startswith(f"{name}-") and path.is_file() for path in files)
        assert json.loads(Path(entry["certificate"]).read_bytes())["input"]["name"] == name
