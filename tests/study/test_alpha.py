"""A picture with alpha: its colours are judged, its alpha is put back, and what alpha hides is never trusted."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import ImageError
from blackbox_conformal.pages.report.report_store import preview_of_result
from blackbox_conformal.study.mask.products import add_doubt

OPACITY = np.full((16, 20), 255, np.uint8)
OPACITY[:6], OPACITY[6] = 0, 120


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vendor = bc.load_adapter("folder", path=str(write_draws(folder / "draws", range(9))), label="made up")
        paths = write_photographs(folder / "photographs", range(8))
        choices = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf", "run": folder / "run"}
        self.calibration = bc.calibrate(self.vendor, [str(path) for path in paths], **choices)
        self.calibration.save(folder / "c.json")
        small = Image.fromarray(photograph(8)).resize((20, 16), Image.Resampling.BICUBIC)
        self.pixels = np.asarray(small)
        self.whole = self.mask(small)
        small.putalpha(Image.fromarray(OPACITY))
        small.save(folder / "p8.png")
        self.result = self.mask(folder / "p8.png")
        self.result.save(folder / "out", safe=True)
        self.paper = folder / "out" / "p8-certificate.json"

    def mask(self, picture: object) -> bc.Result:
        named = picture if isinstance(picture, Path) else ("p8", picture)
        return bc.mask(self.vendor, named, self.calibration, 0.6, run=self.folder / "run")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(tmp_path_factory.mktemp("alpha"))


def enlarged() -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(OPACITY).resize((80, 64), Image.Resampling.BICUBIC))


def test_what_shows_is_masked_as_ever_and_what_is_hidden_is_never_trusted(desk):
    shows, whole, result = enlarged() > 0, desk.whole, desk.result
    assert 0.5 < shows.mean() < 0.8
    assert whole.mask[~shows].any()
    assert np.array_equal(result.image, whole.image)
    assert np.array_equal(result.mask, whole.mask & shows)
    assert np.array_equal(result.score_map[shows], whole.score_map[shows])
    certificate = result.certificate
    assert certificate.trusted_share == result.mask.sum() / shows.sum()
    assert certificate.input["pixels"] == whole.certificate.input["pixels"]
    (note,) = set(certificate.notes) - set(whole.certificate.notes)
    assert f"The {1 - shows.mean():.1%} of the pixels that alpha hides are never trusted" in note


def test_alpha_is_put_back_into_every_picture_of_it(desk):
    for kind in ("image", "safe", "overlay"):
        with Image.open(desk.paper.with_name(f"p8-{kind}.png")) as picture:
            assert picture.mode == "RGBA"
            assert np.array_equal(np.asarray(picture)[..., 3], enlarged())
    image = np.asarray(Image.open(desk.paper.with_name("p8-image.png")))
    assert np.array_equal(image[..., :3], desk.result.image)


def test_papers_of_it_are_verified_and_a_hidden_pixel_in_white_is_found(desk, tmp_path, capsys):
    calibration, sent = str(desk.folder / "c.json"), str(desk.folder / "p8.png")
    assert run(["verify", str(desk.paper), "--calibration", calibration, "--input", sent, "-v"]) == 0
    assert "of its notes" not in capsys.readouterr().out
    for forged, said in ((desk.whole.mask, "hidden pixels are white"), (np.zeros_like(desk.whole.mask), "share")):
        replace(desk.result, mask=forged).save(tmp_path, force=True)
        assert run(["verify", str(tmp_path / "p8-certificate.json")]) == 3
        assert said in capsys.readouterr().out


def test_without_its_note_a_certificate_does_not_follow(desk, tmp_path):
    silent = desk.result.certificate.model_copy(update={"notes": desk.whole.certificate.notes})
    replace(desk.result, certificate=silent).save(tmp_path)
    paper, calibration = str(tmp_path / "p8-certificate.json"), str(desk.folder / "c.json")
    assert run(["verify", paper, "--calibration", calibration]) == 3


def test_layers_hatch_nothing_that_is_hidden(desk):
    assert run(["layers", str(desk.paper), "--force"]) == 0
    with zipfile.ZipFile(desk.paper.with_name("p8-layers.ora")) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name.endswith(".png")}
    hatched, merged, thumbnail = (
        np.asarray(Image.open(io.BytesIO(files[name])))
        for name in ("data/hatched.png", "mergedimage.png", "Thumbnails/thumbnail.png")
    )
    assert (hatched[..., -1] <= enlarged()).all()
    assert (hatched[..., -1][~desk.result.mask & (enlarged() == 255)] > 0).all()
    assert np.array_equal(merged[..., 3], enlarged())
    assert thumbnail.shape[2] == 4


def test_reports_count_the_share_as_the_certificate_does(desk):
    certificate = desk.result.certificate
    threshold = float.fromhex(certificate.threshold_hex)
    preview = preview_of_result(desk.result, np.array([threshold]))
    assert preview.share(threshold) == certificate.trusted_share


def test_equal_colours_below_another_alpha_have_a_mask_of_their_own(desk):
    other = np.dstack([desk.pixels, OPACITY[::-1]])
    hidden, shown = bc.mask_all(
        desk.vendor,
        [("p8", np.dstack([desk.pixels, OPACITY])), ("p8", other)],
        desk.calibration,
        0.6,
        run=desk.folder / "run",
    )
    assert np.array_equal(hidden.mask, desk.result.mask)
    assert np.array_equal(shown.mask, desk.whole.mask & (enlarged()[::-1] > 0))


def test_a_session_masks_it(desk):
    with bc.Session(desk.calibration, desk.vendor, 0.6, run=desk.folder / "run") as session:
        assert np.array_equal(session.mask(desk.folder / "p8.png").mask, desk.result.mask)


def test_content_credentials_say_the_same_also_after_a_whole_batch_is_in_doubt(desk, tmp_path):
    sure = desk.result.certificate.model_copy(update={"status": "guaranteed", "reason": None})
    key = bc.SigningKey.new("Laboratory")
    products = replace(desk.result, certificate=sure).save(tmp_path, credentials=key)
    assert run(["verify", str(products.image), "--trust", key.key]) == 0
    doubted = add_doubt(products.certificate, "the answers differ", credentials=bc.CertifiedKey.of(key))
    assert doubted.status == "outside-calibration"
    assert run(["verify", str(products.image), "--trust", key.key]) == 0


def test_photographs_with_alpha_calibrate_nothing(desk, tmp_path):
    clear = Image.fromarray(photograph(1)).convert("RGBA")
    clear.putalpha(90)
    clear.save(tmp_path / "p1.png")
    with pytest.raises(ImageError, match=r"transparent.*magick in.png -background white -flatten"):
        bc.calibrate(desk.vendor, [str(tmp_path / "p1.png")], draws=4, run=tmp_path / "run")
