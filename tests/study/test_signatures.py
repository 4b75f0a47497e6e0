"""What `help`, a signature and tab completion show of the public names."""

import inspect
import pydoc

import pytest

import blackbox_conformal as bc

FUNCTIONS = sorted(name for name in bc.__all__ if inspect.isfunction(getattr(bc, name)))
CLASSES = sorted(name for name in bc.__all__ if inspect.isclass(getattr(bc, name)))


def callables() -> dict[str, object]:
    """Every public function and class, and every public method."""
    found: dict[str, object] = {name: getattr(bc, name) for name in FUNCTIONS}
    for name in CLASSES:
        cls = getattr(bc, name)
        if not issubclass(cls, BaseException):
            found[name] = cls
        for method, value in vars(cls).items():
            if not method.startswith("_") and callable(getattr(cls, method)) and not isinstance(value, property):
                found[f"{name}.{method}"] = getattr(cls, method)
    return found


def test_every_signature_is_readable():
    for name, function in callables().items():
        shown = str(inspect.signature(function))
        for unreadable in ("<lambda>", "<function", "numpy._typing", "_NestedSequence", "object at 0x"):
            assert unreadable not in shown, name + shown


def test_help_of_curves_shows_no_internals_of_numpy():
    shown = pydoc.plain(pydoc.render_doc(bc.RiskCurve.from_maps))
    assert "score_map: 'ArrayLike'" in shown
    assert "numpy." not in shown


@pytest.mark.parametrize("name", ["calibrate", "mask", "mask_all", "audit", "compare", "tune", "plan", "watch"])
def test_every_keyword_is_in_the_signature_and_documented(name):
    function = getattr(bc, name)
    parameters = inspect.signature(function).parameters
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    documented = {word.strip() for line in inspect.getdoc(function).splitlines() for word in line.split(",")}
    keywords = {key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
    assert keywords - documented == set()
    assert {"progress", "run", "max_cost"} <= keywords


def test_defaults_of_keywords_are_none_or_literal():
    for name in FUNCTIONS:
        for parameter in inspect.signature(getattr(bc, name)).parameters.values():
            default = parameter.default
            assert default is parameter.empty or isinstance(default, (type(None), bool, int, float, str, tuple)), name
