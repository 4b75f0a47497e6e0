"""How upscaling and restoring models on Replicate, Cog, fal and RunPod name their inputs."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from blackbox_adapters._hosted import Hosted, JsonObject, PriceList, flat
from blackbox_adapters._reading import fetched, peek, shorten
from blackbox_conformal.errors import NotFoundError
from blackbox_conformal.vendor.adapter import Capabilities, Draw, Flow, Price

SEEDS = (0, 2**31 - 1)
"""Seeds that every model takes: most read a signed 32-bit integer, and no listed model says that it takes more."""

ScaleForm = Literal["number", "text", "2x", "x2"]


@dataclass(frozen=True, slots=True)
class Names:
    """The inputs of one model by name (None where the model has no such input), and the model's behaviour."""

    image: str = "image"
    scale: str | None = "scale"
    seed: str | None = None
    scales: tuple[int, ...] = ()  # magnifications on offer; empty = unknown
    scale_form: ScaleForm = "number"  # or a text such as "4" (text), "4x" (2x), "x4" (x2)
    fixed: Mapping[str, Any] = field(default_factory=dict)  # always sent, such as the lossless format
    hazard: bool = False  # answers from a fixed seed unless one is sent
    deterministic: bool = False  # answers equal requests equally
    output: str = ""  # dotted path of the picture in the output
    official: bool = False  # Replicate: runs without naming a version
    price: PriceList | None = None  # of a draw, as last read; None = unknown
    exact: bool = True  # the picture has exactly scale × input
    max_input_pixels: int | None = None  # of the largest picture that fits into the model's memory
    degradation: str = "bicubic"  # what the model undoes, as in `Capabilities`
    lossless: bool = True  # no lossy compression, even where no input asks for PNG


class NamedInputs(Hosted):
    """Parameters of a vendor whose model is chosen by name; the user describes models that are not in its table."""

    seeds_by_model = True

    _fitted: Names | None = PrivateAttr(default=None)  # The inputs of the model's published schema, once that was read.

    scale: int = Field(
        default=4, ge=1, le=16, description="Magnification asked of the model; 1 where it restores at the same size."
    )
    inputs: JsonObject = Field(
        default_factory=dict, description='Further inputs of the model as a JSON object, such as {"creativity": 0.3}.'
    )
    image_input: str | None = Field(default=None, description="Name of the input that takes the picture.")
    scale_input: str | None = Field(
        default=None, description="Name of the input that takes the magnification; empty text: the model has none."
    )
    seed_input: str | None = Field(
        default=None, description="Name of the input that takes a seed; empty text: the model has none."
    )
    output_path: str | None = Field(
        default=None, description="Where the picture is in the output, as a dotted path such as images.0.url."
    )
    resample: bool | None = Field(
        default=None, description="Resample a picture that is not exactly scale times the input; default: by model."
    )

    @model_validator(mode="after")
    def _scale_is_offered(self) -> Self:
        offered = self.table().scales
        if offered and self.scale not in offered:
            does = "restores at the same size" if offered == (1,) else f"magnifies by {', '.join(map(str, offered))}"
            raise ValueError(f"this model {does}; got scale={self.scale}. Give -p scale={offered[0]}")
        return self

    def table(self) -> Names:
        """Return what the table knows about the chosen model, before the user's corrections."""
        return Names()

    @property
    def model_name(self) -> str:
        return f"the model {getattr(self, 'model', None) or f'at {self.base_url}'}"

    def names(self) -> Names:
        """Return the chosen model's inputs: from its published schema once that was read, else as `stated`."""
        return self._fitted or self.stated()

    def use(self, names: Names) -> None:
        self._fitted = names

    def stated(self) -> Names:
        """Return the table's inputs with the user's corrections."""
        listed = self.table()
        return replace(
            listed,
            image=self.image_input or listed.image,
            scale=listed.scale if self.scale_input is None else self.scale_input or None,
            seed=listed.seed if self.seed_input is None else self.seed_input or None,
            output=listed.output if self.output_path is None else self.output_path,
            exact=listed.exact if self.resample is None else not self.resample,
        )

    def model_capabilities(self, *, price: Price | None, **platform: Any) -> Capabilities:
        """Return the chosen model's capabilities, on a platform with this price and these other capabilities."""
        names = self.names()
        seeded = names.seed is not None
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=SEEDS if seeded else None,
            default_seed_hazard=names.hazard and seeded,
            max_input_pixels=names.max_input_pixels,
            price=price,
            output_size="exact" if names.exact else "resample",
            deterministic=names.deterministic,
            degradation=names.degradation,
            lossless_output=names.lossless or "png" in {**names.fixed, **self.inputs}.values(),
            **platform,
        )

    def model_inputs(self, link: str, draw: Draw) -> dict[str, Any]:
        """Return the inputs of one draw; `link` is the picture. The user's `inputs` may correct all but picture and
        seed."""
        names = self.names()
        inputs: dict[str, Any] = dict(names.fixed)
        if names.scale is not None:
            inputs[names.scale] = self.scale_value(names)
        inputs.update(self.inputs)
        # Picture and seed come last: a draw with another picture or seed would be another draw.
        inputs[names.image] = link
        if names.seed is not None and draw.seed is not None:
            inputs[names.seed] = draw.seed
        return inputs

    def sent_inputs(self) -> Mapping[str, Any]:
        inputs = self.model_inputs("", Draw(0, None, ""))
        return {name: value for name, value in inputs.items() if name != self.names().image}

    def scale_value(self, names: Names) -> int | str:
        texts = {"2x": f"{self.scale}x", "x2": f"x{self.scale}", "text": str(self.scale)}
        return texts.get(names.scale_form, self.scale)

    def output_picture(self, output: Any, base: str = "") -> Flow:
        """Fetch the picture behind the link that the model's output is, or holds at the model's path."""
        path = self.names().output
        link = output if isinstance(output, str) else peek(output, path or "0")
        return (yield from fetched(link, f"output.{path}".rstrip("."), base=base))


# Inputs of the models that people run on Replicate or as Cog containers, from their published schemas.

_PNG = {"output_format": "png"}
_CRISP = flat("0.006", "the model's page at Replicate, as a third party read it", date(2026, 11, 26))

MODELS: dict[str, Names] = {
    "philz1337x/clarity-upscaler": Names(scale="scale_factor", seed="seed", fixed=_PNG, hazard=True, output="0"),
    "nightmareai/real-esrgan": Names(deterministic=True, max_input_pixels=2_096_704),
    "daanelson/real-esrgan-a100": Names(deterministic=True),
    "xinntao/realesrgan": Names(image="img", deterministic=True),
    "alexgenovese/upscaler": Names(deterministic=True),
    "jingyunliang/swinir": Names(scale=None, scales=(4,), deterministic=True),
    "mv-lab/swin2sr": Names(scale=None, scales=(4,), deterministic=True),
    "fermatresearch/magic-image-refiner": Names(scale=None, seed="seed", output="0", exact=False),
    "fermatresearch/high-resolution-controlnet-tile": Names(
        scale=None, seed="seed", fixed={"format": "png"}, exact=False
    ),
    "cjwbw/supir": Names(scale="upscale", seed="seed", exact=False),
    "zust-ai/supir": Names(scale="upscale", seed="seed", exact=False),
    "fewjative/ultimate-sd-upscale": Names(scale="upscale_by", seed="seed"),
    "csslc/ccsr": Names(scale="sr_scale", seed="seed"),
    "zsxkib/aura-sr-v2": Names(scale=None, scales=(4,), fixed=_PNG),
    "topazlabs/image-upscale": Names(
        scale="upscale_factor", scales=(2, 4, 6), scale_form="2x", fixed=_PNG, official=True
    ),
    "recraft-ai/recraft-crisp-upscale": Names(scale=None, official=True, deterministic=True, exact=False, price=_CRISP),
    "google/upscaler": Names(scale="upscale_factor", scales=(2, 4), scale_form="x2", official=True),
    "megvii-research/nafnet": Names(scale=None, scales=(1,), deterministic=True, degradation="blur:2"),
    "codeslake/ifan-defocus-deblur": Names(scale=None, scales=(1,), deterministic=True, degradation="blur:2"),
    "piddnad/ddcolor": Names(scale=None, scales=(1,), deterministic=True, degradation="grey"),
    "arielreplicate/deoldify_image": Names(
        image="input_image", scale=None, scales=(1,), deterministic=True, exact=False, degradation="grey"
    ),
}
"""``owner/name`` → inputs. SUPIR rounds sizes up to its own grid, so its pictures are resampled.

Real-ESRGAN states its limit when it refuses a larger picture. Prices are there where Replicate bills by the picture;
most models are billed by the second of a GPU.
"""

TASKS: dict[str, tuple[str, dict[str, str]]] = {
    "jingyunliang/swinir": (
        "task_type",
        {
            "Color Image Denoising": "noise:{noise}",
            "Grayscale Image Denoising": "grey+noise:{noise},grey=true",
            "JPEG Compression Artifact Reduction": "jpeg:{jpeg}",
        },
    ),
    "megvii-research/nafnet": ("task_type", {"Image Denoising": "noise:15"}),
}
"""``owner/name`` → the input that chooses a task, and what each value undoes at scale 1."""

LEVELS = {"noise": 15, "jpeg": 40}  # Defaults of SwinIR's inputs of these names: grey levels, and JPEG quality.


def listed(model: str, inputs: Mapping[str, Any]) -> Names:
    """Return what is known about a model with these inputs, one of which may choose its task."""
    # People type model names in any case.
    names = MODELS.get(model.lower(), Names())
    chooser, tasks = TASKS.get(model.lower(), ("", {}))
    undone = tasks.get(str(inputs.get(chooser)))
    return names if undone is None else replace(names, scales=(1,), degradation=undone.format(**{**LEVELS, **inputs}))


# Compare a model's published schema with the inputs that an adapter is going to send.

IMAGE_INPUTS = ("image", "img", "image_url", "input_image", "image_path")
SCALE_INPUTS = (
    "scale",
    "scale_factor",
    "upscale",
    "upscale_factor",
    "upscale_by",
    "sr_scale",
    "scaling_factor",
    "outscale",
)
SEED_INPUTS = ("seed", "random_seed", "noise_seed")
FORMAT_INPUTS = ("output_format", "format", "image_format")
DEEPEST_REFERENCE = 8  # How many references are followed, at most.


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """Inputs of one model: name → JSON schema with references followed, and the names of required inputs."""

    inputs: Mapping[str, Mapping[str, Any]]
    required: frozenset[str]

    @classmethod
    def read(cls, document: Any, name: str = "Input") -> "ModelSchema | None":
        """Read the schema `name` of an OpenAPI document; None where it describes no input."""
        return cls._of(document, peek(document, f"components.schemas.{name}"))

    @classmethod
    def _of(cls, document: Any, schema: Any) -> "ModelSchema | None":
        properties = peek(schema, "properties")
        if not isinstance(properties, dict) or not properties:
            return None
        required = peek(schema, "required")
        return cls(
            {str(key): _followed(document, value, DEEPEST_REFERENCE) for key, value in properties.items()},
            frozenset(map(str, required)) if isinstance(required, list) else frozenset(),
        )

    @classmethod
    def of_request(cls, document: Any, path: str) -> "ModelSchema | None":
        """Return the schema of a POST to `path`; None where the document does not say."""
        schema = _json_schema(document, path, "post.requestBody.content")
        reference = peek(schema, "$ref")
        # Most documents name the schema of a body by reference, some write it out.
        return cls.read(document, reference.rpartition("/")[2]) if reference else cls._of(document, schema)

    def one_of(self, known: Iterable[str]) -> str | None:
        """Return the one input with a known name; None where no input or several have one."""
        found = [name for name in known if name in self.inputs]
        return found[0] if len(found) == 1 else None

    def picture(self) -> str | None:
        """Return the input that takes the picture, if only one can be meant."""
        # Only a link can be the picture; a required link goes before the others.
        links = [name for name, schema in self.inputs.items() if schema.get("format") == "uri"]
        needed = [name for name in links if name in self.required]
        for found in (needed, links):
            if len(found) == 1:
                return found[0]
        return self.one_of(IMAGE_INPUTS)


def result_schema(document: Any, path: str) -> ModelSchema | None:
    """Return the schema of the answer to a GET of `path`; None where the document does not say."""
    reference = peek(_json_schema(document, path, "get.responses.200.content"), "$ref")
    return None if not isinstance(reference, str) else ModelSchema.read(document, reference.rpartition("/")[2])


def _json_schema(document: Any, path: str, place: str) -> Any:
    paths = peek(document, "paths")
    content = peek(paths.get(path), place) if isinstance(paths, dict) else None
    return peek(content.get("application/json"), "schema") if isinstance(content, dict) else None


def _followed(document: Any, schema: Any, left: int) -> dict[str, Any]:
    """Merge referenced schemas in; of alternatives, take the one that is not null."""
    if not isinstance(schema, dict):
        return {}
    merged = dict(schema)
    reference = merged.pop("$ref", None)
    parts = [peek(document, reference.removeprefix("#/").replace("/", "."))] if isinstance(reference, str) else []
    parts += _list(merged.pop("allOf", None))
    # "null" among the alternatives only says that the input may be left out.
    choices = [part for part in _list(merged.pop("anyOf", None)) if peek(part, "type") != "null"]
    parts += choices if len(choices) == 1 else []
    # References may form a circle: after so many steps the rest is left out.
    for part in parts if left else ():
        merged = {**_followed(document, part, left - 1), **merged}
    return merged


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def fit(adapter: NamedInputs, schema: ModelSchema | None) -> str | None:
    """Make the adapter send what this model takes; return in words what the schema told. Errors as for `fitted`."""
    if schema is None:
        return None
    names, told = fitted(adapter, schema)
    adapter.use(names)
    return told


def fitted(adapter: NamedInputs, schema: ModelSchema) -> tuple[Names, str | None]:
    """Return the inputs that the adapter should use with this model, and in words what its schema told."""
    names, told = _named(adapter, schema)
    sent = {**names.fixed, **adapter.inputs}
    for name in adapter.inputs:
        if name not in schema.inputs:
            # Refused before anything is sent: some models silently drop an unknown input, and the draw would cost the
            # same.
            near = _nearest(name, schema, (), least=0.6)
            kept = {other: value for other, value in adapter.inputs.items() if other != name}
            renamed = {**kept, near: adapter.inputs[name]} if near else kept
            raise _no_input(adapter, schema, name, f"-p inputs='{json.dumps(renamed)}'")
    if names.scale is not None and names.scale not in sent:
        described, value = schema.inputs[names.scale], adapter.scale_value(names)
        if wrong := problem(value, described):
            offered = [int(sign) for item in _list(described.get("enum")) if (sign := str(item).strip("xX")).isdigit()]
            bounds = [described.get(key) for key in ("minimum", "maximum")]
            offered = offered or [int(bound) for bound in bounds if isinstance(bound, int | float)]
            near_by = min((one for one in offered if one >= 1), key=lambda one: abs(one - adapter.scale), default=None)
            advice = f"; give -p scale={near_by}" if near_by else ""
            raise NotFoundError(f"{adapter.model_name} takes for its input {names.scale} {wrong}; got {value}{advice}")
    for name, value in sent.items():
        wrong = problem(value, schema.inputs[name])
        if wrong:
            raise NotFoundError(f"{adapter.model_name} takes for its input {name} {wrong}; got {shorten(value)}")
    given = {*sent, names.image, *filter(None, (names.scale, names.seed))}
    missing = sorted(name for name in schema.required - given if "default" not in schema.inputs.get(name, {}))
    if missing:
        more = json.dumps({**adapter.inputs, **dict.fromkeys(missing, "…")}, ensure_ascii=False)
        raise NotFoundError(f"{adapter.model_name} needs its input {' and '.join(missing)}; add -p inputs='{more}'")
    seed = schema.one_of(SEED_INPUTS)
    if names.seed is None and seed is not None and seed not in adapter.inputs and adapter.seed_input is None:
        default, about = schema.inputs[seed].get("default"), str(schema.inputs[seed].get("description")).lower()
        # Some models say in words that 0 stands for a random seed.
        random = default in (None, -1) or (default == 0 and "random" in about)
        if not isinstance(default, bool) and isinstance(default, int) and not random:
            raise NotFoundError(
                f"{adapter.model_name} answers from the seed {default} unless its input {seed} is sent, so that all "
                f"draws would be equal; add -p seed-input={seed}"
            )
    return names, told


def _named(adapter: NamedInputs, schema: ModelSchema) -> tuple[Names, str | None]:
    names, taken = adapter.stated(), {}
    image, scale, seed, fixed = names.image, names.scale, names.seed, dict(names.fixed)
    if image not in schema.inputs:
        found = None if adapter.image_input else schema.picture()
        if found is None:
            raise _no_input(adapter, schema, image, f"-p image-input={_nearest(image, schema, IMAGE_INPUTS)}")
        image = taken["image"] = found
    if scale is not None and scale not in schema.inputs and scale not in adapter.inputs:
        found = None if adapter.scale_input else schema.one_of(SCALE_INPUTS)
        if found is None and adapter.scale == 1 and not adapter.scale_input:
            scale, taken["no magnification"] = None, "asked for"
        elif found is None:
            near = _nearest(scale, schema, SCALE_INPUTS, least=0.6 if adapter.scale_input else 1.0)
            fixed_factor = f"-p scale-input= where it magnifies by {adapter.scale} on its own"
            raise _no_input(adapter, schema, scale, f"-p scale-input={near}" if near else fixed_factor)
        else:
            scale = taken["magnification"] = found
    if seed is not None and seed not in schema.inputs:
        raise _no_input(adapter, schema, seed, f"-p seed-input={schema.one_of(SEED_INPUTS) or ''}")
    # The table may know more inputs than this version of the model has.
    fixed = {name: value for name, value in fixed.items() if name in schema.inputs}
    form = schema.one_of(FORMAT_INPUTS)
    if form is not None and form not in fixed and form not in adapter.inputs:
        described = schema.inputs[form]
        # Ask for a lossless result where the model offers one: the metric measures the vendor, not the codec.
        if "png" in _list(described.get("enum")) and described.get("default") != "png":
            fixed[form], taken["lossless format"] = "png", f"{form}=png"
    texts = [text for text in _list(schema.inputs.get(scale or "", {}).get("enum")) if isinstance(text, str)]
    scale_form = names.scale_form
    if texts and all(text.endswith("x") for text in texts):
        scale_form = "2x"
    elif texts and all(text.startswith("x") for text in texts):
        scale_form = "x2"
    elif texts and all(text.isdigit() for text in texts):
        scale_form = "text"
    found_names = replace(names, image=image, scale=scale, seed=seed, fixed=fixed, scale_form=scale_form)
    told = ", ".join(f"{what} {name}" for what, name in taken.items())
    return found_names, f"taken from the schema that {adapter.model_name} publishes: {told}" if told else None


def problem(value: Any, described: Mapping[str, Any]) -> str:
    """Name the schema's requirement if `value` does not fit; "" where it fits or the schema does not say."""
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


def _nearest(name: str, schema: ModelSchema, known: Iterable[str], *, least: float = 0.0) -> str:
    """Return the input whose name is nearest to `name`, known names first; "" where none is near enough."""
    common = [candidate for candidate in known if candidate in schema.inputs]
    return next(iter([*common, *difflib.get_close_matches(name, schema.inputs, n=1, cutoff=least)]), "")


def _no_input(adapter: NamedInputs, schema: ModelSchema, name: str, advice: str) -> NotFoundError:
    listed = ", ".join(list(schema.inputs)[:20])
    return NotFoundError(f"{adapter.model_name} has no input {name!r}, only {listed}; give {advice}")
