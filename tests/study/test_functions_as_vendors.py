"""Functions and second vendors: stored like a paid one, called once a draw, watched, and what they send changed."""

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter
from support.command_line import called
from support.synthetic import draw, photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.drawing.ledger.queries import ledger_verify
from blackbox_conformal.errors import (
    AdapterError,
    IncompleteError,
    ModelChangedError,
    ProcedureMismatchError,
    UsageError,
)
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.support import catalog

METRIC = "rgb-linf"


class Network:  # A generator that counts its calls: bicubic, and texture that its seed decides
    def __init__(self, strength: float = 30) -> None:
        self.calls, self.strength = 0, strength

    def __call__(self, picture: np.ndarray, seed: int) -> np.ndarray:
        self.calls += picture.shape[0] != 64
        height, width = 4 * picture.shape[0], 4 * picture.shape[1]
        up = np.asarray(PillowImage.fromarray(picture).resize((width, height), PillowImage.Resampling.BICUBIC))
        slope = self.strength * np.clip(np.linspace(-1, 1, width), 0, 1)[None, :, None]
        return np.clip(up / 255 + np.random.default_rng(seed).normal(0, 1, up.shape) * slope / 255, 0, 1)


def vendor(network: Network, **settings: object) -> bc.Adapter:
    return bc.from_function("texture", network, **settings)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs", range(10))
    write_photographs(tmp_path / "unseen", range(10, 14))
    return tmp_path


def calibrated(network: Network) -> bc.Calibration:
    calibration = bc.calibrate(vendor(network), "photographs", metric=METRIC, score="bicubic-gap", run="run")
    calibration.save("run/calibration.json", force=True)
    return calibration


def test_every_use_case_takes_a_function_and_none_calls_it_twice_for_one_draw(desk):
    network = Network()
    calibration = calibrated(network)
    assert network.calls == 10
    assert repr(calibration).startswith("<Calibration of texture ×4: ")
    small = reduced(photograph(20), 4)
    result = bc.mask(vendor(network), small, calibration, 0.9, run="run")
    assert network.calls == 11
    assert [result.certificate.vendor_model] == list(calibration.vendor_models)
    bc.audit(vendor(network), "unseen", calibration, 0.9, run="run", stop=False)
    assert network.calls == 15
    with bc.Session(calibration, vendor(network), 0.9, run="run") as session:
        np.testing.assert_array_equal(session.mask(small).image, result.image)
        session.mask(reduced(photograph(21), 4))
    assert network.calls == 16
    again = calibrated(Network())
    assert again.digest == calibration.digest
    choices = {"metric": METRIC, "alpha": 0.9, "score": "bicubic-gap"}
    seen = network.calls
    compared = {"one": vendor(network), "calmer": bc.from_function("calm", Network(10))}
    bc.compare(compared, "photographs", **choices)
    terms = {"candidates": ["bicubic-gap", "texture"], "metric": METRIC, "run": "t", "nothing_chosen": True}
    tuned = bc.tune(vendor(network), "photographs", 0.9, **terms)
    assert (tuned.calls, network.calls) == (10, seen + 20)
    assert not ledger_verify(Path("run")).problems


def test_a_function_that_changes_is_refused_at_its_next_draw_and_noticed_by_a_visit(desk):
    calibration, small = calibrated(Network()), reduced(photograph(20), 4)
    other = Network(60)
    with pytest.raises(ModelChangedError, match=r"replaced model 'texture 1, test answer .* calibrate again"):
        bc.mask(vendor(other), small, calibration, 0.9, run="run")
    # What is stored already needs no call, so that it cannot tell.
    assert bc.calibrate(vendor(other), "photographs", metric=METRIC, score="bicubic-gap", run="run").n == 10
    first = bc.watch(vendor(Network()), "run/calibration.json", "photographs", canaries=2)
    assert first.state == "watched"
    visit = bc.watch(vendor(other), "run/calibration.json")
    assert visit.state == "suspended"


def test_a_new_version_is_another_vendor(desk):
    calibration = calibrated(Network())
    with pytest.raises(bc.BlackboxConformalError, match="model_version"):
        bc.mask(vendor(Network(), version="2"), reduced(photograph(20), 4), calibration, 0.9, run="run")


def failing(network: Network, error: BaseException, times: int) -> bc.Adapter:
    """A function that raises `error` so many times after six calls."""
    left = [error] * times

    def stumbling(picture: np.ndarray, seed: int) -> np.ndarray:
        if network.calls == 6 and left:
            raise left.pop()
        return network(picture, seed)

    return bc.from_function("texture", stumbling)


def test_a_function_that_fails_ends_the_run_and_the_same_call_goes_on(desk):
    network = Network()
    stumbles = failing(network, RuntimeError("no such layer"), 1)
    with pytest.raises(bc.BlackboxConformalError) as caught:
        bc.calibrate(stumbles, "photographs", metric=METRIC, score="bicubic-gap", run="run")
    assert type(caught.value) is AdapterError
    said = str(caught.value)
    assert said.startswith("the function texture failed on a picture of 20×16 pixels: RuntimeError: no such layer (")
    assert said.endswith("). Answers so far are kept: mend it, and run the same again")
    assert network.calls == 6
    calibrated(network)
    assert network.calls == 10


def test_a_function_that_hangs_ends_the_run_in_time_and_nothing_is_called_beside_it(desk):
    network, hangs, let_go = Network(), threading.Event(), threading.Event()

    def hanging(picture, seed):
        if network.calls == 6 and not hangs.is_set():
            hangs.set()
            let_go.wait(120)
        return network(picture, seed)

    begun, choices = time.monotonic(), {"metric": METRIC, "score": "bicubic-gap", "run": "run"}
    with pytest.raises(AdapterError, match=r"did not answer within 0\.5 s, .* timeout=5\. Answers so far are kept"):
        bc.calibrate(bc.from_function("texture", hanging), "photographs", timeout=0.5, **choices)
    assert time.monotonic() - begun < 60
    calibration = calibrated(network)
    assert network.calls == 10
    network.calls = 6
    hangs.clear()
    stuck = bc.from_function("texture", hanging)
    with bc.Session(calibration, stuck, 0.9, run="run", timeout=0.5) as session:
        for number, said in ((20, "did not answer within"), (21, "has not returned yet")):
            with pytest.raises(AdapterError, match=said):
                session.mask(reduced(photograph(number), 4))
        assert network.calls == 6
        let_go.set()
        found = None
        while found is None:
            with suppress(AdapterError):
                found = session.mask(reduced(photograph(21), 4))
        assert found.certificate.trusted_share > 0


class OutOfMemoryError(RuntimeError):
    """Named as PyTorch's."""


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA error"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes"),
    ],
)
def test_a_function_whose_memory_ran_out_once_is_called_again(desk, error):
    network = Network()
    bc.calibrate(failing(network, error, 1), "photographs", metric=METRIC, score="bicubic-gap", run="run")
    assert network.calls == 10


def test_a_function_whose_memory_runs_out_each_time_ends_the_run(desk, monkeypatch):
    monkeypatch.setattr("blackbox_conformal.drawing.pacing.retry.CAP_S", 0.01)
    stumbles = failing(Network(), RuntimeError("CUDA out of memory"), 99)
    with pytest.raises(AdapterError, match=r"CUDA out of memory \(.*, line \d+\), 6 times in a row"):
        bc.calibrate(stumbles, "photographs", metric=METRIC, score="bicubic-gap", run="run")


def test_a_process_without_the_function_reads_what_is_stored_and_says_what_is_missing(desk):
    calibration = calibrated(Network())
    stranger = bc.load_adapter("function", model="texture", seeded=True)
    again = bc.calibrate(stranger, "photographs", metric=METRIC, score="bicubic-gap", run="run")
    assert again.digest == calibration.digest
    PillowImage.fromarray(reduced(photograph(20), 4)).save("small.png")
    with pytest.raises(IncompleteError, match=r"Call bc\.from_function\('texture', …, version='1'\)"):
        bc.mask(stranger, "small.png", calibration, 0.9, run="run")
    told = called("mask", "small.png", "--calibration", "run/calibration.json", "--alpha", "0.9", folder=desk, code=6)
    assert "a file never says which code to run" in told.stderr
    assert "<Calibration of texture" in repr(bc.Calibration.load("run/calibration.json"))


def test_a_bare_function_says_how_it_becomes_a_vendor(desk):
    def enlarge(picture):
        raise AssertionError("nothing is called before it is a vendor")

    calibration = calibrated(Network())
    made = r"expected a vendor; got function\. Make one with bc\.from_function\('my-model', enlarge, scale=4\)$"
    commands = [
        lambda: bc.calibrate(enlarge, "photographs"),
        lambda: bc.plan(enlarge, "photographs"),
        lambda: bc.tune(enlarge, "photographs", 0.9),
        lambda: bc.compare({"a": enlarge, "b": enlarge}, "photographs", alpha=0.9),
        lambda: bc.audit(enlarge, "unseen", calibration),
        lambda: bc.audit_claim(enlarge, "unseen", "invented:at_most=0.2"),
        lambda: bc.mask(enlarge, reduced(photograph(20), 4), calibration, 0.9),
        lambda: bc.mask_all(enlarge, [reduced(photograph(20), 4)], calibration, 0.9),
        lambda: bc.Session(calibration, enlarge, 0.9),
    ]
    for command in commands:
        with pytest.raises(UsageError, match=made):
            command()
    with pytest.raises(UsageError, match=r"got str\. Make one with bc\.load_adapter\('embedded'\)$"):
        bc.calibrate("embedded", "photographs")


def test_the_run_folder_gets_the_calibration_unless_one_is_there(desk):
    choices = {"metric": METRIC, "run": "run"}
    first = bc.calibrate(vendor(Network()), "photographs", score="bicubic-gap", **choices)
    assert bc.Calibration.load("run/calibration.json").digest == first.digest
    assert first.file is None
    assert (desk / bc.report("run")).is_file()
    second = bc.calibrate(vendor(Network()), "photographs", score="texture", **choices)
    assert bc.Calibration.load("run/calibration.json").digest == first.digest != second.digest


ALPHA = 0.5
SETTINGS: Any = {"score": "predicted-invention", "metric": "invention", "guarantee": "marked"}


def inventing(picture: np.ndarray) -> np.ndarray:
    """Plain enlargement with texture that no input shows."""
    plain = bicubic_up(picture, 4).astype(np.float64)
    texture = np.random.default_rng(int(picture.sum())).normal(0, 12, plain.shape[:2])[..., None]
    return np.clip(np.rint(plain + texture), 0, 255).astype(np.uint8)


def hiding(picture: np.ndarray) -> np.ndarray:
    """Half of that, below more than all of what the score takes for right."""
    plain = bicubic_up(picture, 4).astype(np.float64)
    added = 1.2 * (reference(picture, 4) - plain) + 0.5 * (inventing(picture) - plain)
    return np.clip(np.rint(plain + added), 0, 255).astype(np.uint8)


class Learning:  # A vendor that begins to hide when it is told to, under the same name
    hides = False

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        return hiding(picture) if self.hides else inventing(picture)


def test_detail_that_agrees_too_well_with_the_reference_is_told_and_guarantees_nothing(tmp_path):
    answers = Learning()
    vendor = bc.from_function("learning", answers)
    photographs = [(f"{seed}", photograph(seed)) for seed in range(30)]
    calibration = bc.calibrate(vendor, photographs, run=tmp_path / "calibrated", progress=False, **SETTINGS)
    inputs = [(f"{seed}", reduced(photograph(seed), 4)) for seed in range(100, 124)]
    said = {}
    for answers.hides in (False, True):
        warnings = []
        run = tmp_path / f"masked-{answers.hides}"
        results = bc.mask_all(vendor, inputs, calibration, ALPHA, run=run, progress=False, on_drift=warnings.append)
        said[answers.hides] = warnings, {result.certificate.status for result in results}
    assert said[False] == ([], {"if-like-calibration"})
    warnings, statuses = said[True]
    assert "of their answers is larger than their inputs explain" in warnings[-1], warnings
    assert statuses == {"outside-calibration"}


@pytest.fixture
def vendors(tmp_path):
    write_draws(tmp_path / "a", range(16), 1)
    for seed in range(16):
        (tmp_path / "b" / f"p{seed}").mkdir(parents=True)
        PillowImage.fromarray(draw(photograph(seed), 77_000 + seed)).save(tmp_path / "b" / f"p{seed}" / "0.png")
    return tuple(bc.load_adapter("folder", path=str(tmp_path / name), label=name) for name in "ab")


CHOICES = {"draws": 1, "score": "second-opinion:sigma=2", "metric": "rgb-linf:kernel=gaussian,sigma=2"}


def test_the_score_is_the_difference_of_the_two_vendors(tmp_path, vendors):
    first, second = vendors
    paths = write_photographs(tmp_path / "photographs", range(15))
    calibration = bc.calibrate(first, paths, second_adapter=second, run=tmp_path / "run", **CHOICES)
    assert calibration.procedure.second_opinion == second.identity()
    (tmp_path / "p15.png").write_bytes(image_png(reduced(photograph(15), 4)))
    result = bc.mask(first, tmp_path / "p15.png", calibration, alpha=0.3, second_adapter=second, run=tmp_path / "run")
    pictures = np.stack([draw(photograph(15), 15_000), draw(photograph(15), 77_015)]).astype(float)
    gap = (np.abs(pictures[0] - pictures[1]).sum(2) / 255).astype(np.float32)
    np.testing.assert_allclose(result.score_map, gaussian_filter(gap, 2, mode="reflect"), atol=1e-5)
    assert result.mask.any()
    with pytest.raises(ProcedureMismatchError, match="second_opinion"):
        bc.mask(first, tmp_path / "p15.png", calibration, alpha=0.3, second_adapter=first, run=tmp_path / "run")


def test_the_second_vendor_is_asked_for_and_not_taken_for_nothing(vendors):
    with pytest.raises(UsageError, match="--second-adapter"):
        bc.calibrate(vendors[0], ".", **CHOICES)
    with pytest.raises(UsageError, match="leave --second-adapter out"):
        bc.calibrate(vendors[0], ".", second_adapter=vendors[1], draws=2, score="pixel-variance")


LOW = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def enlarge(pixels: np.ndarray, scale: int) -> np.ndarray:
    """A vendor that is indifferent to turning and moving: every pixel becomes a block."""
    return np.ascontiguousarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1))


@pytest.mark.parametrize("name", ["dihedral", "shift"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_undoing_is_exact_on_a_vendor_that_is_indifferent_to_the_change(name, scale):
    perturbation = catalog.load("images.perturbation", name)
    assert perturbation.maximum_draws is not None
    for index in range(perturbation.maximum_draws):
        answer = enlarge(perturbation.apply(LOW, index), scale)
        np.testing.assert_array_equal(perturbation.undo(answer, index, scale), enlarge(LOW, scale))


@pytest.mark.parametrize("name", ["dihedral", "shift", "dither"])
def test_draws_send_different_inputs(name):
    perturbation = catalog.load("images.perturbation", name)
    count = perturbation.maximum_draws or 20
    sent = {(perturbation.apply(LOW, index).shape, perturbation.apply(LOW, index).tobytes()) for index in range(count)}
    assert len(sent) == count


@pytest.mark.parametrize("name", ["dihedral", "dither"])
def test_draw_0_is_the_plain_input(name):
    perturbation = catalog.load("images.perturbation", name)
    np.testing.assert_array_equal(perturbation.apply(LOW, 0), LOW)


def test_dither_moves_by_one_step_at_most():
    perturbation = catalog.load("images.perturbation", "dither")
    assert np.abs(perturbation.apply(LOW, 7).astype(int) - LOW).max() == 1
