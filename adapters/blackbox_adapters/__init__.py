"""The adapters that ship with blackbox-conformal: one vendor interface per file or recipe, found by its name."""

from pathlib import Path


def further_plugins() -> dict[str, str]:
    """Return the target of each adapter without a Python file, by name: the shipped recipes."""
    recipes = Path(__file__).with_name("recipes").glob("*.toml")
    return {recipe.stem: f"{__name__}._shipped:{recipe.stem}" for recipe in recipes}
