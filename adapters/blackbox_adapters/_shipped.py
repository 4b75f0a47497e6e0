"""Shipped recipes as adapters under their own names: each is an attribute of this module, such as ``bria``.

What a recipe says is carried out by `recipe`.
"""

import json
from functools import cache
from typing import Any

from pydantic import Field, create_model

from blackbox_adapters._hosted import JsonObject
from blackbox_adapters._recipe_reading import read_recipe, shipped_names
from blackbox_adapters.recipe import Recipe


@cache
def __getattr__(name: str) -> type[Recipe]:
    """The adapter class of the shipped recipe called `name`."""
    if name not in shipped_names():
        raise AttributeError(f"there is no shipped recipe {name!r}")
    told = read_recipe(name)
    described = Field(default=name, description="The recipe that tells this vendor.")
    own = json.dumps(told.options)
    options: Any = Field(
        default_factory=dict, description=f"Changes to the recipe's options, as JSON; those are {own}."
    )
    factors = Field(
        default=None,
        description=f"Magnification, one of {', '.join(map(str, told.scale.factors))}; None = {told.scale.default}.",
    )
    kind = create_model(
        name,
        __base__=Recipe,
        __module__=__name__,
        recipe=(str, described),
        scale=(int | None, factors),
        options=(JsonObject, options),
    )
    seeds = "none." if told.seed is None else "a fresh one each draw."
    kind.__doc__ = f"{told.about or told.title}\n\nTold by the recipe {told.name}.toml.\n\nSeeds: {seeds}"
    kind.name = told.name
    kind.documentation = told.documentation
    kind.evidence = told.evidence
    kind.auth_variable = None if told.auth is None else told.auth.variable
    kind.uncertain = tuple(told.uncertain)
    kind.example = kind(recipe=name).example_exchange()
    return kind
