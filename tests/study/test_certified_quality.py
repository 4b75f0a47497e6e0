"""The certified quality of a whole picture: what it follows from, where it is silent, and what an audit finds of it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.method.audits.quality import QualityMaps
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.risk.whole_errors import WholeErrors
from blackbox_conformal.method.scores.predicted_invention import PredictedInvention
from blackbox_conformal.method.scores.texture import Texture
from blackbox_conformal.method.scores.unsupported import Unsupported
from blackbox_conformal.study.stages.certify import Comparisons, claims, contradictions, known_errors_agree
from blackbox_conformal.support import catalog


class Studio:  # A vendor whose answers lie in a folder, 20 photographs that calibrate, 10 others, and an input
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vendor = bc.load_adapter("folder", path=str(write_draws(folder / "draws", range(31))), label="made up")
        self.paths = write_photographs(folder / "photographs", range(30))
        settings = {"score": "texture", "metric": "rgb-linf", "run": folder / "run"}
        self.calibration = bc.calibrate(self.vendor, self.paths[:20], **settings)
        self.small = PillowImage.fromarray(photograph(30)).resize((20, 16), PillowImage.Resampling.BICUBIC)
        self.small.save(folder / "p30.png")
        self.small.save(folder / "p30.jpg", quality=95)

    def mask(self, calibration: bc.Calibration, name: str = "p30.png") -> bc.Result:
        return bc.mask(self.vendor, self.folder / name, calibration, 0.9, run=self.folder / "run", empty_masks=True)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return Studio(tmp_path_factory.mktemp("studio"))


def test_the_bounds_are_those_of_the_definition(studio):
    result = studio.mask(studio.calibration)
    found = result.certificate.quality
    assert (found.photographs, found.probability) == (20, 0.9)
    # Plain enlargement is known, and the second largest of 20 ratios counts.
    known = QualityMaps(bicubic_up(result.low_resolution, 4), result.image).over()
    apart = 10 ** (-known.psnr / 10) + 255.0**-2
    ratio = np.sort(studio.calibration.whole_errors.ratios[:, 0])[-2]
    assert found.known[0] == pytest.approx(apart)
    assert found.psnr == math.floor(-1000 * math.log10(math.sqrt(apart) * ratio)) / 100
    dissimilar = math.sqrt(found.known[1]) * np.sort(studio.calibration.whole_errors.ratios[:, 1])[-2]
    assert found.ssim == math.floor(1000 * (1 - 2 * dissimilar)) / 1000
    said = f"a PSNR of at least {found.psnr:.2f} dB (sRGB), a mean SSIM of at least {found.ssim:.3f}, a mean rgb-linf"
    assert said in found.statement
    assert "like the 20 calibrated, at least 90 on average" in found.statement
    assert found.short.startswith(f"PSNR at least {found.psnr:.2f} dB, SSIM at least")


def test_the_condition_stands_in_the_statement_and_in_few_words(studio):
    found = studio.mask(studio.calibration).certificate
    assert found.status == "if-like-calibration"
    assert found.quality.statement.startswith("If this input is like the 20 calibrated, the whole picture, clear and")
    assert "(if like the calibration's, each with" in found.quality.short


def test_nothing_is_certified_of_a_picture_in_doubt(studio):
    """One input in twenty like the calibration's differs so much, and of others nothing is known."""
    certificate, calibration = studio.mask(studio.calibration).certificate, studio.calibration
    rule, metric = calibration.rule(None), catalog.of_specification("metrics", calibration.procedure.metric)
    stated = {}
    for p_value in (0.05, 0.051):
        check = certificate.input_check.model_copy(update={"p_value": p_value})
        known = Comparisons(check, certificate.stream_check)
        errors = np.array(certificate.quality.known)
        found = claims(calibration, metric, rule, 0.9, 0.5, known, None, judged=True, known=errors)
        stated[p_value] = (found["status"], found["quality"] is not None)
    assert stated == {0.05: ("if-like-calibration", False), 0.051: ("if-like-calibration", True)}


def test_a_quality_that_does_not_follow_is_found(studio):
    result = studio.mask(studio.calibration)
    certificate, low = result.certificate, np.asarray(studio.small)
    assert contradictions(certificate, studio.calibration) == []
    assert known_errors_agree(certificate, studio.calibration, result.image, low)
    better = certificate.quality.model_copy(update={"psnr": 99.0})
    (wrong,) = contradictions(certificate.model_copy(update={"quality": better}), studio.calibration)
    assert wrong.startswith("quality is ")
    assert not known_errors_agree(certificate, studio.calibration, np.roll(result.image, 1, axis=0), low)


def test_nothing_is_certified_of_inputs_of_another_kind_nor_by_earlier_calibrations(studio, tmp_path):
    assert studio.mask(studio.calibration, "p30.jpg").certificate.quality is None
    earlier = replace(studio.calibration, whole_errors=WholeErrors.unknown(20))
    file = earlier.save(tmp_path / "earlier.json")
    assert "whole_errors" not in file.read_text(encoding="utf-8")
    loaded = bc.Calibration.load(file)
    assert loaded.digest == earlier.digest != studio.calibration.digest
    certificate = studio.mask(loaded).certificate
    assert "quality" not in certificate.to_json()
    assert contradictions(certificate, loaded) == []


def test_an_audit_counts_pictures_that_are_worse_than_certified(studio):
    audit = bc.audit(studio.vendor, studio.paths[20:], studio.calibration, run=studio.folder / "run")
    assert [(one.measure, one.n) for one in audit.quality] == [("PSNR", 10), ("SSIM", 10), ("mean error", 10)]
    limits = studio.calibration.whole_errors.largest_ratios(0.1)
    ratios = np.array([picture.ratios for picture in audit.pictures])
    assert [one.misses for one in audit.quality] == (ratios > limits).sum(axis=0).tolist()
    assert [row["misses"] for row in audit.document()["quality"]] == [one.misses for one in audit.quality]


def test_tiles_of_a_photograph_count_once(studio):
    images = [
        image.model_copy(update={"cluster": f"c{place // 2}"}) for place, image in enumerate(studio.calibration.images)
    ]
    tiled = replace(studio.calibration, images=tuple(images))
    assert len(tiled.whole_errors_of()) == 10


def test_the_known_picture_is_the_reference_where_the_score_makes_it():
    assert Texture().reference_degraded is None
    assert PredictedInvention(degraded=True).reference_degraded is True
    assert Unsupported(degraded=False).reference_degraded is False
