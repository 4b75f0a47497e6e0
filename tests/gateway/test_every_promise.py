"""Whatever a calibration promises of detail or of shares, headers, certificate, pictures and metrics say it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.gateway import picture, serving
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.method.guarantees.corollaries import statement
from blackbox_conformal.method.images.overlay import overlay
from blackbox_conformal.method.risk.trust import threshold_json
from blackbox_conformal.study.stages.certify import contradictions

TERMS = {"max_calls": 40, "metric": "lab-l1:kernel=gaussian,sigma=2", "score": "bicubic-gap"}
OF_DETAIL = "the detail that the vendor"
PROMISES = {
    "marked:ceiling=9,largest_error=1.2": OF_DETAIL,
    "clear-share:ceiling=9": OF_DETAIL,
    "per-image:of=marked,ceiling=9,delta=0.2": OF_DETAIL,
    "high-probability:of=marked,ceiling=9,delta=0.4": OF_DETAIL,
    "all-but:share=0.05": "when the worst of them, 5 % of the whole picture, are left out",
    "false-trust:tolerance=0.1": "the share of the picture that is trusted although",
    "local:side=8": "a square of 8×8 pixels",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and a run folder that each calibration of them takes its draws from."""
    folder = tmp_path_factory.mktemp("promises")
    write_photographs(folder / "photographs", range(9))
    return folder


@pytest.mark.parametrize("promise", PROMISES)
def test_the_gateway_says_and_keeps_what_was_promised(promise, drawn, vendor, tmp_path):
    made = bc.calibrate(vendor, drawn / "photographs", run=drawn / "run", guarantee=promise, **TERMS)
    calibration = Calibration.load(made.save(tmp_path / "calibration.json"))
    alpha = 0.9
    with serving(tmp_path / "calibration.json", vendor, tmp_path / "run", alpha=alpha) as gateway:
        answer = gateway.post(picture(0))
        told = gateway.json(picture(0))["blackbox_conformal"]
        files = {name: gateway.get(told[name]) for name in ("certificate", "mask", "overlay", "safe")}
        masks, shares, paid = (gateway.metric(name) for name in ("masks_total", "trusted_shares_total", "spent_usd"))
    alone = bc.mask(vendor, picture(0), calibration, alpha, run=tmp_path / "alone", max_calls=1)
    certificate = Certificate.from_json(files["certificate"].text)

    assert (
        certificate.statement
        == alone.certificate.statement
        == statement(calibration.rule(), alpha, 9, calibration.procedure.metric)
    )
    assert PROMISES[promise] in certificate.statement
    assert certificate.statement in told["guarantee"]
    assert contradictions(certificate, calibration) == []
    assert answer.headers["x-blackbox-conformal-status"] == certificate.status == "if-like-calibration"
    threshold = calibration.rule().threshold(calibration.curves_for(calibration.rule()), alpha)
    assert answer.headers["x-blackbox-conformal-threshold"] == str(threshold_json(threshold))
    assert float(answer.headers["x-blackbox-conformal-trusted-share"]) == round(alone.mask.mean(), 6)
    assert alone.mask.mean() > 0, "a mask of nothing would keep every promise"
    assert (masks, shares, paid) == (2, pytest.approx(2 * alone.mask.mean()), 0.01)

    shown = {name: _pixels(files[name].content) for name in ("mask", "overlay", "safe")}
    np.testing.assert_array_equal(shown["mask"], alone.mask)
    np.testing.assert_array_equal(shown["safe"], alone.safe)
    assert b"compositeWithTrainedAlgorithmicMedia" in files["safe"].content
    dotted = alone.unchanged if PROMISES[promise] == OF_DETAIL else None
    np.testing.assert_array_equal(shown["overlay"], overlay(alone.image, alone.mask, dotted))


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(content)))
