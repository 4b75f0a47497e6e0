"""Whoever draws has the kernels compiled meanwhile, and exactly those that it will run."""

import io
from contextlib import contextmanager

import pytest
from PIL import Image as PillowImage
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.study import job


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

    for module in (job,):
        monkeypatch.setattr(module, "warming", warming)
        drawn = module.drawn_pictures

        def drawing(*given, drawn=drawn):
            assert under_way, "nothing is compiled while this draws"
            return drawn(*given)

        monkeypatch.setattr(module, "drawn_pictures", drawing)
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

    small = io.BytesIO()
    PillowImage.fromarray(photograph(11)).resize((20, 16), PillowImage.Resampling.BICUBIC).save(small, "PNG")
    bc.mask_all(vendor, [("p11", small.getvalue())], calibration, 0.9, run=tmp_path / "run")
    assert warmed == [("pixel-variance", "rgb-linf", False)]
    warmed.clear()

    vendors = {score: (vendor, {"score": score}) for score in ("patch-variance", "texture")}
    bc.compare(vendors, paths, 0.9, run=tmp_path / "runs", held_out=0.4, **choices)
    assert warmed == [("patch-variance", "rgb-linf", True), ("texture", "rgb-linf", True)]
    warmed.clear()

    candidates = ["pixel-variance", "pixel-variance@2", "texture", "bicubic-gap"]
    bc.tune(vendor, paths, 0.9, candidates=candidates, only_choose=True, run=tmp_path / "run", **choices)
    assert warmed == [(score, "rgb-linf", True) for score in ("pixel-variance", "texture", "bicubic-gap")]
