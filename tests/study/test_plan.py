"""What is known before a call: keys, draws elsewhere, the level, the expected shares; and what was spent."""

import io
import itertools
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.command_line import VENDOR
from support.report_material import make_ledger
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.spending.estimate import missing_key, stored_elsewhere
from blackbox_conformal.drawing.spending.spent import latency, read_spending, spending_on
from blackbox_conformal.drawing.task import task_keys
from blackbox_conformal.errors import BudgetError, ImageError
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.pages.report.report_store import preview_of_result
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.mask.products import add_doubt
from blackbox_conformal.study.plan.expected_shares import CurveOutlook, MeasuredShares, measured_shares, series_name
from blackbox_conformal.study.plan.promises import capped, promises
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC
from blackbox_conformal.study.stages.prepare import prepare_photographs
from blackbox_conformal.study.stages.settings import member, set_up
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run folder with two draws of three photographs, the set-up, and the photographs."""
    root = tmp_path_factory.mktemp("runs")
    paths = write_photographs(root / "photographs", range(3))
    with FaultServer() as server:
        setup = set_up(load_adapter(VENDOR, url=server.url), **CHOICES)
        calibrate_job(Job.of_photographs(setup, paths, Terms(root / "first", Limits(max_calls=6))))
    return root, setup, paths


def tasks_of(setup, paths):
    return [task for picture in prepare_photographs(paths, setup) for task in picture.tasks]


def test_draws_beside_are_found_and_counted(drawn):
    root, setup, paths = drawn
    more = set_up(setup.adapter, **{**CHOICES, "draws": 3})
    found = stored_elsewhere(setup.adapter, tasks_of(more, paths), root / "second")
    assert (found.folder, found.count) == (root / "first", 6)
    assert stored_elsewhere(setup.adapter, tasks_of(setup, paths[:1]), root / "second").count == 2


def test_what_is_no_help_is_not_told(drawn):
    root, setup, paths = drawn
    tasks = tasks_of(setup, paths)
    assert stored_elsewhere(setup.adapter, tasks, root / "first") is None
    assert stored_elsewhere(setup.adapter.model_copy(update={"scale": 2}), tasks, root / "second") is None
    assert stored_elsewhere(setup.adapter, [replace(task, index=9) for task in tasks], root / "second") is None
    assert stored_elsewhere(setup.adapter, tasks, root / "nowhere" / "second") is None


def test_a_damaged_ledger_beside_is_left_out(drawn):
    root, setup, paths = drawn
    (root / "damaged").mkdir()
    (root / "damaged" / "ledger.sqlite").write_bytes(b"no ledger")
    assert stored_elsewhere(setup.adapter, tasks_of(setup, paths), root / "second").count == 6


def test_spending_on_some_draws_leaves_the_others_out(drawn):
    root, setup, paths = drawn
    tasks = tasks_of(setup, paths)
    keys = task_keys(setup.adapter.identity(), tasks)
    found = spending_on(root / "first", keys[:4])
    assert (found.calls, found.stored, found.failed, str(found.spent_usd)) == (4, 4, 0, "0.04")
    assert found.latency.count == 4
    none = spending_on(root / "first", ["sha256:other"])
    assert (none.calls, none.stored, none.spent_usd, none.latency) == (0, 0, 0, None)
    assert spending_on(root / "nowhere", keys).calls == 0


def test_a_job_cannot_draw_before_someone_agreed(drawn):
    root, setup, paths = drawn
    asked = []

    def no(job, expected):
        asked.append((job.folder, expected.calls))
        raise BudgetError("not agreed to")

    for ask, why in ((no, "not agreed to"), (None, "give max_cost")):
        job = Job.of_photographs(setup, paths, Terms(root / "unasked", ask=ask), to_draw=False)
        with pytest.raises(BudgetError, match=why), job.run(lambda ready: None):
            pass
        with pytest.raises(BudgetError, match=why), job.only(job.pictures[:1]).drawing():
            pass
    assert asked == [(root / "unasked", 6), (root / "unasked", 2)]
    with pytest.raises(BudgetError, match="give max_cost"):
        Job.of_photographs(setup, [root / "read-later.png"], Terms(root / "unasked"))
    assert not (root / "unasked").exists()


def test_what_parts_took_is_counted_in_the_whole(drawn):
    root, setup, paths = drawn
    whole = Job.of_photographs(setup, paths, Terms(root / "first", Limits(max_calls=6)))
    whole.confirm()
    for picture in whole.pictures:
        part = whole.only([picture])
        with part.run(lambda ready: None) as done:
            assert len(list(done)) == 1
        assert (part.calls, part.cached, part.cost_usd) == (0, 2, 0)
    assert (whole.calls, whole.cached, whole.cost_usd) == (0, 6, 0)


def test_a_key_is_missed_only_where_one_is_needed(drawn, monkeypatch):
    _, setup, paths = drawn
    (task, *_) = tasks_of(setup, paths)
    keyed = load_adapter(VENDOR, url="http://127.0.0.1:9", keyed=True)
    monkeypatch.delenv("FAULT_VENDOR_KEY", raising=False)
    assert "FAULT_VENDOR_KEY" in str(missing_key(keyed, task))
    assert missing_key(setup.adapter, task) is None
    assert missing_key(load_adapter("embedded"), task) is None
    monkeypatch.setenv("FAULT_VENDOR_KEY", "canary-3f2a")
    assert missing_key(keyed, task) is None


@pytest.mark.parametrize("name", ["stability", "replicate", "topaz", "fal", "bedrock", "clipdrop"])
def test_real_vendors_adapters_say_which_key(drawn, monkeypatch, name):
    _, setup, paths = drawn
    (task, *_) = tasks_of(setup, paths)
    parameters = {"replicate": {"model": "owner/name"}, "fal": {"model": "fal-ai/clarity-upscaler"}}.get(name, {})
    adapter = load_adapter(name, **parameters)
    for variable in (adapter.auth_variable, "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(f"{variable}_FILE", raising=False)
    said = str(missing_key(adapter, task))
    assert adapter.auth_variable in said or "AWS_ACCESS_KEY_ID" in said


OPACITY = np.full((16, 20), 255, np.uint8)
OPACITY[:6], OPACITY[6] = 0, 120


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vendor = bc.load_adapter("folder", path=str(write_draws(folder / "draws", range(9))), label="made up")
        paths = write_photographs(folder / "photographs", range(8))
        choices = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf", "run": folder / "run"}
        self.calibration = bc.calibrate(self.vendor, [str(path) for path in paths], **choices)
        self.calibration.save(folder / "c.json")
        small = Image.fromarray(photograph(8)).resize((20, 16), Image.Resampling.BICUBIC)
        self.pixels = np.asarray(small)
        self.whole = self.mask(small)
        small.putalpha(Image.fromarray(OPACITY))
        small.save(folder / "p8.png")
        self.result = self.mask(folder / "p8.png")
        self.result.save(folder / "out", safe=True)
        self.paper = folder / "out" / "p8-certificate.json"

    def mask(self, picture: object) -> bc.Result:
        named = picture if isinstance(picture, Path) else ("p8", picture)
        return bc.mask(self.vendor, named, self.calibration, 0.6, run=self.folder / "run")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(tmp_path_factory.mktemp("alpha"))


def enlarged() -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(OPACITY).resize((80, 64), Image.Resampling.BICUBIC))


def test_what_shows_is_masked_as_ever_and_what_is_hidden_is_never_trusted(desk):
    shows, whole, result = enlarged() > 0, desk.whole, desk.result
    assert 0.5 < shows.mean() < 0.8
    assert whole.mask[~shows].any()
    assert np.array_equal(result.image, whole.image)
    assert np.array_equal(result.mask, whole.mask & shows)
    assert np.array_equal(result.score_map[shows], whole.score_map[shows])
    certificate = result.certificate
    assert certificate.trusted_share == result.mask.sum() / shows.sum()
    assert certificate.input["pixels"] == whole.certificate.input["pixels"]
    (note,) = set(certificate.notes) - set(whole.certificate.notes)
    assert f"The {1 - shows.mean():.1%} of the pixels that alpha hides are never trusted" in note


def test_alpha_is_put_back_into_every_picture_of_it(desk):
    for kind in ("image", "safe", "overlay"):
        with Image.open(desk.paper.with_name(f"p8-{kind}.png")) as picture:
            assert picture.mode == "RGBA"
            assert np.array_equal(np.asarray(picture)[..., 3], enlarged())
    image = np.asarray(Image.open(desk.paper.with_name("p8-image.png")))
    assert np.array_equal(image[..., :3], desk.result.image)


def test_papers_of_it_are_verified_and_a_hidden_pixel_in_white_is_found(desk, tmp_path, capsys):
    calibration, sent = str(desk.folder / "c.json"), str(desk.folder / "p8.png")
    assert run(["verify", str(desk.paper), "--calibration", calibration, "--input", sent, "-v"]) == 0
    assert "of its notes" not in capsys.readouterr().out
    for forged, said in ((desk.whole.mask, "hidden pixels are white"), (np.zeros_like(desk.whole.mask), "share")):
        replace(desk.result, mask=forged).save(tmp_path, force=True)
        assert run(["verify", str(tmp_path / "p8-certificate.json")]) == 3
        assert said in capsys.readouterr().out


def test_without_its_note_a_certificate_does_not_follow(desk, tmp_path):
    silent = desk.result.certificate.model_copy(update={"notes": desk.whole.certificate.notes})
    replace(desk.result, certificate=silent).save(tmp_path)
    paper, calibration = str(tmp_path / "p8-certificate.json"), str(desk.folder / "c.json")
    assert run(["verify", paper, "--calibration", calibration]) == 3


def test_layers_hatch_nothing_that_is_hidden(desk):
    assert run(["layers", str(desk.paper), "--force"]) == 0
    with zipfile.ZipFile(desk.paper.with_name("p8-layers.ora")) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name.endswith(".png")}
    hatched, merged, thumbnail = (
        np.asarray(Image.open(io.BytesIO(files[name])))
        for name in ("data/hatched.png", "mergedimage.png", "Thumbnails/thumbnail.png")
    )
    assert (hatched[..., -1] <= enlarged()).all()
    assert (hatched[..., -1][~desk.result.mask & (enlarged() == 255)] > 0).all()
    assert np.array_equal(merged[..., 3], enlarged())
    assert thumbnail.shape[2] == 4


def test_reports_count_the_share_as_the_certificate_does(desk):
    certificate = desk.result.certificate
    threshold = float.fromhex(certificate.threshold_hex)
    preview = preview_of_result(desk.result, np.array([threshold]))
    assert preview.share(threshold) == certificate.trusted_share


def test_equal_colours_below_another_alpha_have_a_mask_of_their_own(desk):
    other = np.dstack([desk.pixels, OPACITY[::-1]])
    hidden, shown = bc.mask_all(
        desk.vendor,
        [("p8", np.dstack([desk.pixels, OPACITY])), ("p8", other)],
        desk.calibration,
        0.6,
        run=desk.folder / "run",
    )
    assert np.array_equal(hidden.mask, desk.result.mask)
    assert np.array_equal(shown.mask, desk.whole.mask & (enlarged()[::-1] > 0))


def test_a_session_masks_it(desk):
    with bc.Session(desk.calibration, desk.vendor, 0.6, run=desk.folder / "run") as session:
        assert np.array_equal(session.mask(desk.folder / "p8.png").mask, desk.result.mask)


def test_content_credentials_say_the_same_also_after_a_whole_batch_is_in_doubt(desk, tmp_path):
    sure = desk.result.certificate.model_copy(update={"status": "guaranteed", "reason": None})
    key = bc.SigningKey.new("Laboratory")
    products = replace(desk.result, certificate=sure).save(tmp_path, credentials=key)
    assert run(["verify", str(products.image), "--trust", key.key]) == 0
    doubted = add_doubt(products.certificate, "the answers differ", credentials=bc.CertifiedKey.of(key))
    assert doubted.status == "outside-calibration"
    assert run(["verify", str(products.image), "--trust", key.key]) == 0


def test_photographs_with_alpha_calibrate_nothing(desk, tmp_path):
    clear = Image.fromarray(photograph(1)).convert("RGBA")
    clear.putalpha(90)
    clear.save(tmp_path / "p1.png")
    with pytest.raises(ImageError, match=r"transparent.*magick in.png -background white -flatten"):
        bc.calibrate(desk.vendor, [str(tmp_path / "p1.png")], draws=4, run=tmp_path / "run")


RULES = ("expected", "all-but:share=0.01", "local:side=8", "per-image:delta=0.1", "per-image:delta=0.2",
         "high-probability:delta=0.3")  # fmt: skip


@cache
def curves(count: int, seed: int, left_out: float | None = None, side: float | None = None) -> CurveSet:
    """Photographs of different difficulty whose errors grow with their scores, with noise and ties."""
    generator = np.random.default_rng(seed)
    found = []
    for difficulty in generator.uniform(0.2, 1, count):
        scores = generator.integers(0, 60, (24, 24)).astype(np.float32) / 60
        errors = np.clip(difficulty * scores * generator.uniform(0.5, 1, scores.shape), 0, 1).astype(np.float32)
        found.append(RiskCurve.from_maps(scores, errors, bound=1.0, left_out=left_out, side=side))
    return CurveSet.from_curves(found)


def of(rule: Guarantee, count: int, seed: int) -> CurveSet:
    return curves(count, seed, rule.left_out, rule.square_side)


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("n", [8, 25, 120])
def test_the_expected_share_is_that_of_the_guarantees_own_thresholds(text, n):
    rule = member("guarantees", text)
    known, levels, generator = of(rule, 15, 1), (0.1, 0.2, 0.4), np.random.default_rng(0)
    naive = np.zeros((100, len(levels)))
    for row, (column, level) in itertools.product(range(100), enumerate(levels)):
        chosen = known.subset(np.sort(generator.integers(15, size=n)))
        naive[row, column] = known.trusted_shares_at(rule.threshold(chosen, level)).mean()
    found = CurveOutlook.of(known).prospects(rule, levels, n)
    assert [one.share for one in found] == pytest.approx(list(naive.mean(axis=0)), abs=0.04)


@pytest.mark.parametrize("text", RULES)
def test_nine_outcomes_of_ten_lie_within_the_error(text):
    rule = member("guarantees", text)
    world, level, n = of(rule, 1000, 2), 0.3, 40
    generator, inside, naive = np.random.default_rng(3), [], []
    for trial in range(60):
        pilot = world.subset(np.sort(generator.choice(1000, 20, replace=False)))
        calibrating = world.subset(np.sort(generator.choice(1000, n, replace=False)))
        outcome = float(world.trusted_shares_at(rule.threshold(calibrating, level)).mean())
        (expected,) = CurveOutlook.of(pilot).prospects(rule, [level], n, seed=trial)
        inside.append(abs(outcome - expected.share) <= expected.error)
        naive.append(abs(outcome - expected.share) <= expected.error / 3)
    assert np.mean(inside) >= 0.78, "0.9 less three standard errors of 60 trials"
    assert np.mean(naive) < 0.78, "a third of the error is too little, and this test tells"


@pytest.mark.parametrize("n", [4, 25, 120])
def test_bounds_of_single_pictures_are_used_as_the_guarantee_uses_them(n):
    known, levels, generator = curves(15, 1), (0.1, 0.2, 0.4), np.random.default_rng(0)
    # What each picture's own loss is at most: half as much again.
    looser = [replace(curve, losses=np.float32(1.5) * curve.losses, bound=1.5) for curve in known]
    bounds = capped(CurveSet.from_curves(looser), 1.0)
    naive = np.zeros((60, len(levels)))
    for row, (column, level) in itertools.product(range(60), enumerate(levels)):
        chosen = known.subset(np.sort(generator.integers(15, size=n)))
        naive[row, column] = np.mean([
            picture.trusted_share(Expected(bound_new=bound).threshold(chosen, level))
            for picture, bound in zip(known, bounds, strict=True)
        ])  # fmt: skip
    rule = member("guarantees", "expected:bound_from=input")
    outlook = CurveOutlook.of(known, own=bounds)
    found = [one.share for one in outlook.prospects(rule, levels, n)]
    assert found == pytest.approx(list(naive.mean(axis=0)), abs=0.05)
    without = [one.share for one in CurveOutlook.of(known).prospects(rule, levels, n)]
    assert all(np.array(found) >= without)
    assert n > 4 or found[0] > without[0] == 0, "4 photographs reach nothing without such bounds"


def test_more_photographs_and_higher_levels_trust_more():
    outlook, rule = CurveOutlook.of(curves(20, 4)), member("guarantees", "expected")
    shares = np.array([[one.share for one in outlook.prospects(rule, (0.1, 0.2, 0.3), n)] for n in (5, 10, 40, 200)])
    assert (np.diff(shares, axis=1) >= 0).all()
    assert (np.diff(shares, axis=0) >= -0.01).all()
    assert shares[0, 0] == 0, "5 photographs cannot reach 0.1"


def test_a_capped_curve_is_that_of_capped_errors():
    generator = np.random.default_rng(5)
    scores, errors = generator.random((2, 20, 20)).astype(np.float32)
    plain = CurveSet.from_curves([RiskCurve.from_maps(scores, errors, bound=1.0)])
    direct = RiskCurve.from_maps(scores, np.minimum(errors, np.float32(0.5)), bound=0.5)
    assert (capped(plain, 0.5)[0], capped(plain, 2.0)[0]) == (direct, plain[0])


def test_a_refused_photograph_counts_as_the_worst():
    good, rule = list(curves(10, 6)), member("guarantees", "expected")
    worse = CurveSet.from_curves([*good, RiskCurve.worst(1.0)])
    shares = [CurveOutlook.of(one).prospects(rule, [0.3], 50)[0].share for one in (CurveSet.from_curves(good), worse)]
    assert shares[1] < shares[0]


@pytest.mark.parametrize("of_detail", [False, True])
def test_the_file_that_ships_has_every_series_and_grows_with_level_and_number(of_detail):
    measured = measured_shares(of_detail=of_detail)
    counts = (1,) if of_detail else (1, 8)
    promised = [one for one in promises(member("metrics", DEFAULT_METRIC), detail=True) if one.of_detail == of_detail]
    names = {
        series_name(promise, draws, delivery)
        for promise, draws, delivery in itertools.product(promised, counts, ("first", "consistent:steps=2"))
    }
    # All that the program compares but for this promise, which a pilot alone measures.
    assert set(measured.series) == {name for name in names if not name.startswith("all-but 1 %, cap")}
    for series in measured.series.values():
        shares = series["shares"]
        assert set(series) == {"shares", "errors", "vendors"}
        assert {values.shape for values in series.values()} == {(len(measured.levels), len(measured.numbers))}
        assert all(((values >= 0) & (values <= 1)).all() for values in series.values())
        assert (np.diff(shares, axis=0) >= 0).all()
        assert (np.diff(shares, axis=1) >= -0.02).all()
    assert set(measured.settings["scores"]) == set(map(str, counts))
    assert "photographs" in measured.source


def test_what_lies_between_measured_levels_and_numbers_is_interpolated():
    content = {
        "source": "",
        "settings": {},
        "levels": [0.1, 0.2],
        "numbers": [10, 40],
        "series": {"a": {"shares": [[100, 300], [500, 900]], "errors": [[10, 20], [30, 5]]}},
    }
    measured = MeasuredShares.of(content)
    assert measured.at("a", "shares", 0.15, 20) == pytest.approx(((0.1 + 0.3 + 0.5 + 0.9) / 4, 0.9))
    assert measured.at("a", "errors", 0.15, 20) == pytest.approx(((10 + 20 + 30 + 5) / 4000, 0.03)), "largest around"
    assert measured.at("a", "shares", 0.2, 40) == pytest.approx((0.9, 0.9))
    assert measured.at("a", "shares", 0.3, 40) is None


def test_a_ledger_is_summed_up(tmp_path):
    make_ledger(tmp_path)
    found = read_spending(tmp_path)
    assert (found.calls, found.stored, found.failed) == (7, 3, 4)
    assert (dict(found.states), str(found.spent_usd)) == ({"refused": 4, "stored": 3}, "0.12")
    assert (found.reserved_usd, found.latency.count) == (0, 3)
    assert 0 <= found.latency.median <= found.latency.longest
    assert len(found.failures) == 4
    assert all(len(one.message) <= 300 and one.message.isprintable() for one in found.failures)


def test_no_ledger_is_no_spending(tmp_path):
    assert read_spending(tmp_path) is None


def test_latencies_are_observed_ones():
    seconds = np.random.default_rng(0).exponential(2, 1000)
    found = latency(list(seconds))
    assert {found.median, found.ninety, found.ninety_nine, found.longest} <= set(seconds)
    assert np.mean(seconds <= found.median) == pytest.approx(0.5)
    assert np.mean(seconds <= found.ninety_nine) == pytest.approx(0.99)
    assert latency([]) is None
