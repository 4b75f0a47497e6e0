"""`list`: what it says of the members of a family, and of one of them."""

import json

import pytest

from blackbox_conformal.cli.main import run
from blackbox_conformal.support import catalog

FAMILIES = {
    "scores": "scores",
    "metrics": "metrics",
    "guarantees": "guarantees",
    "degradations": "degradations",
    "perturbations": "images.perturbation",
}
EVERY = [(command, name) for command, family in FAMILIES.items() for name in catalog.names(family)]


@pytest.mark.parametrize("command", FAMILIES)
def test_the_list_names_every_member_with_its_first_sentence(command, capsys):
    assert run(["list", command, "--json"]) == 0
    out = capsys.readouterr()
    found = json.loads(out.out)
    names = catalog.names(FAMILIES[command])
    assert [one["name"] for one in found] == names
    assert all(one["summary"] and one["error"] is None and one["origin"] == "blackbox-conformal" for one in found)
    for name in names:
        assert any(line.startswith(f"{name} ") and len(line.split()) > 3 for line in out.err.splitlines())


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_every_member_shows_what_it_takes(command, name, capsys):
    assert run(["list", command, name]) == 0
    said = capsys.readouterr().out
    for parameter, field in catalog.member(FAMILIES[command], name).model_fields.items():
        assert f"\n  {parameter.replace('_', '-')}  (" in said
        assert ("required)" in said) or not field.is_required()


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_every_parameter_is_explained(command, name, capsys):
    assert run(["list", command, name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["parameters"] if not one["help"]] == []


def test_what_follows_from_the_usual_parameters_is_shown(capsys):
    assert run(["list", "metrics", "lab-l1"]) == 0
    said = capsys.readouterr().out
    assert "0 to 1.9576" in said
    assert "normalised Lab" in said
    assert run(["list", "scores", "second-opinion"]) == 0
    assert "a second vendor's picture" in capsys.readouterr().out
    assert run(["list", "guarantees", "high-probability"]) == 0
    said = capsys.readouterr().out
    assert "Bates, Angelopoulos" in said
    assert "independent draws" in said
    assert "all but 0.1 of the calibration sets" in said


@pytest.mark.parametrize("command", FAMILIES)
def test_an_unknown_name_lists_those_there_are(command, capsys):
    assert run(["list", command, "nothing"]) == 2
    assert catalog.names(FAMILIES[command])[0] in capsys.readouterr().err


def test_a_degradation_shows_how_it_is_typed_and_which_parameters_may_be_ranges(capsys):
    assert run(["list", "degradations", "jpeg"]) == 0
    said = capsys.readouterr().out
    assert "jpeg:QUALITY, short for quality=QUALITY" in said
    assert "quality  (number | range, default 75)" in said
