"""The names and values that the fal adapter sends, against the types in fal's JavaScript client.

`FAL_CLIENT_TYPES` names its ``endpoints.d.ts``; without it this file is not collected.
"""

import json
import os
from pathlib import Path

import pytest
from clients.fal_types import Types

from blackbox_adapters.fal import MODELS

TYPES = Types(Path(os.environ["FAL_CLIENT_TYPES"]))
FILE = "string | Blob | File"


@pytest.mark.parametrize("endpoint", MODELS)
def test_inputs_have_their_names_and_types(endpoint):
    names, (inputs, _) = MODELS[endpoint], TYPES.endpoint(endpoint)
    assert inputs[names.image].type == FILE
    if names.scale is not None:
        assert inputs[names.scale].type == "number"
    sent = {names.image, names.scale, names.seed, *names.fixed}
    assert not sent - {None} - set(inputs), "sent, and not among the endpoint's inputs"
    assert {name for name, field in inputs.items() if not field.optional} <= sent


@pytest.mark.parametrize("endpoint", MODELS)
def test_a_seed_is_sent_wherever_there_is_one_and_a_fixed_one_is_known(endpoint):
    names, (inputs, _) = MODELS[endpoint], TYPES.endpoint(endpoint)
    assert names.seed == ("seed" if "seed" in inputs else None)
    assert names.hazard == ("seed" in inputs and inputs["seed"].default is not None)


@pytest.mark.parametrize("endpoint", MODELS)
def test_fixed_values_are_allowed(endpoint):
    names, (inputs, _) = MODELS[endpoint], TYPES.endpoint(endpoint)
    for name, value in names.fixed.items():
        kind = inputs[name].type
        assert kind == "boolean" if isinstance(value, bool) else json.dumps(value) in kind.split(" | ")


@pytest.mark.parametrize("endpoint", MODELS)
def test_png_is_asked_for_and_pictures_are_not_blackened(endpoint):
    names, (inputs, _) = MODELS[endpoint], TYPES.endpoint(endpoint)
    if "output_format" in inputs:
        assert names.fixed.get("output_format") == "png"
    checkers = {name for name in inputs if name.startswith("enable_safety")}
    assert {name: names.fixed.get(name) for name in checkers} == dict.fromkeys(checkers, False)


@pytest.mark.parametrize("endpoint", MODELS)
def test_the_picture_is_where_it_is_looked_for(endpoint):
    names, (_, outputs) = MODELS[endpoint], TYPES.endpoint(endpoint)
    root, *rest = names.output.split(".")
    kind = outputs[root].type
    listed = kind.startswith("Array<")
    assert rest == (["0", "url"] if listed else ["url"])
    assert TYPES.fields(kind.removeprefix("Array<").removesuffix(">"))["url"].type == "string"
