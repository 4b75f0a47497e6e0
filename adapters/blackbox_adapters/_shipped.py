"""Shipped recipes as adapters under their own names.

What a recipe says is carried out by `recipe`.
"""

import json
from typing import Any

from pydantic import Field, create_model

from blackbox_adapters._hosted import JsonObject
from blackbox_adapters._recipe_reading import read_recipe
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.example import Example


def shipped(name: str) -> tuple[type[Recipe], Example]:
    """The adapter class and the example of one recipe."""
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
        told.title.replace(" ", ""),
        __base__=Recipe,
        __module__=f"blackbox_adapters.{name.replace('-', '_')}",
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
    return kind, kind(recipe=name).example_exchange()
