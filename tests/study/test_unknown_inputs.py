"""A calibration for inputs of unknown making masks any input, and says that no theorem speaks of it."""

from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.unknown import MEASURED, is_for_unknown
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.stages.certify import contradictions


def test_the_preset_is_known_again_by_its_steps():
    assert is_for_unknown(Mixture.of_text("unknown"), 4)
    assert is_for_unknown(Mixture.of_text("bicubic:4+blur:1+jpeg:50"), 4)
    assert not is_for_unknown(Mixture.of_text("bicubic:4+blur:1+jpeg:50"), 2)
    assert not is_for_unknown(Mixture.of_text("bicubic+blur:1+jpeg:75"), 4)


def test_inputs_of_another_making_are_masked_and_never_called_guaranteed(tmp_path):
    vendor = bc.load_adapter("embedded")
    photographs = write_photographs(tmp_path / "photographs", range(24))
    others = write_photographs(tmp_path / "others", range(30, 54))
    inputs = [made.input for made in bc.degrade(others, tmp_path / "inputs", scale=4, degradation="noise:8+bicubic")]
    statuses = {}
    for degradation in ("unknown", "bicubic"):
        run = tmp_path / degradation
        calibration = bc.calibrate(vendor, photographs, degradation=degradation, run=run)
        results = bc.mask_all(vendor, [read_image(path).pixels for path in inputs], calibration, 0.3, run=run)
        statuses[degradation] = {result.certificate.status for result in results}
        if degradation == "unknown":
            certificate = results[0].certificate
            assert certificate.reason == MEASURED
            assert certificate.stated.startswith("If this input is like the 24 calibrated (the calibration is one for")
            assert contradictions(certificate, calibration) == []
    assert statuses == {"unknown": {"if-like-calibration"}, "bicubic": {"outside-calibration"}}
