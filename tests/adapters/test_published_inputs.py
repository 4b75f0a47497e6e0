"""What a vendor publishes of its model is read before the first paid draw, and what does not fit costs nothing."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from support.flow_driver import a_draw, built
from support.replicate_server import VERSION, ReplicateServer, link, schema
from support.synthetic import write_photographs

from blackbox_adapters._named_inputs import ModelSchema, NamedInputs, fitted
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import JobError, NotFoundError, TryLaterError
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.example import says

CRYSTAL = schema(
    image=link(),
    scale_factor={"type": "number", "default": 2, "minimum": 1, "maximum": 10},
    output_format={"allOf": [{"$ref": "#/components/schemas/output_format"}], "default": "jpg"},
)
CRYSTAL["components"]["schemas"]["output_format"] = {"type": "string", "enum": ["jpg", "png"]}
DEFAULT_SEED = schema(image=link(), scale={"type": "number", "default": 4}, seed={"type": "integer", "default": 1337})
SCORE = ["--score", "pixel-variance", "--metric", "rgb-linf", "--draws", "4", "--run", "run", "--yes"]

Calibrate = Callable[..., tuple[int, str]]


@pytest.fixture
def calibrate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_made_up")
    write_photographs(tmp_path / "photographs", range(12))

    def calibrated(server, *more, command="calibrate"):
        vendor = ["--adapter", "replicate", "-p", "model=owner/name", "-p", "price-usd=0.05", "-p", f"url={server.url}"]
        code = run([command, "photographs", *vendor, "--max-cost", "20", *SCORE, *more])
        return code, capsys.readouterr().err

    return calibrated


def test_the_inputs_of_an_unknown_model_are_taken_from_its_schema_and_told(calibrate):
    with ReplicateServer(CRYSTAL, factor="scale_factor") as server:
        code, said = calibrate(server)
    assert code == 0, said
    assert len(server.made) == 48
    assert {tuple(sorted(inputs.items() - {("image", inputs["image"])})) for inputs in server.made} == {
        (("output_format", "png"), ("scale_factor", 4))
    }
    assert "taken from the schema that the model owner/name publishes: magnification scale_factor, lossless" in said


def test_a_default_seed_that_would_make_all_draws_equal_is_refused_unpaid(calibrate):
    with ReplicateServer(DEFAULT_SEED) as server:
        code, said = calibrate(server)
        assert (code, len(server.made)) == (2, 0)
        assert "answers from the seed 1337 unless its input seed is sent" in said
        assert "add -p seed-input=seed" in said
        assert calibrate(server, "-p", "seed-input=seed")[0] == 0
        assert len(server.made) == len({inputs["seed"] for inputs in server.made}) == 48
        lookups = sum("/models/" in request.head.target for request in server.asked)
        assert calibrate(server, "-p", "seed-input=seed")[0] == 0
        # With every draw stored nobody is asked anything.
        assert sum("/models/" in request.head.target for request in server.asked) == lookups


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["-p", "scale=16"], "at most 10; got 16; give -p scale=10"),
        (["-p", 'inputs={"scale_facto": 3}'], """give -p inputs='{"scale_factor": 3}'"""),
        (["-p", 'inputs={"output_format": "webp"}'], "one of jpg, png; got webp"),
        (
            ["-p", "image-input=picture"],
            "no input 'picture', only image, scale_factor, output_format; give -p image-inp",
        ),
        (["-p", "seed-input=seed"], "no input 'seed'"),
    ],
)
def test_what_the_model_does_not_take_is_refused_unpaid(calibrate, given, said):
    with ReplicateServer(CRYSTAL, factor="scale_factor") as server:
        code, told = calibrate(server, *given)
    assert (code, len(server.made)) == (2, 0)
    assert said in told


def test_a_pinned_version_is_asked_for_its_own_schema(calibrate):
    with ReplicateServer(DEFAULT_SEED) as server:
        code, _ = calibrate(server, "-p", f"model=owner/name:{VERSION}")
    assert code == 2
    with ReplicateServer(CRYSTAL, factor="scale_factor") as server:
        vendor = ["--adapter", "replicate", "-p", f"model=owner/name:{VERSION}", "-p", f"url={server.url}"]
        assert run(["calibrate", "photographs", *vendor, "-p", "price-usd=0.05", "--max-cost", "20", *SCORE]) == 0
    assert (server.asked[0].head.path, len(server.made)) == (f"/models/owner/name/versions/{VERSION}", 48)


@pytest.mark.parametrize("more", [("plan",), ("calibrate", "--dry-run")])
def test_a_plan_reads_the_schema_too_and_pays_nothing(calibrate, more):
    command, *options = more
    options = ["--draws", "4", *options]
    with ReplicateServer(DEFAULT_SEED) as server:
        code, said = calibrate(server, *options, command=command)
        assert (code, len(server.made)) == (2, 0)
        assert "add -p seed-input=seed" in said
    with ReplicateServer(CRYSTAL, factor="scale_factor") as server:
        code, said = calibrate(server, *options, command=command)
        assert (code, len(server.made)) == (0, 0), said
    assert "magnification scale_factor" in said


def test_a_plan_goes_on_where_nothing_can_be_read(calibrate):
    with ReplicateServer(CRYSTAL) as server:
        pass
    code, said = calibrate(server, command="plan")
    assert code == 0, said
    assert "what replicate publishes of its model could not be read" in said


def fits(openapi: dict[str, Any], **parameters: Any) -> tuple[dict[str, Any], str | None]:
    adapter = built("replicate", **{"model": "owner/name", **parameters})
    assert isinstance(adapter, NamedInputs)
    read = ModelSchema.read(openapi)
    assert read is not None
    names, told = fitted(adapter, read)
    return {"image": names.image, "scale": names.scale, "seed": names.seed, **names.fixed}, told


@pytest.mark.parametrize(
    ("inputs", "taken"),
    [
        (  # GFPGAN
            {"img": link(), "version": {"enum": ["v1.3", "v1.4"], "default": "v1.4"}, "scale": {"type": "number"}},
            {"image": "img", "scale": "scale"},
        ),
        (  # CodeFormer
            {"image": link(), "upscale": {"type": "integer", "default": 2}, "codeformer_fidelity": {"type": "number"}},
            {"image": "image", "scale": "upscale"},
        ),
        (  # a picture among several links is the one that is needed
            {"picture": link(), "mask": {**link()}, "scale": {"enum": ["2x", "4x"], "type": "string"}},
            {"image": "picture", "scale": "scale"},
        ),
    ],
)
def test_known_models_need_no_table(inputs, taken):
    names, _ = fits(schema((next(iter(inputs)),), **inputs))
    assert {name: names[name] for name in taken} == taken


def test_a_model_without_a_magnification_is_drawn_from_only_when_told_so():
    openapi = schema(
        ("media",),
        media=link(),
        cfg_scale={"type": "number", "default": 1},
        output_format={"type": "string", "enum": ["png", "webp"], "default": "webp"},
    )
    with pytest.raises(NotFoundError, match="-p scale-input= where it magnifies by 4 on its own"):
        fits(openapi)
    names, told = fits(openapi, scale_input="")
    assert names == {"image": "media", "scale": None, "seed": None, "output_format": "png"}
    assert told is not None
    assert "image media" in told


def test_an_input_that_has_to_be_given_is_asked_for():
    openapi = schema(("image", "prompt"), image=link(), scale={"type": "number"}, prompt={"type": "string"})
    with pytest.raises(NotFoundError, match=re.escape("""needs its input prompt; add -p inputs='{"prompt": "…"}'""")):
        fits(openapi)
    assert fits(openapi, inputs={"prompt": "sharp"})[1] is None


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
