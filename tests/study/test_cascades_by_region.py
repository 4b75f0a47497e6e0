"""A cascade by region: the dear vendor gets the tiles that do not suffice, and one picture is delivered."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.next_steps import limit_for_one
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.errors import BudgetError, RefusedError, UsageError
from blackbox_conformal.study.stages.cluster import Cluster
from blackbox_conformal.study.stages.ready import refuse_elsewhere
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

KINDS = {"metric": "rgb-linf", "score": "texture"}
RULE = {"score": "texture", "at_most": 0.05, "tile": 16, "margin": 4}
SIDE = 32
"""Of an input: four tiles."""


def truth(seed: int) -> np.ndarray:
    return photograph(seed, (4 * SIDE, 4 * SIDE))


def small(seed: int) -> np.ndarray:
    return reduced(truth(seed), 4)


def is_hard(picture: np.ndarray) -> bool:
    return bool(picture[0, 0, 0] > 127)


def enlarged(picture: np.ndarray) -> np.ndarray:
    size = 4 * picture.shape[1], 4 * picture.shape[0]
    return np.asarray(PillowImage.fromarray(picture).resize(size, PillowImage.Resampling.BICUBIC)) / 255


def cheap_answer(picture: np.ndarray) -> np.ndarray:
    """Invents in the first quarter of pictures whose first pixel is bright."""
    answer = enlarged(picture)
    if is_hard(picture):
        half = answer.shape[0] // 2, answer.shape[1] // 2
        noise = np.random.default_rng(int(picture.sum())).normal(0, 0.2, (*half, 3))
        answer[: half[0], : half[1]] = np.clip(answer[: half[0], : half[1]] + noise, 0, 1)
    return answer


def dear_answer(picture: np.ndarray) -> np.ndarray:
    return np.clip(enlarged(picture) + 0.02, 0, 1)


class Counted:  # A function that notes the sizes of what it was given
    def __init__(self, name: str, answer: Callable[[np.ndarray], np.ndarray]) -> None:
        self.sizes: list[tuple[int, int]] = []
        self._answer = answer
        self.vendor = bc.from_function(name, self.answer, test_side=0)

    def answer(self, picture: np.ndarray) -> np.ndarray:
        self.sizes.append(picture.shape[:2])
        return self._answer(picture)


def expected(picture: np.ndarray) -> np.ndarray:
    """By hand: the first quarter of a hard picture is the dear vendor's, of an input that is four pixels larger."""
    whole = np.rint(cheap_answer(picture) * 255)
    if is_hard(picture):
        whole[: 2 * SIDE, : 2 * SIDE] = np.rint(dear_answer(picture[:20, :20]) * 255)[: 2 * SIDE, : 2 * SIDE]
    return whole


def photographs(folder: Path, seeds: range) -> Path:
    folder.mkdir()
    for seed in seeds:
        PillowImage.fromarray(truth(seed)).save(folder / f"p{seed}.png")
    return folder


@pytest.fixture
def two():
    return Counted("cheap", cheap_answer), Counted("dear", dear_answer)


def test_only_tiles_that_do_not_suffice_are_bought_and_one_picture_is_delivered_to_every_use_case(tmp_path, two):
    cheap, dear = two
    vendor, run = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE]), tmp_path / "run"
    folder = photographs(tmp_path / "photographs", range(10))
    hard = sum(is_hard(small(seed)) for seed in range(10))
    assert 0 < hard < 10
    calibration = bc.calibrate(vendor, folder, run=run, **KINDS)
    assert (cheap.sizes, dear.sizes) == ([(SIDE, SIDE)] * 10, [(20, 20)] * hard)
    assert calibration.vendor_models == ("vendor 1 of 2: cheap 1", "vendor 2 of 2: dear 1")
    seeds = range(20, 25)
    assert {is_hard(small(seed)) for seed in seeds} == {True, False}
    with bc.Session(calibration, vendor, 0.9, run=run) as session:
        for seed in seeds:
            result = session.mask(small(seed))
            np.testing.assert_array_equal(result.image, expected(small(seed)))
            models = "vendor 1 of 2: cheap 1" + ", vendor 2 of 2: dear 1" * is_hard(small(seed))
            assert result.certificate.vendor_model == models
    bought = len(cheap.sizes), len(dear.sizes)
    mine = bc.mask(vendor, small(seeds[-1]), calibration, 0.9, run=run)
    np.testing.assert_array_equal(mine.image, result.image)
    np.testing.assert_array_equal(mine.mask, result.mask)
    assert bc.calibrate(vendor, folder, run=run, **KINDS).digest == calibration.digest
    assert bc.plan(vendor, folder, run=run, **KINDS).calls == 0
    assert (len(cheap.sizes), len(dear.sizes)) == bought
    unseen, end = photographs(tmp_path / "unseen", range(30, 36)), "vendor 2 of 2"
    audit = bc.audit(vendor, unseen, calibration, 0.9, group=end, run=run, stop=False)
    assert audit.n == sum(is_hard(small(seed)) for seed in range(30, 36))
    left = bc.calibrate(vendor.without_last(), folder, run=run, **KINDS)
    assert (len(left.images), len(dear.sizes)) == (hard, bought[1] + sum(is_hard(small(s)) for s in range(30, 36)))
    other = bc.cascade(cheap.vendor, dear.vendor, rules=[{**RULE, "margin": 5}])
    with pytest.raises(bc.BlackboxConformalError, match="another procedure"):
        bc.mask(other, small(20), calibration, 0.9, run=run)


def test_tiles_that_do_not_fit_the_picture_around_them_raise_the_risk(tmp_path, two):
    cheap, dear = two
    run, unseen = tmp_path / "run", photographs(tmp_path / "unseen", range(30, 42))
    vendor = bc.cascade(cheap.vendor, dear.vendor, rules=[RULE])
    calibration = bc.calibrate(vendor, photographs(tmp_path / "photographs", range(16)), run=run, **KINDS)
    # The same by name, brighter than the pictures around its tiles.
    brighter = Counted("dear", lambda picture: np.clip(enlarged(picture) + 0.5, 0, 1))
    shifted = bc.cascade(cheap.vendor, brighter.vendor, rules=[RULE])
    same, other = (
        bc.audit(each, unseen, calibration, 0.3, group="vendor 2 of 2", run=tmp_path / name, stop=False)
        for name, each in (("same", vendor), ("shifted", shifted))
    )
    assert brighter.sizes
    assert same.levels[0].judgement.risk <= 0.3 < other.levels[0].judgement.risk
    worst = [picture.worst[0] for picture in other.pictures if picture.losses[0] > 0.5]
    assert len(worst) > 3
    assert all(place is not None and max(place.row, place.column) < 2 * SIDE for place in worst)


def test_a_tile_that_is_refused_keeps_the_cheap_pixels_and_a_picture_that_the_cheap_one_refuses_goes_on_in_tiles(
    tmp_path, monkeypatch, two
):
    cheap, dear = two
    # Every tile goes on, and one of the four is refused.
    vendor = bc.cascade(cheap.vendor, dear.vendor, rules=[{**RULE, "at_most": 0.0}])
    calibration = bc.calibrate(vendor, photographs(tmp_path / "p", range(10)), run=tmp_path / "run", **KINDS)
    assert len(dear.sizes) == 40
    refused = set()
    kind = type(cheap.vendor)
    draw = kind.draw

    def refuses(self, upload, asked):
        answer = yield from draw(self, upload, asked)
        if upload.pixels.tobytes() in refused:
            raise RefusedError("not this one")
        return answer

    monkeypatch.setattr(kind, "draw", refuses)
    picture = small(next(seed for seed in range(20, 40) if is_hard(small(seed))))
    corners = {(top, left): picture[top : top + 20, left : left + 20] for top in (0, 12) for left in (0, 12)}
    whole = np.zeros((4 * SIDE, 4 * SIDE, 3))
    for (top, left), corner in corners.items():
        place = slice(4 * (top and 16), 4 * (top and 16) + 64), slice(4 * (left and 16), 4 * (left and 16) + 64)
        inner = slice(4 * (top and 4), 4 * (top and 4) + 64), slice(4 * (left and 4), 4 * (left and 4) + 64)
        whole[place] = np.rint(dear_answer(corner) * 255)[inner]

    def masked(name, *which):
        refused.clear()
        refused.update(np.ascontiguousarray(each).tobytes() for each in which)
        return bc.mask(vendor, picture, calibration, 0.9, run=tmp_path / name).image

    cheap_pixels = np.rint(cheap_answer(picture) * 255)
    np.testing.assert_array_equal(masked("none"), whole)
    np.testing.assert_array_equal(masked("all", *corners.values()), cheap_pixels)
    np.testing.assert_array_equal(masked("cheap", picture), whole)
    with pytest.raises(bc.BlackboxConformalError, match="refused"):
        masked("both", picture, corners[0, 0])
    mixed = whole.copy()
    mixed[:64, :64] = cheap_pixels[:64, :64]
    np.testing.assert_array_equal(masked("one", corners[0, 0]), mixed)


class DearVendor(SynchronousVendor):  # The other one of two fault servers
    name = "fault-dear"


def test_a_run_that_ends_between_tiles_pays_nothing_twice_and_a_plan_tells_the_bounds(tmp_path):
    folder = tmp_path / "photographs"
    # Two tiles each.
    write_photographs(folder, range(6))
    run = tmp_path / "run"
    with FaultServer() as cheap, FaultServer() as dear:
        rule = {**RULE, "at_most": 0.0}
        vendor = bc.cascade(SynchronousVendor(url=cheap.url), DearVendor(url=dear.url), rules=[rule])
        plan = bc.plan(vendor, folder, run=run, **KINDS)
        assert (plan.calls, plan.passed_on, plan.cost_usd) == (6, 12, (Decimal("0.06"), Decimal("0.18")))
        assert plan.usd_a_photograph == (Decimal("0.01"), Decimal("0.03"))
        with pytest.raises(UsageError, match="Give a folder"):
            bc.plan(vendor, 6, run=run, **KINDS)
        with pytest.raises(BudgetError):
            bc.calibrate(vendor, folder, run=run, max_cost="0.09", **KINDS)
        assert (cheap.account.paid, dear.account.paid) == (6, 3)
        plan = bc.plan(vendor, folder, run=run, **KINDS)
        assert (plan.calls, plan.passed_on, plan.cost_usd) == (9, 0, (Decimal("0.09"), Decimal("0.09")))
        calibration = bc.calibrate(vendor, folder, run=run, max_cost="0.18", **KINDS)
        assert (cheap.account.paid, dear.account.paid, len(calibration.images)) == (6, 12, 6)
        sums = ledger_sum(run)
        assert (sums["paid"], sums["cost_usd"], sums["reserved_usd"]) == (18, Decimal("0.18"), 0)
        assert ledger_verify(run).problems == ()
        with bc.Session(calibration, vendor, 0.9, run=run, max_cost="0.025") as session, pytest.raises(BudgetError):
            session.mask(reduced(photograph(20), 4))
        # A whole picture has to have room: nothing is paid for a part of one.
        assert (cheap.account.paid, dear.account.paid) == (6, 12)


def test_pictures_with_a_tile_in_common_buy_it_once(tmp_path, two):
    cheap, dear = two
    vendor = bc.cascade(cheap.vendor, dear.vendor, rules=[{**RULE, "at_most": 0.0}])
    calibration = bc.calibrate(vendor, photographs(tmp_path / "p", range(10)), run=tmp_path / "run", **KINDS)
    first, second = small(20), small(21).copy()
    second[:20, :20] = first[:20, :20]
    before = len(dear.sizes)
    results = bc.mask_all(vendor, [("a", first), ("b", second)], calibration, 0.9, run=tmp_path / "run")
    assert len(dear.sizes) - before == 7
    np.testing.assert_array_equal(results[0].image[:64, :64], results[1].image[:64, :64])


def test_a_limit_for_one_picture_is_proposed_where_each_has_as_many_calls():
    members = SynchronousVendor(url="http://127.0.0.1:9"), DearVendor(url="http://127.0.0.1:9")
    whole = {"score": "texture", "at_most": 0.05}
    proposed = [limit_for_one(set_up(bc.cascade(*members, rules=[rule]), score="texture")) for rule in (whole, RULE)]
    assert proposed == [["--max-cost", "0.02"], []]


def test_a_cluster_is_refused(tmp_path, two, monkeypatch):
    setup = set_up(bc.cascade(two[0].vendor, two[1].vendor, rules=[RULE]), score="texture")
    monkeypatch.setattr(Cluster, "refuse_unseen", lambda *_: None)
    with pytest.raises(UsageError, match="its rule has tiles"):
        refuse_elsewhere(object.__new__(Cluster), setup, [], tmp_path, [])
