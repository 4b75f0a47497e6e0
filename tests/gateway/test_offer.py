"""What a request may say of the vendor: its parameters, and what the vendor is sent, by the vendor's own names."""

from types import SimpleNamespace
from typing import cast

import pytest

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.gateway.offer import Offer
from blackbox_conformal.gateway.request import NotServedError
from blackbox_conformal.study.plugins import adapter_class

MODELS = {
    "fal": ("fal-ai/clarity-upscaler", "upscale_factor"),
    "replicate": ("philz1337x/clarity-upscaler", "scale_factor"),
}


@pytest.fixture(params=MODELS)
def offered(request: pytest.FixtureRequest) -> tuple[Offer, str, str]:
    """The offer of a model whose calls also have a creativity of 0.3, its name, and what its scale is called."""
    model, scale = MODELS[request.param]
    vendor = adapter_class(request.param)(model=model, scale=2, inputs={"creativity": 0.3})
    calibration = SimpleNamespace(procedure=SimpleNamespace(scale=2), vendor_models=(model,))
    return Offer(vendor, cast(Calibration, calibration)), model, scale


def test_a_client_may_say_what_the_vendor_is_sent(offered):
    offer, model, scale = offered
    for said in ({}, {scale: 2}, {scale: "2"}, {scale: 2, "creativity": 0.3, "scale": 2}, {"seed": None}):
        assert offer.vendor_for(said, model) == (None, None)


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"creativity": 0.9}, 409, "expected creativity 0.3"),
        ({"scale": 4}, 409, "expected scale=2"),
        ({"seed": 42}, 422, "no field seed"),
        ({"face": True}, 422, "no field face"),
    ],
)
def test_another_value_and_an_unknown_name_are_refused(offered, said, status, words):
    offer, model, scale = offered
    with pytest.raises(NotServedError, match=words) as refused:
        offer.vendor_for(said, model)
    assert refused.value.status == status
    with pytest.raises(NotServedError, match=f"expected {scale} 2"):
        offer.vendor_for({scale: 4}, model)
