"""The first answers of a service are looked at: two of three that are wrong as a whole end its masks."""

import logging
from pathlib import Path

import pytest
from support.gateway import Gateway, serving
from support.spoiling_vendor import SPOILED, Spoiling, write_crops
from support.synthetic import reduced

import blackbox_conformal as bc
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

NAMES = sorted(one.name for one in demo_photographs())
CHOICES = {"metric": "rgb-linf", "max_cost": 1, "check": False}
SETTINGS = {"settings": {"max_cost": 1, "outside": 0}}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    return write_crops(tmp_path_factory.mktemp("photographs"), NAMES)


@pytest.fixture(scope="module")
def calibration(files, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    with Spoiling() as server:
        vendor = SynchronousVendor(url=server.url)
        made = bc.calibrate(vendor, files[6:], run=folder / "run", score="bicubic-gap", **CHOICES)
    return made.save(folder / "calibration.json")


def sent(file: Path) -> bytes:
    return image_png(reduced(read_image(file).pixels, 4))


def masks(gateway: Gateway, files: list[Path]) -> list[bool]:
    return ["x-blackbox-conformal-mask" in gateway.post(sent(file)).headers for file in files]


@pytest.mark.parametrize("fault", SPOILED)
def test_two_spoiled_answers_of_the_first_three_end_the_masks(fault, calibration, files, tmp_path, caplog):
    change, said = SPOILED[fault]
    with Spoiling() as server, caplog.at_level(logging.ERROR, "blackbox_conformal"):
        vendor = SynchronousVendor(url=server.url)
        with serving(calibration, vendor, tmp_path / "run", **SETTINGS) as gateway:
            assert masks(gateway, files[:1]) == [True]
            server.change = change
            # The same picture again is no second answer.
            assert masks(gateway, [files[1], files[1]]) == [False, False]
            assert gateway.get("/readyz").json() == {"ready": True}
            answer = gateway.post(sent(files[2]))
            assert (answer.status_code, server.submissions) == (200, 3)
            reason = answer.headers["x-blackbox-conformal-reason"]
            assert said in reason
            assert "2 of the first 3 answers since the start are unlike" in reason
            # Right answers have no mask either, and no answer is paid twice.
            server.change = lambda picture: picture
            assert masks(gateway, [files[0], files[3]]) == [False, False]
            assert (server.submissions, gateway.get("/readyz").json()["ready"]) == (4, True)
            assert said in gateway.get("/readyz").json()["unmasked"]
            strict = gateway.post(sent(files[4]), Prefer="handling=strict")
            assert (strict.status_code, server.submissions) == (409, 4)
        assert sum(said in record.getMessage() for record in caplog.records) == 1
        with serving(calibration, vendor, tmp_path / "run", **SETTINGS) as gateway:
            assert masks(gateway, [files[0], files[3], files[1]]) == [True, True, False]
            assert server.submissions == 4


def test_later_answers_and_a_single_odd_one_end_nothing(calibration, files, tmp_path):
    with Spoiling() as server:
        vendor = SynchronousVendor(url=server.url)
        with serving(calibration, vendor, tmp_path / "run", **SETTINGS) as gateway:
            assert masks(gateway, files[:2]) == [True] * 2
            server.change = SPOILED["gamma"][0]
            assert masks(gateway, files[2:5]) == [False] * 3
            server.change = lambda picture: picture
            assert masks(gateway, files[5:6]) == [True]
            assert server.submissions == 6


def test_how_an_answer_differs_is_told_in_a_header_and_in_the_body(calibration, files, tmp_path):
    def seamed(answer):
        stepped = answer.astype(float)
        stepped[:, answer.shape[1] // 2 :] += 12
        return stepped

    with Spoiling() as server:
        vendor = SynchronousVendor(url=server.url)
        with serving(calibration, vendor, tmp_path / "run", **SETTINGS) as gateway:
            assert "x-blackbox-conformal-facts" not in gateway.post(sent(files[0])).headers
            server.change = seamed
            answer = gateway.post(sent(files[1]))
            # A seam takes no guarantee: the mask is there, and the header says what was found.
            assert "x-blackbox-conformal-mask" in answer.headers
            said = answer.headers["x-blackbox-conformal-facts"]
            assert "differs from the input by a step of 8 levels or more along a" in said
            told = gateway.json(sent(files[1]))["blackbox_conformal"]
            assert told["facts"][0]["kind"] == "seams"
            assert told["facts"][0]["sentence"] in told["differs"]
            server.change = SPOILED["BGR"][0]
            unmasked = gateway.json(sent(files[2]))["blackbox_conformal"]
            assert unmasked["status"] == "unmasked"
            assert "BGR for RGB" in unmasked["differs"]
            # Two requests for the picture with the seam, and one for the other.
            assert gateway.metric("differing_total") == 3
