"""Names to files, text to parameters, and errors that say what is allowed."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from pydantic import Field, field_validator, model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.support import catalog


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lab-l1", ("lab-l1", {})),
        ("lab-l1:kernel=gaussian,sigma=4", ("lab-l1", {"kernel": "gaussian", "sigma": "4"})),
        ("a:clip-quantile=0.9", ("a", {"clip_quantile": "0.9"})),
        ("a:", ("a", {})),
    ],
)
def test_notation(text: str, expected: tuple[str, dict[str, str]]) -> None:
    assert catalog.parse(text) == expected


@pytest.mark.parametrize("text", ["a:b", "a:=1", "a:b=1,b=2"])
def test_bad_notation_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected|twice"):
        catalog.parse(text)


@pytest.mark.parametrize(
    "family",
    [
        "scores",
        "metrics",
        "guarantees",
        "degradations",
        "images.perturbation",
        "annotations.formats",
        "gateway.dialects",
    ],
)
def test_every_member_loads_by_its_file_name(family: str) -> None:
    names = catalog.names(family)
    assert names
    for name in names:
        assert issubclass(catalog.member(family, name), catalog.Plugin)
        assert catalog.member(family, name).plugin_name() == name


def test_an_unknown_member_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="lab-l1"):
        catalog.load("metrics", "lab-l2")


def test_an_unknown_parameter_lists_those_there_are_and_names_the_nearest() -> None:
    said = r"^metric lab-l1: there is no parameter 'sigmas' \(did you mean sigma\?\)\. Its parameters are: .*sigma"
    with pytest.raises(UsageError, match=said):
        catalog.load("metrics", "lab-l1", sigmas=4)
    with pytest.raises(UsageError, match=r"^guarantee per-image: there is no parameter 'qq'\. Its parameters are: "):
        catalog.load("guarantees", "per-image", qq=4)


def test_a_missing_and_a_wrong_parameter_are_told_in_plain_words(tmp_path: Path) -> None:
    missing = r"^adapter folder: label is required \(Vendor, model and .*\)\. Its parameters are: path, suffix, label"
    with pytest.raises(UsageError, match=missing):
        load_adapter("folder", path=str(tmp_path))
    with pytest.raises(UsageError, match=r"^adapter folder: path: expected a folder that exists \(got 'nowhere'\)$"):
        load_adapter("folder", path="nowhere", label="x")


class Wanting(catalog.Plugin):
    """One parameter of each kind."""

    whole: int = Field(default=1, ge=1, le=16)
    share: float = Field(default=0.5, gt=0, lt=1)
    cost: Decimal = Decimal(1)
    switch: bool = False
    word: str = Field(default="a", min_length=1)
    place: str = Field(default="a/b", pattern="^[a-z]/[a-z]$", description="owner/name.")
    code: str = Field(default="a", pattern="^a$")
    mode: Literal["slow", "fast"] = "slow"
    maybe: int | None = None
    table: dict[str, int] = {}
    items: tuple[int, ...] = ()

    @field_validator("word")
    @classmethod
    def _is_no_number(cls, word: str) -> str:
        if word.isdigit():
            raise ValueError("expected a word")
        return word

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.whole == 13 and self.switch:
            raise ValueError("expected another number with switch; got whole=13")
        return self


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"whole": "x"}, "whole: expected a whole number; got 'x'"),
        ({"whole": "1.5"}, "whole: expected a whole number; got '1.5'"),
        ({"whole": "99"}, "whole: expected a number of at least 1 and at most 16; got '99'"),
        ({"share": 1}, "share: expected a number of more than 0 and less than 1; got 1"),
        ({"share": "half"}, "share: expected a number; got 'half'"),
        ({"cost": "dear"}, "cost: expected a number; got 'dear'"),
        ({"switch": "perhaps"}, "switch: expected true or false; got 'perhaps'"),
        ({"word": ""}, "word: expected something that is not empty; got ''"),
        ({"word": "7"}, "word: expected a word (got '7')"),
        ({"word": 7}, "word: expected text; got 7"),
        ({"place": "here"}, "place: expected owner/name; got 'here'"),
        ({"code": "b"}, "code: expected text that matches ^a$; got 'b'"),
        ({"mode": "quick"}, "mode: expected one of slow, fast; got 'quick'"),
        ({"maybe": "no"}, "maybe: expected a whole number; got 'no'"),
        ({"table": [1]}, "table: expected keys with values; got [1]"),
        ({"table": {"a": "x"}}, "table.a: expected a whole number; got 'x'"),
        ({"items": 3}, "items: expected a list; got 3"),
        ({"whole": 13, "switch": True}, "expected another number with switch; got whole=13"),
        (
            {"whole": "x", "switch": "perhaps"},
            "whole: expected a whole number; got 'x'; switch: expected true or false; got 'perhaps'",
        ),
    ],
)
def test_each_kind_of_mistake_is_told_in_our_own_words(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.build(Wanting, "wanting", wrong)
    assert str(caught.value) == f"wanting: {said}"


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(UsageError) as caught:
        catalog.build(Wanting, "wanting", {"whole": "9" * 5000 + "x"})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("a:score=[weighted:weight=0.5,sigma=4],draws=2", {"score": "[weighted:weight=0.5,sigma=4]", "draws": "2"}),
        ('a:inputs={"x": [1, 2], "y": "],"},z=1', {"inputs": '{"x": [1, 2], "y": "],"}', "z": "1"}),
        ("a:text=no, closing", None),
        ("a:score=[b,draws=2", None),
        ("a:score=b],draws=2", None),
    ],
)
def test_commas_in_brackets_part_nothing(text, parameters):
    if parameters is not None:
        assert catalog.parse(text) == ("a", parameters)
        return
    with pytest.raises(UsageError, match=r"expected (NAME:key=value|as many)"):
        catalog.parse(text)
