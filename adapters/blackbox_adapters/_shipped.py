"""Shipped recipes as adapters: each is an attribute of this module under its own name, such as ``bria``."""

import json
from functools import cache
from typing import Any

from pydantic import Field, create_model

from blackbox_adapters._hosted import JsonObject
from blackbox_adapters._recipe_reading import read_recipe, shipped_names
from blackbox_adapters.recipe import Recipe


@cache
def __getattr__(name: str) -> type[Recipe]:
    """Return the adapter class of the shipped recipe called `name`."""
    if name not in shipped_names():
        raise AttributeError(f"there is no shipped recipe {name!r}")
    spec = read_recipe(name)
    described = Field(default=name, description="The recipe of this vendor.")
    options_text = json.dumps(spec.options)
    options: Any = Field(
        default_factory=dict, description=f"Changes to the recipe's options, as JSON; those are {options_text}."
    )
    factors = Field(
        default=None,
        description=f"Magnification, one of {', '.join(map(str, spec.scale.factors))}; None = {spec.scale.default}.",
    )
    kind = create_model(
        name,
        __base__=Recipe,
        __module__=__name__,
        recipe=(str, described),
        scale=(int | None, factors),
        options=(JsonObject, options),
    )
    kind.__doc__ = f"{spec.about or spec.title}\n\nDescribed by the recipe {spec.name}.toml."
    kind.name = spec.name
    kind.seeds_by_model = spec.seeds_by_model
    kind.documentation = spec.documentation
    kind.evidence = spec.evidence
    kind.auth_variable = None if spec.auth is None else spec.auth.variable
    kind.uncertain = tuple(spec.uncertain)
    kind.example = kind(recipe=name).example_exchange()
    return kind
