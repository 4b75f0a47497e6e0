"""Random splits equal recalibrating and splitting one by one, and are kept on average."""

import numpy as np
import pytest
from support.audit_material import curve_of, maps

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.audits import permutation
from blackbox_conformal.method.audits.permutation import SPLITS, resplit_risks
from blackbox_conformal.method.audits.random_splits import CAUTION, split_audit
from blackbox_conformal.method.guarantees.by_cluster import ByCluster
from blackbox_conformal.method.guarantees.by_group import ByGroup
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.false_trust import FalseTrust
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.guarantees.high_probability import HighProbability
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

ALPHAS = [0.02, 0.05, 0.1, 0.3, 0.9, 0.99]


def curves(seed, count, *, refused=0, tolerance=None, ties=True):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scores = rng.integers(0, 9, (6, 7)) / 8 if ties else rng.random((6, 7))
        metric = np.minimum(rng.random((6, 7)) * scores * rng.uniform(0.1, 1), 1)
        found.append(RiskCurve.from_maps(scores, metric, bound=1.0, tolerance=tolerance))
    found += [RiskCurve.worst(1.0, "supremum" if tolerance is None else "share", tolerance=tolerance)] * refused
    return CurveSet.from_curves(found)


def recalibrated(rule, pooled, n, alphas, seed, splits):
    generator = np.random.Generator(np.random.Philox(seed))
    found = []
    for _ in range(splits):
        order = generator.permutation(len(pooled))
        calibrating = CurveSet.from_curves([pooled[index] for index in order[:n]])
        audited = [pooled[index] for index in order[n:]]
        thresholds = [rule.threshold(calibrating, alpha) for alpha in alphas]
        found.append([np.mean([curve.loss(threshold) for curve in audited]) for threshold in thresholds])
    return np.array(found)


@pytest.mark.parametrize(
    ("rule", "pooled", "n", "splits"),
    [
        *((Expected(), {"refused": refused, "ties": ties}, 20, 60) for refused in (0, 3) for ties in (True, False)),
        (FalseTrust(), {"refused": 1, "tolerance": 0.2}, 15, 40),
        (HighProbability(delta=0.2), {"ties": False}, 40, 5),
    ],
)
def test_all_splits_at_once_equal_one_by_one(rule, pooled, n, splits):
    alphas = [0.3] if splits == 5 else ALPHAS
    pooled = curves(1, 60 if splits == 5 else n + 10, **pooled)
    found = resplit_risks(rule, pooled, n, alphas, seed=7)
    assert found[:splits] == pytest.approx(recalibrated(rule, pooled, n, alphas, 7, splits), abs=1e-12)
    if isinstance(rule, Expected):
        assert found.shape == (SPLITS, len(ALPHAS))
        assert len(np.unique(found[:, 2])) > 20
    nothing = RiskCurve(np.empty(0, np.float32), np.empty(0, np.float32), 1.0)
    assert not resplit_risks(Expected(), CurveSet.from_curves([nothing] * 5), 3, [0.5]).any()


def test_per_image_counts_photographs_with_a_miss():
    pooled = curves(3, 40, ties=False)
    rule = PerImage(delta=0.2)
    found = resplit_risks(rule, pooled, 25, [0.1], seed=2)
    assert set(np.unique(np.round(found * 15, 9))) <= set(range(16))
    assert 0.05 < found.mean() <= 0.2 + 0.02


@pytest.mark.parametrize(("rule", "least"), [(Expected(), 999), (PerImage(delta=0.3), 199)])
@pytest.mark.parametrize("levels", [1, 5, 12, 30])
def test_splits_suffice_to_contradict_one_of_many_levels(rule, least, levels, monkeypatch):
    """The least p-value must be below the share of the error level that one of so many levels has."""
    # How many there are is asked; that each recalibrates is tested above, and takes long.
    monkeypatch.setattr(permutation, "_one", lambda *_: [0.0] * levels)
    found = resplit_risks(rule, curves(6, 12), 8, np.linspace(0.1, 0.9, levels).tolist())
    assert len(found) >= least
    assert 1 / (len(found) + 1) <= 0.05 / levels


@pytest.mark.parametrize(
    "rule",
    [Expected(leaked=1), Expected(weights=(1.0,) * 20, weight_new=1.0), ByGroup(groups=("a",) * 20, group_new="a")],
)
def test_no_test_where_photographs_are_not_alike(rule):
    assert not rule.treats_photographs_alike
    assert resplit_risks(rule, curves(5, 30), 20, [0.1]) is None


def test_the_p_value_is_uniform_when_nothing_is_wrong():
    """Over 100 exchangeable pools the observed split ranks anywhere: at most 5 % + 3 standard errors below 0.05."""
    low = 0
    for seed in range(100):
        pooled = curves(1000 + seed, 24, ties=False)
        observed = recalibrated(Expected(), pooled, 16, [0.2], seed, 1)[0, 0]
        null = resplit_risks(Expected(), pooled, 16, [0.2], seed + 10_000)[:, 0]
        low += (np.count_nonzero(null >= observed - 1e-9) + 1) / (SPLITS + 1) <= 0.05
    assert 1 <= low <= 100 * (0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5)


TOTAL, FEW, ALPHA = 24, 40, 0.45
TILES = tuple(f"p{k // 3}" for k in range(TOTAL))
GROUPS = tuple("ab"[k % 2] for k in range(TOTAL))


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    return [maps(rng) for _ in range(TOTAL)]


def as_curves(pool, tolerance=None):
    return CurveSet.from_curves([curve_of(*one, tolerance) for one in pool])


def loss_on_maps(one, threshold, tolerance):
    scores, errors = one
    mask = scores < threshold
    if tolerance is not None:
        return float((mask & (errors > np.float32(tolerance))).mean())
    return float(errors[mask].max()) if mask.any() else 0.0


def naive(rule, pool, units, n, *, misses=None, tolerance=None, seed=0):
    """Risk, trusted share and share of empty masks of each split, from the maps; `units` lists each unit's maps."""
    generator = np.random.Generator(np.random.Philox(seed))
    found = []
    for _ in range(FEW):
        order = generator.permutation(len(units))
        calibrating = [(unit, index) for unit in sorted(order[:n]) for index in units[unit]]
        flat = CurveSet.from_curves([curve_of(*pool[index], tolerance) for _, index in calibrating])
        names = tuple(str(unit) for unit, _ in calibrating)
        own = ByCluster(of="expected", clusters=names) if isinstance(rule, ByCluster) else rule
        threshold = own.threshold(flat, ALPHA)
        rows = []
        for unit in order[n:]:
            losses = [loss_on_maps(pool[index], threshold, tolerance) for index in units[unit]]
            shares = [float((pool[index][0] < threshold).mean()) for index in units[unit]]
            rows.append((np.mean(losses), np.mean(shares), np.mean(shares) == 0))
        losses, shares, empty = np.array(rows, dtype=np.float64).T
        risk = np.mean(losses > misses) if misses is not None else losses.mean()
        found.append((risk, shares.mean(), empty.mean()))
    return np.array(found)


@pytest.mark.parametrize(
    ("rule", "size", "extra"),
    [
        (Expected(), 1, {}),
        (PerImage(delta=0.2), 1, {"misses": ALPHA}),
        (FalseTrust(tolerance=0.3), 1, {"tolerance": 0.3}),
        (HighProbability(delta=0.3), 1, {}),
        (ByCluster(of="expected", clusters=TILES), 3, {}),
    ],
    ids=lambda value: value.plugin_name() if isinstance(value, Guarantee) else "",
)
def test_splits_equal_splitting_the_maps(pool, rule, size, extra):
    units = np.arange(TOTAL).reshape(-1, size)
    n = round(0.7 * len(units))
    expected = naive(rule, pool, units, n, **extra)
    found = split_audit(rule, as_curves(pool, extra.get("tolerance")), [ALPHA], splits=FEW)
    level = found.levels[0]
    assert (found.n_calibration, found.n_measured) == (n, len(units) - n)
    for place, (name, precision) in enumerate((("risk", 2e-6), ("trusted", 1e-6), ("empty", 1e-12))):
        values = expected[:, place]
        spread = getattr(level, name if name == "risk" else f"{name}_share")
        assert spread == pytest.approx((values.mean(), values.std(ddof=1)), abs=precision)
        if name != "empty":
            assert getattr(level, f"{name}_range") == pytest.approx(np.quantile(values, [0.05, 0.95]), abs=precision)
    assert level.above == pytest.approx(np.mean(expected[:, 0] > level.claimed * (1 + 1e-9)))
    assert level.claimed == (0.2 if "misses" in extra else ALPHA)
    assert level.risk[0] > 0
    assert len(np.unique(expected[:, 0])) > 3, "splits differ, or nothing was tested"


def test_the_pool_of_a_group_is_its_own_photographs(pool):
    own = [one for one, group in zip(pool, GROUPS, strict=True) if group == "b"]
    rule = ByGroup(of="expected", groups=GROUPS, group_new="b")
    found = split_audit(rule, as_curves(pool), [ALPHA], splits=FEW)
    alone = split_audit(Expected(), as_curves(own), [ALPHA], splits=FEW)
    assert found.levels == alone.levels
    assert found.quantity == f"within group 'b', {alone.quantity}"


def test_tiles_never_stand_on_both_sides():
    """Tiles of one photograph are alike: were they split apart, calibration would know what it is measured on."""
    rng = np.random.default_rng(3)
    tiles, names = [], []
    for photograph in range(12):
        scores, errors = maps(rng)
        tiles += [(scores, errors)] * 4
        names += [f"p{photograph}"] * 4
    found = split_audit(ByCluster(clusters=tuple(names)), as_curves(tiles), [ALPHA], splits=200)
    once = split_audit(Expected(), as_curves(tiles[::4]), [ALPHA], splits=200)
    assert found.unit == "photographs with all their tiles"
    assert (found.n_calibration, found.n_measured) == (once.n_calibration, once.n_measured) == (8, 4)
    assert found.levels[0].risk == pytest.approx(once.levels[0].risk, abs=1e-6)


def test_a_few_trusted_pixels_are_not_an_empty_mask():
    """Stored shares are on a grid of quantiles, rounded down: 3 of 10,000 pixels show as none."""
    rng = np.random.default_rng(4)
    pool = []
    for _ in range(20):
        scores = rng.uniform(0.5, 1, (100, 100)).astype(np.float32)
        scores[0, :3], scores[0, 3] = 0.1, 0.5
        pool.append((scores, np.full_like(scores, 0.9)))
        pool[-1][1][0, :3] = 0.05
    found = split_audit(Expected(), as_curves(pool), [0.15], splits=10).levels[0]
    assert found.risk[0] == pytest.approx(0.05)
    assert found.empty_share == (0, 0)


def test_the_guarantee_is_kept_in_the_mean_over_splits_whatever_the_pool():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        pool = [maps(rng, harder=rng.choice([0.3, 1.0, 3.0])) for _ in range(30)]
        found = split_audit(Expected(), as_curves(pool), [0.2, 0.4, 0.6], splits=400, seed=seed)
        for level in found.levels:
            assert level.risk[0] <= level.alpha + 3 * level.risk[1] / 400**0.5
            assert (level.risk[0] > 0.5 * level.alpha) or level.alpha < 0.3


def test_equal_seeds_give_equal_splits_levels_come_sorted_and_the_warning_says_that_splits_depend_on_each_other(pool):
    first, second, other = (split_audit(Expected(), as_curves(pool), [0.6, 0.3, 0.6], seed=s) for s in (1, 1, 2))
    assert first == second != other
    assert [level.alpha for level in first.levels] == [0.3, 0.6]
    assert first.splits == 100
    for words in ("depend on each other", "no confidence interval", "no verdict"):
        assert words in CAUTION.replace("\n", " ")


def test_what_cannot_be_reached_and_what_is_not_in_the_curves_is_said(pool):
    found = split_audit(Expected(bound_from="delivered"), as_curves(pool), [0.01, 0.5], splits=3, n_calibration=20)
    assert found.levels[0].trusted_share == (0, 0)
    assert found.levels[0].empty_share[0] == 1
    assert any("20 photographs cannot reach 0.01: nothing is trusted" in note for note in found.notes)
    assert any("from its delivered colours" in note and "trusts no more" in note for note in found.notes)
    assert split_audit(Expected(), as_curves(pool), [0.9], splits=3).notes == ()


def test_a_mean_of_few_splits_above_the_claim_is_explained(pool):
    """Of per-image the mean over all splits is just below delta, so that few of them are often above it."""
    said = []
    for seed in range(12):
        found = split_audit(PerImage(delta=0.2), as_curves(pool), [ALPHA], splits=4, n_calibration=19, seed=seed)
        risk, spread = found.levels[0].risk
        said.append(risk > 0.2)
        assert bool(found.notes) is said[-1]
        if said[-1]:
            assert f"by {2 * (risk - 0.2) / spread:.1f} standard errors" in found.notes[0]
            assert "Take more splits" in found.notes[0]
    assert any(said)
    assert not all(said)
    many = split_audit(PerImage(delta=0.2), as_curves(pool), [ALPHA], splits=3000, n_calibration=19).levels[0]
    assert many.risk[0] <= 0.2 + 3 * many.risk[1] / 3000**0.5


@pytest.mark.parametrize(
    ("rule", "settings", "error", "match"),
    [
        (Expected(leaked=1), {}, UsageError, "weights or leaked"),
        (Expected(weights=(1.0,) * TOTAL, weight_new=1.0), {}, UsageError, "weights or leaked"),
        (Expected(), {"splits": 0}, UsageError, "at least 1 split"),
        (Expected(), {"share": 1.0}, UsageError, "between 0 and 1"),
        (Expected(), {"n_calibration": TOTAL}, UsageError, f"1 to {TOTAL - 1}"),
        (ByCluster(clusters=("one",) * TOTAL), {}, CalibrationError, "at least 2 photographs"),
    ],
)
def test_what_cannot_be_split_is_refused(pool, rule, settings, error, match):
    with pytest.raises(error, match=match):
        split_audit(rule, as_curves(pool), [ALPHA], **settings)


def test_refused_photographs_count_at_the_worst_loss(pool):
    refused = CurveSet.from_curves([*as_curves(pool), *[RiskCurve.worst(1.0)] * 6])
    with_them = split_audit(Expected(), refused, [0.7], splits=50).levels[0]
    without = split_audit(Expected(), as_curves(pool), [0.7], splits=50).levels[0]
    assert with_them.trusted_share[0] < without.trusted_share[0]
    assert with_them.risk[0] <= 0.7 + 3 * with_them.risk[1] / 50**0.5
