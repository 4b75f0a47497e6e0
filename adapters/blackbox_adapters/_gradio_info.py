"""What a Gradio application publishes of its calls, against the arguments that are going to be sent."""

import difflib
import json
import re
from collections.abc import Sequence
from typing import Any

from blackbox_adapters._model_schema import SCALES, problem
from blackbox_adapters._model_schema import SEEDS as SEED_NAMES
from blackbox_adapters._reading import peek, shorten, words
from blackbox_conformal.errors import NotFoundError

PICTURES = ("Image", "ImageEditor", "ImageSlider", "Gallery", "File", "DownloadButton", "Imageslider")
_RANGE = re.compile(r"between (-?[\d.]+) and (-?[\d.]+)")


def check_call(info: Any, call: str, inputs: Sequence[Any], output: str, scale: int) -> None:
    """Refuse a call that the application does not have, arguments that it does not take, a result that is no picture.

    Raises
    ------
    NotFoundError
        The message has the parameter to give.
    """
    calls = peek(info, "named_endpoints")
    if not isinstance(calls, dict) or not calls:
        return
    described = calls.get(f"/{call}")
    if described is None:
        names = [name.removeprefix("/") for name in calls]
        near = next(iter(difflib.get_close_matches(call, names, n=1, cutoff=0.0)), names[0])
        raise NotFoundError(f"the application has no call {call!r}, only {', '.join(names)}; give -p call={near}")
    parameters, results = peek(described, "parameters"), peek(described, "returns")
    if isinstance(parameters, list):
        _check_arguments(call, parameters, inputs, scale)
    if isinstance(results, list) and results:
        _check_result(call, results, output)


def _check_arguments(call: str, parameters: list[Any], inputs: Sequence[Any], scale: int) -> None:
    needed = [parameter for parameter in parameters[len(inputs) :] if not peek(parameter, "parameter_has_default")]
    takes = ", ".join(words(parameter, "parameter_name", "label") for parameter in parameters) or "nothing"
    advice = f"; give -p inputs='{json.dumps(_arguments(parameters), ensure_ascii=False)}'"
    if len(inputs) > len(parameters) or needed:
        raise NotFoundError(f"the call {call} takes {takes}; got {len(inputs)} inputs{advice}")
    for parameter, value in zip(parameters, inputs, strict=False):
        name, component = words(parameter, "parameter_name", "label"), words(parameter, "component")
        if (value == "{image}") != (component in PICTURES) and "{image}" in (value, _argument(parameter)):
            raise NotFoundError(f"the call {call} takes {takes}, and {name} is a {component}; got {value!r}{advice}")
        sent = scale if value == "{scale}" else value
        wrong = "" if value in ("{image}", "{seed}") else problem(sent, _as_schema(parameter))
        if wrong:
            raise NotFoundError(f"the call {call} takes for {name} {wrong}; got {shorten(sent)}")


def _as_schema(parameter: Any) -> dict[str, Any]:
    """The JSON schema of a parameter, with the range that its description states."""
    schema = peek(parameter, "type")
    found = _RANGE.search(words(schema, "description"))
    bounds = {} if found is None else {"minimum": float(found[1]), "maximum": float(found[2])}
    return {**(schema if isinstance(schema, dict) else {}), **bounds}


def _arguments(parameters: list[Any]) -> list[Any]:
    return [_argument(parameter) for parameter in parameters]


def _argument(parameter: Any) -> Any:
    """What is likely meant to be sent for a parameter."""
    if words(parameter, "component") in PICTURES:
        return "{image}"
    names = {words(parameter, path).lower().replace(" ", "_") for path in ("parameter_name", "label")}
    for placeholder, known in (("{scale}", SCALES), ("{seed}", SEED_NAMES)):
        if names & set(known):
            return placeholder
    default = peek(parameter, "parameter_default")
    return peek(parameter, "example_input") if default is None else default


def _check_result(call: str, results: list[Any], output: str) -> None:
    index = int(output.partition(".")[0])
    kinds = [words(result, "component") for result in results]
    pictures = [place for place, kind in enumerate(kinds) if kind in PICTURES]
    if pictures and index not in pictures:
        raise NotFoundError(
            f"the call {call} answers with {', '.join(kinds)}, of which {output} is no picture; give -p "
            f"output={pictures[0]}"
        )
