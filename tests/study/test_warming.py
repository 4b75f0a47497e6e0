"""Whoever draws has the kernels compiled meanwhile, and exactly those that it will run."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from support.synthetic import photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.method.kernels import _buckets, distance, moments, upscale, windows
from blackbox_conformal.method.metrics.custom_metric import from_function
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.study import job
from blackbox_conformal.study.job import rehearse, warming
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support.catalog import load


@pytest.fixture
def adapter(tmp_path):
    return bc.load_adapter("folder", path=str(tmp_path), label="made up")


def test_kernels_of_the_set_up_are_compiled(adapter):
    score = load("scores", "smoothed-variance", sigma=2)
    rehearse(set_up(adapter, draws=3, score=score, metric="lab-l1:sigma=2"))
    scored = (moments._add, moments._variance, windows._separable, distance._lab_l1)
    sorted_out = (_buckets.scan, _buckets.sample, _buckets.count_and_pick, _buckets.keys_in, _buckets.join_small_groups)
    assert [one for one in (*scored, *sorted_out) if one.compiled is None] == []


def test_what_large_pictures_need_comes_last_and_not_at_all_once_all_is_over(adapter, monkeypatch):
    done = []
    monkeypatch.setattr(upscale, "warm_up", lambda: done.append("large"))
    monkeypatch.setattr(RiskCurve, "from_maps", lambda *_, **__: done.append("curve"))
    setup = set_up(adapter, draws=3)
    rehearse(setup)
    assert done == ["curve", "large"]
    rehearse(setup, truths=False)
    assert done[2:] == ["large"]
    rehearse(setup, over=lambda: "curve" in done[3:])
    assert done[3:] == ["curve"]


def test_kernels_for_large_pictures_are_left_out_where_all_are_small_or_few(adapter, monkeypatch):
    found = []
    name = "blackbox_conformal.study.job.rehearse"
    monkeypatch.setattr(name, lambda setup, truths, large, over: found.append((truths, large)))
    setup = set_up(adapter, draws=3)
    for sizes in ([(512, 512)] * 100, [(8, 8), (600, 600)], [(600, 600)] * 21, None):
        with warming(setup, sizes=sizes):
            pass
    assert found == [(True, False), (True, False), (True, True), (True, True)]
    done = []
    monkeypatch.setattr(upscale, "warm_up", lambda: done.append("large"))
    rehearse(setup, truths=False, large=False)
    assert done == []


def test_a_users_metric_sees_real_pictures_only(adapter):
    seen = []

    def metric(truth, delivered):
        seen.append(truth)
        return np.zeros(truth.shape[:2])

    rehearse(set_up(adapter, draws=3, metric=from_function("warmed", metric, 1)))
    assert seen == []


def test_no_thread_outlives_the_run(adapter):
    with warming(set_up(adapter, draws=3)):
        pass
    assert "warm-up" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
def warmed(monkeypatch):
    """(score, metric, whether truths are compared) of what was warmed, in order, and whether it was while drawing."""
    seen, under_way = [], []

    @contextmanager
    def warming(setup, *, truths=True, sizes=None):
        seen.append((setup.score.plugin_name(), setup.metric.plugin_name(), truths))
        under_way.append(True)
        yield
        under_way.pop()

    def drawing(*given, drawn=job.drawn_pictures):
        assert under_way, "nothing is compiled while this draws"
        return drawn(*given)

    monkeypatch.setattr(job, "warming", warming)
    monkeypatch.setattr(job, "drawn_pictures", drawing)
    return seen


def test_every_command_warms_what_it_runs(tmp_path, warmed):
    vendor = bc.load_adapter("folder", path=str(write_draws(tmp_path / "outputs", range(12), 3)), label="synthetic")
    paths = write_photographs(tmp_path / "photographs", range(10))
    choices = {"draws": 3, "metric": "rgb-linf"}
    calibration = bc.calibrate(vendor, paths[:8], run=tmp_path / "run", score="pixel-variance", **choices)
    assert warmed == [("pixel-variance", "rgb-linf", True)]
    warmed.clear()
    bc.audit(vendor, paths[8:], calibration, [0.9], run=tmp_path / "run")
    assert warmed == [("pixel-variance", "rgb-linf", True)]
    warmed.clear()
    bc.mask_all(vendor, [("p11", reduced(photograph(11), 4))], calibration, 0.9, run=tmp_path / "run")
    assert warmed == [("pixel-variance", "rgb-linf", False)]
    warmed.clear()
    vendors = {score: (vendor, {"score": score}) for score in ("patch-variance", "texture")}
    bc.compare(vendors, paths, 0.9, run=tmp_path / "runs", held_out=0.4, **choices)
    assert warmed == [("patch-variance", "rgb-linf", True), ("texture", "rgb-linf", True)]
    warmed.clear()
    candidates = ["pixel-variance", "pixel-variance@2", "texture", "bicubic-gap"]
    bc.tune(vendor, paths, 0.9, candidates=candidates, only_choose=True, run=tmp_path / "run", **choices)
    assert warmed == [(score, "rgb-linf", True) for score in ("pixel-variance", "texture", "bicubic-gap")]
