"""`verify --certificates`: a picture is found again by its pixels, and nothing is verified of one that changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.test_verify import masked
from PIL import Image as PillowImage
from support.command_line import ended
from support.gateway import calibrated, picture, serving
from support.mutations import redigested
from support.synthetic import photograph

import blackbox_conformal as bc
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

__all__ = ["masked"]


@pytest.fixture
def out(masked, tmp_path) -> Path:
    """A copy of the folder that `mask` wrote, in a folder of folders."""
    folder = tmp_path / "all" / "out"
    folder.mkdir(parents=True)
    for path in (masked / "out").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def looked_up(capsys, path: Path, folder: Path, code: int = 0, *further: str) -> dict[str, Any]:
    (found,) = json.loads(
        ended(capsys, ["verify", str(path), "--certificates", str(folder), "--json", *further], code).out
    )
    return found


def saved(source: Path, target: Path, **options: Any) -> Path:
    with PillowImage.open(source) as opened:
        PillowImage.fromarray(np.asarray(opened)).save(target, **options)
    return target


def edit(certificate: Path, change: Any) -> None:
    content = json.loads(certificate.read_text())
    change(content["outputs"])
    certificate.write_text(redigested(content))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", ["again.png", "again.webp", "again.tif", "again.bmp"])
def test_pixels_saved_again_without_loss_lead_to_their_certificate(out, tmp_path, capsys, name, *, recorded):
    if not recorded:
        edit(out / "p20-certificate.json", lambda outputs: outputs["image"].pop("pixels"))
    options = {"lossless": True} if name.endswith("webp") else {"compress_level": 1} if name.endswith("png") else {}
    again = saved(out / "p20-image.png", tmp_path / name, **options)
    assert again.read_bytes() != (out / "p20-image.png").read_bytes()
    found = looked_up(capsys, again, out.parent)
    assert (found["outcome"], found["verified"]) == ("undamaged", False)
    assert found["certificate"] == str(out / "p20-certificate.json")
    assert (found["output"], found["same_file"]) == ("image", False)
    assert "the file was saved again" in ended(capsys, ["verify", str(again), "--certificates", str(out)]).out


def test_the_file_itself_is_found_too_and_its_signature_is_checked(out, tmp_path, capsys):
    key, other = bc.SigningKey.new("Laboratory X"), bc.SigningKey.new("Somebody")
    key.save(tmp_path / "key.pem")
    again = saved(out / "p20-image.png", tmp_path / "again.png")
    ended(capsys, ["sign", str(out / "p20-certificate.json"), "--sign-with", str(tmp_path / "key.pem")])
    assert looked_up(capsys, again, out, 0, "--trust", key.key)["outcome"] == "verified"
    assert looked_up(capsys, out / "p20-image.png", out, 0, "--trust", key.key)["same_file"] is True
    assert looked_up(capsys, again, out, 7)["outcome"] == "signed by a stranger"
    assert looked_up(capsys, again, out, 3, "--trust", other.key)["outcome"] == "not verified"


def test_what_is_wrong_with_the_certificate_or_its_files_is_said(out, tmp_path, capsys):
    again = saved(out / "p20-image.png", tmp_path / "again.png")
    (out / "p20-mask.png").unlink()
    found = looked_up(capsys, again, out, 3)
    assert "expected the mask p20-mask.png beside its certificate" in found["reason"]
    assert found["certificate"] == str(out / "p20-certificate.json")
    (out / "p20-image.png").unlink()
    assert looked_up(capsys, again, out, 3)["output"] == "image"
    damaged = (out / "p20-certificate.json").read_text().replace('"alpha": 0.6', '"alpha": 0.1')
    (out / "p20-certificate.json").write_text(damaged)
    assert "1 certificate there cannot be read, first" in looked_up(capsys, again, out, 3)["reason"]


def test_a_certificate_cannot_claim_the_pixels_of_another_file(out, tmp_path, capsys):
    pixels = np.asarray(PillowImage.open(out / "p20-image.png")).copy()
    pixels[5:20, 5:20] = 255 - pixels[5:20, 5:20]
    PillowImage.fromarray(pixels).save(tmp_path / "edited.png")
    edit(out / "p20-certificate.json", lambda outputs: outputs["image"].update(pixels=pixels_digest(pixels)))
    found = looked_up(capsys, tmp_path / "edited.png", out, 3)
    assert found["outcome"] == "not verified"
    assert found["nearest"]["largest_difference"] > 50


def test_after_jpeg_the_difference_is_told_and_nothing_is_verified(out, tmp_path, capsys):
    again = saved(out / "p20-image.png", tmp_path / "again.jpg", quality=90)
    found = looked_up(capsys, again, out, 3)
    one, two = (np.asarray(PillowImage.open(path)).astype(int) for path in (again, out / "p20-image.png"))
    assert (found["outcome"], found["verified"]) == ("not verified", False)
    assert found["nearest"]["certificate"] == str(out / "p20-certificate.json")
    assert found["nearest"]["largest_difference"] == abs(one - two).max()
    assert found["nearest"]["psnr_db"] == pytest.approx(10 * np.log10(255**2 / ((one - two) ** 2).mean()))
    assert "Saving as JPEG changes that much, and an edit may, too" in found["reason"]


def test_other_and_resized_pictures_are_of_no_certificate(out, tmp_path, capsys):
    whole = PillowImage.open(out / "p20-image.png")
    PillowImage.fromarray(photograph(33)).resize(whole.size).save(tmp_path / "other.png")
    found = looked_up(capsys, tmp_path / "other.png", out, 3)
    assert found["nearest"]["psnr_db"] < 20
    assert "That is another picture" in found["reason"]
    whole.resize((whole.width // 2, whole.height // 2)).save(tmp_path / "small.png")
    found = looked_up(capsys, tmp_path / "small.png", out, 3)
    assert found["nearest"] is None
    assert "it was resized or cropped, or is another picture" in found["reason"]
    (tmp_path / "nothing").mkdir()
    assert "there are none" in looked_up(capsys, tmp_path / "other.png", tmp_path / "nothing", 3)["reason"]


def test_a_changed_alpha_channel_is_a_change(out, tmp_path, capsys):
    whole = PillowImage.open(out / "p20-image.png").convert("RGBA")
    whole.save(tmp_path / "opaque.png")
    assert looked_up(capsys, tmp_path / "opaque.png", out)["output"] == "image"
    whole.putpixel((3, 3), (*whole.getpixel((3, 3))[:3], 0))
    whole.save(tmp_path / "hole.png")
    assert looked_up(capsys, tmp_path / "hole.png", out, 3)["nearest"]["largest_difference"] == 255


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_what_a_gateway_served_is_found_in_its_run_folder_and_beside_a_saved_certificate(tmp_path, capsys, kind):
    file = calibrated(tmp_path / "calibration")
    with FaultServer() as server:
        if kind == "jpeg":
            server.script = {"submit": "picture:kind=jpeg"}
        with serving(file, SynchronousVendor(url=server.url), tmp_path / "run") as gateway:
            told = gateway.json(picture(3))["blackbox_conformal"]
            files = {name: gateway.get(told[name]).content for name in ("picture", "mask", "certificate")}
    kept = tmp_path / "kept"
    kept.mkdir()
    for name, content in files.items():
        ending = {"certificate": "json", "mask": "png"}.get(name, "jpg" if kind == "jpeg" else kind)
        (kept / f"{name}.{ending}").write_bytes(content)
    again = saved(next(kept.glob("picture.*")), tmp_path / "again.png")
    assert json.loads(files["certificate"])["outputs"]["picture"]["pixels"] == read_image(again).digest
    said = ended(capsys, ["verify", str(again), "--certificates", str(kept)]).out
    assert (
        "its certificate says of it: the vendor's file of the delivered picture, as received, and marked (XMP)" in said
    )
    for folder in (kept, tmp_path / "run"):
        found = looked_up(capsys, again, folder)
        assert (found["outcome"], found["output"], found["same_file"]) == ("undamaged", "picture", False)
    assert looked_up(capsys, next(kept.glob("picture.*")), tmp_path / "run")["same_file"] is True
