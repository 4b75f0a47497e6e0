"""ComfyUI: named inputs of a workflow of the user's, and its cache, which must not be hit."""

import json
from pathlib import Path

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, example, refused, replay, unresumed

from blackbox_conformal.errors import PayloadError, RunRefusedError, UsageError, VendorFailedError
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.vendor.example import says

JOB = "f7b1c2d3-0000-4000-8000-000000000001"
UPLOADED = says('{"name":"input.png","subfolder":"","type":"input"}')


def test_the_graph_carries_picture_and_seed_and_a_file_name_of_its_own():
    first, second = replay("comfyui"), replay("comfyui", 1)
    stored, submit, _, _, view = first.sends
    assert (stored.purpose, stored.url) == ("lookup", f"{ADDRESS}/upload/image")
    assert stored.form == {"type": "input", "overwrite": "true"}
    assert submit.url == f"{ADDRESS}/prompt"
    graph = submit.json["prompt"]
    assert (graph["1"]["inputs"]["image"], graph["3"]["inputs"]["seed"]) == ("input.png", 0)
    assert second.submit.json["prompt"]["3"]["inputs"]["seed"] == 1
    prefixes = [exchange.submit.json["prompt"]["9"]["inputs"]["filename_prefix"] for exchange in (first, second)]
    assert prefixes == ["blackbox-key-of-draw-0", "blackbox-key-of-draw-1"]
    assert view.url == f"{ADDRESS}/view?filename=out_00001_.png&subfolder=&type=output"
    assert (first.picture, first.jobs) == (PICTURE, [JOB])


def test_the_workflow_counts_by_content_and_not_by_name(tmp_path):
    original = json.loads(Path(str(built("comfyui").workflow)).read_text())
    same, other = tmp_path / "same.json", tmp_path / "other.json"
    same.write_text(json.dumps(original, indent=3))
    original["3"]["inputs"]["steps"] = 30
    other.write_text(json.dumps(original))
    assert built("comfyui", workflow=same).identity() == built("comfyui").identity()
    assert built("comfyui", workflow=other).identity() != built("comfyui").identity()


def test_without_a_seed_every_draw_is_the_same_picture():
    capabilities = built("comfyui", seed="").capabilities
    assert (capabilities.seedable, capabilities.deterministic) == (False, True)
    assert built("comfyui").capabilities.default_seed_hazard


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image": "44.image"}, "nodes are 1 "),
        ({"image": "1.photo"}, "it has image"),
        ({"seed": "3.seed,3.sead"}, "'3.sead'; it has .*seed"),
        ({"output": "44"}, "got '44'; its nodes are 1 "),
    ],
)
def test_an_input_that_is_not_there_is_named_before_anything_is_sent(wrong, said):
    with pytest.raises(UsageError, match=f"^adapter comfyui: expected .*{said}"):
        load_adapter("comfyui", **{**example("comfyui")[1].parameters, **wrong})


@pytest.mark.parametrize("text", ["", "[]", '{"nodes": []}', "no json"])
def test_a_file_that_is_no_workflow_is_named(tmp_path, text):
    path = tmp_path / "w.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="API format"):
        load_adapter("comfyui", workflow=str(path), image="1.image")


def test_a_workflow_that_is_not_there_is_asked_for():
    with pytest.raises(UsageError, match=r"workflow is required .*image is required"):
        load_adapter("comfyui")
    with pytest.raises(UsageError, match=r"expected a workflow file at 'nowhere\.json'; No such file"):
        load_adapter("comfyui", workflow="nowhere.json", image="1.image")
    kept = built("comfyui").identity()["parameters"]
    with pytest.raises(UsageError, match="give the file with -p workflow=FILE"):
        load_adapter("comfyui", **kept)


@pytest.mark.parametrize(
    ("kind", "message", "nodes", "said"),
    [
        (
            "prompt_outputs_failed_validation",
            "Prompt outputs failed validation",
            '{"3":{"errors":[{"message":"Value 500.0 bigger than max of 1.0"}]}}',
            "Value 500.0 bigger than max of 1.0",
        ),
        ("invalid_prompt", "Cannot execute because node ImageAddNose does not exist.", "{}", "ImageAddNose"),
        ("prompt_no_outputs", "Prompt has no outputs", "{}", "Prompt has no outputs"),
    ],
)
def test_a_workflow_that_is_not_run_ends_the_run_with_its_nodes(kind, message, nodes, said):
    body = f'{{"error":{{"type":"{kind}","message":"{message}","details":"","extra_info":{{}}}},"node_errors":{nodes}}}'
    error = refused("comfyui", UPLOADED, says(body, 400))
    assert isinstance(error, RunRefusedError)
    assert said in str(error)
    assert ".." not in str(error)
    assert error.code == kind


def test_a_node_that_fails_says_why():
    messages = '[["execution_start",{}],["execution_error",{"exception_message":"out of memory"}]]'
    body = f'{{"{JOB}":{{"outputs":{{}},"status":{{"status_str":"error","messages":{messages}}}}}}}'
    error = unresumed("comfyui", JOB, says(body))
    assert isinstance(error, VendorFailedError)
    assert "out of memory" in str(error)


def test_a_graph_that_somebody_stopped_is_no_refusal_of_the_picture():
    messages = '[["execution_start",{}],["execution_interrupted",{"node_id":"7","node_type":"ImageBlur"}]]'
    status = f'"status":{{"status_str":"error","completed":false,"messages":{messages}}}'
    error = unresumed("comfyui", JOB, says(f'{{"{JOB}":{{"outputs":{{}},{status}}}}}'))
    assert isinstance(error, VendorFailedError)
    assert (str(error), error.code) == (
        f"prompt {JOB} interrupted: somebody stopped the server at node 7",
        "interrupted",
    )


def test_a_graph_that_saved_nothing_is_a_payload_error():
    empty = says(f'{{"{JOB}":{{"outputs":{{}},"status":{{"status_str":"success","completed":true}}}}}}')
    assert isinstance(unresumed("comfyui", JOB, empty, empty, empty), PayloadError)
