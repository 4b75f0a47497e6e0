"""`tune --learn`, and calibrations with weights of the user's own, which are carried in their files."""

import base64
import json
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import VENDOR, ended
from support.mutations import redigested
from support.synthetic import photograph, reduced, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError, FileFormatError
from blackbox_conformal.method.scores import _learned_training
from blackbox_conformal.method.scores._learned_network import own_network
from blackbox_conformal.testing.fault_server import FaultServer

DRAWN = ["--adapter", "folder", "-p", "label=synthetic", "-p", "path=outputs"]
SIZE = (64, 80)


def red_errors(seed: int, error: bool) -> np.ndarray:
    """(H, W, 3) uint8: fine grain everywhere; a vendor invents another grain where the photograph is red."""
    random = np.random.default_rng(seed)
    coarse = np.full((6, 7, 3), 80, np.uint8)
    coarse[..., 0] += random.integers(0, 2, (6, 7), dtype=np.uint8) * 120
    field = np.asarray(PillowImage.fromarray(coarse).resize(SIZE[::-1], PillowImage.Resampling.BICUBIC), float)
    grain = random.normal(0, 25, (*SIZE, 3))
    if error:
        invented = np.random.default_rng(seed + 10_000).normal(0, 25, (*SIZE, 3))
        grain = np.where(field[..., :1] > 130, invented + grain, grain)
    return np.clip(field + grain, 0, 255).astype(np.uint8)


def write_red(folder: Path, seeds: range) -> None:
    """Photographs in ``folder``, their outputs in ``outputs``."""
    folder.mkdir()
    for seed in seeds:
        PillowImage.fromarray(red_errors(seed, error=False)).save(folder / f"r{seed}.png")
        (Path("outputs") / f"r{seed}").mkdir(parents=True)
        PillowImage.fromarray(red_errors(seed, error=True)).save(Path("outputs") / f"r{seed}" / "0.png")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def learned(capsys: pytest.CaptureFixture[str], *more: str) -> dict:
    """What `tune --learn` says as JSON."""
    return json.loads(ended(capsys, ["tune", "--learn", "mine", *DRAWN, "--run", "run", "--json", *more]).out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_learning(number, monkeypatch, capsys):
    write_photographs(Path("mine"), range(20))
    write_draws(Path("outputs"), range(20), 1)
    steps = []
    gradient = _learned_training._batch_gradient

    def interrupted(*given):
        steps.append(given)
        if len(steps) == 3:
            signal.raise_signal(number)
        return gradient(*given)

    monkeypatch.setattr(_learned_training, "_batch_gradient", interrupted)
    monkeypatch.setattr(_learned_training, "STEPS", 20)
    assert run(["tune", "--learn", "mine", *DRAWN, "--run", "run", "--outputs", "outputs"]) == 6
    assert len(steps) == 3
    assert "stopped while learning" in capsys.readouterr().err
    assert not list(Path("run").glob("learned-*"))


def test_photographs_of_the_embedded_vendor_teach_and_never_calibrate(capsys, monkeypatch):
    """End to end: nobody is paid, and the printed command calibrates the rest."""
    monkeypatch.setattr("blackbox_conformal.method.scores._learned_training.STEPS", 8)
    write_photographs(Path("mine"), range(20))
    write_photographs(Path("other-photographs"), range(15, 32))
    write_draws(Path("outputs"), range(15, 32), 1)
    said = ended(capsys, ["tune", "--learn", "mine", *DRAWN, "--run", "run"])
    assert "outputs of embedded, no call of your vendor" in said.out
    (weights,) = Path("run").glob("learned-*.npz")
    kept = json.loads(Path("run/tuning.json").read_text())
    assert len(kept["photographs"]) == 20
    assert kept["score"] == f"learned:weights={weights}"
    line = next(line for line in said.out.splitlines() if "blackbox-conformal calibrate" in line)
    assert run(shlex.split(line.partition("blackbox-conformal ")[2])) == 0
    assert "5 of 17 photographs were looked at before and do not calibrate" in capsys.readouterr().err
    calibration = Calibration.load(Path("run/calibration.json"))
    assert calibration.n == 12
    assert {one.truth for one in calibration.tuning} == {one["truth"] for one in kept["photographs"]}
    digest = calibration.procedure.score["digest"].removeprefix("sha256:")
    assert digest.startswith(weights.stem.removeprefix("learned-"))
    # The weights say so themselves where there is no folder of the run, as on another machine.
    Path("elsewhere").mkdir()
    shutil.copy(weights, "elsewhere/w.npz")
    Path("run/tuning.json").unlink()
    chosen = ["--score", "learned:weights=elsewhere/w.npz", "--run", "elsewhere/run", "--nothing-chosen"]
    assert "all of these were" in ended(capsys, ["calibrate", "mine", *DRAWN, *chosen], 2).err
    assert run(["calibrate", "other-photographs", *DRAWN, *chosen]) == 0
    assert "5 of 17 photographs were looked at before and do not calibrate" in capsys.readouterr().err
    adapter = bc.load_adapter("folder", label="synthetic", path="outputs")
    with pytest.raises(CalibrationError, match="5 of these photographs were used for tuning"):
        bc.calibrate(adapter, "other-photographs", score="learned:weights=elsewhere/w.npz", run="elsewhere/python")


@pytest.mark.slow
def test_on_photographs_that_it_never_saw_more_is_trusted(capsys):
    """The package's weights know of no vendor that fails where it is red; learning finds that out."""
    write_red(Path("mine"), range(24))
    write_red(Path("calibrating"), range(100, 130))
    write_red(Path("unseen"), range(200, 210))
    told = learned(capsys, "--outputs", "outputs")
    assert told["outputs_of"] == "folder"
    assert (told["n_teaching"], told["n_measuring"]) == (18, 6)
    assert told["teaching_share_after"] > told["teaching_share_before"]
    assert told["share_after"] > told["share_before"]
    shares = []
    for score in ("learned", told["score"]):
        out = f"{len(shares)}.json"
        assert run(["calibrate", "calibrating", *DRAWN, "--score", score, "--run", "run", "--out", out, "-q"]) == 0
        words = ["audit", "unseen", "-p", "path=outputs", "--calibration", out, "--alpha", "0.12", "--json"]
        capsys.readouterr()
        (level,) = json.loads(ended(capsys, [*words, "--run", f"audit{len(shares)}"]).out)["levels"]
        shares.append(level["trusted_share"])
    assert shares[1] > shares[0] + 0.1


def test_the_same_again_writes_the_same_bytes_and_another_seed_others(capsys, monkeypatch):
    monkeypatch.setattr("blackbox_conformal.method.scores._learned_training.STEPS", 8)
    write_photographs(Path("mine"), range(20))
    write_draws(Path("outputs"), range(20), 1)
    first = learned(capsys, "--outputs", "outputs")
    content = Path(first["weights"]).read_bytes()
    assert learned(capsys, "--outputs", "outputs", "--out", "again.npz")["weights"] == str(Path("again.npz").resolve())
    assert Path("again.npz").read_bytes() == content
    assert learned(capsys, "--outputs", "outputs", "--seed", "5")["weights"] != first["weights"]
    assert Path(first["weights"]).read_bytes() == content


def test_what_teaches_nothing_is_refused_before_anything_is_drawn(capsys):
    write_photographs(Path("mine"), range(19))
    assert run(["tune", "--learn", "mine", *DRAWN[:4], "-p", "path=mine", "--run", "run"]) == 2
    assert "expected 20 photographs or more to learn from, since fewer say nothing" in capsys.readouterr().err
    assert not Path("run").exists()
    for path in write_photographs(Path("mine"), range(20)):
        (Path("outputs") / path.stem).mkdir(parents=True)
        (Path("outputs") / path.stem / "0.png").write_bytes(path.read_bytes())
    assert run(["tune", "--learn", "mine", *DRAWN, "--outputs", "outputs", "--run", "run"]) != 0
    assert "there is no error to learn from" in capsys.readouterr().err
    assert not Path("run/tuning.json").exists()


def grain(seed: int, *, of_vendor: bool) -> np.ndarray:
    """(96, 128, 3) uint8: a photograph, or the answer of a vendor that sharpens plain enlargement and adds grain."""
    truth = photograph(seed, (96, 128))
    if not of_vendor:
        return truth
    small = PillowImage.fromarray(reduced(truth, 4))
    plain = np.asarray(small.resize((128, 96), PillowImage.Resampling.BICUBIC), float)
    noise = np.random.default_rng(seed + 5000).normal(0, 12, plain.shape[:2])[..., None]
    # Where it is bright the vendor is right, and elsewhere it makes grain up.
    return np.clip(np.where(plain.mean(axis=2, keepdims=True) > 120, truth, plain + noise), 0, 255).astype(np.uint8)


def test_predicted_invention_is_taught_by_the_vendors_own_answers(capsys):
    """Its weights know no vendor that makes grain up where it is dark; the printed command calibrates with others."""
    for folder, seeds in (("mine", range(24)), ("other-photographs", range(100, 124))):
        Path(folder).mkdir()
        for seed in seeds:
            PillowImage.fromarray(grain(seed, of_vendor=False)).save(Path(folder) / f"g{seed}.png")
            (Path("outputs") / f"g{seed}").mkdir(parents=True)
            PillowImage.fromarray(grain(seed, of_vendor=True)).save(Path("outputs") / f"g{seed}" / "0.png")
    command = ["tune", "--learn", "mine", *DRAWN, "--score", "predicted-invention", "--run", "run"]
    said = ended(capsys, command)
    assert "24 photographs, outputs of folder" in said.out
    assert "where 70 to 90 % of the invention is hatched" in said.out
    (weights,) = Path("run").glob("predicted-invention-*.npz")
    told = json.loads(ended(capsys, [*command, "--json", "--force"]).out)
    assert told["share_after"] > told["share_before"] + 0.05
    assert told["least_gain"] > 0
    assert (told["n_teaching"], told["n_measuring"]) == (24, 24)
    line = next(line for line in said.out.splitlines() if "blackbox-conformal calibrate" in line)
    assert f"--score predicted-invention:weights={weights}" in line
    assert run(shlex.split(line.partition("blackbox-conformal ")[2])) == 0
    calibration = Calibration.load(Path("run/calibration.json"))
    assert calibration.procedure.score_weights == weights.read_bytes()
    assert calibration.procedure.build_score().fitted_weights == weights.read_bytes()
    with pytest.raises(CalibrationError, match="24 of these photographs were used for tuning"):
        bc.calibrate(
            bc.load_adapter("folder", label="synthetic", path="outputs"),
            [*sorted(Path("mine").iterdir()), *sorted(Path("other-photographs").iterdir())],
            score=f"predicted-invention:weights={weights}",
            run="elsewhere",
        )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--learn", "--alpha", "0.1"], "expected --learn without --alpha"),
        (["--learn", "--score", "learned", "--only-choose"], "expected --learn without --only-choose"),
        (["--learn", "--score", "texture"], "expected a score with weights to learn, learned or predicted-invention"),
        (["--outputs", "outputs"], "expected --outputs beside --learn"),
        (["--learn", "--run", "a,b"], "expected a path without commas"),
        (["--learn", "--degradation", "grey"], "got scale 1. Leave --learn out"),
    ],
)
def test_what_does_not_go_together_is_refused(more, message, capsys):
    write_photographs(Path("mine"), range(1))
    write_draws(Path("outputs"), range(1), 1)
    scale = ["--scale", "1"] if "grey" in more else []
    assert message in " ".join(ended(capsys, ["tune", "mine", *DRAWN, *more, *scale], 2).err.split())


@pytest.fixture
def _weights(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", range(5))
    np.savez_compressed("mine.npz", **{**own_network().arrays, "tail_bias": np.ones(1, np.float32)})


@pytest.mark.usefixtures("_weights")
def test_a_calibration_carries_its_weights_wherever_it_goes(server, capsys):
    PillowImage.fromarray(reduced(photograph(20), 4)).save("small.png")
    weights = Path("mine.npz").read_bytes()
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes", "-q"]
    calibrate = ["calibrate", "photographs", *vendor, "--score", "learned:weights=mine.npz", "--run", "run"]
    assert run(calibrate) == 0
    written = Path("run/calibration.json").read_bytes()
    assert b"mine.npz" not in written
    # The same again is the same calibration, and takes its place.
    paid = server.account.paid
    assert run(calibrate) == 0
    assert Path("run/calibration.json").read_bytes() == written
    assert server.account.paid == paid
    Path("mine.npz").unlink()
    Path("run/calibration.json").rename("elsewhere.json")
    mask = ["mask", "small.png", *vendor, "--calibration", "elsewhere.json", "--alpha", "0.9"]
    assert run(mask) == 0
    calibration = Calibration.load("elsewhere.json")
    assert calibration.procedure.score_weights == weights
    assert calibration.save("again.json").read_bytes() == written


@pytest.mark.usefixtures("_weights")
def test_weights_are_compared_and_the_text_of_the_best_can_be_typed(server, capsys):
    write_photographs(Path("more"), range(10, 24))
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes"]
    words = ["tune", "more", *vendor, "--candidate", "learned:weights=mine.npz", "--alpha", "0.9", "--only-choose"]
    assert run([*words, "--run", "run"]) == 0
    assert "--score learned:weights=mine.npz --draws 1" in capsys.readouterr().out


WRONG = {
    "others": (own_network().content, "expected the weights sha256"),
    "none": (None, "expected the weights sha256:.* Name the file of those weights with --score learned:weights=FILE"),
    "no archive": (b"weights", "expected the weights of a score to be an npz file"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.usefixtures("_weights")
def test_a_calibration_without_its_weights_is_refused(kind):
    weights, message = WRONG[kind]
    content = _calibrated()
    del content["score_weights"]
    if weights is not None:
        content["score_weights"] = base64.b64encode(weights).decode()
    Path("c.json").write_text(redigested(content))
    with pytest.raises(FileFormatError, match=message):
        Calibration.load("c.json")


@pytest.mark.usefixtures("_weights")
def test_a_calibration_without_its_own_kind_of_weights_is_refused():
    content = _calibrated()
    content["procedure"]["score"]["weights"] = "missing.npz"
    Path("c.json").write_text(redigested(content))
    with pytest.raises(FileFormatError, match="names no file or folder, as calibrations do not"):
        Calibration.load("c.json")
    content["procedure"]["score"] = {"name": "texture"}
    Path("c.json").write_text(redigested(content))
    with pytest.raises(FileFormatError, match="weights"):
        Calibration.load("c.json")


def _calibrated() -> dict:
    with FaultServer() as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--yes", "-q"]
        assert run(["calibrate", "photographs", *vendor, "--score", "learned:weights=mine.npz", "--run", "run"]) == 0
    content: dict = json.loads(Path("run/calibration.json").read_bytes())
    return content
