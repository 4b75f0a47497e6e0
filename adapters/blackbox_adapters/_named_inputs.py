"""How upscaling and restoring models name their inputs: what Replicate, Cog, fal and RunPod have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from blackbox_adapters._hosted import Hosted, JsonObject
from blackbox_adapters._pictures import fetched
from blackbox_adapters._price_list import PriceList
from blackbox_adapters._reading import peek
from blackbox_conformal.vendor.adapter import Capabilities, Draw, Flow, Price

SEEDS = (0, 2**31 - 1)
"""Seeds that every model takes: most read a signed 32-bit integer, and none of those listed says more."""

ScaleForm = Literal["number", "text", "2x", "x2"]


@dataclass(frozen=True, slots=True)
class Names:
    """One model's inputs.

    Attributes
    ----------
    image, scale, seed
        Names of the inputs; None where the model has none.
    scales
        Magnifications that it takes; empty = unknown.
    scale_form
        ``number``, or ``text``, ``2x`` and ``x2`` for texts such as "4", "4x" and "x4".
    fixed
        Inputs that are always sent, such as the lossless format.
    hazard
        The model answers from a fixed seed unless one is sent.
    deterministic
        The model answers equal requests equally.
    output
        Where the picture is in the output, as a dotted path.
    official
        Replicate: the model runs without naming a version.
    price
        What a draw costs, as last read; None = unknown.
    exact
        The picture comes back at exactly scale × input.
    max_input_pixels
        Pixels of the largest picture that fits into the model's memory; None = unknown.
    degradation
        What the model undoes, as in `Capabilities`.
    lossless
        The model answers without lossy compression where no input asks for PNG.
    """

    image: str = "image"
    scale: str | None = "scale"
    seed: str | None = None
    scales: tuple[int, ...] = ()
    scale_form: ScaleForm = "number"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    hazard: bool = False
    deterministic: bool = False
    output: str = ""
    official: bool = False
    price: PriceList | None = None
    exact: bool = True
    max_input_pixels: int | None = None
    degradation: str = "bicubic"
    lossless: bool = True

    def with_inputs(
        self, image: str, scale: str | None, seed: str | None, fixed: Mapping[str, Any], form: ScaleForm
    ) -> "Names":
        """The same model with other names of its inputs."""
        return replace(self, image=image, scale=scale, seed=seed, fixed=fixed, scale_form=form)


class NamedInputs(Hosted):
    """Parameters of a vendor whose model is chosen by name; what is not in its table is given by the user."""

    seeds_by_model = True

    _fitted: Names | None = PrivateAttr(default=None)
    """The inputs as the model's published schema has them, once that was read."""

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
        """What is known of the chosen model before the user's corrections."""
        return Names()

    @property
    def model_name(self) -> str:
        return f"the model {getattr(self, 'model', None) or f'at {self.base_url}'}"

    def names(self) -> Names:
        """The chosen model's inputs: as its published schema has them once that was read, else as `stated`."""
        return self._fitted or self.stated()

    def use(self, names: Names) -> None:
        """Send these inputs from now on."""
        self._fitted = names

    def stated(self) -> Names:
        """The inputs in the table, with the user's corrections."""
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
        """What the chosen model can do, on a platform with this price and these other capabilities."""
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
        """The inputs of one draw; `link` is the picture. The user's `inputs` may correct all but picture and seed."""
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
        """The model's inputs."""
        inputs = self.model_inputs("", Draw(0, None, ""))
        return {name: value for name, value in inputs.items() if name != self.names().image}

    def scale_value(self, names: Names) -> int | str:
        """The magnification as this model takes it."""
        texts = {"2x": f"{self.scale}x", "x2": f"x{self.scale}", "text": str(self.scale)}
        return texts.get(names.scale_form, self.scale)

    def output_picture(self, output: Any, base: str = "") -> Flow:
        """The picture behind the link that the model's output is, or holds at the model's path."""
        path = self.names().output
        link = output if isinstance(output, str) else peek(output, path or "0")
        return (yield from fetched(link, f"output.{path}".rstrip("."), base=base))
