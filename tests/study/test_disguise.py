"""Calibration and tuning photographs in disguise are found by calibrate, audit and mask, from sketches in the file."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.images.duplicates import sketch

NAMES = range(6)


def brighter(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels.astype(int) + 3, 0, 255).astype(np.uint8)


def compressed(pixels: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    PillowImage.fromarray(pixels).save(out, "JPEG", quality=60)
    return np.asarray(PillowImage.open(out))


DISGUISES = {
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "turned": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "brighter": brighter,
    "compressed": compressed,
    "smaller": lambda pixels: np.asarray(PillowImage.fromarray(pixels).resize((60, 48))),
}


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    return bc.load_adapter("folder", path=str(write_draws(tmp_path_factory.mktemp("draws"), NAMES)), label="made up")


@pytest.fixture(scope="module")
def calibration(vendor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrate")
    made = bc.calibrate(
        vendor,
        [str(path) for path in write_photographs(folder / "photographs", NAMES)],
        draws=4,
        score="pixel-variance",
        metric="rgb-linf",
        run=folder / "run",
    )
    return Calibration.load(made.save(folder / "calibration.json"))


def saved(pixels: np.ndarray, path: Path) -> Path:
    PillowImage.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("disguise", DISGUISES)
def test_an_audit_refuses_calibration_photographs_in_disguise(disguise, calibration, vendor, tmp_path):
    copy = saved(DISGUISES[disguise](photograph(2)), tmp_path / "new.png")
    with pytest.raises(CalibrationError, match="new, which is a copy of calibration photograph p2"):
        bc.audit(vendor, [copy], calibration, [0.5], run=tmp_path / "run")


def test_an_audit_names_a_calibration_photograph_once(calibration, vendor, tmp_path):
    for name, said in (("p2", r"first p2\. Leave"), ("new", r"first new, which is calibration photograph p2\. Leave")):
        path = saved(photograph(2), tmp_path / f"{name}.png")
        with pytest.raises(CalibrationError, match=said):
            bc.audit(vendor, [path], calibration, [0.5], run=tmp_path / "run")


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_mask_of_a_reduced_calibration_photograph_is_refused(disguise, calibration, vendor, tmp_path):
    pixels = DISGUISES[disguise](photograph(2))
    small = PillowImage.fromarray(pixels).resize((20, 16), PillowImage.Resampling.LANCZOS)
    path = saved(np.asarray(small), tmp_path / "small.png")
    with pytest.raises(CalibrationError, match="small is a copy of calibration photograph p2"):
        bc.mask(vendor, path, calibration, 0.5, run=tmp_path / "run")


@pytest.mark.parametrize("disguise", DISGUISES)
def test_tuning_photographs_in_disguise_cannot_calibrate(disguise, vendor, tmp_path):
    paths = write_photographs(tmp_path / "photographs", NAMES)
    tuning = (KnownPhotograph.of(sketch(DISGUISES[disguise](photograph(4)))),)
    with pytest.raises(CalibrationError, match="used for tuning and cannot calibrate, first p4"):
        bc.calibrate(
            vendor,
            [str(path) for path in paths],
            draws=4,
            score="pixel-variance",
            metric="rgb-linf",
            run=tmp_path / "run",
            tuning=tuning,
        )


def test_other_photographs_are_not_taken_for_copies(calibration):
    for number in range(50, 90):
        seen = sketch(photograph(number))
        assert calibration.known(seen, "sha256:none") is None
