"""What fal and Cog containers publish: where it is read, what is taken, and what happens where it cannot be read."""

import json
from typing import Any

import pytest
from support.flow_driver import a_draw, built
from support.replicate_server import link, schema

from blackbox_conformal.errors import JobError, NotFoundError, TryLaterError
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.example import says

SCHEMAS = "http://127.0.0.1:9/openapi.json"


def inspected(adapter: Adapter, *answers: Answer | Exception) -> tuple[str | None, list[Send]]:
    """What an inspection told, and what it asked; a failed answer is raised inside it, as a run does."""
    steps, given, sends = adapter.inspect(), iter(answers), []
    try:
        step = next(steps)
        while True:
            answer: Any = Answer(0, {}, b"")
            if isinstance(step, Send):
                assert step.purpose == "lookup"
                sends.append(step)
                answer = next(given)
            step = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
    except StopIteration as end:
        assert list(given) == []
        return end.value, sends


def fal_schema(model: str, output: str = "image", **inputs: Any) -> Answer:
    """An endpoint's document as fal publishes it: one path that takes the input, one that answers."""

    def content(name: str) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}

    document = {
        "paths": {
            f"/{model}": {"post": {"requestBody": content("UpscalerInput")}},
            f"/{model}/requests/{{request_id}}": {"get": {"responses": {"200": content("UpscalerOutput")}}},
        },
        "components": {
            "schemas": {
                "UpscalerInput": {"required": ["image_url"], "properties": inputs},
                "UpscalerOutput": {"properties": {output: {"type": "object"}, "seed": {"type": "integer"}}},
            }
        },
    }
    return says(json.dumps(document))


def fal(model: str, **parameters: Any) -> Adapter:
    return built("fal", model=model, schema_url=SCHEMAS, **parameters)


IMAGE_URL = {"type": "string"}


def test_fal_publishes_beside_its_queue_and_is_asked_there_without_the_key():
    adapter = fal("owner/unknown", scale=4)
    inputs = {
        "image_url": IMAGE_URL,
        "scale": {"type": "number", "maximum": 8},
        "output_format": {"enum": ["png", "jpeg"], "default": "jpeg"},
    }
    told, (asked,) = inspected(adapter, fal_schema("owner/unknown", **inputs))
    assert (asked.url, asked.query, asked.public, asked.headers) == (
        SCHEMAS,
        {"endpoint_id": "owner/unknown"},
        True,
        {},
    )
    assert told == (
        "taken from the schema that the model owner/unknown publishes: magnification scale, lossless format "
        "output_format=png"
    )
    sent = adapter.model_inputs("data:,", a_draw())
    assert sent == {"image_url": "data:,", "scale": 4, "output_format": "png"}


@pytest.mark.parametrize("listed", [True, False])
def test_crystal_is_lossless_only_where_its_schema_has_a_format_to_ask_for(listed):
    adapter = fal("clarityai/crystal-upscaler", scale=4)
    assert not adapter.capabilities.lossless_output
    form = {"output_format": {"enum": ["jpg", "png"], "default": "jpg"}}
    inputs = {"image_url": IMAGE_URL, "scale_factor": {"type": "number"}, **(form if listed else {})}
    inspected(adapter, fal_schema("clarityai/crystal-upscaler", "images", **inputs))
    asked = {"output_format": "png"} if listed else {}
    sent = adapter.model_inputs("data:,", a_draw())
    assert sent == {"image_url": "data:,", "scale_factor": 4, **asked}
    assert adapter.capabilities.lossless_output == listed


def test_a_queue_elsewhere_is_not_looked_up_at_fal():
    assert built("fal", model="owner/unknown").inspect() is None
    assert built("fal", model="owner/unknown", url="https://queue.fal.run").inspect() is not None


def test_a_place_of_the_picture_that_fal_does_not_answer_with_is_refused():
    inputs = {"image_url": IMAGE_URL, "upscale_factor": {"type": "number"}}
    with pytest.raises(NotFoundError, match=r"images, seed, and not with image; add -p output-path=images\.0\.url"):
        inspected(fal("owner/unknown"), fal_schema("owner/unknown", "images", **inputs))
    assert inspected(fal("owner/unknown", output_path="images.0.url"), fal_schema("owner/unknown", "images", **inputs))


def test_where_fal_cannot_be_asked_only_models_in_the_table_are_drawn_from():
    failure = JobError("HTTP 500")
    assert inspected(fal("fal-ai/clarity-upscaler", scale=2), failure)[0] is None
    with pytest.raises(JobError):
        inspected(fal("owner/unknown"), failure)


def test_a_container_is_waited_for_while_it_starts_and_taken_as_it_is_when_it_publishes_nothing():
    document = schema(("img",), img=link(), upscale={"type": "number"})
    starting, ready = says('{"status":"STARTING"}'), says('{"status":"READY"}')
    nothing, published = says("{}", 503), says(json.dumps(document))
    told, sends = inspected(built("cog", model=None), nothing, starting, published)
    assert [send.url.rpartition("/")[2] for send in sends] == ["openapi.json", "health-check", "openapi.json"]
    assert told.endswith("image img, magnification upscale")
    assert inspected(built("cog", model=None), nothing, ready)[0] is None
    with pytest.raises(TryLaterError):
        inspected(built("cog", model=None), TryLaterError("busy"))
