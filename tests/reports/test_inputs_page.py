"""The page of compared inputs: whole staircases, every statistic, and no script."""

import re

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.input_shift import compare
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics
from blackbox_conformal.pages.report.html import write_blocks


def inputs(n: int, seed: int) -> InputStatistics:
    rng = np.random.default_rng(seed)
    return InputStatistics(rng.integers(0, 4, (n, len(STATISTICS))).astype(np.float32) / 4)


def test_a_staircase_gives_the_share_of_inputs_up_to_each_value():
    known, new = inputs(12, 1), inputs(7, 2)
    for movement in compare(known, new, permutations=99).movements:
        calibration, own = movement.chart.series
        for series, values in ((calibration, movement.known), (own, movement.new)):
            assert series.points[0][1] == 0
            assert series.points[-1][1] == 1
            places = [x for x, _ in series.points]
            assert places == sorted(set(places))
            for x, share in series.points:
                assert share == np.mean(np.array(values) <= x)


def test_the_page_names_every_statistic_and_holds_no_script(tmp_path):
    shift = compare(inputs(12, 1), inputs(7, 2), permutations=99)
    page = write_blocks("Inputs", shift.blocks("bicubic:4<script>"), tmp_path / "page.html", "sha256:1")
    text = page.read_text(encoding="utf-8")
    for statistic in STATISTICS:
        assert f">{statistic.name}</th>" in text
    assert "<script" not in text
    assert "bicubic:4&lt;script&gt;" in text
    assert not re.findall(r"NaN|Infinity|None", text)
    other = compare(inputs(12, 1), inputs(7, 3), permutations=99)
    with pytest.raises(UsageError, match="--force"):
        write_blocks("Inputs", other.blocks("bicubic:4"), page, "sha256:2")
    write_blocks("Inputs", other.blocks("bicubic:4"), page, "sha256:1")
    assert page.read_text() != text
    page.write_text(page.read_text().replace("bicubic", "bilinear"))
    with pytest.raises(UsageError, match="--force"):
        write_blocks("Inputs", other.blocks("bicubic:4"), page, "sha256:1")
