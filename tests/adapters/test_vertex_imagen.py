"""Vertex: the predict call and its filters."""

from support.flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay

from blackbox_conformal.errors import AccountRefusedError, PayloadError, RefusedError, TryLaterError, VendorFailedError
from blackbox_conformal.vendor.example import says


def test_one_predict_call():
    exchange = replay("vertex_imagen", scale=2, preservation=0.5, enhance_input=False)
    (submit,) = exchange.sends
    assert submit.url == (
        f"{ADDRESS}/v1/projects/made-up-project/locations/us-central1/publishers/google/models/"
        "imagen-4.0-upscale-preview:predict"
    )
    assert key_of(submit, "authorization") == "Bearer ya29.made-up-for-this-example"
    parameters = submit.json["parameters"]
    assert parameters["upscaleConfig"] == {
        "upscaleFactor": "x2",
        "enhanceInputImage": False,
        "imagePreservationFactor": 0.5,
    }
    assert parameters["outputOptions"] == {"mimeType": "image/png"}
    assert submit.json["instances"][0]["image"]["bytesBase64Encoded"].startswith("iVBORw0KGgo")
    assert exchange.picture == PICTURE


def test_address_and_project_do_not_name_the_procedure():
    here = built("vertex_imagen", url="")
    there = built("vertex_imagen", url="", location="europe-west4", project="other")
    assert there.base_url == "https://europe-west4-aiplatform.googleapis.com"
    assert here.identity() == there.identity()


def test_a_filtered_picture_is_a_refusal():
    reason = "Unable to show generated images: 39322892"
    error = refused("vertex_imagen", says(f'{{"predictions":[{{"raiFilteredReason":"{reason}"}}]}}'))
    assert isinstance(error, RefusedError)
    assert error.billed
    assert reason in str(error)
    assert isinstance(refused("vertex_imagen", says('{"predictions":[]}')), RefusedError)
    assert isinstance(refused("vertex_imagen", says("{}")), PayloadError)


def test_googles_errors():
    def error(status, word):
        return refused("vertex_imagen", says(f'{{"error":{{"message":"m","status":"{word}"}}}}', status))

    assert isinstance(error(403, "PERMISSION_DENIED"), AccountRefusedError)
    assert isinstance(error(429, "RESOURCE_EXHAUSTED"), TryLaterError)
    assert isinstance(error(400, "INVALID_ARGUMENT"), RefusedError)
    for status, word in ((500, "INTERNAL"), (504, "DEADLINE_EXCEEDED"), (503, "UNAVAILABLE"), (499, "CANCELLED")):
        assert isinstance(error(status, word), VendorFailedError)
