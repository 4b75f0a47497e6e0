"""A vendor that learns how it is scored, and hides its invention behind the free reference, is found by its answers."""

from typing import Any

import numpy as np
from support.synthetic import photograph, reduced

import blackbox_conformal as bc
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference

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


class Learning:
    """A vendor that begins to hide when it is told to, under the same name."""

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
