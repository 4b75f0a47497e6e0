"""Names to files, text to parameters, and errors that say what is allowed."""

import pytest

from blackbox_conformal import catalog
from blackbox_conformal.errors import UsageError
from blackbox_conformal.plugins import load_adapter


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


@pytest.mark.parametrize("family", ["indecision", "fidelity", "guarantees", "images.perturbation"])
def test_every_member_loads_by_its_file_name(family: str) -> None:
    names = catalog.names(family)
    assert names
    for name in names:
        assert issubclass(catalog.member(family, name), catalog.Plugin)
        assert catalog.member(family, name).plugin_name() == name


def test_an_unknown_member_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="lab-l1"):
        catalog.load("fidelity", "lab-l2")


def test_an_unknown_parameter_lists_those_there_are_and_names_the_nearest() -> None:
    said = r"^fidelity lab-l1: there is no parameter 'sigmas' \(did you mean sigma\?\)\. Its parameters are: .*sigma"
    with pytest.raises(UsageError, match=said):
        catalog.load("fidelity", "lab-l1", sigmas=4)
    with pytest.raises(UsageError, match=r"^guarantee per-image: there is no parameter 'qq'\. Its parameters are: "):
        catalog.load("guarantees", "per-image", qq=4)


def test_a_missing_and_a_wrong_parameter_are_told_in_plain_words(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"^adapter folder: label is required\. Its parameters are: path, label"):
        load_adapter("folder", path=str(tmp_path))
    with pytest.raises(UsageError, match=r"^adapter folder: path: expected a folder that exists \(got 'nowhere'\)\."):
        load_adapter("folder", path="nowhere", label="x")
