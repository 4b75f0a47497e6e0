"""`mask` on the command line: files, pipes, seeds, and refusals that come before anything is paid."""

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, called, ended, every_command
from support.picture_files import wide_profile
from support.shop import Shop
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import cli, run
from blackbox_conformal.cli.mask import FULL_SIZE, OPTIONAL
from blackbox_conformal.cli.options import PicturesPath
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import ImageError, IncompleteError, PicturesError
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.safe_pictures import picture_to_show
from blackbox_conformal.study.mask import products
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.python.functions import mask_all
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with FaultServer() as server:
        yield Shop(tmp_path_factory.mktemp("shop"), server)


def test_files_and_json(shop):
    (entry,) = json.loads(shop.mask("--alpha", "0.9", "--out", "files", "--json", code=0).stdout)["pictures"]
    assert set(entry) >= {"input", "image", "mask", "overlay", "score_map", "certificate", "alpha", "threshold"}
    assert entry["trusted_share"] == np.asarray(PillowImage.open(entry["mask"])).mean()
    before = shop.paid
    assert json.loads(shop.mask("--alpha", "0.9", "--out", "files", "--json", code=0).stdout)["pictures"] == [entry]
    assert shop.paid == before


def test_another_level_does_not_overwrite_a_result(shop):
    shop.mask("--alpha", "0.9", "--out", "kept")
    certificate = (shop.folder / "kept" / "small-certificate.json").read_bytes()
    assert b"alpha=0.8" in shop.mask("--alpha", "0.8", "--out", "kept", code=2).stderr
    assert (shop.folder / "kept" / "small-certificate.json").read_bytes() == certificate
    assert shop.mask("--alpha", "0.8", "--out", "kept", "--force").returncode == 0


def test_a_foreign_file_is_refused_before_anything_is_paid_and_nothing_is_half_written(shop):
    PillowImage.fromarray(photograph(21)[:16, :20]).save(shop.folder / "other.png")
    (shop.folder / "foreign").mkdir()
    (shop.folder / "foreign" / "other-mask.png").write_bytes(b"mine")
    before = shop.paid
    found = shop.mask("--alpha", "0.9", "--out", "foreign", source="other.png", code=2)
    assert b"other-mask.png exists" in found.stderr
    assert shop.paid == before
    assert [path.name for path in (shop.folder / "foreign").iterdir()] == ["other-mask.png"]
    assert shop.mask("--alpha", "0.9", "--out", "beside").returncode == 0
    (shop.folder / "beside" / "small-safe.png").write_bytes(b"mine")
    found = shop.mask("--alpha", "0.9", "--out", "beside", "--safe")
    assert (found.returncode, b"exists" in found.stderr) == (2, True)
    assert (shop.folder / "beside" / "small-safe.png").read_bytes() == b"mine"


def test_another_scale_or_a_feather_of_nothing_is_refused_before_anything_is_paid(shop):
    assert "×4".encode() in shop.mask("--alpha", "0.9", "--out", "scale", "--scale", "2", code=2).stderr
    before = shop.paid
    for alone in (["--feather", "4"], ["--sharp"]):
        found = shop.mask("--alpha", "0.9", "--out", "feather", *alone)
        assert (found.returncode, b"Add --safe" in found.stderr, shop.paid) == (2, True, before)


def test_a_safe_picture_costs_nothing_more_and_is_verified(shop):
    assert shop.mask("--alpha", "0.5", "--out", "safe").returncode == 0
    before = shop.paid
    (entry,) = json.loads(shop.mask("--alpha", "0.5", "--out", "safe", "--safe", "--json", code=0).stdout)["pictures"]
    image, mask = (np.asarray(PillowImage.open(entry[kind])) for kind in ("image", "mask"))
    assert 0 < mask.mean() < 1
    low, calibration = read_image(shop.folder / "small.png").pixels, Calibration.load(shop.calibration)
    certificate = Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
    sharp = json.loads(shop.mask("--alpha", "0.5", "--out", "sharp", "--safe", "--sharp", "--json").stdout)["pictures"]
    nearest = certificate.inside.trusted(), certificate.outside.shown()
    for one, names in ((entry, nearest), (*sharp, ("delivered", certificate.outside.shown(sharp=True)))):
        inside, outside = (picture_to_show(name, image, low, calibration.procedure.mixture) for name in names)
        safe = np.asarray(PillowImage.open(one["safe"]))
        np.testing.assert_array_equal(safe, np.where(mask[..., None], inside, outside))
    words = certificate.outside.words(certificate.outside.shown(), enlarged=True)
    said = shop.mask("--alpha", "0.5", "--out", "safe", "--safe").stdout.decode()
    assert f"outside the mask the safe picture is {words}" in " ".join(said.split())
    within = certificate.inside.words(nearest[0], enlarged=True)
    assert (f"inside the mask the safe picture is {within}" in " ".join(said.split())) is (nearest[0] != "delivered")
    outputs = json.loads(Path(entry["certificate"]).read_bytes())["outputs"]
    assert outputs["safe"]["file"] == "small-safe.png"
    assert shop.paid == before
    Path(entry["safe"]).write_bytes(b"another")
    assert "the safe small-safe.png was changed" in called("verify", entry["certificate"], code=3).stdout


def test_the_vendors_file_is_delivered_as_it_was_received(shop):
    (entry,) = json.loads(shop.mask("--alpha", "0.9", "--out", "vendor", "--json", code=0).stdout)["pictures"]
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
    (entry,) = json.loads(shop.mask("--alpha", "0.9", "--out", "marked", "--json", "--safe", code=0).stdout)["pictures"]
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
        found = shop.mask("--alpha", "0.9", "--out", name, "--json", *extra, source=str(path), code=0)
        (entry,) = json.loads(found.stdout)["pictures"]
        certificate = Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8"))
        for kind in ("image", "safe"):
            assert ("exif" in beside_pixels(entry[kind])) == (name == "kept")
            assert ("EXIF kept" in certificate.outputs[kind].get("metadata", "")) == (name == "kept")
        certificate.verify(shop.folder / name)
    both = shop.mask("--alpha", "0.9", "--out", "kept-twice", "--json", "--keep-metadata", str(path), code=0)
    images = [entry["image"] for entry in json.loads(both.stdout)["pictures"]]
    assert [("exif" in beside_pixels(image), Path(image).name) for image in images] == [
        (False, "small-image.png"),
        (True, "told-image.png"),
    ]
    found = shop.mask("--alpha", "0.9", "--out", "both", "--keep-metadata", "--leave-out", "xmp")
    assert (found.returncode, b"Leave one out" in found.stderr) == (2, True)


def test_what_was_changed_of_a_picture_stands_in_one_line_and_nothing_is_said_of_others(shop):
    exif = PillowImage.Exif()
    exif[0x112] = 6
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 1.0)})
    path, small = shop.folder / "phone.png", read_image(shop.folder / "small.png").pixels
    PillowImage.fromarray(small).save(path, exif=exif, icc_profile=wide_profile())
    said = shop.mask("--alpha", "0.9", "--out", "phone", source=str(path), code=0)
    (line,) = [line for line in said.stdout.decode().splitlines() if line.startswith("  changed: ")]
    assert "'Test space' converted to sRGB (relative colorimetric): colours that sRGB lacks are cut off" in line
    assert "EXIF orientation 6 applied" in line
    assert line.endswith("EXIF with GPS left out (--keep-metadata keeps it)")
    assert "cut off" not in said.stderr.decode()
    with PillowImage.open(shop.folder / "phone" / "phone-image.png") as image:
        assert (image.height, image.width) == (4 * small.shape[1], 4 * small.shape[0])
        assert not image.getexif().get_ifd(0x8825)
    said = shop.mask("--alpha", "0.9", "--out", "phone-kept", "--keep-metadata", source=str(path), code=0)
    assert b"EXIF with GPS kept" in said.stdout
    with PillowImage.open(shop.folder / "phone-kept" / "phone-image.png") as image:
        assert image.getexif().get_ifd(0x8825)[1] == "N"
    assert b"changed:" not in shop.mask("--alpha", "0.9", "--out", "unchanged", code=0).stdout


def test_files_that_are_left_out_are_not_written_and_the_rest_is_verified(shop):
    left_out = [word for kind in (*OPTIONAL, FULL_SIZE) for word in ("--leave-out", kind)]
    (entry,) = json.loads(shop.mask("--alpha", "0.9", "--out", "few", "--json", *left_out, code=0).stdout)["pictures"]
    names = ["small-certificate.json", "small-image.png", "small-mask.png"]
    assert sorted(path.name for path in (shop.folder / "few").iterdir()) == names
    assert [entry[kind.replace("-", "_")] for kind in OPTIONAL if kind != "xmp"] == [None, None, None]
    assert beside_pixels(entry["image"]) == {}
    Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8")).verify(shop.folder / "few")
    assert tuple(kind.replace("-", "_") for kind in OPTIONAL) == products.OPTIONAL


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
        found = shop.mask("--alpha", "0.9", "--out", "some", "--concurrency", "1", source="inputs", code=6)
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
    found = shop.mask("--alpha", "0.9", "--out", "tiny", "--json", source="tiny.png", code=0)
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
    found = shop.mask("--alpha", "0.9", "--out", "of-equal", "--json", source="equal", code=0)
    entries = json.loads(found.stdout)["pictures"]
    assert [Path(entry["input"]).stem for entry in entries] == ["one", "other"]
    for entry in entries:
        name = Path(entry["input"]).stem
        files = [Path(entry[kind]) for kind in ("image", "mask", "overlay", "score_map", "certificate")]
        assert all(path.name.startswith(f"{name}-") and path.is_file() for path in files)
        assert json.loads(Path(entry["certificate"]).read_bytes())["input"]["name"] == name


def small(seed: int) -> PillowImage.Image:
    return PillowImage.fromarray(photograph(seed)).resize((20, 16), PillowImage.Resampling.BICUBIC)


def spoil(folder: Path) -> None:
    """A truncated, a hidden and an imagined picture."""
    whole = folder / "whole.png"
    small(40).save(whole)
    (folder / "b-truncated.png").write_bytes(whole.read_bytes()[:-40])
    whole.unlink()
    clear = small(41).convert("RGBA")
    clear.putalpha(0)
    clear.save(folder / "c-transparent.png")
    (folder / "d-text.jpg").write_bytes(b"notapic\n")


BAD = (b"b-truncated.png", b"c-transparent.png", b"d-text.jpg")


@pytest.fixture(scope="module")
def spoilt_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with FaultServer() as server:
        spoilt_shop = Shop(tmp_path_factory.mktemp("shop"), server)
        inputs = spoilt_shop.folder / "inputs"
        inputs.mkdir()
        for seed, name in ((20, "a"), (21, "e"), (22, "same"), (23, "z")):
            small(seed).save(inputs / f"{name}.png")
        small(24).save(inputs / "same.jpg", quality=95)
        spoil(inputs)
        yield spoilt_shop


def test_every_bad_file_is_named_before_anything_is_paid(spoilt_shop):
    before = spoilt_shop.paid
    found = spoilt_shop.mask("--alpha", "0.9", "--out", "none", source="inputs", code=2)
    assert all(name in found.stderr for name in BAD), found.stderr
    assert found.stderr.count(b"same.png") == 1
    assert found.stderr.count(b"same.jpg") == 1
    assert b"5 of 8 pictures cannot be used" in found.stderr
    assert b"--keep-going" in found.stderr
    assert spoilt_shop.paid == before
    assert not (spoilt_shop.folder / "none").exists()


def test_the_good_ones_are_written_and_the_bad_ones_listed(spoilt_shop):
    found = spoilt_shop.mask("--alpha", "0.9", "--out", "good", "--keep-going", "--json", source="inputs", code=6)
    document = json.loads(found.stdout)
    assert [Path(entry["input"]).name for entry in document["pictures"]] == ["a.png", "e.png", "z.png"]
    failed = {Path(entry["input"]).name: entry for entry in document["failed"]}
    assert set(failed) == {"b-truncated.png", "c-transparent.png", "d-text.jpg", "same.jpg", "same.png"}
    assert all(entry["error"] for entry in failed.values())
    assert "is not an image" in failed["d-text.jpg"]["error"]
    for entry in document["pictures"]:
        Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8")).verify(
            spoilt_shop.folder / "good"
        )
    # Of each picture: itself, mask, overlay, map of uncertainty, the vendor's file and the certificate.
    assert len(list((spoilt_shop.folder / "good").iterdir())) == 18
    assert all(name in found.stderr for name in BAD), "people see the table too"
    found = spoilt_shop.mask("--alpha", "0.9", "--out", "well", "--keep-going", "--json", code=0)
    assert json.loads(found.stdout)["failed"] == []


def test_a_refusal_of_the_vendor_is_one_failure_among_others(tmp_path):
    refusal = [None] * 16 + ["status:code=422"]
    with FaultServer({"submit": refusal}) as server:
        spoilt_shop = Shop(tmp_path, server)
        (tmp_path / "inputs").mkdir()
        for seed in (20, 21, 22):
            small(seed).save(tmp_path / "inputs" / f"p{seed}.png")
        spoil(tmp_path / "inputs")
        more = ["--keep-going", "--json", "--concurrency", "1"]
        found = spoilt_shop.mask("--alpha", "0.9", "--out", "some", *more, source="inputs", code=6)
        document = json.loads(found.stdout)
        assert (len(document["pictures"]), len(document["failed"])) == (2, 4)
        assert sum("refused" in entry["error"] or "422" in entry["error"] for entry in document["failed"]) == 1


@pytest.mark.parametrize("command", ["calibrate", "plan", "audit"])
def test_every_bad_photograph_is_named(spoilt_shop, tmp_path, command):
    write_photographs(tmp_path, range(50, 53))
    spoil(tmp_path)
    shutil.copy(next(tmp_path.glob("p50*")), tmp_path / "twin.png")
    more = ["--calibration", spoilt_shop.calibration] if command == "audit" else []
    before = spoilt_shop.paid
    found = spoilt_shop.run(command, str(tmp_path), *more, code=2)
    assert all(name in found.stderr for name in (*BAD, b"twin.png")), found.stderr
    assert b"4 of 7 photographs cannot be used" in found.stderr
    assert b"--keep-going" not in found.stderr, "a calibration without some of its photographs is another one"
    assert spoilt_shop.paid == before


def test_of_many_bad_files_ten_are_named(spoilt_shop, tmp_path):
    for index in range(13):
        (tmp_path / f"t{index:02}.png").write_bytes(b"text")
    found = spoilt_shop.mask("--alpha", "0.9", source=str(tmp_path))
    assert found.stderr.count(b"is not an image") == 10
    assert b"and 3 more" in found.stderr


def test_missing_draws_of_several_pictures_are_named_together(tmp_path):
    write_photographs(tmp_path / "photographs", range(6))
    rng = np.random.default_rng(0)
    for path in (tmp_path / "photographs").iterdir():
        (tmp_path / "draws" / path.stem).mkdir(parents=True)
        pixels = np.asarray(PillowImage.open(path)).astype(int)
        for index in range(2):
            changed = np.clip(pixels + rng.integers(-9, 10, pixels.shape), 0, 255).astype(np.uint8)
            PillowImage.fromarray(changed).save(tmp_path / "draws" / path.stem / f"{index}.png")
    names = sorted(path.stem for path in (tmp_path / "photographs").iterdir())
    shutil.rmtree(tmp_path / "draws" / names[1])
    (tmp_path / "draws" / names[3] / "1.png").unlink()
    (tmp_path / "draws" / names[4] / "0.png").write_bytes(b"text")
    vendor = load_adapter("folder", path=str(tmp_path / "draws"), label="made here")
    choices = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}
    with pytest.raises(IncompleteError) as raised:
        bc.calibrate(vendor, tmp_path / "photographs", run=tmp_path / "run", **choices)
    assert all(name in str(raised.value) for name in (names[1], names[3], names[4])), raised.value
    assert "2 pictures" not in str(raised.value)


def test_from_python_failures_are_handed_over(spoilt_shop, monkeypatch):
    monkeypatch.chdir(spoilt_shop.folder)
    calibration = Calibration.load(spoilt_shop.calibration)
    vendor = load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=spoilt_shop.server.url)
    inputs = [(path.stem, path) for path in sorted((spoilt_shop.folder / "inputs").glob("[a-e]*"))]
    with pytest.raises(PicturesError, match="3 of 5") as raised:
        mask_all(vendor, inputs, calibration, 0.9, run=spoilt_shop.folder / "run", limits=Limits(max_calls=100))
    assert [name for name, _ in raised.value.failures] == ["b-truncated", "c-transparent", "d-text"]
    failed: dict[int, Exception] = {}
    results = mask_all(
        vendor,
        inputs,
        calibration,
        0.9,
        run=spoilt_shop.folder / "run",
        limits=Limits(max_calls=100),
        on_failure=failed.__setitem__,
    )
    assert [result.name for result in results] == ["a", "e"]
    assert sorted(failed) == [1, 2, 3]
    assert all(isinstance(error, ImageError) for error in failed.values())


class Desk:
    """A vendor that takes seeds, and a folder with photographs and a picture to mask."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.vendor = ["--adapter", VENDOR, "-p", f"url={url}", "--yes"]
        write_photographs(folder / "photographs", range(4))
        small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
        small.save(folder / "small.png")

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return called(*arguments, *self.vendor, folder=self.folder, code=code)

    def calibrate(self, out: str, *more: str) -> subprocess.CompletedProcess[str]:
        choices = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf", "--out", out]
        return self.run("calibrate", "photographs", *choices, *more)

    def mask(self, calibration: str, out: str, *more: str) -> Certificate:
        self.run("mask", "small.png", "--calibration", calibration, "--alpha", "0.9", "--out", out, *more)
        return Certificate.from_json((self.folder / out / "small-certificate.json").read_text())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory):
    with FaultServer() as server:
        yield Desk(tmp_path_factory.mktemp("desk"), server.url)


def test_another_seed_at_mask_or_audit_is_refused(desk):
    desk.calibrate("plain.json")
    refused = desk.run(
        "mask", "small.png", "--calibration", "plain.json", "--alpha", "0.9", "--seed", "3", "--out", "again", code=2
    )
    assert "fixes it to 0; got --seed 3" in refused.stderr
    assert not (desk.folder / "again").exists()
    write_photographs(desk.folder / "unseen", range(30, 32))
    audit = desk.run("audit", "unseen", "--calibration", "plain.json", "--alpha", "0.9", "--seed", "3", code=2)
    assert "--seed 3" in audit.stderr


def test_the_seed_is_the_calibrations_and_stands_on_the_certificate(desk):
    made = desk.calibrate("seven.json", "--seed", "7")
    assert "the root seed is 7, not the usual 0" in made.stderr
    assert json.loads((desk.folder / "seven.json").read_text())["procedure"]["root_seed"] == 7
    plain, seven = (desk.mask(f"{name}.json", f"out-{name}") for name in ("plain", "seven"))
    again = desk.mask("seven.json", "out-again", "--seed", "7")
    assert again.to_json() == seven.to_json()
    assert plain.draw_seeds != seven.draw_seeds
    for certificate in (plain, seven):
        procedure = Procedure(**certificate.procedure)
        digest = certificate.input["pixels"]
        assert certificate.draw_seeds == tuple(procedure.seed(digest, k, (0, 2**31 - 1)) for k in range(2))
        assert str(procedure.root_seed) in (certificate.seed_rule or "")
    assert not any("root seed" in note for note in plain.notes)
    assert any("the root seed is 7" in note for note in seven.notes)
    assert any("not signed" in line for line in plain.assumptions)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three pictures, two of another kind and an animation."""
    write_photographs(tmp_path / "phone", range(3))
    for name in ("1.jxl", "2.JXL", "3.gif"):
        (tmp_path / "phone" / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "phone"


EMBEDDED = ["--adapter", "embedded"]


@pytest.mark.parametrize(
    "command",
    [
        ["plan", "phone", *EMBEDDED],
        ["calibrate", "phone", "--adapter", "folder", "-p", "path=phone", "-p", "label=a"],
        ["degrade", "phone", "--out", "inputs"],
        ["inputs", "phone", "--suggest", "--photographs", "phone"],
        ["compare", "phone", "--vendor", "embedded", "--vendor", "embedded:draws=2", "--max-calls", "0"],
        ["tune", "phone", *EMBEDDED, "--learn"],
    ],
)
def test_files_that_are_left_out_are_counted_by_kind(phone, command, capsys):
    run(command)
    assert capsys.readouterr().err.count("note: 3 files left out: 2 .jxl, 1 .gif; what is read is") == 1


def test_nothing_is_said_of_whole_folders_and_in_quiet(phone, capsys):
    assert "left out" not in ended(capsys, ["plan", "phone", *EMBEDDED, "-q"]).err
    for path in [*phone.glob("*.jxl"), *phone.glob("*.JXL"), *phone.glob("*.gif")]:
        path.unlink()
    assert "left out" not in ended(capsys, ["plan", "phone", *EMBEDDED]).err


OTHER_PATHS = {
    " calibrate tuning": "files, each named by itself",
    " verify papers": "papers, each named by itself",
    " verify inputs": "files, each named by itself",
    " sign papers": "papers, each named by itself",
    " layers certificates": "papers, each named by itself",
    " geotiff write certificates": "papers, each named by itself",
    " geotiff write inputs": "files, each named by itself",
}


def test_every_option_that_takes_several_places_names_what_it_leaves_out():
    several = {
        f"{name} {parameter.name}"
        for name, command in every_command(cli, "")
        for parameter in command.params
        if (parameter.nargs == -1 or parameter.multiple)
        and isinstance(parameter.type, click.Path)
        and not isinstance(parameter.type, PicturesPath)
    }
    assert several == set(OTHER_PATHS)
