"""Models and vendors that restore at the size of the input: what they are sent, and what they are said to undo."""

from typing import Any

import pytest
from support.flow_driver import built, replay, seeded
from support.replicate_server import link, schema

from blackbox_adapters._named_inputs import ModelSchema, NamedInputs, fitted
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import NotFoundError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.study.stages.settings import set_up

SWINIR = "jingyunliang/swinir"
NAFNET = "megvii-research/nafnet"


@pytest.mark.parametrize(
    ("module", "model", "inputs", "undone"),
    [
        ("replicate", NAFNET, {}, "blur:2"),
        ("replicate", NAFNET, {"task_type": "Image Denoising"}, "noise:15"),
        ("cog", NAFNET, {"task_type": "Image Denoising"}, "noise:15"),
        ("cog", SWINIR, {"task_type": "Color Image Denoising", "noise": 50}, "noise:50"),
        ("replicate", SWINIR, {"task_type": "Color Image Denoising"}, "noise:15"),
        ("replicate", SWINIR, {"task_type": "Grayscale Image Denoising", "noise": 25}, "grey+noise:25,grey=true"),
        ("replicate", SWINIR, {"task_type": "JPEG Compression Artifact Reduction", "jpeg": 10}, "jpeg:10"),
        ("replicate", "piddnad/ddcolor", {}, "grey"),
        ("replicate", "arielreplicate/deoldify_image", {"model_name": "Artistic"}, "grey"),
        ("fal", "fal-ai/nafnet/denoise", {}, "noise:15"),
        ("fal", "fal-ai/nafnet/deblur", {}, "blur:2"),
        ("fal", "fal-ai/ddcolor", {}, "grey"),
        ("fal", "bria/fibo-edit/colorize", {}, "grey"),
    ],
)
def test_a_restoring_model_says_what_it_undoes_and_calibrates_with_that(module, model, inputs, undone):
    adapter = built(module, model=model, inputs=inputs, scale=1)
    draws = {} if not adapter.capabilities.deterministic else {"draws": 1, "score": "texture"}
    procedure = set_up(adapter, **draws).procedure
    assert (procedure.scale, procedure.mixture.text) == (1, Mixture.of_text(undone).at(1).text)


def test_a_restoring_model_refuses_a_magnification_with_what_to_give():
    with pytest.raises(ValueError, match=r"restores at the same size; got scale=4. Give -p scale=1"):
        built("fal", model="fal-ai/ddcolor", scale=4)
    with pytest.raises(ValueError, match=r"magnifies by 4; got scale=1. Give -p scale=4"):
        built("replicate", model=SWINIR, scale=1)
    with pytest.raises(ValueError, match=r"this vendor restores at the same size"):
        Recipe(recipe="bria-restore", scale=2)


def test_restoring_models_are_sent_no_magnification():
    adapter = built("replicate", model=NAFNET, scale=1, inputs={"task_type": "Image Denoising"})
    assert isinstance(adapter, NamedInputs)
    sent = adapter.model_inputs("a link", seeded(adapter, 0))
    assert sent == {"image": "a link", "task_type": "Image Denoising"}


def _of(adapter: NamedInputs, **inputs: dict[str, Any]) -> tuple[str | None, str | None]:
    published = ModelSchema.read(schema(**inputs))
    assert published is not None
    names, told = fitted(adapter, published)
    return names.scale, told


def test_an_unknown_model_without_a_magnification_is_used_at_scale_1():
    adapter = built("replicate", model="someone/denoiser", scale=1)
    assert isinstance(adapter, NamedInputs)
    scale, told = _of(adapter, image=link())
    assert scale is None
    assert told is not None
    assert "no magnification" in told
    # One that has a magnification is asked for 1: what it would do otherwise is not known.
    assert _of(adapter, image=link(), upscale={"type": "number", "default": 2})[0] == "upscale"
    larger = built("replicate", model="someone/denoiser", scale=2)
    assert isinstance(larger, NamedInputs)
    with pytest.raises(NotFoundError, match="scale-input= where it magnifies by 2"):
        _of(larger, image=link())


def test_what_an_unknown_model_undoes_has_to_be_said():
    with pytest.raises(UsageError, match=r"such as noise:10, jpeg:30, blur:2 or grey; .* Give --degradation"):
        set_up(built("replicate", model="someone/denoiser", scale=1))


@pytest.mark.parametrize(
    ("name", "undone", "sent"),
    [
        ("bria-colorize", "grey", {"color": "color_contemporary"}),
        ("bria-restore", "blur:1+noise:10", {}),
        ("deepai-colorizer", "grey", None),
        ("cloudinary-restore", "jpeg:30", None),
        ("claid-decompress", "jpeg:30", None),
    ],
)
def test_restoring_recipes(name, undone, sent):
    able = Recipe(recipe=name).capabilities
    assert (able.scale_factors, able.degradation) == ((1,), undone)
    submit = replay(name.replace("-", "_")).submit
    if sent is not None:
        assert {key: value for key, value in submit.json.items() if key != "image"} == sent


def test_claid_and_cloudinary_are_asked_to_restore_and_for_no_size():
    form = replay("claid_decompress").submit.form or {}
    assert '"decompress": "auto"' in str(form["data"]).replace('":"', '": "')
    assert "resizing" not in str(form["data"])
    assert (replay("cloudinary_restore").submit.form or {})["eager"] == "e_gen_restore/f_png"


def test_flux_deblur_takes_a_picture_and_no_prompt():
    submit = replay("flux", 3, model="flux-tools/deblur-v1", scale=1).submit
    assert submit.url.endswith("/v1/flux-tools/deblur-v1")
    assert set(submit.json) == {"image", "seed", "output_format", "safety_tolerance"}
    able = built("flux", model="flux-tools/deblur-v1", scale=1).capabilities
    assert (able.degradation, able.max_input_pixels) == ("blur:2", 4_000_000)
