"""Shipped recipes as adapters under their own names.

What a recipe says is carried out by `recipe`.
"""

from pydantic import Field, create_model

from blackbox_adapters._recipe_format import read_recipe
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.testing.example import Example


def shipped(name: str) -> tuple[type[Recipe], Example]:
    """The adapter class and the example of one recipe."""
    told = read_recipe(name)
    described = Field(default=name, description="The recipe that tells this vendor.")
    kind = create_model(
        told.title.replace(" ", ""),
        __base__=Recipe,
        __module__=f"blackbox_adapters.{name.replace('-', '_')}",
        recipe=(str, described),
    )
    kind.__doc__ = f"{told.title}, told by the recipe {told.name}."
    kind.name = told.name
    kind.documentation = told.documentation
    kind.evidence = told.evidence
    kind.auth_variable = None if told.auth is None else told.auth.variable
    kind.uncertain = tuple(told.uncertain)
    return kind, kind(recipe=name).example_exchange()
