"""A second vendor as the score: one draw of each, its identity in the procedure, refused when it changes."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import draw, photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import ProcedureMismatchError, UsageError


@pytest.fixture
def vendors(tmp_path):
    write_draws(tmp_path / "a", range(16), 1)
    for seed in range(16):
        (tmp_path / "b" / f"p{seed}").mkdir(parents=True)
        PillowImage.fromarray(draw(photograph(seed), 77_000 + seed)).save(tmp_path / "b" / f"p{seed}" / "0.png")
    return (
        bc.load_adapter("folder", path=str(tmp_path / "a"), label="a"),
        bc.load_adapter("folder", path=str(tmp_path / "b"), label="b"),
    )


CHOICES = {"draws": 1, "score": "second-opinion:sigma=2", "metric": "rgb-linf:kernel=gaussian,sigma=2"}


def test_the_score_is_the_difference_of_the_two_vendors(tmp_path, vendors):
    first, second = vendors
    paths = write_photographs(tmp_path / "photographs", range(15))
    calibration = bc.calibrate(first, paths, second_adapter=second, run=tmp_path / "run", **CHOICES)
    assert calibration.procedure.second_opinion == second.identity()
    low = io.BytesIO()
    PillowImage.fromarray(photograph(15)).resize((20, 16), PillowImage.Resampling.BICUBIC).save(low, "PNG")
    (tmp_path / "p15.png").write_bytes(low.getvalue())
    result = bc.mask(first, tmp_path / "p15.png", calibration, alpha=0.3, second_adapter=second, run=tmp_path / "run")
    pictures = np.stack([draw(photograph(15), 15_000), draw(photograph(15), 77_015)]).astype(float)
    gap = (np.abs(pictures[0] - pictures[1]).sum(2) / 255).astype(np.float32)
    from scipy.ndimage import gaussian_filter

    np.testing.assert_allclose(result.score_map, gaussian_filter(gap, 2, mode="reflect"), atol=1e-5)
    assert result.mask.any()
    with pytest.raises(ProcedureMismatchError, match="second_opinion"):
        bc.mask(first, tmp_path / "p15.png", calibration, alpha=0.3, second_adapter=first, run=tmp_path / "run")


def test_the_second_vendor_is_asked_for_and_not_taken_for_nothing(vendors):
    with pytest.raises(UsageError, match="--second-adapter"):
        bc.calibrate(vendors[0], ".", **CHOICES)
    with pytest.raises(UsageError, match="leave --second-adapter out"):
        bc.calibrate(vendors[0], ".", second_adapter=vendors[1], draws=2, score="pixel-variance")
