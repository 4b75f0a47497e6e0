"""A cascade whose vendors fail: every picture ends, each certificate names who failed, and nothing is paid twice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image as PillowImage
from study.test_cascades import KINDS, RULE, Network, enlarged, is_hard, of_servers, small
from support.command_line import called
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.mask import masking
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.testing.fault_server import FaultServer

MANY = 20
"""Pictures: as many as are compared together at the most."""

TOML = """
[[vendors]]
adapter = "http"
parameters = { url = "%s/v1/upscale", label = "cheap", price_usd = 0.01 }

[[vendors]]
adapter = "http"
parameters = { url = "%s/v1/upscale", label = "dear", price_usd = 0.01 }

[[rules]]
score = "texture"
at_most = 0.0
"""
PICTURES = range(30, 36)


class Shop(NamedTuple):  # Two servers, and a folder with the cascade's file, six inputs and both calibrations
    cheap: FaultServer
    dear: FaultServer
    folder: Path

    @property
    def calls(self) -> tuple[int, int]:
        return self.cheap.account.paid, self.dear.account.paid

    def command(self, name: str, *arguments: str, code: int = 0) -> str:
        known = "-p", f"file={self.folder / 'cascade.toml'}", "--run", str(self.folder / "run")
        done = called(name, *arguments, *known, "--yes", folder=self.folder, code=code)
        return done.stdout + done.stderr

    def mask(self, *arguments: str, code: int = 0, limit: str = "9") -> str:
        told = "--calibration", "calibration.json", "--alpha", "0.9", "--max-cost", limit, *arguments
        return self.command("mask", "inputs", *told, code=code)

    def certificates(self) -> dict[str, Certificate]:
        written = sorted((self.folder / "masked").glob("*-certificate.json"))
        return {path.name[:3]: Certificate.from_json(path.read_text()) for path in written}

    def masks(self) -> dict[str, str]:
        """The digest of each certificate, but for how much speaks against the stream, which is counted once more."""
        return {name: one.model_copy(update={"stream_check": None}).digest for name, one in self.certificates().items()}

    def fell_back(self) -> list[str]:
        """The pictures whose certificate is of the answer before."""
        return [
            name for name, one in self.certificates().items() if one.procedure["vendor"]["parameters"].get("available")
        ]


@pytest.fixture
def shop(tmp_path):
    write_photographs(tmp_path / "photographs", range(8))
    (tmp_path / "inputs").mkdir()
    for seed in PICTURES:
        PillowImage.fromarray(small(seed)).save(tmp_path / "inputs" / f"i{seed}.png")
    with FaultServer() as cheap, FaultServer() as dear:
        (tmp_path / "cascade.toml").write_text(TOML % (cheap.url, dear.url))
        made = Shop(cheap, dear, tmp_path)
        how = "--adapter", "cascade", "--metric", "rgb-linf", "--score", "texture", "--max-cost", "9"
        made.command("calibrate", "photographs", *how, "--out", "calibration.json")
        made.command("calibrate", "photographs", *how, "-p", "available=1", "--out", "cheap.json")
        yield made


def test_a_command_finishes_when_the_dear_vendor_ends_in_the_middle_and_is_repeated_after_the_outage(shop):
    # The third answer of the dear vendor is the first that refuses the account.
    number = iter(range(99))
    shop.dear.script = lambda asked: "status:code=402" if next(number) >= 2 else None
    shop.mask("--fallback", "cheap.json", "--concurrency", "1")
    assert (len(shop.certificates()), len(shop.fell_back())) == (6, 4)
    for name in shop.fell_back():
        (note,) = (one for one in shop.certificates()[name].notes if "could not be had" in one)
        assert "vendor 2 of 2 (dear)" in note
        assert "HTTP 402" in note
    before = shop.calls
    # While the outage goes on the same command says the same; then the real answers take the place of the others.
    shop.mask("--fallback", "cheap.json")
    assert len(shop.fell_back()) == 4
    assert shop.calls == before == (14, 10)
    shop.dear.script = None
    shop.mask("--fallback", "cheap.json")
    assert (shop.fell_back(), shop.calls) == ([], (14, 14))
    told = shop.masks()
    shop.mask()
    assert (shop.masks(), shop.calls) == (told, (14, 14))


def test_over_budget_in_the_middle_the_rest_is_answered_by_the_cheap_vendor_also_when_repeated(shop):
    for _ in range(2):
        shop.mask("--fallback", "cheap.json", "--concurrency", "1", limit="0.08")
        assert (len(shop.certificates()), len(shop.fell_back()), shop.calls) == (6, 4, (14, 10))
    assert "--group 'vendor 1 of 2'" in shop.mask(limit="9")
    assert (shop.fell_back(), shop.calls) == ([], (14, 14))


def test_a_first_vendor_that_fails_is_named_and_nothing_falls_back(shop):
    number = iter(range(99))
    shop.cheap.script = lambda asked: "status:code=402" if next(number) >= 2 else None
    said = shop.mask("--fallback", "cheap.json", "--concurrency", "1", code=5)
    assert "vendor 1 of 2 (cheap)" in said
    assert shop.certificates() == {}
    shop.cheap.script = None
    shop.mask("--fallback", "cheap.json")
    assert (len(shop.certificates()), shop.fell_back(), shop.calls) == (6, [], (14, 14))


def test_a_fallback_that_the_picture_chose_is_never_guaranteed(tmp_path):
    cheap, dear = Network("cheap", invents=True), Network("dear", invents=False)
    hard = [seed for seed in range(400) if is_hard(small(seed))]
    vendor, run = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE]), tmp_path / "run"
    photographs = write_photographs(tmp_path / "photographs", hard[:MANY])
    calibration = bc.calibrate(vendor, photographs, run=run, **KINDS)
    left = bc.calibrate(vendor.without_last(), photographs, run=run, **KINDS)
    answer, chosen = dear.answer, small(hard[-1])

    def masked(unusable, name):
        def fails(picture):
            blank = np.zeros_like(enlarged(picture, 0.0))
            return blank if any(np.array_equal(picture, one) for one in unusable) else answer(picture)

        failing = bc.cascade(cheap.vendor, bc.from_function("dear", fails, test_side=0), rules=[RULE])
        pictures = [(f"s{seed}", small(seed)) for seed in hard[-MANY:]]
        return bc.mask_all(failing, pictures, calibration, 0.9, run=tmp_path / name, fallback=left)

    *others, one = masked([chosen], "one")
    assert {result.certificate.calibration_digest for result in others} == {calibration.digest}
    assert not any("may depend on the picture" in str(result.certificate.reason) for result in others)
    assert (one.certificate.calibration_digest, one.certificate.status) == (left.digest, "if-like-calibration")
    assert "may depend on the picture" in str(one.certificate.reason)
    assert "may depend on the picture" in json.dumps(one.certificate.notes)


def test_each_vendor_has_a_threshold_of_its_own_and_a_batch_of_right_pictures_raises_no_alarm(tmp_path):
    cheap, dear = Network("cheap", invents=True), Network("dear", invents=False)
    vendor, run = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE]), tmp_path / "run"
    calibration = bc.calibrate(vendor, write_photographs(tmp_path / "photographs", range(40)), run=run, **KINDS)
    ends = [f"vendor {1 + is_hard(small(int(image.name[1:])))} of 2" for image in calibration.images]
    assert [image.group for image in calibration.images] == ends
    results = bc.mask_all(vendor, [(f"s{seed}", small(seed)) for seed in range(100, 150)], calibration, 0.9, run=run)
    for seed, result in zip(range(100, 150), results, strict=True):
        certificate, end = result.certificate, f"vendor {1 + is_hard(small(seed))} of 2"
        rule = calibration.rule_of_group(end)
        assert certificate.guarantee == rule.specification()
        assert certificate.threshold_hex == rule.threshold(calibration.curves, 0.9).hex()
        assert certificate.n_calibration == ends.count(end)
        assert f"pictures that end at '{end}'" in certificate.statement
        assert contradictions(certificate, calibration) == []
    assert {result.certificate.status for result in results} == {"if-like-calibration"}
    pooled = results[0].certificate.model_copy(update={"guarantee": calibration.guarantee})
    assert "guarantee speaks of none of vendor 1 of 2, vendor 2 of 2" in contradictions(pooled, calibration)
    other = {**results[0].certificate.guarantee, "groups": [ends[0]] * 40}
    assert (
        "groups are not"
        in contradictions(results[0].certificate.model_copy(update={"guarantee": other}), calibration)[0]
    )


def test_a_vendor_with_too_few_photographs_is_refused_and_a_threshold_for_all_of_an_earlier_version_too(tmp_path):
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        photographs = write_photographs(tmp_path / "photographs", range(12))
        calibration = bc.calibrate(vendor, photographs, run=tmp_path / "run", max_cost=1, **KINDS)
        ends = [f"vendor {1 + (row > 1)} of 2" for row in range(12)]
        few = [image.model_copy(update={"group": end}) for image, end in zip(calibration.images, ends, strict=True)]
        lopsided, paid = replace(calibration, images=tuple(few)), cheap.account.paid
        told = r"a part of the pictures .* 'vendor 1 of 2': .*at least 9 are needed. Add 7 .*--alpha 0.34"
        with pytest.raises(UsageError, match=told):
            bc.mask(vendor, small(30), lopsided, 0.11, run=tmp_path / "run", max_cost=1)
        without = [image.model_copy(update={"group": None}) for image in calibration.images]
        earlier = replace(calibration, images=tuple(without))
        with pytest.raises(bc.BlackboxConformalError, match="one threshold for all its vendors"):
            bc.mask(vendor, small(30), earlier, 0.9, run=tmp_path / "run", max_cost=1)
        assert cheap.account.paid == paid
        with pytest.raises(UsageError, match="expected no groups beside a cascade"):
            bc.calibrate(vendor, photographs, groups={"p1": "a"}, run=tmp_path / "run", max_cost=1, **KINDS)
        with pytest.raises(UsageError, match="by itself; got vendor 2"):
            bc.mask(vendor, small(30), calibration, 0.9, group="vendor 2 of 2", run=tmp_path / "run", max_cost=1)


def test_pictures_enter_in_an_order_that_their_completion_does_not_decide(tmp_path, monkeypatch):
    network, entered = Network("one", invents=True), list[str]()
    calibration = bc.calibrate(
        network.vendor, write_photographs(tmp_path / "photographs", range(12)), run=tmp_path / "run", **KINDS
    )
    real = masking._Company.enter

    def enter(self, drawn, picture, answers):
        entered.append(picture.name)
        real(self, drawn, picture, answers)

    monkeypatch.setattr(masking._Company, "enter", enter)
    pictures = [(f"s{seed}", small(seed)) for seed in range(100, 116)]
    for number, each in enumerate((pictures, pictures[::-1])):
        bc.mask_all(network.vendor, each, calibration, 0.9, run=tmp_path / f"masked-{number}", concurrency=1)
    first, second = entered[:16], entered[16:]
    assert first == second
    assert first not in (sorted(first), sorted(first)[::-1])
