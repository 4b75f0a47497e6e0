"""The annotation as a metric: values, where the folder comes from, and that it is no part of the procedure."""

import numpy as np
import pytest
from support.annotation_files import marked, pictures, png

from blackbox_conformal.annotations import import_annotations
from blackbox_conformal.annotations.semantic import VARIABLE
from blackbox_conformal.errors import CalibrationError, ImageError, UsageError
from blackbox_conformal.method.metrics.custom_metric import from_function
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.mask.array_maps import error_map
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support import catalog


@pytest.fixture
def folder(tmp_path):
    """A folder with one annotation whose levels are 0, 100 and 255."""
    levels = marked((3, 5, 10, 12))
    levels[0, 0] = 100
    (tmp_path / "mask.png").write_bytes(png(levels))
    import_annotations(tmp_path / "mask.png", "png", *pictures(), tmp_path / "annotations")
    return tmp_path / "annotations"


def test_levels_become_grades(folder):
    found = error_map(*pictures(), f"semantic:annotations={folder}")
    assert found.dtype == np.float32
    assert found[0, 0] == np.float32(100) / np.float32(255)
    np.testing.assert_array_equal(found == 1, marked((3, 5, 10, 12)) > 0)
    assert (found.min(), found.max()) == (0, 1)
    curve = RiskCurve.from_maps(np.ones_like(found), found, bound=1.0)
    assert curve.losses.tolist() == [1.0]


def test_the_folder_is_no_part_of_the_procedure(folder, monkeypatch):
    with_folder, without = (
        catalog.load("metrics", "semantic", annotations=str(folder)),
        catalog.load("metrics", "semantic"),
    )
    assert with_folder.specification() == without.specification() == {"name": "semantic"}
    assert with_folder.bound == 1
    assert not with_folder.pointwise_root_mean_square
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UsageError, match=f"semantic:annotations=FOLDER or set {VARIABLE}"):
        without.map(*pictures())
    monkeypatch.setenv(VARIABLE, str(folder))
    np.testing.assert_array_equal(without.map(*pictures()), with_folder.map(*pictures()))


def test_other_pairs_have_no_map(folder):
    metric = catalog.load("metrics", "semantic", annotations=folder)
    truth, delivered = pictures()
    changed = delivered.copy()
    changed[0, 0, 0] ^= 1
    with pytest.raises(CalibrationError, match="for 1 other output"):
        metric.map(truth, changed)
    with pytest.raises(CalibrationError, match="there is none"):
        metric.map(changed, delivered)
    with pytest.raises(ImageError, match="one size"):
        metric.map(truth, delivered[:-1])


def test_draw_export_annotate_calibrate(tmp_path):
    """The whole way: draws are paid once, exported by a metric, annotated, and calibrated from the same run folder."""
    photographs = [tmp_path / f"{name}.png" for name in "ab"]
    for seed, path in enumerate(photographs):
        coarse, _ = pictures(seed, 6, 8)
        path.write_bytes(png(coarse.repeat(8, axis=0).repeat(8, axis=1)))
    pairs = []

    def export(truth, delivered):
        pairs.append((truth, delivered))
        return np.zeros(truth.shape[:2])

    adapter = load_adapter("embedded")
    first = set_up(adapter, draws=2, metric=from_function("export", export, 1))
    assert calibrate_job(Job.of_photographs(first, photographs, Terms(tmp_path / "run"))).calls == 4
    for wrong, pair in zip((0, 9), pairs, strict=True):
        (tmp_path / "mask.png").write_bytes(png(marked((0, 0, wrong, wrong), height=48, width=64)))
        import_annotations(tmp_path / "mask.png", "png", *pair, tmp_path / "annotations")
    second = set_up(adapter, draws=2, metric=f"semantic:annotations={tmp_path / 'annotations'}")
    ran = calibrate_job(Job.of_photographs(second, photographs, Terms(tmp_path / "run")))
    assert (ran.calls, ran.cached) == (0, 4)
    assert ran.calibration.procedure.metric == {"name": "semantic"}
    assert ran.calibration.bound == 1
    assert sorted(curve.losses.tolist() for curve in ran.calibration.curves) == [[], [1.0]]
