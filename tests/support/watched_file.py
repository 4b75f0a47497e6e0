"""A watch file that is written without a vendor: visits and pictures that are masked, as if they had come."""

from dataclasses import replace

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.watching.concluding import Conclusion, conclude
from blackbox_conformal.watching.live_file import Known, LivePicture, enter
from blackbox_conformal.watching.records import Canary, Finding, FreshMeasurement, WatchDraw
from blackbox_conformal.watching.visit.canaries import FEATURES
from blackbox_conformal.watching.watch_file import WatchFile

CANARY = Canary("one", "sha256:" + "1" * 64, b"png", 20, 16, None)
SAME, CHANGED = Finding("identity", "same", "m"), Finding("identity", "changed", "the model is v2")


def visit(file: WatchFile, calibration: Calibration, finding: Finding = SAME) -> None:
    watch = file.current(calibration.digest) or file.begin(calibration.digest, 0.01, [CANARY], calibrated=False)
    draws = [WatchDraw(0, "fresh", 100 + len(file.visits(watch)), 7)]
    planned = file.plan(watch, draws, [FreshMeasurement(f"sha256:{len(file.visits(watch)):064}", "p", 0.5)])
    done = [replace(draw, state="stored", features=dict.fromkeys(FEATURES, 0.5)) for draw in planned.draws]
    measured = [replace(each, loss=0.125) for each in file.photographs(watch, planned.id)]
    conclude(file, watch, planned, Conclusion(done, [finding], {"warmth": (0.1, 0.2)}, measured, True))


def pictures(seed: int, n: int, shift: float = 0.0) -> tuple[InputStatistics, Answers]:
    """Noise of several strengths, and answers that differ from it by a little, and by `shift` besides."""
    random = np.random.default_rng(seed)
    inputs = [
        InputStatistics.of(random.integers(0, 40 + 10 * k, (8, 8, 3), np.uint8)) for k in random.integers(9, size=n)
    ]
    answers = [Answers.of([0.9], [shift + random.uniform(1, 2)], random.uniform(size=(6, 6))) for _ in range(n)]
    return InputStatistics.together(inputs), Answers.together(answers)


def live(file: WatchFile, calibration: Calibration, number: int, shift: float = 0.0) -> None:
    """A picture that is masked, beside a calibration on thirty."""
    watch = file.current(calibration.digest)
    assert watch is not None
    enter(file, watch, Known(None, *pictures(0, 30)), LivePicture(f"p{number}", *pictures(1 + number, 1, shift)), 0.5)
