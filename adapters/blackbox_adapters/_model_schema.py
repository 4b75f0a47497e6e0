"""What a model's published schema says of its inputs, against what an adapter is going to send.

Cog models (on Replicate and in containers) and fal's endpoints publish JSON Schema inside an OpenAPI document.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from blackbox_adapters._named_inputs import NamedInputs, Names
from blackbox_adapters._reading import peek, shorten
from blackbox_conformal.errors import NotFoundError

IMAGES = ("image", "img", "image_url", "input_image", "image_path")
SCALES = ("scale", "scale_factor", "upscale", "upscale_factor", "upscale_by", "sr_scale", "scaling_factor", "outscale")
SEEDS = ("seed", "random_seed", "noise_seed")
FORMATS = ("output_format", "format", "image_format")
DEEPEST = 8
"""References that are followed."""


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """Inputs of one model.

    Attributes
    ----------
    inputs
        Name → its JSON schema, references followed.
    required
        Names of those that have to be given.
    """

    inputs: Mapping[str, Mapping[str, Any]]
    required: frozenset[str]

    @classmethod
    def read(cls, document: Any, name: str = "Input") -> "ModelSchema | None":
        """The schema `name` of an OpenAPI document; None where it describes no input."""
        return cls._of(document, peek(document, f"components.schemas.{name}"))

    @classmethod
    def _of(cls, document: Any, schema: Any) -> "ModelSchema | None":
        properties = peek(schema, "properties")
        if not isinstance(properties, dict) or not properties:
            return None
        required = peek(schema, "required")
        return cls(
            {str(key): _followed(document, value, DEEPEST) for key, value in properties.items()},
            frozenset(map(str, required)) if isinstance(required, list) else frozenset(),
        )

    @classmethod
    def of_request(cls, document: Any, path: str) -> "ModelSchema | None":
        """The schema of what is posted to `path`; None where the document does not say."""
        paths = peek(document, "paths")
        content = paths.get(path) if isinstance(paths, dict) else None
        body = peek(content, "post.requestBody.content")
        schema = peek(body.get("application/json"), "schema") if isinstance(body, dict) else None
        reference = peek(schema, "$ref")
        # The schema of a body is named by reference in most documents, and written out in some.
        return cls.read(document, reference.rpartition("/")[2]) if reference else cls._of(document, schema)

    def one_of(self, known: Iterable[str]) -> str | None:
        """The one input with a known name; None where there is none or more than one."""
        found = [name for name in known if name in self.inputs]
        return found[0] if len(found) == 1 else None

    def picture(self) -> str | None:
        """The input that takes the picture, where only one can be meant."""
        # Only a link can be the picture; one that must be given is meant before any other.
        links = [name for name, schema in self.inputs.items() if schema.get("format") == "uri"]
        needed = [name for name in links if name in self.required]
        for found in (needed, links):
            if len(found) == 1:
                return found[0]
        return self.one_of(IMAGES)


def result_schema(document: Any, path: str) -> ModelSchema | None:
    """The schema of what a GET of `path` answers; None where the document does not say."""
    paths = peek(document, "paths")
    answer = peek(paths.get(path), "get.responses.200.content") if isinstance(paths, dict) else None
    reference = peek(answer.get("application/json"), "schema.$ref") if isinstance(answer, dict) else None
    return None if not isinstance(reference, str) else ModelSchema.read(document, reference.rpartition("/")[2])


def _followed(document: Any, schema: Any, left: int) -> dict[str, Any]:
    """A schema with what it refers to merged in; of alternatives, the one that is not null."""
    if not isinstance(schema, dict):
        return {}
    merged = dict(schema)
    reference = merged.pop("$ref", None)
    parts = [peek(document, reference.removeprefix("#/").replace("/", "."))] if isinstance(reference, str) else []
    parts += _list(merged.pop("allOf", None))
    # "Nothing" among the alternatives only says that the input may be left out.
    choices = [part for part in _list(merged.pop("anyOf", None)) if peek(part, "type") != "null"]
    parts += choices if len(choices) == 1 else []
    # References may form a circle: after so many steps the rest is left out.
    for part in parts if left else ():
        merged = {**_followed(document, part, left - 1), **merged}
    return merged


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def fit(adapter: NamedInputs, schema: ModelSchema | None) -> str | None:
    """Make the adapter send what this model takes; what was taken from the schema, in words. Errors as `fitted`."""
    if schema is None:
        return None
    names, told = fitted(adapter, schema)
    adapter.use(names)
    return told


def fitted(adapter: NamedInputs, schema: ModelSchema) -> tuple[Names, str | None]:
    """The inputs that the adapter is to use with this model, and what was taken from its schema, in words."""
    names, told = _named(adapter, schema)
    sent = {**names.fixed, **adapter.inputs}
    for name in adapter.inputs:
        if name not in schema.inputs:
            # Before anything is sent: an unknown input is dropped in silence by some models, and the draw would cost
            # all the same.
            raise _no_input(adapter, schema, name, f"-p inputs='{json.dumps(_renamed(adapter.inputs, schema, name))}'")
    if names.scale is not None and names.scale not in sent:
        _check_scale(adapter, names.scale, adapter.scale_value(names), schema.inputs[names.scale])
    for name, value in sent.items():
        wrong = problem(value, schema.inputs[name])
        if wrong:
            raise NotFoundError(f"{adapter.model_name} takes for its input {name} {wrong}; got {shorten(value)}")
    # What has a default need not be given.
    given = {*sent, names.image, *filter(None, (names.scale, names.seed))}
    missing = sorted(name for name in schema.required - given if "default" not in schema.inputs.get(name, {}))
    if missing:
        more = json.dumps({**adapter.inputs, **dict.fromkeys(missing, "…")}, ensure_ascii=False)
        raise NotFoundError(f"{adapter.model_name} needs its input {' and '.join(missing)}; add -p inputs='{more}'")
    _check_seed(adapter, names, schema)
    return names, told


def _named(adapter: NamedInputs, schema: ModelSchema) -> tuple[Names, str | None]:
    """The adapter's names, with those that the model does not have replaced by what its schema says."""
    names, taken = adapter.stated(), {}
    image, scale, seed, fixed = names.image, names.scale, names.seed, dict(names.fixed)
    if image not in schema.inputs:
        found = None if adapter.image_input else schema.picture()
        if found is None:
            raise _no_input(adapter, schema, image, f"-p image-input={_nearest(image, schema, IMAGES)}")
        image = taken["image"] = found
    if scale is not None and scale not in schema.inputs and scale not in adapter.inputs:
        found = None if adapter.scale_input else schema.one_of(SCALES)
        if found is None and adapter.scale == 1 and not adapter.scale_input:
            scale, taken["no magnification"] = None, "asked for"
        elif found is None:
            near = _nearest(scale, schema, SCALES, least=0.6 if adapter.scale_input else 1.0)
            fixed_factor = f"-p scale-input= where it magnifies by {adapter.scale} on its own"
            raise _no_input(adapter, schema, scale, f"-p scale-input={near}" if near else fixed_factor)
        else:
            scale = taken["magnification"] = found
    if seed is not None and seed not in schema.inputs:
        raise _no_input(adapter, schema, seed, f"-p seed-input={schema.one_of(SEEDS) or ''}")
    # The table may know more inputs than this version of the model has.
    fixed = {name: value for name, value in fixed.items() if name in schema.inputs}
    form = schema.one_of(FORMATS)
    if form is not None and form not in fixed and form not in adapter.inputs:
        described = schema.inputs[form]
        # A lossless result where the model offers one: the metric measures the vendor and not the codec.
        if "png" in _list(described.get("enum")) and described.get("default") != "png":
            fixed[form], taken["lossless format"] = "png", f"{form}=png"
    found_names = names.with_inputs(image, scale, seed, fixed, _form(schema.inputs.get(scale or "", {}), names))
    told = ", ".join(f"{what} {name}" for what, name in taken.items())
    return found_names, f"taken from the schema that {adapter.model_name} publishes: {told}" if told else None


def _form(described: Mapping[str, Any], names: Names) -> Any:
    """How the magnification is written: as the schema's texts are, else as the adapter has it."""
    texts = [text for text in _list(described.get("enum")) if isinstance(text, str)]
    for form, like in (("2x", "x"), ("x2", "x")):
        if texts and all((text.endswith(like) if form == "2x" else text.startswith(like)) for text in texts):
            return form
    return "text" if texts and all(text.isdigit() for text in texts) else names.scale_form


def _check_scale(adapter: NamedInputs, name: str, value: Any, described: Mapping[str, Any]) -> None:
    wrong = problem(value, described)
    if wrong:
        near = _nearest_factor(adapter.scale, described)
        advice = f"; give -p scale={near}" if near else ""
        raise NotFoundError(f"{adapter.model_name} takes for its input {name} {wrong}; got {value}{advice}")


def _nearest_factor(scale: int, described: Mapping[str, Any]) -> int | None:
    offered = [int(digits) for item in _list(described.get("enum")) if (digits := str(item).strip("xX")).isdigit()]
    bounds = [int(bound) for key in ("minimum", "maximum") if isinstance(bound := described.get(key), int | float)]
    factors = [factor for factor in offered or bounds if factor >= 1]
    return min(factors, key=lambda factor: abs(factor - scale)) if factors else None


def _check_seed(adapter: NamedInputs, names: Names, schema: ModelSchema) -> None:
    """Refuse to draw without a seed from a model that then takes a fixed one, so that all draws would be equal."""
    seed = schema.one_of(SEEDS)
    if names.seed is not None or seed is None or seed in adapter.inputs or adapter.seed_input is not None:
        return
    default = schema.inputs[seed].get("default")
    # Some models say in words that 0 stands for a random seed.
    random = default in (None, -1) or (default == 0 and "random" in str(schema.inputs[seed].get("description")).lower())
    if not isinstance(default, bool) and isinstance(default, int) and not random:
        raise NotFoundError(
            f"{adapter.model_name} answers from the seed {default} unless its input {seed} is sent, so that all draws "
            f"would be equal; add -p seed-input={seed}"
        )


def problem(value: Any, described: Mapping[str, Any]) -> str:
    """What the schema asks for where `value` is something else; "" where it fits, or the schema does not say."""
    choices = _list(described.get("enum"))
    if choices and value not in choices:
        near = difflib.get_close_matches(str(value), map(str, choices), n=1)
        listed = ", ".join(map(str, choices[:12]))
        return f"one of {listed}" + (f" ({near[0]} is near)" if near else "")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = described.get("type")
    if kind in ("number", "integer") and not number:
        return "a number"
    low, high = described.get("minimum"), described.get("maximum")
    if number and isinstance(low, int | float) and value < low:
        return f"at least {low:g}"
    if number and isinstance(high, int | float) and value > high:
        return f"at most {high:g}"
    return ""


def _renamed(inputs: Mapping[str, Any], schema: ModelSchema, wrong: str) -> dict[str, Any]:
    """`inputs` with the wrong name replaced by the nearest that exists, or left out."""
    near = _nearest(wrong, schema, (), least=0.6)
    kept = {name: value for name, value in inputs.items() if name != wrong}
    return {**kept, near: inputs[wrong]} if near else kept


def _nearest(name: str, schema: ModelSchema, known: Iterable[str], *, least: float = 0.0) -> str:
    """The input whose name is nearest to `name`, those with a known name first; "" where none is near enough."""
    common = [candidate for candidate in known if candidate in schema.inputs]
    return next(iter([*common, *difflib.get_close_matches(name, schema.inputs, n=1, cutoff=least)]), "")


def _no_input(adapter: NamedInputs, schema: ModelSchema, name: str, advice: str) -> NotFoundError:
    listed = ", ".join(list(schema.inputs)[:20])
    return NotFoundError(f"{adapter.model_name} has no input {name!r}, only {listed}; give {advice}")
