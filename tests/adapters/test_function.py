"""A function as a vendor: what it is called with, what it may return, and what is said of one that fails or changes."""

import threading

import numpy as np
import pytest
from support.synthetic import photograph

import blackbox_conformal as bc
from blackbox_adapters import function
from blackbox_adapters.function import as_picture
from blackbox_conformal.errors import ImageError, NotSentError, UsageError
from blackbox_conformal.method.images.making_inputs import upload_from
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.vendor.adapter import Answer, Draw, Observed, Send

SENT = photograph(1, (12, 16))


def larger(picture: np.ndarray) -> np.ndarray:
    """Every pixel four times in each direction."""
    return picture.repeat(4, 0).repeat(4, 1)


def answered(adapter: bc.Adapter, seed: int | None = None) -> tuple[np.ndarray, str]:
    """The picture of one draw, and the model that it is said to come from."""
    flow = adapter.draw(upload_from(SENT, "cat"), Draw(0, seed, "key"))
    step, models = next(flow), []
    try:
        while True:
            models += [step.model] if isinstance(step, Observed) else []
            step = flow.send(adapter.answer(step) if isinstance(step, Send) else Answer(0, {}, b""))
    except StopIteration as end:
        return read_image(end.value).pixels, models[0]


def test_a_picture_goes_in_and_a_picture_comes_out():
    seen = []
    adapter = bc.from_function("larger", lambda picture: seen.append(picture) or larger(picture), test_side=0)
    picture, model = answered(adapter)
    np.testing.assert_array_equal(seen[0], SENT)
    assert seen[0].flags.writeable, "a function may work in what it is given"
    np.testing.assert_array_equal(picture, larger(SENT))
    assert model == "larger 1"
    assert adapter.capabilities.seed_range is None


def test_the_draws_seed_is_given_where_it_is_asked_for():
    def noisy(picture, seed):
        return np.random.default_rng(seed).integers(0, 256, larger(picture).shape, dtype=np.uint8)

    adapter = bc.from_function("noisy", noisy)
    assert adapter.capabilities.seed_range == (0, 2**32 - 1)
    one, again, other = (answered(adapter, seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_from_0_to_1_are_rounded_and_a_small_overshoot_is_cut(kind):
    def bright(picture):
        answer = larger(picture).astype(kind) / 255
        answer[0, 0], answer[0, 1], answer[0, 2] = 1.2, -0.2, 0.5
        return answer

    picture, _ = answered(bc.from_function("bright", bright))
    assert picture[0, :3, 0].tolist() == [255, 0, 128]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda picture: picture, "uint8 "),
        (lambda picture: larger(picture).transpose(2, 0, 1), r"transpose\(1, 2, 0\)"),
        (lambda picture: larger(picture).astype(np.float32), "float32 from 0 to 2"),
        (lambda picture: larger(picture) * np.nan, "float64 from nan"),
        (lambda picture: larger(picture).astype(np.int64), "int64"),
        (lambda picture: None, "object"),
        (lambda picture: 1 / 0, "ZeroDivisionError: division by zero .*test_function.py, line"),
    ],
    ids=["too small", "channels first", "0 to 255", "NaN", "integers", "nothing", "fails"],
)
def test_what_is_no_picture_says_what_to_return(answer, said):
    with pytest.raises(NotSentError, match=said) as e:
        answered(bc.from_function("wrong", answer, test_side=0))
    assert e.value.permanent, "the run ends, since the next picture would fare no better"


def test_a_function_that_changes_names_another_answer():
    models = [answered(bc.from_function("m", each))[1] for each in (larger, larger, lambda one: 255 - larger(one))]
    assert models[0] == models[1] != models[2]
    assert all(model.startswith("m 1, test answer ") for model in models)


def test_rounding_is_no_change():
    def nudged(picture):
        answer = larger(picture)
        answer[::17, ::13] ^= 1
        return answer

    models = [answered(bc.from_function("m", each))[1] for each in (larger, nudged)]
    assert models[0] == models[1]


def test_a_function_that_answers_differently_each_time_is_not_called_changed():
    random = np.random.default_rng(0)

    def noisy(picture):
        return random.integers(0, random.integers(2, 256), larger(picture).shape, dtype=np.uint8)

    models = {answered(bc.from_function("m", noisy))[1] for _ in range(3)}
    assert models == {"m 1, test answers differ"}


def test_a_test_picture_that_does_not_fit_says_how_to_change_it():
    def fixed(picture):
        if picture.shape[0] == 64:
            raise ValueError("expected 4 rows")
        return larger(picture)

    with pytest.raises(NotSentError, match="test_side=… makes it another, 0 leaves it out"):
        answered(bc.from_function("fixed", fixed))
    assert answered(bc.from_function("fixed", fixed, test_side=32))[1].startswith("fixed 1, test answer")


def test_the_test_picture_is_answered_once_for_all_threads():
    sides = []
    adapter = bc.from_function("m", lambda one: sides.append(one.shape[0]) or larger(one), concurrency=8)
    threads = [threading.Thread(target=answered, args=(adapter,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sides.count(64), len(sides)) == (2, 10)


def test_no_file_names_a_function_to_run():
    adapter = bc.load_adapter("function", model="mine")
    assert adapter.identity() == bc.from_function("mine", larger).identity()
    with pytest.raises(NotSentError, match=r"a file never says which code to run\. Call bc\.from_function\('mine', …"):
        answered(adapter)


def test_name_version_scale_and_seed_identify_and_nothing_else_does():
    usual = bc.from_function("m", larger).identity()
    assert usual["parameters"] == {"model": "m", "model_version": "1", "scale": 4, "seeded": False}
    same = bc.from_function("m", larger, degradation="area", test_side=8, concurrency=3)
    assert (same.identity(), same.capabilities.max_concurrency) == (usual, 3)
    assert same.capabilities.degradation == "area"
    for other in ({"version": "2"}, {"scale": 2}):
        assert bc.from_function("m", larger, **other).identity() != usual


def test_what_is_no_function_or_no_name_is_refused():
    with pytest.raises(UsageError, match="expected a function from picture to picture for m; got str"):
        bc.from_function("m", "model.pt")
    with pytest.raises(UsageError, match="model"):
        bc.from_function("a b", larger)


def test_an_adapter_without_an_address_says_what_it_lacks():
    adapter = bc.load_adapter("folder", path=".", label="v")
    with pytest.raises(bc.BlackboxConformalError, match=r"for a function use bc\.from_function"):
        adapter.answer(Send("POST", "", purpose="submit"))


def test_the_summary_is_that_of_plain_loops():
    picture = function.fixed_picture(12)
    figures = []
    for top in (0, 6):
        for left in (0, 6):
            part = [[[int(v) for v in pixel] for pixel in row[left : left + 6]] for row in picture[top : top + 6]]
            of = range(3)
            figures.append([round(sum(pixel[c] for row in part for pixel in row) / 36) for c in of])
            down = [[sum(abs(part[y + 1][x][c] - part[y][x][c]) for y in range(5) for x in range(6)) / 30 for c in of]]
            across = [
                [sum(abs(part[y][x + 1][c] - part[y][x][c]) for y in range(6) for x in range(5)) / 30 for c in of]
            ]
            figures += [[round(value) for value in row] for row in (*down, *across)]
    assert function.summary(picture) == digest_json(figures).removeprefix("sha256:")[:8]


def test_numbers_from_minus_one_to_one_are_refused_and_an_overshoot_is_not():
    picture = np.linspace(0, 1, 8 * 8 * 3).reshape(8, 8, 3)
    assert as_picture(1.2 * picture - 0.1, (8, 8)).max() == 255
    with pytest.raises(ImageError, match=r"far below 0, as where black is -1. Give \(pixels \+ 1\) / 2"):
        as_picture(2 * picture - 1, (8, 8))
