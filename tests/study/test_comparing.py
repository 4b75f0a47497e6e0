"""A comparison drawn from the embedded vendor: same photographs for all, shared draws, limits over all."""

import math
import sys
import warnings
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import forked

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.spent import read_spending
from blackbox_conformal.errors import BudgetError, CalibrationError, IncompleteError, PicturesError, UsageError
from blackbox_conformal.method.audits.detail_shares import DetailMeter, DetailShares
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.method.scores import score as scoring
from blackbox_conformal.pages.report.comparison_page import write_comparison
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.choose import comparison
from blackbox_conformal.study.choose.comparing import compare_contestants
from blackbox_conformal.study.choose.comparison import SCALES, mean_of_known, paired_bootstrap
from blackbox_conformal.study.choose.contestants import Contest, Contestant, bytes_a_pixel, vendor_folder
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.python.functions import audit
from blackbox_conformal.study.stages.memory import AUDIT_PIXEL_BYTES, BASE_BYTES
from blackbox_conformal.study.stages.prepare import prepare_photographs
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.study.unseen_photographs import split_prepared
from blackbox_conformal.support.blocks import Facts
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

ALPHAS = (0.4, 0.7)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for photograph in demo_photographs():
        pixels = read_image(photograph.path).pixels
        for part in range(2):
            crop = pixels[40 + 130 * part : 104 + 130 * part, 60:124]
            Image.fromarray(np.ascontiguousarray(crop)).save(folder / f"{photograph.name}-{part}.png")
    return sorted(folder.iterdir())


def contestant(label, draws, score="smoothed-variance"):
    return Contestant(label, set_up(load_adapter("embedded"), draws=draws, score=score))


@pytest.fixture(scope="module")
def contestants():
    return [contestant("four", 4), contestant("two", 2), contestant("one", 1, "bicubic-gap")]


def contest(contestants, photographs, root, held_out=2, baselines=True, **terms):
    terms = Terms(root, **{"ask": lambda *_: None, **terms})
    return Contest.of_photographs(contestants, photographs, terms, held_out=held_out, baselines=baselines)


def compare(contestants, photographs, alphas, **settings):
    """The comparison; limits that are given hold as they are, also where they are known to be too small."""
    found = contest(contestants, photographs, **settings)
    keys = frozenset().union(*(job.keys for job in found.jobs))
    for job in found.jobs if "limits" in settings else ():
        job.limits = replace(job.limits, scope=keys)
    return compare_contestants(found, alphas)


def planned_calls(contestants, photographs, root):
    return contest(contestants, photographs, root).plan().calls


@pytest.fixture(scope="module")
def drawn(photographs, contestants, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    planned = planned_calls(contestants, photographs, root)
    found = compare(contestants, photographs, ALPHAS, root=root, held_out=8)
    return planned, found, root


def test_settings_of_one_vendor_share_draws_and_the_plan_knows(drawn, photographs, contestants):
    planned, found, root = drawn
    assert planned == 4 * len(photographs)
    assert len([path for path in root.iterdir() if path.is_dir()]) == 1
    assert read_spending(vendor_folder(root, contestants[0].setup)).calls == planned
    assert planned_calls(contestants, photographs, root) == 0
    standings = {one.contestant: (one.wanted, one.calls, one.cached, one.failed) for one in found.standings}
    n = len(photographs)
    assert standings == {"four": (4 * n, 4 * n, 0, 0), "two": (2 * n, 0, 2 * n, 0), "one": (n, 0, n, 0)}
    assert (found.n_calibration, found.n_evaluation) == (len(photographs) - 8, 8)


def test_every_measured_photograph_is_handed_over_as_it_is_counted(drawn, photographs, contestants):
    _, found, root = drawn
    pictures = []
    compare_contestants(contest(contestants, photographs, root, held_out=8), ALPHAS, pictures.append)
    assert len(pictures) == 8 * len(contestants)
    by_contestant = {}
    for picture in pictures:
        by_contestant.setdefault(picture.contestant, {})[picture.identity] = picture
        assert picture.truth.shape == picture.delivered.shape == (*picture.score_map.shape, 3)
        assert picture.low.shape == (16, 16, 3)
        for alpha in ALPHAS:
            assert picture.shares[alpha] == (picture.score_map < picture.thresholds[alpha]).mean()
    assert len({frozenset(shown) for shown in by_contestant.values()}) == 1, "the same photographs for all"
    for row in found.rows:
        if row.method == "trust mask":
            shown = by_contestant[row.contestant].values()
            assert row.trusted_share == pytest.approx(np.mean([picture.shares[row.alpha] for picture in shown]))
            assert row.risk == pytest.approx(np.mean([picture.losses[row.alpha] for picture in shown]))


def test_the_plan_counts_what_may_be_bought_again_and_the_memory_of_all_methods(photographs, tmp_path):
    with FaultServer({"submit": ["picture:kind=wrong-size"]}) as server:
        vendor = load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=server.url)
        both = [
            Contestant(f"{draws}", set_up(vendor, draws=draws, score="pixel-variance", metric="rgb-linf"))
            for draws in (3, 2)
        ]
        plan = contest(both, photographs[:4], tmp_path).plan()
        assert (plan.calls, plan.cost_usd) == (12, (Decimal("0.12"),) * 2)
        assert plan.memory_bytes == BASE_BYTES + 2 * bytes_a_pixel(3, True) * 64 * 64
        alone = contest(both, photographs[:4], tmp_path, baselines=False)
        assert alone.plan().memory_bytes == BASE_BYTES + 2 * AUDIT_PIXEL_BYTES * 64 * 64
        with pytest.raises(IncompleteError):
            compare(both, photographs[:4], [0.9], root=tmp_path, held_out=2, limits=Limits(max_calls=12))
        left = contest(both, photographs[:4], tmp_path).plan().calls
        assert contest(both, photographs[:4], tmp_path, limits=Limits(max_resample=1)).plan().calls == left + 1


def test_trust_mask_rows_are_those_of_calibrate_and_audit(drawn, photographs, contestants):
    _, found, root = drawn
    setup = contestants[0].setup
    run = vendor_folder(root, setup)
    calibrating, unseen = split_prepared(prepare_photographs(photographs, setup, lambda *_: None), 8, 0)
    calibration = calibrate_job(Job.of_photographs(setup, [one.path for one in calibrating], Terms(run))).calibration
    audited = audit(setup.adapter, [one.path for one in unseen], calibration, ALPHAS, run=run)
    rows = [row for row in found.rows if (row.contestant, row.method) == ("four", "trust mask")]
    for row, level in zip(rows, audited.levels, strict=True):
        assert (row.alpha, row.trusted_share) == (level.alpha, pytest.approx(level.trusted_share))
        assert row.risk == pytest.approx(level.judgement.risk)
        assert row.psnr_trusted == pytest.approx(level.inside.psnr, nan_ok=True)
        assert (row.psnr_all, row.share_gain) == (pytest.approx(level.whole.psnr), (0, 0, 0))


def test_free_pictures_stand_beside_contestants_and_lead_to_no_best_one(drawn, photographs, contestants, monkeypatch):
    _, _, root = drawn
    made = []
    take = scoring.reference
    monkeypatch.setattr(scoring, "reference", lambda low, *a, **k: made.append(1) or take(low, *a, **k))
    pictures = []
    found = compare_contestants(contest(contestants, photographs, root, held_out=8), ALPHAS, pictures.append)
    assert len(made) == 24, "once for each picture that is measured"
    assert list(found.detail) == ["four", "two", "one", "plain enlargement", "free reference"]
    rows = {row["picture"]: row for row in found.document()["detail"]}
    for name in ("four", "two", "one"):
        meter = DetailMeter(contestants[0].setup.procedure.mixture)
        own = sorted((one for one in pictures if one.contestant == name), key=lambda one: one.identity)
        alone = DetailShares.of([meter(one.identity, one.truth, one.low, one.delivered) for one in own])
        assert rows[name]["restored"][0] == pytest.approx(alone.restored[0])
        assert rows[name]["invented"][2] == pytest.approx(alone.invented[2])
    assert rows["free reference"]["psnr"] > rows["one"]["psnr"]
    glance = next(block for block in found.blocks() if isinstance(block, Facts))
    assert f"{100 * found.detail['one'].restored[0]:.0f} % of the missing detail restored" in glance.items["one"]
    ranks = found.document()["ranks"]
    trusted = {row.contestant: row.trusted_share for row in found.rows if row.method == "trust mask"}
    assert ranks["trusted"] == sorted(trusted, key=lambda name: -trusted[name])
    assert ranks["restored"] == sorted(ranks["restored"], key=lambda name: -found.detail[name].restored[0])
    assert ranks["invented"] == sorted(ranks["invented"], key=lambda name: found.detail[name].invented[0])


def test_a_refused_photograph_counts_as_an_audit_counts_it(photographs, tmp_path):
    with FaultServer({"submit": [None] * 2 * 18 + ["status:code=422"]}) as server:
        vendor = load_adapter("blackbox_conformal.testing.reference_adapters:SynchronousVendor", url=server.url)
        choices = {"draws": 2, "metric": "rgb-linf"}
        both = [
            Contestant(score, set_up(vendor, score=score, **choices))
            for score in ("pixel-variance", "smoothed-variance")
        ]
        limits = Limits(max_calls=100, concurrency=1)
        found = compare(both, photographs[:22], [0.9], root=tmp_path, held_out=4, limits=limits)
        assert [one.refused for one in found.standings] == [1, 1]
        run = vendor_folder(tmp_path, both[0].setup)
        pictures = prepare_photographs(photographs[:22], both[0].setup)
        calibrating, unseen = split_prepared(pictures, 4, 0)
        for contestant in both:
            calibration = calibrate_job(
                Job.of_photographs(contestant.setup, [one.path for one in calibrating], Terms(run, limits))
            ).calibration
            audited = audit(vendor, [one.path for one in unseen], calibration, [0.9], run=run, limits=limits)
            row = next(row for row in found.rows if (row.contestant, row.method) == (contestant.label, "trust mask"))
            assert row.risk == pytest.approx(audited.levels[0].judgement.risk)
            assert row.risk >= 0.25
            assert row.trusted_share == pytest.approx(audited.levels[0].trusted_share)


def test_every_contestant_gets_every_method_it_can(drawn):
    _, found, _ = drawn
    methods = {(row.contestant, row.method) for row in found.rows}
    assert methods == {
        *((name, method) for name in ("four", "two") for method in ("trust mask", "interval image", "soft mask")),
        ("one", "trust mask"),
    }
    assert len(found.rows) == 2 * len(methods)
    for row in found.rows:
        assert row.guarantee.startswith("no guarantee") == (row.method != "trust mask")
        assert 0 <= row.trusted_share <= 1
        low, high = row.share_gain[1:]
        assert low <= row.share_gain[0] <= high
    soft = [row for row in found.rows if row.method == "soft mask"]
    assert all(row.trusted_share > 0 for row in soft)
    largest = {(row.contestant, row.alpha): row.trusted_share for row in found.rows if row.method == "trust mask"}
    assert any(share > 0 for share in largest.values())


def test_json_holds_no_nan(drawn):
    import json

    _, found, _ = drawn
    text = json.dumps(found.document(), allow_nan=False)
    content = json.loads(text)
    assert {"n_calibration", "n_evaluation", "rows", "vendors"} <= content.keys()
    assert content["vendors"][0]["latency_s"]["median"] > 0


def test_what_cannot_be_compared_is_refused(photographs, contestants, tmp_path):
    four, two, _ = contestants
    with pytest.raises(UsageError, match="at least two"):
        compare([four], photographs, ALPHAS, root=tmp_path, held_out=8)
    with pytest.raises(UsageError, match="different labels"):
        compare([four, Contestant("four", two.setup)], photographs, ALPHAS, root=tmp_path, held_out=8)
    other = Contestant("other", set_up(load_adapter("embedded"), draws=4, metric="rgb-l1"))
    with pytest.raises(UsageError, match="one metric"):
        compare([four, other], photographs, ALPHAS, root=tmp_path, held_out=8)
    with pytest.raises(CalibrationError, match="at least 2 photographs"):
        compare([four, two], photographs[:2], ALPHAS, root=tmp_path, held_out=2)
    with pytest.raises(PicturesError, match="fits into 300 MiB"):
        compare([four, two], photographs, ALPHAS, root=tmp_path, held_out=8, memory_bytes=300 * 2**20 + 2**16)
    second = set_up(load_adapter("embedded"), draws=2, score="second-opinion", second=load_adapter("embedded"))
    with pytest.raises(UsageError, match="no second vendor"):
        compare([four, Contestant("second", second)], photographs, ALPHAS, root=tmp_path, held_out=8)
    assert list(tmp_path.iterdir()) == []


def vendors(url, *, price="0.01"):
    """Two vendors at a cent a draw, of which the first may be without a price."""
    found = {}
    for label, seedable, own in (("one", True, price), ("other", False, "0.01")):
        adapter = SynchronousVendor(url=url, seedable=seedable, price_usd=own)
        found[label] = Contestant(label, set_up(adapter, draws=2))
    return found


def bought(contestants, paths, root, **limits):
    return compare(list(contestants), paths, ALPHAS, root=root, held_out=2, limits=Limits(**limits), baselines=False)


def test_limits_hold_for_all_together_and_for_one_comparison(photographs, tmp_path, server):
    both = vendors(server.url).values()
    with pytest.raises(BudgetError, match=r"0\.07 spent and 0 reserved of 0\.07 allowed"):
        bought(both, photographs[:4], tmp_path, max_cost_usd=Decimal("0.15"))
    # 16 draws: the first vendor's 8, and 7 of the other's.
    assert server.account.paid == 15
    bought(both, photographs[:4], tmp_path, max_cost_usd=Decimal("0.16"))
    assert server.account.paid == 16
    # Other photographs are another job, whatever the folders hold; the same ones go on where they were.
    for _ in range(2):
        bought(both, photographs[4:8], tmp_path, max_calls=16)
        assert server.account.paid == 32
    with pytest.raises(BudgetError):
        bought(both, photographs[8:12], tmp_path, max_calls=15)
    assert server.account.paid == 47


def test_what_a_killed_comparison_had_sent_counts_against_the_limit_of_the_next(photographs, tmp_path):
    with FaultServer() as server:
        script = f"""
import os, sys
from decimal import Decimal
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from study.test_comparing import Limits, compare, vendors
from blackbox_conformal.study.listeners import Listeners
sent = []
def listener(event):
    sent.extend([event] if event.kind == "submitted" else [])
    if len(sent) == 4:
        os._exit(9)
both = vendors({server.url!r})
compare([both["other"], both["one"]], [Path(one) for one in sys.argv[2:]], (0.5,), root=Path(sys.argv[1]), held_out=2,
        limits=Limits(max_cost_usd=Decimal("0.08"), concurrency=8), baselines=False, listeners=Listeners(listener))
"""
        arguments = [sys.executable, "-c", script, str(tmp_path), *map(str, photographs[:4])]
        assert forked.run(arguments).returncode == 9
        both = vendors(server.url)
        held = read_spending(vendor_folder(tmp_path, both["other"].setup))
        assert held.reserved_usd > 0
        with pytest.raises(BudgetError):
            bought(both.values(), photographs[:4], tmp_path, max_cost_usd=Decimal("0.08"))
        spent = [read_spending(vendor_folder(tmp_path, one.setup)) for one in both.values()]
        assert sum(one.spent_usd + one.reserved_usd for one in spent) <= Decimal("0.08")


def test_a_vendor_without_a_price_is_refused_before_another_is_paid(photographs, tmp_path, server):
    both, limits = vendors(server.url, price=None), Limits(max_cost_usd=Decimal(1), max_calls=99)
    with pytest.raises(BudgetError, match="needs the price of one call, and none is known"):
        compare_contestants(contest([both["other"], both["one"]], photographs[:4], tmp_path, limits=limits), ALPHAS)
    assert server.account.paid == 0


def test_the_limit_stays_when_the_place_becomes_a_run_folder(photographs, tmp_path, server):
    both = vendors(server.url)
    bought(both.values(), photographs[:4], tmp_path, max_calls=16)
    with Sampler(both["one"].setup.adapter, tmp_path, Limits(max_calls=0)):
        pass
    assert vendor_folder(tmp_path, both["one"].setup) == tmp_path
    with pytest.raises(BudgetError):
        bought(both.values(), photographs[:4], tmp_path, max_calls=16)
    assert server.account.paid == 16


def test_draws_at_an_unknown_price_do_not_look_free(photographs, tmp_path, capsys):
    with FaultServer(reported_price=None) as server:
        vendor = SynchronousVendor(url=server.url, price_usd=None)
        unpriced = Contestant("vendor", set_up(vendor, draws=2, score="smoothed-variance"))
        terms = {"root": tmp_path, "held_out": 3, "limits": Limits(max_calls=100), "baselines": False}
        found = compare([contestant("embedded", 2), unpriced], photographs[:6], [1.5], **terms)
    embedded, vendor = found.standings
    assert (embedded.spent_usd, embedded.usd_per_photograph) == (0, 0)
    assert (vendor.calls, vendor.spent_usd, vendor.usd_per_photograph) == (12, None, None)
    assert [row.usd_per_trusted_megapixel for row in found.rows] == [0, None]
    assert [one["usd_per_photograph"] for one in found.document()["vendors"]] == [0, None]
    page = write_comparison(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<td>unknown</td>" in page
    Screen(as_json=False, quiet=False, verbose=0).show(found.blocks())
    assert "unknown" in capsys.readouterr().out


def test_paired_bootstrap_covers_the_mean_difference():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        differences = rng.normal(0.1, 0.3, 40)
        mean, low, high = paired_bootstrap(differences, seed)
        assert mean == pytest.approx(differences.mean())
        hits += low <= 0.1 <= high
    assert abs(hits / 200 - 0.9) <= 0.03 + 3 * math.sqrt(0.09 / 200)


def test_unknown_members_leave_their_pair_out():
    assert paired_bootstrap(np.array([1.0, np.nan, np.inf, 1.0])) == (1.0, 1.0, 1.0)
    assert all(math.isnan(value) for value in paired_bootstrap(np.array([np.nan])))
    assert math.isnan(mean_of_known(np.array([np.nan])))
    assert mean_of_known(np.array([1.0, np.nan, 3.0])) == 2.0


def draws(seed, count, shape=(9, 11, 3)):
    rng = np.random.default_rng(seed)
    base = rng.integers(40, 216, shape)
    return [np.clip(base + rng.integers(-9, 10, shape), 0, 255).astype(np.uint8) for _ in range(count)], base


@pytest.mark.parametrize("count", [2, 8, 41])
def test_intervals_reach_from_the_low_to_the_high_draws(count):
    pictures, base = draws(count, count)
    truth = np.clip(base + 12, 0, 255).astype(np.uint8)
    found = comparison.intervals(pictures, pictures[0], truth)
    cut = int(0.05 * (count - 1))
    needed = []
    for row in range(9):
        for column in range(11):
            widths = 0.0
            for channel in range(3):
                values = sorted(int(one[row, column, channel]) for one in pictures)
                centre = int(pictures[0][row, column, channel])
                below = max(centre - values[cut], 0) / 255 + 0.5 / 255
                above = max(values[-1 - cut] - centre, 0) / 255 + 0.5 / 255
                error = (int(truth[row, column, channel]) - centre) / 255
                needed.append(-error / below if error < 0 else error / above)
                widths += max(below, above)
            assert found.width[row, column] == pytest.approx(widths, rel=1e-5)
    assert found.ratios[-1] == pytest.approx(max(needed), rel=1e-5)
    for scale in (0.5, 1.0, 2.0):
        assert (found.ratios > scale).sum() / 1024 >= np.mean(np.array(needed) > scale) - 1e-3


def test_scaled_intervals_cover_new_photographs():
    """With confidence 0.9 over calibrations, 90 % of colour values are covered: 6 of 60 may fail, and 3 errors more."""
    failures = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        ratios = [np.sort(rng.gamma(1, rng.uniform(0.5, 2), 1025)).astype(np.float32) for _ in range(60)]
        scale = comparison.interval_scale(ratios)
        missed = np.mean([np.exp(-scale / spread) for spread in np.linspace(0.5, 2, 400)])
        failures += missed > comparison.MISCOVERAGE
        assert np.isfinite(scale)
    assert failures <= 6 + 3 * (60 * 0.1 * 0.9) ** 0.5


def test_no_scale_where_photographs_are_too_few():
    assert comparison.interval_scale([np.ones(1025, np.float32)] * 3) == float("inf")


def test_soft_masks_and_their_errors_by_plain_loops():
    rng = np.random.default_rng(0)
    score_map = (rng.random((7, 5)) ** 3).astype(np.float32)
    score_map[0, :2] = 0
    errors = rng.random((7, 5)).astype(np.float32)
    with warnings.catch_warnings(action="error"):
        found = comparison.soft_errors(score_map, 50 * errors) / 50
    assert (np.diff(found) >= -1e-12).all()
    for index in (0, 20, 50, 70, len(SCALES) - 1):
        mask = comparison.soft_mask(score_map, SCALES[index])
        expected = np.mean(
            [
                (1.0 if score <= SCALES[index] else SCALES[index] / score) * error
                for score, error in zip(score_map.ravel().tolist(), errors.ravel().tolist(), strict=True)
            ]
        )
        assert found[index] == pytest.approx(expected, rel=1e-6)
        assert np.mean(mask * errors) == pytest.approx(expected, rel=1e-5)
    assert not comparison.soft_mask(score_map, 0.0)[score_map > 0].any()


def test_soft_scale_leaves_one_picture_in_ten_out():
    errors = [np.linspace(0, 1, len(SCALES)) * (1 + index / 10) for index in range(19)]
    scale = comparison.soft_scale(errors, 0.5)
    borne = [one[list(SCALES).index(scale)] <= 0.5 for one in errors]
    assert sum(borne) == 18
    assert comparison.soft_scale(errors[:8], 0.5) == 0.0, "eight photographs are too few for nine in ten"


def test_a_soft_mask_keeps_its_mean_and_fully_trusts_errors_above_alpha_where_a_trust_mask_does_not():
    """Adame, Csillag and Goedert (2025), Example B.1: a bound of the masked mean is none of what is trusted."""
    rng, alpha, side, n = np.random.default_rng(5), 0.1, 16, 200
    scores = rng.uniform(0.1, 1, (2 * n, side, side)).astype(np.float32)
    # Right almost everywhere, and wholly wrong in one pixel of the surer half.
    errors = np.zeros_like(scores)
    for place in range(2 * n):
        sure = np.flatnonzero(scores[place] < 0.55)
        errors[place].flat[rng.choice(sure)] = 1
    scale = comparison.soft_scale(
        [comparison.soft_errors(*pair) for pair in zip(scores[:n], errors[:n], strict=True)], alpha
    )
    curves = CurveSet.from_curves(
        [RiskCurve.from_maps(*pair, bound=1.0) for pair in zip(scores[:n], errors[:n], strict=True)]
    )
    threshold = Expected().threshold(curves, alpha)
    kept, trusted_wrong, risk = [], [], []
    for score, error in zip(scores[n:], errors[n:], strict=True):
        mask = comparison.soft_mask(score, scale)
        kept.append((mask * error).mean() <= alpha)
        trusted_wrong.append(error[mask >= 1].max(initial=0))
        risk.append(error[trusted(score, threshold)].max(initial=0))
    assert np.mean(kept) >= 0.9
    assert np.mean(trusted_wrong) > 9 * alpha
    assert np.mean(risk) <= alpha + 3 * np.std(risk) / np.sqrt(n)
    assert 0 < np.mean([trusted(score, threshold).mean() for score in scores[n:]]) < 0.5


def test_labels_promise_nothing():
    assert comparison.INTERVAL_LABEL.startswith("no guarantee")
    assert comparison.SOFT_LABEL.startswith("no guarantee")
