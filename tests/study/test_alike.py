"""Photographs that are alike: calibration photographs in disguise, series that may depend on each other."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, sketch_of, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.images.duplicates import sketch
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.images.metadata import time_shot
from blackbox_conformal.study.calibrate import calibrating
from blackbox_conformal.study.calibrate.calibrating import question_of
from blackbox_conformal.study.stages.prepare import Prepared

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
    terms = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf", "run": folder / "run"}
    made = bc.calibrate(vendor, [str(path) for path in write_photographs(folder / "photographs", NAMES)], **terms)
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
    terms = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf", "run": tmp_path / "run"}
    with pytest.raises(CalibrationError, match="used for tuning and cannot calibrate, first p4"):
        bc.calibrate(vendor, [str(path) for path in paths], tuning=tuning, **terms)


def test_other_photographs_are_not_taken_for_copies(calibration):
    for number in range(50, 90):
        seen = sketch(photograph(number))
        assert calibration.known(seen, "sha256:none") is None


STATISTICS = InputStatistics.unknown(1).values.shape[1]


def picture(name: str, values: np.ndarray, path: Path | None = None) -> Prepared:
    """One whose input has these (12,) statistics and mean colours."""
    statistics = InputStatistics(values[None, :STATISTICS].astype(np.float32))
    thumbnail = np.broadcast_to(values[STATISTICS:].clip(0, 255).astype(np.uint8), (12, 12, 3))
    shown = replace(sketch_of(name), thumbnail=thumbnail)
    return Prepared(name, path, shown.digest, shown.digest, shown, (64, 64), (), (), statistics=statistics)


def pictures(names: list[str], parents: list[int], seed: int, own: float = 1.0) -> list[Prepared]:
    """Pictures of parents that differ among each other, each with differences of its `own` beside."""
    random = np.random.default_rng(seed)
    scale = np.r_[np.ones(STATISTICS), 40, 40, 40]
    middle = np.r_[np.zeros(STATISTICS), 128, 128, 128]
    means = random.normal(0, 1, (max(parents) + 1, STATISTICS + 3))
    return [
        picture(name, middle + scale * (means[parent] + own * random.normal(0, 1, STATISTICS + 3)))
        for name, parent in zip(names, parents, strict=True)
    ]


@pytest.mark.parametrize("named", ["{}_{}", "photo-{} ({})", "{}{}", "IMG_{:04}-{:02}"])
@pytest.mark.parametrize(("photographs", "crops"), [(5, 8), (20, 2), (12, 3)])
def test_crops_are_asked_about(photographs, crops, named):
    letters = named == "{}{}"
    names = [named.format(one, "abcdefgh"[k] if letters else k) for one in range(photographs) for k in range(crops)]
    parents = [one for one in range(photographs) for _ in range(crops)]
    asked = question_of(pictures(names, parents, 1))
    assert (len(asked.groups), asked.groups[0]) == (photographs, tuple(names[:crops]))
    assert "are these parts of the same photographs" in asked.words
    assert f"and {photographs - 3} more" in asked.words


def test_different_photographs_are_not_asked_about_whatever_their_numbers():
    """At most one in a thousand sets of exchangeable photographs; here none of 60 sets of 63."""
    schemes = [
        [f"IMG_{one:04}" for one in range(63)],
        [f"{place}{one}" for place in ("church", "river", "tree") for one in range(21)],
        [f"p{one // 3}_{one % 3}" for one in range(63)],
        [f"2024-05-{one // 9 + 1:02}_{one % 9}" for one in range(63)],
        [f"{one:02}" for one in range(63)],
        [f"{one}" for one in range(63)],
    ]
    for seed in range(10):
        for names in schemes:
            assert question_of(pictures(names, list(range(63)), seed, 0.0)) is None


def test_few_names_or_one_that_many_share_say_nothing_by_statistics():
    """Two cameras differ, and so do two places."""
    names = [f"{camera}_{one}" for camera in ("DSC", "IMG") for one in range(30)]
    assert question_of(pictures(names, [0] * 30 + [1] * 30, 0)) is None
    names += [f"P{one}" for one in range(3)]
    assert question_of(pictures([f"same_{one}" for one in range(50)], [0] * 50, 0)) is None
    assert question_of([]) is None


def test_the_p_value_is_that_of_the_definition(monkeypatch):
    """The sum over columns and names of squared rank sums over their sizes, against every deal that was tried."""
    found = pictures([f"{one // 2}_{one % 2}" for one in range(8)], [one // 2 for one in range(8)], 3)
    named = [one.name.split("_")[0] for one in found]
    monkeypatch.setattr(calibrating, "PERMUTATIONS", 50)
    values = np.stack([np.r_[one.statistics.values[0], one.sketch.thumbnail[0, 0]] for one in found])

    def statistic(order):
        total = 0.0
        for column in values[order].T:
            ranks = [sum(np.sign(value - other) for other in column) for value in column]
            for name in set(named):
                own = [rank for rank, called in zip(ranks, named, strict=True) if called == name]
                total += sum(own) ** 2 / len(own)
        return total

    (orders,) = calibrating.random_orders(8, 50, 0)
    more = sum(statistic(order) >= statistic(np.arange(8)) - 1e-9 for order in orders)
    assert calibrating._p_value(found, named) == (1 + more) / 51


def shot(path: Path, when: str, seed: int) -> Path:
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769)[0x9003] = when
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    PillowImage.fromarray(pixels).save(path, exif=exif)
    return path


def test_a_burst_is_asked_about_and_photographs_of_the_same_numbers_shot_apart_are_not(tmp_path):
    plain = pictures([f"IMG_{one:04}" for one in range(6)], list(range(6)), 0)
    seconds = [0, 1, 2, 30, 60, 90]
    at = [
        shot(tmp_path / f"{one.name}.jpg", f"2024:05:01 12:00:{s % 60:02}", 0)
        for one, s in zip(plain[:4], seconds, strict=False)
    ]
    burst = [replace(one, path=path) for one, path in zip(plain, at, strict=False)]
    asked = question_of(burst + plain[4:])
    assert asked.groups == (("IMG_0000", "IMG_0001", "IMG_0002"),)
    assert "within a second" in asked.words
    apart = [shot(tmp_path / f"{one.name}.jpg", f"2024:05:01 12:{k:02}:00", 0) for k, one in enumerate(plain)]
    assert question_of([replace(one, path=path) for one, path in zip(plain, apart, strict=True)]) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe1\x00\x10Exif\x00\x00II*\x00\xff\xff\xff\xff", b"GIF89a"])
def test_a_damaged_file_says_no_time(content, tmp_path):
    (tmp_path / "a.jpg").write_bytes(content)
    assert time_shot(tmp_path / "a.jpg") is None
    assert time_shot(tmp_path / "none.jpg") is None
