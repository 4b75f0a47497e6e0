"""What is kept of large photographs to choose the picture outside masks: the errors in their middle."""

import numpy as np
import pytest

import blackbox_conformal as bc
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.whole_errors import SquaredErrors
from blackbox_conformal.method.safe_pictures import may_be_shown, picture_to_show
from blackbox_conformal.study.stages import evaluate
from blackbox_conformal.study.stages.evaluate import Evaluation
from blackbox_conformal.study.stages.settings import set_up

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
    found = evaluate._squared_errors(evaluation, setup, truth)

    rows, columns = (slice((n - min(n, 64)) // 8 * 4, (n - min(n, 64)) // 8 * 4 + min(n, 64)) for n in size)
    below = low[rows.start // 4 : rows.stop // 4, columns.start // 4 : columns.stop // 4]
    mixture = setup.procedure.mixture
    pictures = {
        name: picture_to_show(name, delivered[rows, columns], below, mixture)
        for name in may_be_shown(mixture, 4, setup.procedure.delivery)
    }
    if made_before:
        pictures["reference"] = reference(low, 4)[rows, columns]
    expected = SquaredErrors.of(scores[rows, columns], truth[rows, columns], pictures.items())
    assert found.to_bytes() == expected.to_bytes()
