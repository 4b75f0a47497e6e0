"""Planted chains are found again from their inputs, and the proof uses no picture that the search has seen."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blackbox_conformal as bc
from blackbox_conformal.degradations.chain import Mixture
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.images.jpeg_traces import JpegTrace
from blackbox_conformal.images.photographs import demo_photographs
from blackbox_conformal.images.read import read_image
from blackbox_conformal.pipeline.suggesting import halves
from blackbox_conformal.pipeline.suggestion_parts.candidate import NONE, Candidate, gain, starts
from blackbox_conformal.pipeline.suggestion_parts.compression import compression
from blackbox_conformal.pipeline.suggestion_parts.fitting import Distance

SIDE, SCALE = 192, 2


def squares() -> Iterator[np.ndarray]:
    """Disjoint squares of photographs, in no order."""
    found = []
    for photograph in demo_photographs():
        pixels = read_image(photograph.path).pixels
        rows, columns = (side // SIDE for side in pixels.shape[:2])
        for row, column in list(np.ndindex(rows, columns))[:6]:
            found.append(pixels[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE])
    yield from (found[place] for place in np.random.default_rng(0).permutation(len(found)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 inputs that went through a chain, and 20 other photographs."""
    folder = tmp_path_factory.mktemp("suggest")
    for kind in ("inputs", "photographs"):
        (folder / kind).mkdir()
    chain, pieces = Mixture.of_text("area:2+noise:4+jpeg:80-90"), squares()
    for place in range(20):
        made = chain.apply(next(pieces), SCALE, place)
        Image.fromarray(made).save(folder / "inputs" / f"{place}.png")
        Image.fromarray(next(pieces)).save(folder / "photographs" / f"{place}.png")
    return folder


def test_planted_chain_is_found_and_proven(folders: Path):
    suggestion = bc.suggest_degradation(folders / "inputs", folders / "photographs", scale=SCALE)
    steps = {type(step).__name__: step for step in Mixture.of_text(suggestion.degradation).chains[0].steps}
    sigma, quality = steps["Noise"].sigma, steps["Jpeg"].quality
    assert (sigma.low + sigma.high) / 2 == pytest.approx(4, rel=0.25)
    assert quality.low == pytest.approx(80, abs=5)
    assert quality.high == pytest.approx(90, abs=5)
    assert suggestion.proof.p_value > 0.05
    assert (suggestion.proof.n, suggestion.proof.m) == (10, 10)
    assert suggestion.options[:3] == ("--scale", "2", "--degradation")


def test_too_few_pictures_are_refused(folders: Path):
    few = sorted((folders / "inputs").iterdir())[:19]
    with pytest.raises(UsageError, match="expected at least 20 inputs, half of them for the proof; got 19"):
        bc.suggest_degradation(few, folders / "photographs", scale=SCALE)
    with pytest.raises(UsageError, match="expected at least 20 photographs"):
        bc.suggest_degradation(folders / "inputs", few, scale=SCALE)


def test_photographs_too_small_for_the_scale_are_named(folders: Path):
    with pytest.raises(BlackboxConformalError, match=r"(?s)\.png: expected a photograph of at least 256×256 pixels"):
        bc.suggest_degradation(folders / "inputs", folders / "photographs", scale=16)


def test_cut_input_is_named(folders: Path, tmp_path: Path):
    whole = Image.open(folders / "inputs" / "0.png")
    whole.save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(BlackboxConformalError, match=r"cut\.jpg: expected a whole JPEG file"):
        bc.suggest_degradation([folders / "inputs", tmp_path / "cut.jpg"], folders / "photographs", scale=SCALE)


def test_halves_are_disjoint_and_do_not_depend_on_the_order():
    digests = ["c", "a", "e", "b", "d"]
    fitting, proving = halves(digests)
    assert sorted(fitting + proving) == [0, 1, 2, 3, 4]
    assert {digests[place] for place in fitting} == {"a", "b", "c"}
    turned = digests[::-1]
    assert {turned[place] for place in halves(turned)[0]} == {"a", "b", "c"}


def test_compression_has_the_range_of_uniform_qualities():
    found = compression([JpegTrace(quality) for quality in range(60, 91)])
    assert found is not None
    assert found.step == "jpeg:60-90"
    assert found.subsamplings == ("4:2:0", "4:4:4")


def test_compression_of_some_inputs_has_a_chance():
    found = compression([JpegTrace(75, "4:4:4", exact=True)] * 6 + [None] * 4)
    assert found is not None
    assert found.step == "jpeg:75,chance=0.6"
    assert found.subsamplings == ("4:4:4",)
    assert found.exact == 6


def test_compression_names_the_place_of_a_cut():
    assert compression([JpegTrace(75, grid=(3, 5))] * 9).step == "jpeg:75,grid=5x3"
    assert compression([JpegTrace(75, grid=(place, 5)) for place in range(8)]).step == "jpeg:75,grid=random"


def test_hardly_any_trace_is_no_compression():
    assert compression([JpegTrace(75)] + [None] * 19) is None


def test_candidates_are_chains_that_the_catalogue_knows():
    candidate = Candidate((0.2, 0.4), "area", (2, 4), 0.5, (50, 100), 0.7, "4:4:4")
    text = candidate.text(4, "jpeg:75")
    assert text == (
        "blur:0.8-1.6+area:4+noise:2-4,shot=0.5+unsharp:50-100,radius=0.7,threshold=0+jpeg:75,subsampling=4:4:4"
    )
    near = list(candidate.neighbours(1.5, ("4:2:0", "4:4:4")))
    for one in [*near, *starts(4, ""), *candidate.simpler()]:
        assert Mixture.of_text(one.text(4, "jpeg:75")).at(4)
    assert candidate not in near
    assert len({one.text(4, "") for one in near}) > 20


def test_candidates_without_steps_say_nothing():
    assert Candidate(filter="").text(1, "") == ""
    assert list(Candidate(filter="").simpler()) == []
    assert replace(Candidate(noise=(1, 2), shot=0.5), noise=NONE).text(4, "") == "bicubic:4"


@pytest.mark.parametrize(("percent", "radius"), [(80, 1.0), (150, 1.5), (50, 0.7)])
def test_gain_is_what_sharpening_does_to_noise(percent: int, radius: float):
    noise = np.random.default_rng(0).normal(128, 5, (256, 256, 1))
    pixels = np.repeat(np.rint(noise).astype(np.uint8), 3, axis=2)
    sharp = Mixture.of_text(f"unsharp:{percent},radius={radius},threshold=0").apply(pixels, 1, 0)
    assert gain(percent, radius) == pytest.approx(sharp.std() / pixels.std(), rel=0.05)


def test_distance_is_the_energy_distance():
    random = np.random.default_rng(0)
    inputs, same, other = random.normal(size=(3, 40, 5))
    distance = Distance(inputs, [same])
    assert abs(distance(same)) < 0.15
    far = [distance(other + shift) for shift in (0.5, 1, 2)]
    assert all(near < farther for near, farther in pairwise(far))
    assert distance.each(other).mean() == pytest.approx(distance(other))
    # By plain loops, in the coordinates in which the measurements of `same` are uncorrelated and of variance 1.
    white = np.linalg.cholesky(np.linalg.inv(np.cov(same.T)))
    first, second = inputs @ white, other @ white
    between = np.mean([np.linalg.norm(a - b) for a in first for b in second])
    within = [np.mean([np.linalg.norm(a - b) for a, b in _pairs(values)]) for values in (first, second)]
    assert distance(other) == pytest.approx(2 * between - sum(within), abs=1e-6)


def _pairs(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield from ((a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
