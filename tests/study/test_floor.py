"""Draw or pay more until a floor is reached: each draw is another one, and certificates say what is reached."""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from study.test_cascades import KINDS, enlarged, small
from support.synthetic import write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.risk.whole_errors import foretold_psnr, squared_error
from blackbox_conformal.study.choose.floor_fit import DrawnErrors
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

SCORE = "foretold-psnr"
VENDOR = '[[vendors]]\nadapter = "http"\nparameters = { url = "http://127.0.0.1:9/a", price_usd = "0.01" }\n'


class Painter:
    """Invents as much as the seed of the draw wants."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.vendor = bc.from_function("painter", self.answer, test_side=0)

    def answer(self, picture: np.ndarray, seed: int) -> np.ndarray:
        self.seeds.append(seed)
        return enlarged(picture, 0.01 + 0.03 * (seed % 8))


def test_one_vendor_draws_until_the_floor_is_reached(tmp_path):
    painter, run = Painter(), tmp_path / "run"
    vendors = [painter.vendor] * 3
    with pytest.raises(UsageError, match=r"certified to reach; got 90 dB. Give floor=[\d.]+ or less"):
        bc.fit_floor(vendors, write_photographs(tmp_path / "fit", range(40, 56)), 90, run=run, **KINDS)
    assert len(set(painter.seeds)) == len(painter.seeds) == 48
    fit = bc.fit_floor(vendors, write_photographs(tmp_path / "fit", range(40, 56)), 16.0, run=run, **KINDS)
    assert len(painter.seeds) == 48
    assert sum(fit.answered) == 16
    assert 0 < fit.answered[0] < 16
    assert fit.mean_draws == sum((place + 1) * n for place, n in enumerate(fit.answered)) / 16
    assert fit.reached >= sum(fit.answered[:2])
    assert (fit.rules[0]["passed_on"], fit.document()["limit"]) == ([16 - fit.answered[0], 16], fit.limit)
    # What it prints is read where it says.
    first, _, rest = fit.toml.partition("\n")
    (tmp_path / "cascade.toml").write_text(f"{first}\n{3 * VENDOR}{rest}")
    kept = bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml")).identity()["parameters"]
    assert (kept["floor"], [rule["at_least"] for rule in kept["rules"]]) == (16.0, [fit.limit] * 2)
    with pytest.raises(UsageError, match="looked at before"):
        bc.calibrate(fit.vendor, tmp_path / "fit", run=run, **KINDS)

    calibration = bc.calibrate(fit.vendor, write_photographs(tmp_path / "photographs", range(12)), run=run, **KINDS)
    assert 48 + 12 < len(painter.seeds) < 48 + 36
    assert len(set(painter.seeds)) == len(painter.seeds)
    calls = len(painter.seeds)
    results = bc.mask_all(fit.vendor, [(str(seed), small(seed)) for seed in range(20, 26)], calibration, 0.9, run=run)
    took = [int(str(result.certificate.vendor_model)[7]) for result in results]
    assert len(painter.seeds) - calls == sum(took)
    said = set()
    for result in results:
        quality = result.certificate.quality
        assert quality.psnr is not None
        reached = quality.psnr >= 16.0
        said.add(reached)
        assert result.certificate.reaches_floor is reached
        assert result.certificate.model_copy(update={"quality": None}).reaches_floor is False
        assert ("reaches the floor of 16 dB: of 100" in quality.statement) == reached
        assert ("No PSNR is certified that reaches the floor of 16 dB" in quality.statement) != reached
        assert contradictions(result.certificate, calibration) == []
    assert True in said


def test_each_draw_of_one_vendor_is_paid_once(tmp_path):
    photographs, run = write_photographs(tmp_path / "photographs", range(6)), tmp_path / "run"
    with FaultServer() as server:
        vendor = SynchronousVendor(url=server.url)
        twice = bc.cascade(vendor, vendor, rules=[{"score": SCORE, "at_least": 100}])
        plan = bc.plan(twice, photographs, run=run, **KINDS)
        assert (plan.calls, plan.passed_on, plan.cost_usd) == (6, 6, (Decimal("0.06"), Decimal("0.12")))
        for _ in range(2):
            bc.calibrate(twice, photographs, run=run, max_cost=1, **KINDS)
            assert (server.account.paid, ledger_sum(run)["paid"], ledger_verify(run).problems) == (12, 12, ())
        assert bc.plan(twice, photographs, run=run, **KINDS).calls == 0
        # The first draws are those that the vendor alone has.
        bc.calibrate(vendor, photographs, run=run, max_cost=1, **KINDS)
        assert server.account.paid == 12


def test_the_command_says_whether_the_floor_is_reached(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photographs = write_photographs(tmp_path / "photographs", range(13))
    vendors = ""
    for name in ("a", "b"):
        write_draws(tmp_path / name, range(13))
        vendors += f'[[vendors]]\nadapter = "folder"\nparameters = {{ path = "{name}", label = "{name}" }}\n'
    words = ["--adapter", "cascade", "-p", "file=cascade.toml", "--run", "run"]
    kinds = ["--score", "texture", "--metric", "rgb-linf", "--force", "--json"]
    PillowImage.fromarray(small(12)).save("p12.png")
    for floor, reached in ((3.0, True), (80.0, False)):
        rule = f'[[rules]]\nscore = "{SCORE}"\nat_least = 20\n'
        Path("cascade.toml").write_text(f"floor = {floor}\n{vendors}{rule}")
        assert run(["calibrate", *map(str, photographs[:12]), *words, *kinds]) == 0
        capsys.readouterr()
        given = ["p12.png", "--calibration", "run/calibration.json", *words[2:], "--alpha", "0.9", "--force", "--json"]
        assert run(["mask", *given]) == 0
        told = capsys.readouterr()
        assert json.loads(told.out)["pictures"][0]["reaches_floor"] is reached
        assert ("not certified to reach the floor" in told.err) != reached


def test_the_file_names_the_floor_and_the_vendor_again(tmp_path):
    rule = f'[[rules]]\nscore = "{SCORE}"\nat_least = 27.5\n'
    (tmp_path / "cascade.toml").write_text(f"floor = 26.0\n{2 * VENDOR}{rule}")
    adapter = bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"))
    assert adapter.identity()["parameters"]["floor"] == 26.0
    (tmp_path / "cascade.toml").write_text(f"{2 * VENDOR}{rule}below = 3\n")
    with pytest.raises(UsageError, match="at_least alone beside score = 'foretold-psnr'"):
        bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"))
    same = VENDOR.replace('http"\nparam', 'photoroom"\nparam').replace('url = "http://127.0.0.1:9/a", ', "")
    (tmp_path / "cascade.toml").write_text(f"{2 * same}{rule}")
    with pytest.raises(UsageError, match="expected photoroom once"):
        bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"))


def test_the_foretold_psnr_is_that_against_the_known_picture():
    known, answer = np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 103, np.uint8)
    assert foretold_psnr(squared_error(known, answer)) == pytest.approx(-10 * np.log10((9 + 1) / 255**2))


def test_the_number_is_the_smallest_with_which_all_that_suffice_are_certified():
    """The twin tries every number, and counts by hand."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        known = rng.integers(1, 6, (15, 3)) / 500
        errors = np.sqrt(known) * rng.integers(1, 5, (15, 3)) / 20
        answers = DrawnErrors(-10 * np.log10(known), errors, known)
        found = {}
        for limit in np.unique(answers.figures[:, :-1]):
            places = [next((j for j in range(2) if row[j] >= limit), 2) for row in answers.figures]
            ratios = sorted((errors[i, j] / known[i, j] ** 0.5 for i, j in enumerate(places)), reverse=True)
            certified = [-10 * np.log10(known[i, j] ** 0.5 * ratios[0]) for i, j in enumerate(places)]
            np.testing.assert_allclose(answers.certified(limit), certified)
            found[limit] = min(psnr for psnr, j in zip(certified, places, strict=True) if j < 2)
        floor = float(np.median(list(found.values()))) - 1e-9
        assert answers.limit(floor) == min(limit for limit, least in found.items() if least >= floor)
