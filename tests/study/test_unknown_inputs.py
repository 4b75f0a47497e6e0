"""The preset for inputs of unknown making promises nothing about detail, and its masks are marked like any other's."""

import pytest
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.stages.certify import contradictions

pytestmark = pytest.mark.usual_promise


@pytest.mark.parametrize("guarantee", [None, "marked", "clear-share", "per-image:of=marked"])
@pytest.mark.parametrize("degradation", ["unknown", "50% unknown | 50% web"])
def test_a_promise_about_detail_is_refused_with_the_cure(tmp_path, guarantee, degradation):
    photographs = write_photographs(tmp_path / "photographs", range(24))
    with pytest.raises(UsageError, match=r"got one about invented detail.*--suggest --photographs PHOTOGRAPHS --scale"):
        bc.calibrate(
            bc.load_adapter("embedded"), photographs, degradation=degradation, guarantee=guarantee, run=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists(), "nothing was begun"


def test_inputs_of_another_making_are_outside_whatever_the_degradation(tmp_path):
    vendor = bc.load_adapter("embedded")
    photographs = write_photographs(tmp_path / "photographs", range(24))
    others = write_photographs(tmp_path / "others", range(30, 54))
    inputs = [made.input for made in bc.degrade(others, tmp_path / "inputs", scale=4, degradation="noise:8+bicubic")]
    statuses = {}
    for degradation, guarantee in (
        ("unknown", "expected"),
        ("bicubic+blur:1+jpeg:50", "marked"),
        ("bicubic", "marked"),
    ):
        run = tmp_path / guarantee / degradation
        calibration = bc.calibrate(vendor, photographs, degradation=degradation, guarantee=guarantee, run=run)
        results = bc.mask_all(vendor, [read_image(path).pixels for path in inputs], calibration, 0.3, run=run)
        statuses[degradation] = {result.certificate.status for result in results}
        for certificate in (results[0].certificate, results[-1].certificate):
            assert certificate.stated.startswith("No guarantee: the guarantee is for pictures like the calibration's")
            assert certificate.quality is None
            assert contradictions(certificate, calibration) == []
    assert set().union(*statuses.values()) == {"outside-calibration"}
