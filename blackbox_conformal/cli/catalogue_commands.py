"""`scores`, `metrics`, `guarantees`, `degradations`, `perturbations`: which members a family has, and what one takes.

All that they say comes from docstrings and fields.
"""

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, default_text


def _family(name: str, family: str, option: str, what: str) -> click.Group:
    """The commands of one family.

    Parameters
    ----------
    name
        The command, such as ``scores``.
    family
        The family in `catalog`, such as ``scores`` or ``images.perturbation``.
    option
        The option that takes a member, such as ``--score``.
    what
        What the members are, in one sentence.
    """
    kind = name.removesuffix("s")

    @shared.output
    def list_members(screen: Screen) -> None:
        from blackbox_conformal.study.plugins import describe_member
        from blackbox_conformal.support import catalog

        members = [describe_member(family, listing) for listing in catalog.listings(family)]
        width = max(len(member["name"]) for member in members)
        for member in members:
            text = f"broken: {member['error']}" if member["error"] else _first_sentence(member["summary"])
            screen.say(f"{member['name']:<{width}}  {text}")
        screen.say(f"\nGive one as {option} NAME.")
        screen.next(name, "show", "NAME")
        screen.data(members)

    @click.argument("name", metavar="NAME")
    @shared.output
    def show(screen: Screen, name: str) -> None:
        from blackbox_conformal.study.plugins import describe_member
        from blackbox_conformal.support import catalog

        catalog.member(family, name)
        listing = next(listing for listing in catalog.listings(family) if listing.name == name)
        member = describe_member(family, listing)
        parameters = member["parameters"]
        screen.say(f"{member['summary'].replace('``', '`')}\n")
        screen.summary({kind: f"{name} (from {member['origin']})", **member["facts"]})
        if any(parameter["required"] for parameter in parameters):
            screen.say("  What depends on required parameters is left out.")
        screen.say(f"\nParameters ({option} {name}:KEY=VALUE,…):" if parameters else "\nIt takes no parameters.")
        for parameter in parameters:
            default = "required" if parameter["required"] else default_text(parameter["default"])
            text = parameter["help"].replace("``", "`")
            screen.say(f"  {parameter['name']}  ({parameter['type']}, {default})\n      {text}")
        if not any(parameter["required"] for parameter in parameters):
            screen.next("plan", "photographs/", "--adapter", "NAME", option, name)
        screen.data(member)

    list_members.__doc__ = "Every one, in a sentence; those of other packages too, a broken one with its error."
    show.__doc__ = f"What {kind} NAME is, what it needs, and its parameters."
    group = shared.Group(name, help=what)
    group.command("list")(list_members)
    group.command("show")(show)
    return group


def _first_sentence(text: str) -> str:
    return text.partition("\n\n")[0].replace("\n", " ").replace("``", "`")


scores = _family("scores", "scores", "--score", "Which maps can say where the vendor is undecided.")
metrics = _family("metrics", "metrics", "--metric", "Which maps can say how wrong a delivered picture is.")
guarantees = _family("guarantees", "guarantees", "--guarantee", "Which promises a threshold can keep.")
degradations = _family(
    "degradations", "degradations", "--degradation", "Which steps can make an input from a photograph."
)
perturbations = _family(
    "perturbations", "images.perturbation", "--perturbation", "Which changes of the input vary the draws."
)
