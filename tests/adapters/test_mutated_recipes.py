"""Damaged and hostile recipes end in our own errors, or draw."""

import random
import re
from pathlib import Path

import pytest
from support.flow_driver import ADDRESS, seeded, upload
from support.mutations import mutate_text

from blackbox_adapters._recipe_reading import SHIPPED
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.study.plugins import describe, load_adapter

HONEST = [path.read_text() for path in sorted(SHIPPED.glob("*.toml"))]


def try_damage(count: int, seed: int, path: Path) -> dict[str, int]:
    """How many damaged recipes were refused and used; fails on any exception that is not ours."""
    rng = random.Random(seed)
    counts = {"refused": 0, "used": 0}
    for number in range(count):
        text = rng.choice(HONEST)
        for _ in range(rng.choice([1, 1, 2])):
            text = mutate_text(text, rng)
        path.write_text(text, errors="surrogatepass")
        try:
            adapter = load_adapter("recipe", recipe=str(path), url=ADDRESS)
            adapter.identity()
            next(adapter.draw(upload(), seeded(adapter)))
        except BlackboxConformalError:
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"recipe {number}: {error!r} of\n{text[:6000]}") from error
        else:
            counts["used"] += 1
    return counts


def test_no_damage_ends_in_a_bare_exception(tmp_path, monkeypatch):
    for variable in re.findall(r'variable = "(\w+)"', "".join(HONEST)):
        monkeypatch.setenv(variable, "made-up-key")
    counts = try_damage(300, 8, tmp_path / "damaged.toml")
    assert counts["refused"] > 0
    assert counts["used"] > 0


@pytest.mark.parametrize("factor", ["1000000", "99999999999999999999", "-1", "0"])
def test_an_absurd_factor_is_refused_by_its_line(tmp_path, factor):
    path = tmp_path / "absurd.toml"
    path.write_text(re.sub(r"factors = \[.*?\]", f"factors = [2, {factor}]", HONEST[0]))
    with pytest.raises(BlackboxConformalError, match="factors"):
        load_adapter("recipe", recipe=str(path), url=ADDRESS)


def test_recipes_are_described_without_harm():
    assert describe("recipe")["error"] is None
