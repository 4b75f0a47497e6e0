"""Magnific: its two names, the factor as text and as number, tasks with and without a wrapper."""

from support.flow_driver import ADDRESS, built, drive, key_of, refused, replay, resumed, seeded, unresumed, upload

from blackbox_conformal.errors import PayloadError, RefusedError, VendorFailedError
from blackbox_conformal.vendor.example import says, shows

JOB = "046b6c7f-0b8a-43b9-b35d-6489e6daee91"


def test_creative_takes_its_factor_as_text():
    exchange = replay("magnific", settings='{"creativity": 3, "image": "x"}')
    submit, poll, _, download = exchange.sends
    assert submit.url == f"{ADDRESS}/image-upscaler"
    assert (submit.json["scale_factor"], submit.json["creativity"]) == ("4x", 3)
    assert submit.json["image"].startswith("iVBORw0KGgo")
    assert key_of(submit, "x-freepik-api-key") == "FPSX-made-up-for-this-example"
    assert poll.url == f"{ADDRESS}/image-upscaler/{JOB}"
    assert download.public
    assert exchange.jobs == [JOB]


def test_precision_v2_takes_a_number_at_its_own_path():
    exchange = replay("magnific", mode="precision-v2", scale=2)
    assert exchange.submit.url == f"{ADDRESS}/image-upscaler-precision-v2"
    assert exchange.submit.json["scale_factor"] == 2
    assert exchange.sends[1].url == f"{ADDRESS}/image-upscaler-precision-v2/{JOB}"


def test_host_key_and_header_change_with_the_brand(monkeypatch):
    monkeypatch.setenv("MAGNIFIC_API_KEY", "made-up-magnific-key")
    assert built("magnific", url="", brand="magnific").base_url == "https://api.magnific.com/v1/ai"
    assert built("magnific", url="").base_url == "https://api.freepik.com/v1/ai"
    assert key_of(replay("magnific", brand="magnific").submit, "x-magnific-api-key") == "made-up-magnific-key"


def test_a_task_without_a_wrapper_and_with_another_status_key_is_read_too():
    running = says('{"task_status":"IN_PROGRESS","generated":[]}')
    done = says(f'{{"task_status":"COMPLETED","generated":["{ADDRESS}/o.png"]}}')
    exchange = resumed("magnific", JOB, running, done, shows())
    assert exchange.waits == [1.0]


def test_failures():
    failed = unresumed("magnific", JOB, says('{"data":{"status":"FAILED","error":"engine crashed","generated":[]}}'))
    assert isinstance(failed, VendorFailedError)
    assert "engine crashed" in str(failed)
    flagged = unresumed("magnific", JOB, says('{"data":{"status":"COMPLETED","generated":[],"has_nsfw":[true]}}'))
    assert isinstance(flagged, RefusedError)
    assert flagged.billed
    assert flagged.code == "has_nsfw"
    empty = says('{"data":{"status":"COMPLETED","generated":[]}}')
    assert isinstance(unresumed("magnific", JOB, empty, empty, empty), PayloadError)
    invalid = refused("magnific", says('{"message":"Validation error","invalid_params":[{"name":"image"}]}', 400))
    assert "Validation error" in str(invalid)
    assert "image" in str(invalid)


def test_a_draw_resumes_from_its_own_task():
    adapter = built("magnific")
    assert (
        drive(
            adapter,
            adapter.resume(upload(), seeded(adapter), JOB),
            [says(f'{{"data":{{"status":"COMPLETED","generated":[{{"url":"{ADDRESS}/o.png"}}]}}}}'), shows()],
        )
        .sends[-1]
        .url.endswith("/o.png")
    )
