"""One bad file among many hides neither the other bad ones nor the good ones."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.shop import Shop
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import ImageError, IncompleteError, PicturesError
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.python.functions import mask_all
from blackbox_conformal.testing.fault_server import FaultServer


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
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with FaultServer() as server:
        shop = Shop(tmp_path_factory.mktemp("shop"), server)
        inputs = shop.folder / "inputs"
        inputs.mkdir()
        for seed, name in ((20, "a"), (21, "e"), (22, "same"), (23, "z")):
            small(seed).save(inputs / f"{name}.png")
        small(24).save(inputs / "same.jpg", quality=95)
        spoil(inputs)
        yield shop


def test_every_bad_file_is_named_before_anything_is_paid(shop):
    before = shop.paid
    found = shop.mask("--alpha", "0.9", "--out", "none", source="inputs")
    assert found.returncode == 2
    assert all(name in found.stderr for name in BAD), found.stderr
    assert found.stderr.count(b"same.png") == 1
    assert found.stderr.count(b"same.jpg") == 1
    assert b"5 of 8 pictures cannot be used" in found.stderr
    assert b"--keep-going" in found.stderr
    assert shop.paid == before
    assert not (shop.folder / "none").exists()


def test_the_good_ones_are_written_and_the_bad_ones_listed(shop):
    found = shop.mask("--alpha", "0.9", "--out", "good", "--keep-going", "--json", source="inputs")
    assert found.returncode == 6, found.stderr
    document = json.loads(found.stdout)
    assert [Path(entry["input"]).name for entry in document["pictures"]] == ["a.png", "e.png", "z.png"]
    failed = {Path(entry["input"]).name: entry for entry in document["failed"]}
    assert set(failed) == {"b-truncated.png", "c-transparent.png", "d-text.jpg", "same.jpg", "same.png"}
    assert all(entry["error"] for entry in failed.values())
    assert "is not an image" in failed["d-text.jpg"]["error"]
    for entry in document["pictures"]:
        Certificate.from_json(Path(entry["certificate"]).read_text(encoding="utf-8")).verify(shop.folder / "good")
    # Of each picture: itself, mask, overlay, map of uncertainty, the vendor's file and the certificate.
    assert len(list((shop.folder / "good").iterdir())) == 18
    assert all(name in found.stderr for name in BAD), "people see the table too"


def test_all_good_with_keep_going_ends_well(shop):
    found = shop.mask("--alpha", "0.9", "--out", "well", "--keep-going", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["failed"] == []


def test_a_refusal_of_the_vendor_is_one_failure_among_others(tmp_path):
    refusal = [None] * 16 + ["status:code=422"]
    with FaultServer({"submit": refusal}) as server:
        shop = Shop(tmp_path, server)
        (tmp_path / "inputs").mkdir()
        for seed in (20, 21, 22):
            small(seed).save(tmp_path / "inputs" / f"p{seed}.png")
        spoil(tmp_path / "inputs")
        more = ["--keep-going", "--json", "--concurrency", "1"]
        found = shop.mask("--alpha", "0.9", "--out", "some", *more, source="inputs")
        assert found.returncode == 6
        document = json.loads(found.stdout)
        assert (len(document["pictures"]), len(document["failed"])) == (2, 4)
        assert sum("refused" in entry["error"] or "422" in entry["error"] for entry in document["failed"]) == 1


@pytest.mark.parametrize("command", ["calibrate", "plan", "audit"])
def test_every_bad_photograph_is_named(shop, tmp_path, command):
    write_photographs(tmp_path, range(50, 53))
    spoil(tmp_path)
    shutil.copy(next(tmp_path.glob("p50*")), tmp_path / "twin.png")
    more = ["--calibration", shop.calibration] if command == "audit" else []
    before = shop.paid
    found = shop.run(command, str(tmp_path), *more)
    assert found.returncode == 2
    assert all(name in found.stderr for name in (*BAD, b"twin.png")), found.stderr
    assert b"4 of 7 photographs cannot be used" in found.stderr
    assert b"--keep-going" not in found.stderr, "a calibration without some of its photographs is another one"
    assert shop.paid == before


def test_of_many_bad_files_ten_are_named(shop, tmp_path):
    for index in range(13):
        (tmp_path / f"t{index:02}.png").write_bytes(b"text")
    found = shop.mask("--alpha", "0.9", source=str(tmp_path))
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


def test_from_python_failures_are_handed_over(shop, monkeypatch):
    monkeypatch.chdir(shop.folder)
    calibration = Calibration.load(shop.calibration)
    vendor = load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=shop.server.url)
    inputs = [(path.stem, path) for path in sorted((shop.folder / "inputs").glob("[a-e]*"))]
    with pytest.raises(PicturesError, match="3 of 5") as raised:
        mask_all(vendor, inputs, calibration, 0.9, run=shop.folder / "run", limits=Limits(max_calls=100))
    assert [name for name, _ in raised.value.failures] == ["b-truncated", "c-transparent", "d-text"]
    failed: dict[int, Exception] = {}
    results = mask_all(
        vendor,
        inputs,
        calibration,
        0.9,
        run=shop.folder / "run",
        limits=Limits(max_calls=100),
        on_failure=failed.__setitem__,
    )
    assert [result.name for result in results] == ["a", "e"]
    assert sorted(failed) == [1, 2, 3]
    assert all(isinstance(error, ImageError) for error in failed.values())
