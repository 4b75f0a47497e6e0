"""`list` and `show NAME` for the families that are one file a member: scores, metrics, guarantees, perturbations.

What they say is written from docstrings and fields; nothing is drawn and nothing is computed.
"""

from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.command_groups import Group
from blackbox_conformal.cli.console import Screen, default_text, summary


def commands(name: str, family: str, option: str, what: str) -> click.Group:
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
    def list_members(**options: Any) -> None:
        from blackbox_conformal import catalog
        from blackbox_conformal.plugins import describe_member

        screen = _screen(options)
        found = [describe_member(family, listing) for listing in catalog.listings(family)]
        width = max(len(one["name"]) for one in found)
        for one in found:
            said = f"broken: {one['error']}" if one["error"] else _first_sentence(one["summary"])
            screen.say(f"{one['name']:<{width}}  {said}")
        screen.say(f"\nGive one as {option} NAME; `{name} show NAME` tells more.")
        screen.data(found)

    @click.argument("name", metavar="NAME")
    @shared.output
    def show(name: str, **options: Any) -> None:
        from blackbox_conformal import catalog
        from blackbox_conformal.plugins import describe_member

        screen = _screen(options)
        catalog.member(family, name)
        found = next(describe_member(family, one) for one in catalog.listings(family) if one.name == name)
        screen.say(f"{found['summary'].replace('``', '`')}\n")
        screen.say(summary({kind: f"{name} (from {found['origin']})", **found["facts"]}))
        if any(one["required"] for one in found["parameters"]):
            screen.say("  What hangs on parameters that are required is left out.")
        screen.say(
            f"\nParameters ({option} {name}:KEY=VALUE,…):" if found["parameters"] else "\nIt takes no parameters."
        )
        for one in found["parameters"]:
            default = "required" if one["required"] else default_text(one["default"])
            screen.say(f"  {one['name']}  ({one['type']}, {default})\n      {one['help'].replace('``', '`')}")
        screen.data(found)

    list_members.__doc__ = "Every one, in a sentence; those of other packages too, a broken one with its error."
    show.__doc__ = f"What {kind} NAME is, what it needs, and its parameters."
    group = Group(name, help=what)
    group.command("list")(list_members)
    group.command("show")(show)
    return group


def _screen(options: dict[str, Any]) -> Screen:
    return Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])


def _first_sentence(text: str) -> str:
    return text.partition("\n\n")[0].replace("\n", " ").replace("``", "`")
