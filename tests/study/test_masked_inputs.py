"""What is kept of masked pictures: each is compared once, and what was marked stays marked."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from support.draws import tasks
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.certificate import StreamCheck
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.audits.detail_shares import REFERENCE, TRUTH, VENDOR, energies_of
from blackbox_conformal.method.audits.mask_worth import DetailByScore
from blackbox_conformal.method.audits.stream_evidence import ALARM
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.images.resemblance import Resemblance
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.whole_errors import SquaredErrors, Twentieths
from blackbox_conformal.method.safe_pictures import may_be_shown, picture_to_show
from blackbox_conformal.study.stages import evaluate, masked_inputs
from blackbox_conformal.study.stages.draws import KEPT_BYTES, DrawnPicture, LatestPictures
from blackbox_conformal.study.stages.evaluate import Evaluation
from blackbox_conformal.study.stages.masked_inputs import FILE, MaskedInputs
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@dataclass
class Entered:  # What is looked at of an input
    input_digest: str
    statistics: InputStatistics


def inputs(seeds: range, grain: float = 0.0) -> list[Any]:
    random, found = np.random.default_rng(0), []
    for seed in seeds:
        low = reduced(photograph(seed), 4)
        noisy = np.clip(low + random.normal(0, grain, low.shape), 0, 255).astype(np.uint8)
        found.append(Entered(f"{seed} {grain}", InputStatistics.of(noisy)))
    return found


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    photographs = write_photographs(folder / "photographs", range(24))
    with FaultServer() as server:
        settings = {"metric": "rgb-linf", "draws": 1, "score": "bicubic-gap", "max_calls": 24}
        return bc.calibrate(SynchronousVendor(url=server.url), photographs, run=folder / "run", **settings)


@pytest.fixture
def stream(tmp_path, calibration):
    return MaskedInputs(tmp_path / "run", calibration, None)


def found(checks):
    return {check.found is not None for check in checks.values()}


def test_right_inputs_are_not_marked_and_asking_again_is_no_look(stream):
    first = stream.enter(inputs(range(100, 120)))
    assert (found(first), {(check.n, check.pictures) for check in first.values()}) == ({False}, {(24, 20)})
    assert first["100 0.0"].evidence < ALARM
    for _ in range(5):
        assert stream.enter(inputs(range(100, 120))) == first


def test_a_batch_of_another_kind_is_marked_for_good_and_a_right_one_after_it_is_not(stream):
    wrong = stream.enter(inputs(range(100, 112), grain=30))
    assert found(wrong) == {True}
    assert "12 that were masked in this run folder are of another kind: your inputs are" in wrong["100 30"].found
    assert found(stream.enter(inputs(range(200, 220)))) == {False}
    for one in inputs(range(100, 112), grain=30):
        assert stream.enter([one])[one.input_digest].found == wrong["100 30"].found, "asking again does not help"


def test_wrong_inputs_one_by_one_are_found_and_those_before_are_marked_when_asked_again(stream):
    assert found(stream.enter(inputs(range(200, 208)))) == {False}
    statuses = [next(iter(found(stream.enter([one])))) for one in inputs(range(100, 140), grain=30)]
    first = statuses.index(True)
    assert first < 30
    again = [next(iter(found(stream.enter([one])))) for one in inputs(range(100, 140), grain=30)]
    assert all(after or not before for before, after in zip(statuses, again, strict=True)), "only worse"
    assert sum(again) > sum(statuses)
    assert found(stream.enter(inputs(range(200, 208)))) == {False}, "they were compared before, and passed"


def test_after_an_alarm_single_inputs_are_marked_until_some_pass(stream):
    stream.enter(inputs(range(100, 112), grain=30))
    statuses = [next(iter(found(stream.enter([one])))) for one in inputs(range(200, 208))]
    assert statuses == [True] * 3 + [False] * 5, "the fourth is compared with the calibration, beside three"
    assert next(iter(found(stream.enter(inputs(range(200, 201)))))), "a certificate said so"


def test_answers_that_their_inputs_do_not_explain_are_found(stream, calibration):
    right, wrong = inputs(range(200, 220)), inputs(range(300, 320))
    random = np.random.default_rng(0)
    known = calibration.answers

    def answers(pictures, shift):
        rows = {}
        for one in pictures:
            values = known.values[random.integers(len(known))].copy()
            values[1] += shift
            rows[one.input_digest] = Answers(values[None])
        return rows

    stream.enter(right)
    assert stream.answered(answers(right, 0), 0.5) == {}
    stream.enter(wrong)
    said = stream.answered(answers(wrong, 40), 0.5)
    assert said.keys() == {one.input_digest for one in wrong}
    assert "the difference of their answers is larger than their inputs explain" in said["300 0.0"]
    assert stream.answered(answers(wrong, 0), 0.5) == {}, "they are entered once"
    assert stream.enter(wrong[:1])["300 0.0"].found == said["300 0.0"]
    assert stream.enter(right[:1])["200 0.0"].found is None, "its answer was compared before, and passed"
    after = inputs(range(400, 410))
    assert found(stream.enter(after)) == {True}, "until answers pass"
    assert (stream.answered(answers(after, 0), 0.5), found(stream.enter(inputs(range(500, 504))))) == ({}, {False})


def test_groups_and_calibrations_have_streams_of_their_own(stream):
    stream.enter(inputs(range(100, 112), grain=30))
    other = replace(stream, group="other")
    assert other.enter(inputs(range(100, 112))) == {
        f"{seed} 0.0": StreamCheck(n=0, pictures=0, evidence=0.0) for seed in range(100, 112)
    }


def test_a_long_stream_begins_anew(stream, monkeypatch):
    monkeypatch.setattr(masked_inputs, "BEGINS_ANEW", 4)
    checks = [stream.enter(inputs(range(start, start + 8))) for start in range(100, 150, 10)]
    assert {check[f"{100 + 10 * k} 0.0"].evidence for k, check in enumerate(checks)} >= {checks[0]["100 0.0"].evidence}
    assert set().union(*map(found, checks)) == {False}


def test_a_damaged_file_is_refused(stream):
    stream.folder.mkdir()
    (stream.folder / FILE).write_bytes(b"no database, but long enough to be taken for one" * 30)
    with pytest.raises(FileFormatError, match="restore a copy, or name another --run"):
        stream.enter(inputs(range(100, 101)))


@pytest.fixture(scope="module")
def setup():
    return set_up(SynchronousVendor(url="http://127.0.0.1:1"), draws=1)


def shown(nbytes: int) -> DrawnPicture:
    return DrawnPicture(np.zeros((1, nbytes // 3, 3), np.uint8), (), Resemblance(None, 0.0, None, True))


def test_a_picture_is_taken_once_and_only_for_the_same_bytes_draw_and_setup(setup):
    kept, (task, other), picture = LatestPictures(), tasks(1, 2), shown(30)

    def keep():
        kept.keep(setup, task, b"answer", picture)

    keep()
    assert kept.take(setup, other, b"answer") is None
    assert kept.take(setup, task, b"answer") is picture
    assert kept.take(setup, task, b"answer") is None
    keep()
    assert kept.take(setup, task, b"another") is None
    keep()
    assert kept.take(replace(setup), task, b"answer") is None


def test_little_is_kept_and_a_large_picture_not_at_all(setup):
    kept, work = LatestPictures(), tasks(1, 4)
    third = shown(KEPT_BYTES // 3)
    for task in work:
        kept.keep(setup, task, b"answer", third)
    assert [kept.take(setup, task, b"answer") is None for task in work] == [True, False, False, False]
    kept.keep(setup, work[0], b"answer", shown(KEPT_BYTES + 3))
    assert kept.take(setup, work[0], b"answer") is None


rng = np.random.default_rng(3)


@pytest.mark.parametrize("made_before", [False, True])
@pytest.mark.parametrize("size", [(96, 48), (64, 64), (100, 132)])
def test_errors_are_those_of_the_middle(size, made_before, monkeypatch):
    height, width = size
    truth, delivered = rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    low = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    scores = rng.random(size, dtype=np.float32)
    setup = set_up(bc.from_function("none", lambda picture: picture, scale=4, version="1"))
    context = setup.context(delivered, low, None)
    if made_before:
        context.reference(degraded=False)
    evaluation = Evaluation(delivered, 0, scores, None, (), low, Answers.unknown(1), True, context)
    monkeypatch.setattr(evaluate, "MEASURED", 66)
    found, detail = evaluate._by_score(evaluation, setup, truth, None)
    whole = setup.detail_metric.energies(truth, delivered, low, setup.procedure.mixture)
    _, same = evaluate._by_score(evaluation, setup, truth, whole)
    rows, columns = (slice((n - min(n, 64)) // 8 * 4, (n - min(n, 64)) // 8 * 4 + min(n, 64)) for n in size)
    below = low[rows.start // 4 : rows.stop // 4, columns.start // 4 : columns.stop // 4]
    mixture = setup.procedure.mixture
    pictures = {
        name: picture_to_show(name, delivered[rows, columns], below, mixture)
        for name in may_be_shown(mixture, 4, setup.procedure.delivery)
    }
    if made_before:
        pictures["reference"] = reference(low, 4)[rows, columns]
    part, by = (rows, columns), Twentieths.of(scores[rows, columns])
    expected = SquaredErrors.of(by, truth[part], pictures.items())
    assert found.to_bytes() == expected.to_bytes()
    compared = {VENDOR: pictures["delivered"], REFERENCE: pictures["reference"], TRUTH: truth[part]}
    assert detail.to_bytes() == DetailByScore.of(by, energies_of(truth[part], below, compared, mixture)).to_bytes()
    # Near the borders of the middle the whole has other surroundings.
    np.testing.assert_allclose(same.values, detail.values, rtol=0.1, atol=30)
