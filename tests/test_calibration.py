"""The calibration file: what is written is what is read, and anything else is an error that says which."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.synthetic import sketch_of

from blackbox_conformal.documents.calibration import CALIBRATIONS, Calibration
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.errors import CalibrationError, FileFormatError, UsageError
from blackbox_conformal.method.images.calibration_images import CalibrationImage, History, KnownPhotograph
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.scores._learned_network import own_network
from blackbox_conformal.method.scores._weights_file import written
from blackbox_conformal.method.scores.learned import LearnedScore
from blackbox_conformal.support.canonical import digest_bytes, digest_json

PROCEDURE = Procedure(
    vendor={"adapter": "folder", "adapter_version": 1, "parameters": {"label": "a"}},
    scale=4,
    draws=2,
    score={"name": "pixel-variance"},
    metric={"name": "rgb-linf"},
)


def tuned(name: str) -> KnownPhotograph:
    return KnownPhotograph.of(sketch_of(name))


def make(n: int = 5, **rest: Any) -> Calibration:
    generator = np.random.default_rng(3)
    images, curves, answers, inputs = [], [], [], []
    for index in range(n):
        scores = generator.integers(0, 8, (6, 6)).astype(np.float32) / 8
        errors = generator.integers(0, 8, (6, 6)).astype(np.float32) / 8
        curves.append(RiskCurve.from_maps(scores, errors, bound=1.0))
        answers.append(Answers.of([0.9 + index / 100], [1.5], scores))
        inputs.append(InputStatistics.of(generator.integers(0, 256, (2, 2, 3), np.uint8)))
        images.append(
            CalibrationImage(
                name=f"p{index}",
                truth=sketch_of(f"p{index}").digest,
                sketch=sketch_of(f"p{index}").text,
                input=digest_bytes(f"low p{index}".encode()),
                height=8,
                width=8,
            )
        )
    return Calibration.from_curves(PROCEDURE, 1.0, images, curves, answers=answers, inputs=inputs, **rest)


def test_round_trip(tmp_path: Path) -> None:
    calibration = make(tuning=(tuned("t"),), vendor_models=("m@1",))
    loaded = Calibration.load(calibration.save(tmp_path / "calibration.json"))
    assert loaded.digest == calibration.digest
    assert loaded.images == calibration.images
    assert loaded.tuning == (tuned("t"),)
    assert list(loaded.curves) == list(calibration.curves)
    np.testing.assert_array_equal(loaded.answers.values, calibration.answers.values)
    np.testing.assert_array_equal(loaded.inputs.values, calibration.inputs.values)
    for alpha in (0.1, 0.2, 0.3, 0.5, 0.9):
        assert loaded.threshold(alpha) == calibration.threshold(alpha)
    np.testing.assert_array_equal(loaded.alphas, calibration.alphas)


def test_the_bytes_do_not_depend_on_the_order_of_photographs(tmp_path: Path) -> None:
    one = make()
    order = [3, 0, 4, 1, 2]
    other = Calibration.from_curves(
        PROCEDURE,
        1.0,
        [one.images[k] for k in order],
        [one.curves[k] for k in order],
        answers=[one.answers[[k]] for k in order],
        inputs=[one.inputs[[k]] for k in order],
        guarantee=one.guarantee,
    )
    assert one.save(tmp_path / "a").read_bytes() == other.save(tmp_path / "b").read_bytes()


def test_saving_never_overwrites_another_calibration(tmp_path: Path) -> None:
    make().save(tmp_path / "c.json")
    make().save(tmp_path / "c.json")
    with pytest.raises(UsageError, match="--force"):
        make(4).save(tmp_path / "c.json")


def test_photographs_that_taught_the_weights_of_its_score_cannot_calibrate(tmp_path: Path) -> None:
    weights = written(own_network().arrays, [tuned("p2"), tuned("other")])
    score = LearnedScore(weights=weights).specification()
    taught = PROCEDURE.model_copy(update={"score": score, "score_weights": weights})
    file = replace(make(), procedure=taught).save(tmp_path / "calibration.json")
    with pytest.raises(FileFormatError, match="1 of its photographs taught the weights of its score"):
        Calibration.load(file)


def test_what_its_run_folder_knew_stands_in_it_and_older_files_keep_their_digest(tmp_path: Path) -> None:
    plain, told = make(), make(history=History(earlier=4, further=1))
    assert "history" not in CALIBRATIONS.content(plain)
    assert told.digest != plain.digest
    loaded = Calibration.load(told.save(tmp_path / "calibration.json"))
    assert (loaded.history, loaded.digest) == (told.history, told.digest)
    first, second = loaded.history.notes
    assert first.startswith("4 other calibrations of these photographs were begun in the same run folder before")
    assert second == (
        "1 further photograph of this vendor was calibrated in the same run folder before and does not calibrate here"
    )


def test_tuning_photographs_cannot_calibrate() -> None:
    with pytest.raises(CalibrationError, match="tuning"):
        make(tuning=(tuned("p2"),))


def test_a_photograph_counts_once() -> None:
    one = make()
    with pytest.raises(CalibrationError, match="twice"):
        Calibration.from_curves(PROCEDURE, 1.0, [one.images[0]] * 2, [one.curves[0]] * 2)


def test_the_level_at_a_threshold_is_the_least_at_which_it_is_allowed() -> None:
    calibration = make()
    for alpha in calibration.alphas:
        threshold = calibration.threshold(float(alpha))
        assert calibration.risk(threshold) <= alpha + 1e-12


def edited(change: Callable[[dict[str, Any]], None], *, redigest: bool) -> Callable[[str], str]:
    def apply(text: str) -> str:
        content = json.loads(text)
        change(content)
        if redigest:
            content.pop("digest")
            content["digest"] = digest_json(content)
        return json.dumps(content)

    return apply


def worse_bound(content: dict[str, Any]) -> None:
    content["bound"] = 0.25


def newer(content: dict[str, Any]) -> None:
    content["version"] = 99


def other_fingerprint(content: dict[str, Any]) -> None:
    content["fingerprint"] = "sha256:0"


def no_images(content: dict[str, Any]) -> None:
    content["images"] = []


def broken_curves(content: dict[str, Any]) -> None:
    content["curves"] = content["curves"][:40]


def statistics_of(rows: NDArray[np.float32]) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["inputs"] = base64.b64encode(rows.tobytes()).decode()

    return change


def impossible_statistics() -> NDArray[np.float32]:
    rows = make().inputs.values.copy()
    rows[2, 3] = 7
    return rows


def unknown_key(content: dict[str, Any]) -> None:
    content["extra"] = 1


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (edited(worse_bound, redigest=False), "was changed"),
        (edited(worse_bound, redigest=True), "expected the bound of the metric"),
        (edited(newer, redigest=True), "Upgrade"),
        (edited(other_fingerprint, redigest=True), "fingerprint"),
        (edited(no_images, redigest=True), "one curve a photograph"),
        (edited(broken_curves, redigest=True), "curve|damaged|expected"),
        (edited(statistics_of(make().inputs.values[:3]), redigest=True), "inputs of 5 photographs; got those of 3"),
        (edited(statistics_of(impossible_statistics()), redigest=True), "what inputs can be like"),
        (edited(statistics_of(np.ones((5, len(STATISTICS)), np.float32)), redigest=True), "of the photographs' sizes"),
        (edited(unknown_key, redigest=True), "extra"),
        (lambda text: text[:-20], "expected JSON"),
        (lambda text: text.replace('"bound": 1.0', '"bound": NaN'), "NaN"),
        (lambda text: text.replace('"bound": 1.0', '"bound": 1.0, "bound": 1.0'), "twice"),
        (lambda text: "[" * 100_000, "RecursionError"),
        (lambda text: "[]", "another file"),
        (lambda text: '{"format": "x"}', "another file"),
        (lambda text: "", "expected JSON"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_which(tmp_path: Path, damage: Callable[[str], str], says: str) -> None:
    path = make().save(tmp_path / "good.json")
    bad = tmp_path / "bad.json"
    bad.write_text(damage(path.read_text()))
    with pytest.raises((FileFormatError, CalibrationError), match=says):
        Calibration.load(bad)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="readable"):
        Calibration.load(tmp_path / "none.json")
