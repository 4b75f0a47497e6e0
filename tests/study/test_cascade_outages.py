"""A cascade whose vendors fail: every picture ends, each certificate names who failed, and nothing is paid twice."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image as PillowImage
from study.test_cascades import KINDS, RULE, Network, is_hard, small
from support.command_line import called
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import ENOUGH, Certificate
from blackbox_conformal.testing.fault_server import FaultServer

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


class Shop(NamedTuple):
    """Two servers, and a folder with the cascade's file, six inputs and both calibrations."""

    cheap: FaultServer
    dear: FaultServer
    folder: Path

    @property
    def calls(self) -> tuple[int, int]:
        return self.cheap.account.paid, self.dear.account.paid

    def command(self, name: str, *arguments: str, code: int = 0) -> str:
        known = "-p", f"file={self.folder / 'cascade.toml'}", "--run", str(self.folder / "run")
        done = called(name, *arguments, *known, "--yes", folder=self.folder, code=code)
        return done.stderr

    def mask(self, *arguments: str, code: int = 0, limit: str = "9") -> str:
        told = "--calibration", "calibration.json", "--alpha", "0.9", "--max-cost", limit, *arguments
        return self.command("mask", "inputs", *told, code=code)

    def certificates(self) -> dict[str, Certificate]:
        written = sorted((self.folder / "masked").glob("*-certificate.json"))
        return {path.name[:3]: Certificate.from_json(path.read_text()) for path in written}

    def fell_back(self) -> list[str]:
        """The pictures whose certificate is of the answer before."""
        return [
            name for name, one in self.certificates().items() if one.procedure["vendor"]["parameters"].get("available")
        ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
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


def test_a_command_finishes_when_the_dear_vendor_ends_in_the_middle_and_is_repeated_after_the_outage(
    shop: Shop,
) -> None:
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
    told = {name: one.digest for name, one in shop.certificates().items()}
    shop.mask()
    assert ({name: one.digest for name, one in shop.certificates().items()}, shop.calls) == (told, (14, 14))


def test_over_budget_in_the_middle_the_rest_is_answered_by_the_cheap_vendor_also_when_repeated(shop: Shop) -> None:
    for _ in range(2):
        shop.mask("--fallback", "cheap.json", "--concurrency", "1", limit="0.08")
        assert (len(shop.certificates()), len(shop.fell_back()), shop.calls) == (6, 4, (14, 10))
    assert "BudgetError" not in shop.mask(limit="9")
    assert (shop.fell_back(), shop.calls) == ([], (14, 14))


def test_a_first_vendor_that_fails_is_named_and_nothing_falls_back(shop: Shop) -> None:
    number = iter(range(99))
    shop.cheap.script = lambda asked: "status:code=402" if next(number) >= 2 else None
    said = shop.mask("--fallback", "cheap.json", "--concurrency", "1", code=5)
    assert "vendor 1 of 2 (cheap)" in said
    assert shop.certificates() == {}
    shop.cheap.script = None
    shop.mask("--fallback", "cheap.json")
    assert (len(shop.certificates()), shop.fell_back(), shop.calls) == (6, [], (14, 14))


def test_a_fallback_that_the_picture_chose_is_never_guaranteed(tmp_path: Path) -> None:
    cheap, dear = Network("cheap", invents=True), Network("dear", invents=False)
    hard = [seed for seed in range(400) if is_hard(small(seed))]
    vendor, run = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE]), tmp_path / "run"
    photographs = write_photographs(tmp_path / "photographs", hard[:ENOUGH])  # type: ignore[arg-type]
    calibration = bc.calibrate(vendor, photographs, run=run, **KINDS)
    left = bc.calibrate(vendor.without_last(), photographs, run=run, **KINDS)
    answer, chosen = dear.answer, small(hard[-1])

    def masked(unusable: Sequence[np.ndarray], name: str) -> list[bc.Result]:
        def fails(picture: np.ndarray) -> Any:
            return picture[:0] if any(np.array_equal(picture, one) for one in unusable) else answer(picture)

        failing = bc.cascade(cheap.vendor, bc.from_function("dear", fails, test_side=0), rules=[RULE])
        pictures = [(f"s{seed}", small(seed)) for seed in hard[-ENOUGH:]]
        return bc.mask_all(failing, pictures, calibration, 0.9, run=tmp_path / name, fallback=left)

    *others, one = masked([chosen], "one")
    assert {result.certificate.calibration_digest for result in others} == {calibration.digest}
    assert {result.certificate.status for result in others} == {"guaranteed"}
    assert (one.certificate.calibration_digest, one.certificate.status) == (left.digest, "if-like-calibration")
    assert "may depend on the picture" in json.dumps(one.certificate.notes)
