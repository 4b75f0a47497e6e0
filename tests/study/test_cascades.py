"""Several vendors as one: each keeps its price, the first answer that suffices is delivered, nothing is paid twice."""

import json
import signal
import sys
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support import forked
from support.synthetic import photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.errors import BudgetError, RefusedError, UsageError
from blackbox_conformal.method.risk.whole_errors import foretold_psnr, squared_error
from blackbox_conformal.study.choose.floor_fit import DrawnErrors
from blackbox_conformal.study.plan.planning import _above
from blackbox_conformal.study.stages.certify import contradictions
from blackbox_conformal.study.stages.cluster import Cluster
from blackbox_conformal.study.stages.ready import refuse_elsewhere
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

KINDS = {"metric": "rgb-linf", "score": "texture"}
RULE = {"score": "texture", "at_most": 0.05}


def enlarged(picture: np.ndarray, noise: float) -> np.ndarray:
    height, width = 4 * picture.shape[0], 4 * picture.shape[1]
    up = np.asarray(PillowImage.fromarray(picture).resize((width, height), PillowImage.Resampling.BICUBIC))
    return np.clip(up / 255 + np.random.default_rng(int(picture.sum())).normal(0, noise, up.shape), 0, 1)


class Network:  # Counts its calls; the one that invents does so in pictures whose first pixel is bright
    def __init__(self, name: str, *, invents: bool) -> None:
        self.calls, self._invents = 0, invents
        self.vendor = bc.from_function(name, self.answer, test_side=0)

    def answer(self, picture: np.ndarray) -> np.ndarray:
        self.calls += 1
        return enlarged(picture, 0.2 if self._invents and is_hard(picture) else 0.001)


def is_hard(picture: np.ndarray) -> bool:
    return bool(picture[0, 0, 0] > 127)


@pytest.fixture
def networks():
    return Network("cheap", invents=True), Network("dear", invents=False)


def small(seed: int) -> np.ndarray:
    return reduced(photograph(seed), 4)


def test_every_use_case_takes_a_cascade_as_one_vendor(tmp_path, networks):
    cheap, dear = networks
    vendor = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE])
    run = tmp_path / "run"
    photographs = write_photographs(tmp_path / "photographs", range(12))
    hard = sum(is_hard(small(seed)) for seed in range(12))
    assert 0 < hard < 12
    calibration = bc.calibrate(vendor, photographs, run=run, **KINDS)
    assert (cheap.calls, dear.calls) == (12, hard)
    assert calibration.vendor_models == ("vendor 1 of 2: cheap 1", "vendor 2 of 2: dear 1")
    with bc.Session(calibration, vendor, 0.9, run=run) as session:
        for seed in range(20, 26):
            result = session.mask(small(seed))
            answered = "vendor 2 of 2: dear 1" if is_hard(small(seed)) else "vendor 1 of 2: cheap 1"
            assert result.certificate.vendor_model == answered
            own = dear if is_hard(small(seed)) else cheap
            expected = np.rint(own.answer(small(seed)) * 255)
            np.testing.assert_array_equal(result.image, expected)
    calls = cheap.calls, dear.calls
    mine = bc.mask(vendor, small(25), calibration, 0.9, run=run)
    np.testing.assert_array_equal(mine.image, result.image)
    again = bc.calibrate(vendor, photographs, run=run, **KINDS)
    assert (again.digest, cheap.calls, dear.calls) == (calibration.digest, *calls)
    unseen = write_photographs(tmp_path / "unseen", range(30, 34))
    # One vendor's threshold after the other is audited, on the same draws.
    with pytest.raises(UsageError, match=r"expected --group 'vendor 1 of 2' or --group 'vendor 2 of 2'"):
        bc.audit(vendor, unseen, calibration, 0.9, run=run, stop=False)
    audits = [
        bc.audit(vendor, unseen, calibration, 0.9, group=f"vendor {end} of 2", run=run, stop=False) for end in (1, 2)
    ]
    hard = sum(is_hard(small(seed)) for seed in range(30, 34))
    assert ([audit.n for audit in audits], cheap.calls - calls[0]) == ([4 - hard, hard], 4)
    # The cheap vendor by itself has its draws in the same folder.
    bc.calibrate(cheap.vendor, photographs, run=run, **KINDS)
    assert cheap.calls - calls[0] == 4
    other = bc.cascade(cheap.vendor, dear.vendor, rules=[{**RULE, "at_most": 0.06}])
    with pytest.raises(bc.BlackboxConformalError, match="another procedure"):
        bc.mask(other, small(25), calibration, 0.9, run=run)
    with pytest.raises(UsageError, match="one draw of each picture"):
        bc.calibrate(vendor, photographs, draws=2, score="pixel-variance", run=run)


def test_what_a_vendor_refuses_goes_on_and_what_the_last_refuses_keeps_the_answer_before(
    tmp_path, monkeypatch, networks
):
    cheap, dear = networks
    vendor = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE])
    calibration = bc.calibrate(vendor, write_photographs(tmp_path / "p", range(12)), run=tmp_path / "run", **KINDS)
    refusing = set()
    kind = type(cheap.vendor)
    draw = kind.draw

    def refuses(self, upload, asked):
        answer = yield from draw(self, upload, asked)
        if self.model in refusing:
            raise RefusedError("not this one")
        return answer

    monkeypatch.setattr(kind, "draw", refuses)
    hard = next(seed for seed in range(20, 40) if is_hard(small(seed)))
    easy = next(seed for seed in range(20, 40) if not is_hard(small(seed)))
    for told, seed, answered in (("cheap", easy, "dear"), ("dear", hard, "cheap")):
        refusing |= {told}
        result = bc.mask(vendor, small(seed), calibration, 0.9, run=tmp_path / told)
        assert str(result.certificate.vendor_model).endswith(f"{answered} 1")
        refusing.clear()
    refusing |= {"cheap", "dear"}
    with pytest.raises(bc.BlackboxConformalError, match="refused"):
        bc.mask(vendor, small(hard), calibration, 0.9, run=tmp_path / "both")


class DearVendor(SynchronousVendor):  # The other one of two fault servers
    name = "fault-dear"


PROGRAM = """
import os, signal, sys
import blackbox_conformal as bc
from study.test_cascades import of_servers, KINDS
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.drawing.ledger.sample_store import Store
cheap, dear, folder, point, left = *sys.argv[1:5], int(sys.argv[5])
owner = {"stored": Ledger, "reserve_and_mark_sent": Ledger, "settle": Store, "receive": Store}[point]
real = getattr(owner, point)
def deadly(self, *given, **named):
    global left
    result = real(self, *given, **named)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(owner, point, deadly)
bc.calibrate(of_servers(cheap, dear), folder, run=folder + "/../run", max_cost=1, concurrency=1, **KINDS)
"""


def of_servers(cheap: str, dear: str) -> bc.Adapter:
    return bc.cascade(SynchronousVendor(url=cheap), DearVendor(url=dear), rules=[{**RULE, "at_most": 0.0}])


def test_each_vendor_is_booked_at_its_price_and_nothing_is_paid_twice_through_kills(tmp_path):
    folder = tmp_path / "photographs"
    write_photographs(folder, range(6))
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        for point, number in (("stored", 3), ("settle", 6)):
            words = [sys.executable, "-c", PROGRAM, cheap.url, dear.url, str(folder), point, str(number)]
            assert forked.run(words, timeout=60).returncode == -signal.SIGKILL
        calibration = bc.calibrate(vendor, folder, run=tmp_path / "run", max_cost=1, retry_ambiguous=True, **KINDS)
        assert len(calibration.images) == 6
        assert [server.account.paid for server in (cheap, dear)] == [6, 6]
        sums = ledger_sum(tmp_path / "run")
        assert (sums["paid"], sums["cost_usd"], sums["reserved_usd"]) == (12, Decimal("0.12"), 0)
        assert ledger_verify(tmp_path / "run").problems == ()


def test_a_budget_is_for_all_vendors_and_a_plan_tells_what_may_come_on_top(tmp_path):
    photographs = write_photographs(tmp_path / "photographs", range(6))
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        plan = bc.plan(vendor, photographs, run=tmp_path / "run", **KINDS)
        assert (plan.calls, plan.passed_on, plan.cost_usd) == (6, 6, (Decimal("0.06"), Decimal("0.12")))
        with pytest.raises(BudgetError):
            bc.calibrate(vendor, photographs, run=tmp_path / "run", max_cost="0.08", **KINDS)
        assert (cheap.account.paid, dear.account.paid) == (6, 2)
        plan = bc.plan(vendor, photographs, run=tmp_path / "run", **KINDS)
        # With the cheap answers there it is sure who is asked for more.
        assert (plan.calls, plan.passed_on, plan.cost_usd) == (4, 0, (Decimal("0.04"), Decimal("0.04")))
        bc.calibrate(vendor, photographs, run=tmp_path / "run", max_cost="0.12", **KINDS)
        assert (cheap.account.paid, dear.account.paid) == (6, 6)


def test_where_the_dear_vendor_cannot_be_had_the_cheap_answer_comes_under_a_calibration_of_its_own(
    tmp_path, monkeypatch, networks
):
    cheap, dear = networks
    vendor, run = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE]), tmp_path / "run"
    photographs = write_photographs(tmp_path / "photographs", range(12))
    calibration = bc.calibrate(vendor, photographs, run=run, **KINDS)
    calls = cheap.calls, dear.calls
    left = bc.calibrate(vendor.without_last(), photographs, run=run, **KINDS)
    assert (cheap.calls, dear.calls) == calls
    assert len(left.images) == sum(is_hard(small(seed)) for seed in range(12)) < 12
    assert left.procedure.fingerprint != calibration.procedure.fingerprint
    # The two are made beside each other; another guarantee of either one is another calibration.
    assert (calibration.history.earlier, left.history.earlier) == (0, 0)
    other = bc.calibrate(vendor.without_last(), photographs, guarantee="local:side=16", run=run, **KINDS)
    assert other.history.earlier == 2
    monkeypatch.setattr(dear, "answer", lambda picture: np.zeros_like(enlarged(picture, 0.0)))
    away = bc.cascade(cheap.vendor, bc.from_function("dear", dear.answer, test_side=0), rules=[RULE])
    seeds = range(20, 26)
    pictures = [(f"s{seed}", small(seed)) for seed in seeds]
    with pytest.raises(bc.BlackboxConformalError):
        bc.mask_all(away, pictures, calibration, 0.9, run=run)
    results = bc.mask_all(away, pictures, calibration, 0.9, run=run, fallback=left)
    assert [result.name for result in results] == [name for name, _ in pictures]
    with bc.Session(calibration, away, 0.9, run=run, fallback=left) as session:
        again = [session.mask(picture) for picture in pictures]
    for seed, result, same in zip(seeds, results, again, strict=True):
        np.testing.assert_array_equal(result.mask, same.mask)
        for certificate in (result.certificate, same.certificate):
            own = left if is_hard(small(seed)) else calibration
            assert (contradictions(certificate, own), certificate.calibration_digest) == ([], own.digest)
            assert any("could not be had" in note for note in certificate.notes) == is_hard(small(seed))
            assert any("passes on to a vendor" in words for words in certificate.assumptions) == is_hard(small(seed))
    with pytest.raises(bc.BlackboxConformalError, match="another procedure"):
        bc.mask_all(away, pictures, calibration, 0.9, run=run, fallback=calibration)


def test_over_budget_the_cheap_answer_is_delivered(tmp_path):
    photographs = write_photographs(tmp_path / "photographs", range(6))
    run = tmp_path / "run"
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        calibration = bc.calibrate(vendor, photographs, run=run, max_cost=1, **KINDS)
        left = bc.calibrate(vendor.without_last(), photographs, run=run, max_cost=1, **KINDS)
        with bc.Session(calibration, vendor, 0.9, run=run, max_cost="0.035", fallback=left) as session:
            results = [session.mask(small(seed)) for seed in (20, 21)]
            with pytest.raises(BudgetError):
                session.mask(small(22))
        assert [result.certificate.vendor_model[:13] for result in results] == ["vendor 2 of 2", "vendor 1 of 1"]
        assert (cheap.account.paid, dear.account.paid) == (8, 7)


def test_a_cluster_is_refused_where_answers_lie_in_two_places(tmp_path, networks, monkeypatch):
    write_draws(tmp_path / "draws", range(8), 1)
    folder = bc.load_adapter("folder", path=str(tmp_path / "draws"), label="folder")
    setup = set_up(bc.cascade(folder, networks[1].vendor, rules=[RULE]), score="texture")
    monkeypatch.setattr(Cluster, "refuse_unseen", lambda *_: None)
    with pytest.raises(UsageError, match="got both"):
        refuse_elsewhere(object.__new__(Cluster), setup, [], tmp_path, [])
    both = bc.calibrate(setup.adapter, write_photographs(tmp_path / "p", range(8)), run=tmp_path / "run", **KINDS)
    assert len(both.images) == 8


CHOICES = {**KINDS, "guarantee": "expected", "score_of_rule": "texture"}


def test_a_share_is_passed_on_and_the_photographs_calibrate_no_more(tmp_path):
    cheap, dear = Network("cheap", invents=True), Network("dear", invents=False)
    photographs = write_photographs(tmp_path / "fit", range(40, 52))
    run = tmp_path / "run"
    fit = bc.fit_cascade(cheap.vendor, dear.vendor, photographs, 0.5, pass_on=0.5, run=run, **CHOICES)
    assert (cheap.calls, dear.calls) == (12, 12)
    assert (fit.chosen.passed, fit.chosen.n) == (6, 12)
    assert [row.passed for row in fit.rows] == sorted({row.passed for row in fit.rows})
    assert (fit.rows[0].passed, fit.rows[-1].passed) == (0, 12)
    side, limit = fit.chosen.limit
    assert fit.rule == {"score": "texture", side: limit, "passed_on": [6, 12]}
    assert f"{side} = {limit!r}" in fit.toml
    assert [row["passed"] for row in fit.document()["shares"]] == [row.passed for row in fit.rows]
    with pytest.raises(UsageError, match="looked at before"):
        bc.calibrate(fit.vendor, photographs, run=run, **KINDS)
    # By itself it takes the smallest share that trusts as much as the dear vendor alone.
    best = bc.fit_cascade(cheap.vendor, dear.vendor, photographs, 0.5, run=run, **CHOICES)
    assert best.chosen.trusted_share >= best.rows[-1].trusted_share
    assert all(row.trusted_share < best.rows[-1].trusted_share for row in best.rows if row.passed < best.chosen.passed)
    assert (cheap.calls, dear.calls) == (12, 12)
    with pytest.raises(UsageError, match="pass_on from 0 to 1"):
        bc.fit_cascade(cheap.vendor, dear.vendor, photographs, 0.5, pass_on=30, run=run, **CHOICES)


def test_a_plan_foretells_the_bill_by_the_share(tmp_path):
    photographs = write_photographs(tmp_path / "photographs", range(8))
    with FaultServer() as cheap, FaultServer() as dear:
        members = of_servers(cheap.url, dear.url).members
        vendor = bc.cascade(*members, rules=[{"score": "texture", "at_most": 0.05, "passed_on": (10, 40)}])
        plan = bc.plan(vendor, photographs, run=tmp_path / "run", **KINDS)
    told = plan.foretold
    assert (told.expected, told.least, told.most) == (2, _above(10, 40, 8)[0], _above(11, 40, 8)[1])
    assert told.usd == (Decimal("0.08") + Decimal("0.01") * told.least, Decimal("0.08") + Decimal("0.01") * told.most)
    assert "in nine of ten cases" in repr(list(plan.blocks()))


def test_how_many_lie_above_follows_from_all_orders():
    """The twin: every way in which 3 new figures may stand among 4 others is equally likely."""
    for k in range(1, 5):
        counts = []
        for new in combinations(range(7), 3):
            others = [place for place in range(7) if place not in new]
            counts.append(sum(place > others[-k] for place in new))
        share = [np.mean(np.array(counts) <= count) for count in range(4)]
        least = next(count for count in range(4) if share[count] > 0.05)
        assert _above(k, 4, 3) == (least, next(count for count in range(4) if share[count] >= 0.95))


SCORE = "foretold-psnr"
VENDOR = '[[vendors]]\nadapter = "http"\nparameters = { url = "http://127.0.0.1:9/a", price_usd = "0.01" }\n'


class Painter:  # Invents as much as the seed of the draw wants
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
    assert (len(painter.seeds), sum(fit.answered)) == (48, 16)
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


def test_each_draw_of_one_vendor_is_paid_once(tmp_path, server, vendor):
    photographs, run = write_photographs(tmp_path / "photographs", range(6)), tmp_path / "run"
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
