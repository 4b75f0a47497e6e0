"""`list`: what it says of the members of a family, and of one of them."""

import json

import pytest
from support.command_line import ended

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
    out = ended(capsys, ["list", command, "--json"])
    found = json.loads(out.out)
    names = catalog.names(FAMILIES[command])
    assert [one["name"] for one in found] == names
    assert all(one["summary"] and one["error"] is None and one["origin"] == "blackbox-conformal" for one in found)
    for name in names:
        assert any(line.startswith(f"{name} ") and len(line.split()) > 3 for line in out.err.splitlines())


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_every_member_shows_what_it_takes(command, name, capsys):
    said = ended(capsys, ["list", command, name]).out
    for parameter, field in catalog.member(FAMILIES[command], name).model_fields.items():
        assert f"\n  {parameter.replace('_', '-')}  (" in said
        assert ("required)" in said) or not field.is_required()


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_every_parameter_is_explained(command, name, capsys):
    found = json.loads(ended(capsys, ["list", command, name, "--json"]).out)
    assert [one["name"] for one in found["parameters"] if not one["help"]] == []


def test_what_follows_from_the_usual_parameters_is_shown(capsys):
    said = ended(capsys, ["list", "metrics", "lab-l1"]).out
    assert "0 to 1.9576" in said
    assert "normalised Lab" in said
    assert "a second vendor's picture" in ended(capsys, ["list", "scores", "second-opinion"]).out
    said = ended(capsys, ["list", "guarantees", "high-probability"]).out
    assert "Bates, Angelopoulos" in said
    assert "independent draws" in said
    assert "all but 0.1 of the calibration sets" in said


@pytest.mark.parametrize("command", FAMILIES)
def test_an_unknown_name_lists_those_there_are(command, capsys):
    assert catalog.names(FAMILIES[command])[0] in ended(capsys, ["list", command, "nothing"], 2).err


def test_a_degradation_shows_how_it_is_typed_and_which_parameters_may_be_ranges(capsys):
    said = ended(capsys, ["list", "degradations", "jpeg"]).out
    assert "jpeg:QUALITY, short for quality=QUALITY" in said
    assert "quality  (number | range, default 75)" in said
