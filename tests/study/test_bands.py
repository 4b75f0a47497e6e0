"""Pictures of declared bands from files and arrays to mask, audit and report; 8-bit procedures know nothing of them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import called
from support.synthetic import draw, photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.errors import BlackboxConformalError, ImageError, UsageError
from blackbox_conformal.method.images.bands import Bands
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.safe_pictures import picture_to_show
from blackbox_conformal.study.stages.settings import set_up

ALPHA = 0.08
CASES: dict[str, Any] = {
    "four": ("4:0:10000", "smoothed-variance", 2, "band-l1:sigma=2,cap=0.3"),
    "grey": ("1:0:65535", "bicubic-gap", 1, "band-linf:sigma=2,cap=0.3"),
}


def deep(pixels: np.ndarray, bands: Bands) -> np.ndarray:
    """An 8-bit picture as values of the bands, which are no multiples of its levels."""
    shares = np.dstack([pixels, pixels[:, :, :1]])[:, :, : bands.count] / 255 * 0.9 + 0.0123
    return np.rint(bands.high * shares**2).astype(np.uint16)


def material(case: str) -> dict[str, list[Any]]:
    text, _, draws, _ = CASES[case]
    bands, truths = Bands.of_text(text), [photograph(seed) for seed in range(14)]
    answers = [[deep(draw(truth, 50 * k + seed), bands) for k in range(draws)] for seed, truth in enumerate(truths)]
    return {
        "truths": [deep(truth, bands) for truth in truths],
        "inputs": [deep(reduced(truth, 4), bands) for truth in truths],
        "outputs": answers,
    }


def save(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if values.shape[2] == 1:
        PillowImage.fromarray(values[:, :, 0]).save(file.with_suffix(".png"))
    else:
        np.save(file.with_suffix(".npy"), values)


def run(*words: str) -> Any:
    ended = called(*words, "--json")
    assert ended.returncode in (0, 3), ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("case", CASES)
def test_from_files_and_arrays_to_the_report(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, score, draws, metric = CASES[case]
    bands, given = Bands.of_text(text), material(case)
    for place in range(14):
        name = f"p{place:02d}"
        save(Path("truths" if place < 12 else "unseen", name), given["truths"][place])
        save(Path("inputs", name), given["inputs"][place])
        for index, answer in enumerate(given["outputs"][place]):
            save(Path("outputs", name, str(index)), answer)
    vendor = ("-p", "path=outputs", "-p", "inputs=inputs")
    chosen = ("--score", score, "--metric", metric, "--draws", str(draws), "--run", "run", "--out", "c.json")
    run("calibrate", "truths", "--adapter", "folder", *vendor, "-p", "label=x", "-p", f"bands={text}", *chosen)
    calibration = bc.Calibration.load("c.json")
    threshold = calibration.threshold(ALPHA)
    assert 0 < threshold < np.inf
    first = {name: pictures[:12] for name, pictures in given.items()}
    arrays = bc.calibrate(**first, bands=text, label="x", score=score, metric=metric, run="arrays")
    assert (arrays.threshold(ALPHA), arrays.procedure) == (threshold, calibration.procedure)
    new = next(Path("inputs").glob("p13.*"))
    calibrated = ("--calibration", "c.json", "--run", "run")
    run("mask", str(new), *calibrated, *vendor[:2], "--alpha", str(ALPHA), "--out", "out", "--safe")
    certificate = Certificate.from_json(Path("out/p13-certificate.json").read_text())
    assert any(bands.words in sentence for sentence in certificate.assumptions)
    assert 0 < certificate.trusted_share < 1
    assert certificate.quality.ssim is None
    assert "dB (of the declared range)" in certificate.quality.statement
    of_arrays = bc.mask(given["outputs"][13], given["inputs"][13], calibration, ALPHA, run="arrays")
    np.testing.assert_array_equal(of_arrays.values, given["outputs"][13][0])
    np.testing.assert_array_equal(of_arrays.mask, np.array(PillowImage.open("out/p13-mask.png")))
    ending = "png" if bands.count == 1 else "npy"
    mixture = calibration.procedure.mixture
    inside = picture_to_show(certificate.inside.trusted(), of_arrays.image, of_arrays.low_resolution, mixture)
    for kind, clear in (("image", given["outputs"][13][0]), ("safe", bands.values(inside))):
        picture = read_image(Path(f"out/p13-{kind}.{ending}"), bands=bands)
        np.testing.assert_array_equal(bands.values(picture.pixels)[of_arrays.mask], clear[of_arrays.mask])
    assert Path(f"out/p13-vendor.{ending}").read_bytes() == next(Path("outputs/p13").glob("0.*")).read_bytes()
    assert called("verify", "out/p13-certificate.json", "--calibration", "c.json").returncode == 0
    audit = run("audit", "unseen", *calibrated, *vendor, "--alpha", str(ALPHA))
    level = audit["levels"][0]
    assert level["psnr_trusted_in_metric_space"] > 10
    assert level["psnr_all"] is None
    run("report", *calibrated, "--out", "report.html")
    assert bands.words in Path("report.html").read_text(encoding="utf-8")


def folder(**parameters: Any) -> Any:
    return bc.load_adapter("folder", path=".", label="x", **parameters)


def test_without_bands_a_folder_is_the_vendor_that_it_was():
    assert folder().identity()["parameters"] == {"label": "x", "scale": 4, "resample": False}
    assert folder(bands="1:0:9").identity()["parameters"]["bands"] == "1:0:9"


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"metric": "lab-l1"}, "got lab-l1. Give --metric band-l1:sigma=4"),
        ({"metric": "spectral-angle", "bands": "1:0:9"}, "got spectral-angle. Give --metric band-l1:sigma=4"),
        ({"score": "texture"}, "got texture. Give --score bicubic-gap:sigma=8"),
        ({"score": "weighted", "draws": 4}, "got weighted. Give --score smoothed-variance"),
        ({"degradation": "bicubic+noise:3"}, "Give --degradation bicubic, area, lanczos or given"),
        ({"delivery": "consistent"}, "Give --delivery first"),
        ({"perturbation": "dihedral"}, "Give no --perturbation"),
    ],
)
def test_what_looks_at_8_bit_colours_alone_is_refused_by_name(settings, cure):
    usual = {"metric": "band-l1", "score": "bicubic-gap", "draws": 1, "bands": "4:0:10000"}
    chosen = {**usual, **settings}
    with pytest.raises(UsageError, match=re.escape(cure)):
        set_up(folder(bands=chosen.pop("bands")), **chosen)


def test_guarantees_about_detail_are_refused():
    setup = set_up(folder(bands="4:0:10000"), metric="band-l1", score="bicubic-gap", draws=1)
    with pytest.raises(UsageError, match="--guarantee expected"):
        _ = setup.detail_metric


@pytest.mark.parametrize("how", ["area", "bicubic", "lanczos"])
def test_inputs_are_made_by_reductions(how):
    setup = set_up(folder(bands="2:0:9"), metric="band-l1", score="bicubic-gap", draws=1, degradation=how)
    levels = Bands.of_text("2:0:9").levels(np.full((8, 12, 2), 9, np.uint8))
    low = setup.procedure.degraded(levels, "sha256:0")
    assert (low.shape, low.dtype, low.min()) == ((2, 3, 2), np.uint16, 65535)


def test_a_vendor_of_8_bit_colours_refuses_more_by_name():
    with pytest.raises(BlackboxConformalError, match="no parameter 'bands'"):
        bc.load_adapter("embedded", bands="4:0:10000")


def test_arrays_that_are_unlike_the_declaration_are_refused():
    given = material("four")
    with pytest.raises(ImageError, match=r"inputs\[0\]: expected values from 0 to 9"):
        bc.calibrate(**given, bands="4:0:9", score="bicubic-gap", metric="band-l1")
    with pytest.raises(ImageError, match=r"declare what the numbers are, such as bands=4:0:65535"):
        bc.calibrate(**given, score="bicubic-gap", metric="band-l1")
