"""What a notebook shows of each result: a card, a plot, a table, and one short line."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.synthetic import photograph, reduced, write_draws

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.blocks import Figure

CHOICES: dict[str, Any] = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf"}
COLUMNS = {
    "calibration": {"alpha", "threshold", "trusted_share"},
    "result": {"name", "alpha", "trusted_share", "status"},
    "audit": {"alpha", "verdict", "risk", "ci_low", "ci_high", "trusted_share", "psnr_trusted"},
    "comparison": {
        "contestant",
        "method",
        "alpha",
        "trusted_share",
        "risk",
        "share_gain",
        "share_gain_low",
        "guarantee",
    },
    "tuning": {"score", "draws", "alpha", "trusted_share", "calls"},
    "plan": {"alpha", "needed_n"},
    "inputs": {"name", "moved", "p_value", "median", "calibration_median"},
    "planned shares": {"promise", "alpha", "n", "draws", "expected_share", "cost_usd_high"},
}
ROWS = {"result": 1, "audit": 2, "comparison": 12, "tuning": 2}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One of each result."""
    folder = tmp_path_factory.mktemp("shown")
    write_draws(folder / "outputs", range(14))
    vendor = bc.load_adapter("folder", path=str(folder / "outputs"), label="made-up", scale=4)
    arrays = {f"p{seed}": photograph(seed) for seed in range(10)}
    run = {"run": folder / "run"}
    calibration = bc.calibrate(vendor, arrays, **run, **CHOICES)
    both = {"spread": vendor, "patch": (vendor, {"score": "patch-variance"})}
    unseen = {f"p{seed}": photograph(seed) for seed in range(10, 13)}
    return {
        "calibration": calibration,
        "result": bc.mask(vendor, ("p13", reduced(photograph(13), 4)), calibration, 0.9, **run),
        "audit": bc.audit(vendor, unseen, calibration, [0.5, 0.9], **run),
        "comparison": bc.compare(both, arrays, [0.5, 0.9], run=folder / "compared", **CHOICES),
        "tuning": bc.tune(
            vendor, arrays, 0.9, candidates=["pixel-variance", "texture"], only_choose=True, run=folder / "t", **CHOICES
        ),
        "plan": bc.plan(vendor, 100, **CHOICES),
        "inputs": bc.compare_inputs({f"p{seed}": reduced(photograph(seed), 4) for seed in range(10, 13)}, calibration),
        "planned shares": bc.plan(bc.load_adapter("embedded"), 100, alpha=0.1),
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_its_line_is_short_and_its_card_shows_its_plot(name, shown):
    result = shown[name]
    assert len(repr(result)) < 200
    assert repr(result).startswith("<")
    figure = result.plot()
    assert isinstance(figure, Figure)
    card = result._repr_html_()
    assert figure._repr_html_() in card
    ElementTree.fromstring(card)
    ElementTree.fromstring(figure.svg)
    assert "nan" not in re.sub(r'href="[^"]*"', "", figure.svg)


@pytest.mark.parametrize("name", COLUMNS)
def test_its_table_is_of_pandas(name, shown):
    pytest.importorskip("pandas")
    table = shown[name].to_frame()
    assert set(table.columns) >= COLUMNS[name]
    assert len(table) == ROWS.get(name, len(table)) > 0


def test_every_line_is_short_whatever_the_names_are(shown):
    assert len(repr(shown["result"].certificate)) < 200
    assert len(repr(replace(shown["result"], name="x" * 1000))) < 200
    comparison: bc.Comparison = shown["comparison"]
    row, standing = comparison.rows[0], comparison.standings[0]
    names = [f"{'x' * 100}-{number}" for number in range(9)]
    many = replace(
        comparison,
        rows=tuple(replace(row, contestant=name) for name in names),
        standings=tuple(replace(standing, contestant=name) for name in names),
    )
    assert len(repr(many)) < 200
    audit: bc.Audit = shown["audit"]
    assert len(repr(replace(audit, levels=audit.levels * 5))) < 200
    assert len(repr(bc.RiskCurve.from_maps(np.eye(99, dtype="f4"), np.eye(99, dtype="f4"), bound=1))) < 200


def test_levels_are_those_of_the_calibration(shown):
    pytest.importorskip("pandas")
    calibration: bc.Calibration = shown["calibration"]
    levels = calibration.to_frame()
    assert levels["threshold"].tolist() == [calibration.threshold(alpha) for alpha in levels["alpha"]]
    assert levels["trusted_share"].is_monotonic_increasing
    photographs = calibration.to_frame("photographs")
    assert sorted(photographs["name"]) == sorted(f"p{seed}" for seed in range(10))
    assert photographs["largest_error"].between(0, calibration.bound).all()
    with pytest.raises(UsageError, match="'levels' or 'photographs'; got 'levles'"):
        calibration.to_frame("levles")  # type: ignore[arg-type]


def test_an_audits_photographs_have_the_means_of_its_levels(shown):
    pytest.importorskip("pandas")
    audit: bc.Audit = shown["audit"]
    photographs = audit.to_frame("photographs")
    assert len(photographs) == 6
    means = photographs.groupby("alpha")["loss"].mean()
    assert means.tolist() == pytest.approx(audit.to_frame()["risk"].tolist())


def test_a_comparison_plots_the_level_that_is_asked_for(shown):
    comparison: bc.Comparison = shown["comparison"]
    assert "alpha = 0.5" in comparison.plot().svg
    assert "alpha = 0.9" in comparison.plot(0.9).svg
    with pytest.raises(UsageError, match=r"levels that were compared, 0\.5, 0\.9; got 0\.3"):
        comparison.plot(0.3)


@pytest.mark.parametrize(
    "guarantee",
    [
        "per-image:delta=0.2",
        "high-probability:delta=0.2",
        "false-trust:tolerance=0.2",
        "all-but:share=0.01",
        "local:side=16",
    ],
)
def test_every_guarantee_has_its_card(guarantee, tmp_path):
    write_draws(tmp_path / "outputs", range(9))
    vendor = bc.load_adapter("folder", path=str(tmp_path / "outputs"), label="made-up", scale=4)
    arrays = {f"p{seed}": photograph(seed) for seed in range(9)}
    known = {name: arrays.pop(name) for name in list(arrays)[:7]}
    calibration = bc.calibrate(vendor, known, guarantee=guarantee, run=tmp_path / "run", **CHOICES)
    audit = bc.audit(vendor, arrays, calibration, [0.3, 0.9], run=tmp_path / "run")
    for card in (calibration._repr_html_(), audit._repr_html_()):
        assert "NaN" not in card
        ElementTree.fromstring(card)
    assert f"{audit.levels[0].claimed:g}" in audit._repr_html_()


def test_a_calibration_that_trusts_nothing_says_so(tmp_path):
    write_draws(tmp_path / "outputs", range(1))
    vendor = bc.load_adapter("folder", path=str(tmp_path / "outputs"), label="made-up", scale=4)
    calibration = bc.calibrate(vendor, {"p0": photograph(0)}, run=tmp_path / "run", **CHOICES)
    card = calibration._repr_html_()
    assert "−∞" in card
    assert "0.0 %" in card


def test_names_from_files_stay_text(shown):
    card = replace(shown["result"], name='<img src=x onerror="alert(1)">')._repr_html_()
    assert "<img" not in card


def test_nothing_of_matplotlib_or_pandas_is_loaded_to_show(tmp_path):
    script = (
        "import sys, blackbox_conformal as bc\n"
        "plan = bc.plan(bc.load_adapter('embedded'), 100)\n"
        "plan._repr_html_(); plan.plot().svg\n"
        "loaded = {'matplotlib', 'pandas', 'IPython'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
