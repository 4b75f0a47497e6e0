"""Planted chains are found again from their inputs, and the proof uses no picture that the search has seen."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import blackbox_conformal as bc
from blackbox_conformal.errors import BlackboxConformalError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.jpeg_traces import JpegTrace
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.choose.candidate_chain import CandidateChain, gain, starts
from blackbox_conformal.study.choose.suggesting import (
    EvenlySpread,
    Mismatch,
    Search,
    Seen,
    bounded,
    compression,
    halves,
    nearest,
    nearest_chain,
    one_kind,
)

SIDE, SCALE, PICTURES = 96, 2, 40


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
def folders(tmp_path_factory):
    """Inputs that went through a chain, and as many other photographs."""
    folder = tmp_path_factory.mktemp("suggest")
    for kind in ("inputs", "photographs"):
        (folder / kind).mkdir()
    chain, pieces = Mixture.of_text("area:2+noise:4+jpeg:80-90"), squares()
    for place in range(PICTURES):
        made = chain.apply(next(pieces), SCALE, place)
        Image.fromarray(made).save(folder / "inputs" / f"{place}.png")
        Image.fromarray(next(pieces)).save(folder / "photographs" / f"{place}.png")
    return folder


@pytest.mark.slow
def test_planted_chain_is_found_and_proven(folders):
    suggestion = bc.suggest_degradation(folders / "inputs", folders / "photographs", scale=SCALE)
    steps = {type(step).__name__: step for step in Mixture.of_text(suggestion.degradation).chains[0].steps}
    sigma, quality, sharpening = steps["Noise"].sigma, steps["Jpeg"].quality, steps.get("Unsharp")
    found = CandidateChain(noise=(sigma.low + sigma.high) / 2)
    if sharpening is not None:
        percent, radius, threshold = sharpening.percent, sharpening.radius.low, sharpening.threshold
        found = replace(found, unsharp=(percent.low + percent.high) / 2, radius=radius, threshold=threshold)
    # Twenty inputs hardly tell noise from weaker noise that was sharpened.
    assert found.sharpened == pytest.approx(4, rel=0.25)
    assert (quality.low, quality.high) == (pytest.approx(80, abs=5), pytest.approx(90, abs=5))
    assert suggestion.proof.p_value > 0.05
    assert (suggestion.proof.n, suggestion.proof.m) == (PICTURES // 2, PICTURES // 2)
    assert "size" not in {movement.statistic.name for movement in suggestion.proof.movements}
    assert suggestion.options[:3] == ("--scale", "2", "--degradation")


def test_too_few_pictures_are_refused(folders):
    few = sorted((folders / "inputs").iterdir())[:19]
    with pytest.raises(UsageError, match=r"expected at least 20 inputs; got 19\. One half finds the chain"):
        bc.suggest_degradation(few, folders / "photographs", scale=SCALE)
    with pytest.raises(UsageError, match="expected at least 20 photographs"):
        bc.suggest_degradation(folders / "inputs", few, scale=SCALE)


def test_photographs_too_small_for_the_scale_are_named(folders):
    with pytest.raises(BlackboxConformalError, match=r"(?s)\.png: expected a photograph of at least 256×256 pixels"):
        bc.suggest_degradation(folders / "inputs", folders / "photographs", scale=16)


def test_cut_input_is_named(folders, tmp_path):
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
    assert (found.step, found.subsamplings) == ("jpeg:60-90", ("4:2:0", "4:4:4"))


def test_compression_of_some_inputs_has_a_chance():
    found = compression([JpegTrace(75, "4:4:4", exact=True)] * 6 + [None] * 4)
    assert (found.step, found.subsamplings, found.exact) == ("jpeg:75,chance=0.6", ("4:4:4",), 6)


def test_compression_names_the_place_of_a_cut():
    assert compression([JpegTrace(75, grid=(3, 5))] * 9).step == "jpeg:75,grid=5x3"
    assert compression([JpegTrace(75, grid=(place, 5)) for place in range(8)]).step == "jpeg:75,grid=random"


def test_hardly_any_trace_is_no_compression():
    assert compression([JpegTrace(75)] + [None] * 19) is None


def test_candidates_are_chains_that_the_catalogue_knows():
    candidate = CandidateChain(0.5, 3, 75, 0.7, 0.5, 0.5, 2, "area", "4:4:4")
    text = candidate.text(4, "jpeg:75")
    assert text == (
        "area:4+blur:0.25-0.75+noise:1.5-4.5,shot=0.5+unsharp:38-112,radius=0.7,threshold=2+jpeg:75,subsampling=4:4:4"
    )
    near = [candidate.at(candidate.coordinates + step) for step in (*np.eye(7), *-np.eye(7))]
    assert len({one.text(4, "") for one in near}) == 14
    for one in [*near, *starts(4, ""), *starts(1, "4:2:0"), *candidate.simpler()]:
        assert Mixture.of_text(one.text(4, "jpeg:75"))


def test_coordinates_say_all_numbers_of_a_candidate():
    candidate = CandidateChain(0.5, 3.1, 95, 1.2, 0.6, 0.4, 2, "area", "4:4:4")
    again = replace(candidate, blur=0, noise=1, unsharp=0, radius=2, shot=0, spread=0, threshold=0).at(
        candidate.coordinates
    )
    assert (again.coordinates, again.text(4, "")) == (pytest.approx(candidate.coordinates), candidate.text(4, ""))


@pytest.mark.parametrize("places", [np.full(7, 1e3), np.full(7, -1e3)])
def test_extreme_candidates_are_chains_too(places):
    extreme = starts(16, "")[0].at(places)
    assert Mixture.of_text(extreme.text(16, "jpeg:75")).at(16)
    assert Mixture.of_text(extreme.text(1, ""))


def test_steps_that_change_nothing_are_left_out():
    assert CandidateChain(blur=0.2, noise=0.2, unsharp=9).text(4, "") == "bicubic:4"
    assert CandidateChain(filter="").text(1, "") == "noise:0.3"
    assert CandidateChain(noise=1.5, shot=0.5).without("noise").text(4, "") == "bicubic:4"
    assert CandidateChain(noise=1.5, shot=1e-5).text(4, "") == "bicubic:4+noise:1.5"


def test_simpler_chains_lack_some_steps():
    candidate = CandidateChain(blur=0.5, noise=3, unsharp=75, filter="area")
    simpler = candidate.simpler()
    assert candidate in simpler
    found = {each.text(4, "") for each in simpler if each.filter == "area"}
    assert len(simpler) == 3 * 6
    assert all("unsharp" in text for text in found if "noise" in text)
    assert "area:4" in found
    assert sorted({each.numbers for each in simpler}) == [0, 1, 4, 5, 6, 7]
    assert [each.text(2, "") for each in CandidateChain(noise=0.2, filter="lanczos").simpler()] == [
        "bicubic:2",
        "area:2",
        "lanczos:2",
    ]
    assert CandidateChain(filter="").simpler() == [CandidateChain(filter="")]


@pytest.mark.parametrize("threshold", [0, 2])
def test_noise_after_sharpening_stays_as_it_is_when_sharpening_changes(threshold):
    candidate = CandidateChain(noise=3, unsharp=80, radius=1.2, threshold=threshold)
    for place in (2, 3, 6):
        changed = candidate.at(candidate.coordinates + np.eye(7)[place])
        assert changed.sharpened == pytest.approx(candidate.sharpened)
        assert changed.noise != pytest.approx(3)


def test_photographs_take_values_evenly_spread_over_a_range():
    values = [EvenlySpread(place, 10, 0).uniform(2, 4) for place in range(10)]
    assert sorted(values) == pytest.approx(np.arange(2.1, 4, 0.2))
    assert values != sorted(values)
    second = []
    for place in range(10):
        random = EvenlySpread(place, 10, 0)
        random.uniform()
        second.append(random.uniform(2, 4))
    assert sorted(second) == pytest.approx(np.arange(2.1, 4, 0.2))
    assert second != values


@pytest.mark.parametrize(
    ("percent", "radius", "sigma", "threshold"), [(80, 1, 5, 0), (150, 1.5, 5, 0), (50, 0.7, 5, 0), (120, 1.5, 2, 3)]
)
def test_sharpened_noise_is_what_sharpening_makes_of_it(percent, radius, sigma, threshold):
    noise = np.random.default_rng(0).normal(128, sigma, (256, 256, 1))
    pixels = np.repeat(np.rint(noise).astype(np.uint8), 3, axis=2)
    sharp = Mixture.of_text(f"unsharp:{percent},radius={radius},threshold={threshold}").apply(pixels, 1, 0)
    candidate = CandidateChain(noise=sigma, unsharp=percent, radius=radius, threshold=threshold)
    assert candidate.sharpened == pytest.approx(sharp.std(), rel=0.1)
    assert replace(candidate, noise=9).sharpened_to(candidate.sharpened).noise == pytest.approx(sigma, rel=1e-3)


def test_mismatch_is_about_the_number_of_measurements_where_nothing_differs():
    random = np.random.default_rng(0)
    mixing, found = random.normal(size=(5, 5)), []
    for _ in range(50):
        inputs, near, same = (random.normal(size=(count, 5)) @ mixing for count in (60, 90, 90))
        mismatch = Mismatch(inputs, near)
        found.append(mismatch(same))
        farther = [mismatch(same + shift * mixing[0]) for shift in (1, 2, 3)]
        assert all(nearer < far for nearer, far in pairwise(farther))
    assert np.mean(found) == pytest.approx(5, rel=0.3)


def test_difference_means_more_where_photographs_vary_less():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(40, 3))
    same, apart = random.normal(size=(2, 40, 3))
    assert Mismatch(inputs, same)(same + 1) > 2 * Mismatch(inputs, apart * 10)(same + 1)


def test_odd_picture_hardly_moves_the_difference():
    inputs, near, same = np.random.default_rng(0).normal(size=(3, 40, 3))
    odd = same.copy()
    odd[0] += 1e3
    mismatch = Mismatch(inputs, near)
    assert mismatch(odd) < mismatch(same) + 5 < mismatch(same + 1)


class Planted:  # Stands for simulations: measurements linear in the coordinates, and other for each photograph
    jpeg, subsamplings = "", ()

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._slopes, self._content = random.normal(size=(7, 20)), random.normal(size=(40, 20))
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, candidate: CandidateChain) -> np.ndarray:
        self._known.add(candidate.text(4, ""))
        return self._content + candidate.coordinates @ self._slopes


def test_search_finds_what_was_planted():
    planted = CandidateChain(0.5, 3.1, 95, 1.2, 0.6, 0.4, 1)
    simulations, tried = Planted(), []
    search = Search(simulations(planted), simulations, tried.append)
    start = min(starts(4, ""), key=search.cost)
    found = start
    for width in (2.5, 1.5, 1.0):
        search.refer_to(found)
        found = search.moved(found, width)
    assert found.coordinates == pytest.approx(planted.coordinates, abs=0.5)
    assert search.mismatch(found) < 0.1 * search.mismatch(start)
    assert tried[-1] == len(simulations)


def test_average_is_of_those_that_are_near_and_of_one_kind():
    planted = CandidateChain(0.5, 3.1, 95, 1.2, 0.6, 0.4, 1)
    simulations = Planted()
    search = Search(simulations(planted), simulations, lambda _: None)
    search.refer_to(planted)
    for place in (*np.eye(7), *-np.eye(7)):
        search.cost(planted.at(planted.coordinates + 0.2 * place))
    search.cost(planted.at(planted.coordinates + 50))
    search.cost(replace(planted, subsampling="4:4:4", noise=50.0))
    assert search.average(planted).coordinates == pytest.approx(planted.coordinates, abs=0.2)
    assert search.average(planted).subsampling == ""


def test_minimum_within_bounds_is_found():
    square, linear = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([4.0, 1.0])
    free = bounded(square, linear, np.full(2, -9.0), np.full(2, 9.0))
    assert free == pytest.approx(np.linalg.solve(square, linear))
    # Held to the end of its range, the first one leaves another value as the best for the second.
    assert bounded(square, linear, np.full(2, -9.0), np.array([1.0, 9.0])) == pytest.approx([1, 0])


@pytest.mark.parametrize(("blur", "steps"), [(0.0, 3), (0.6, 4)])
def test_blur_that_inputs_do_not_show_is_left_out(blur, steps):
    simulations, seen = Planted(), []
    inputs = simulations(CandidateChain(blur, 3.1, 95, 1.2, 0.6, 0.4, 1))
    found = nearest(inputs, simulations, 4, lambda *done: seen.append(done))
    assert len(Mixture.of_text(found.text(4, "")).chains[0].steps) == steps
    # The total is known from the start, and reached.
    assert len({total for _, total in seen}) == 1
    assert all(done <= total for done, total in seen)
    assert seen[-1][0] == seen[-1][1]


def test_steps_that_inputs_did_not_go_through_are_not_added():
    chain, pieces = Mixture.of_text("bicubic:2"), list(squares())
    inputs = [Seen.of(read_image(image_png(chain.apply(pieces[k], SCALE, k)))) for k in range(20)]
    found = nearest_chain(inputs, pieces[20:50], SCALE)
    assert found.degradation in ("bicubic:2", "area:2", "lanczos:2")
    # No search: the first filter cannot be told from the inputs.
    assert found.tried == 1


def test_pictures_of_one_kind_are_seldom_told_apart_and_others_always():
    random, found = np.random.default_rng(0), []
    mixing = random.normal(size=(10, 10))
    for _ in range(100):
        inputs, same = (random.normal(size=(count, 10)) @ mixing for count in (15, 40))
        found.append(one_kind(inputs, same))
        assert one_kind(inputs, same + 4 * mixing[0]) < 0.05
    assert np.mean(np.array(found) <= 0.05) < 0.12
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_weak_noise_that_was_sharpened_is_mostly_told_from_strong_noise():
    chain, pieces = Mixture.of_text("area:2+noise:2.5+unsharp:120,radius=1,threshold=0+jpeg:92"), list(squares())
    noise, sharpening = [], []
    # Twenty inputs hardly tell the two apart: one planting may miss, the middle of six must not.
    for seed in range(6):
        chosen = [pieces[place] for place in np.random.default_rng(100 + seed).permutation(len(pieces))]
        inputs = [Seen.of(read_image(image_png(chain.apply(chosen[k], SCALE, k)))) for k in range(20)]
        suggested = nearest_chain(inputs, chosen[20:44], SCALE)
        steps = {type(step).__name__: step for step in Mixture.of_text(suggested.degradation).chains[0].steps}
        noise.append((steps["Noise"].sigma.low + steps["Noise"].sigma.high) / 2)
        sharpening.append(steps["Unsharp"].percent.high)
    assert np.median(noise) < 0.75 * 2.5 * gain(120, 1)
    assert np.median(sharpening) > 60
