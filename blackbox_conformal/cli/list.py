"""`list`: the members of adapters, scores, metrics and other families, and their parameters.

All its texts come from docstrings and fields.
"""

from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import values
from blackbox_conformal.cli.consent import way_of_key
from blackbox_conformal.cli.console import Screen, default_text
from blackbox_conformal.errors import AdapterError, UsageError
from blackbox_conformal.support.text import dollars, money

EVIDENCE = {
    "openapi": "against the vendor's own OpenAPI document",
    "real-server": "against the vendor's own server software",
    "client": "against the vendor's own client",
    "own-software": "against software of this package; there is no vendor to it",
    "documents": "against documents and examples only, never against a server",
}

CHOICE_LEGEND = """
key       (in parentheses): sent only with the options that `list adapters NAME` names
price     by size: `plan` tells that of your photographs. unknown: give -p price-usd=… with your
          vendor's price, or limit the calls with --max-calls. *: of an example's model
draws     seeded: each sends a seed of its own. vary: there is no seed, the vendor varies by itself.
          equal: equal requests have equal answers, so several draws need --perturbation dihedral.
          model: the model decides
checked   openapi, real-server, client: against the vendor's own OpenAPI document, server or client.
          documents: against documents only. own-software: there is no vendor, it is this package's
"""
BEHAVIOUR_LEGEND = """
at once   the most draws that the vendor works on at a time (–: no limit known; --concurrency)
requests  the most that the vendor takes in a time (–: no limit known; --rate)
failures  named: the vendor's documents tell its own failures from refusals, and such a draw is
          asked for again. not billed: its documents promise that
late jobs cancelled: the vendor is told to stop a job that takes too long. left: it is not, and
          the next run looks for the picture. no jobs: it answers at once

`list adapters NAME -p KEY=VALUE` tells the figures with your parameters.
"""

LIMITS = {
    "min_side": "sides of at least {:,} px",
    "max_side": "sides of at most {:,} px",
    "max_input_pixels": "input of at most {:,} px",
    "max_output_pixels": "output of at most {:,} px",
    "min_output_side": "sides of at least {:,} px back",
    "max_output_side": "sides of at most {:,} px back",
    "max_aspect": "one side at most {:g} times the other",
    "max_upload_bytes": "upload of at most {:,} bytes",
}
"""A capability and its words."""

FAMILIES = {
    "scores": ("scores", "--score"),
    "metrics": ("metrics", "--metric"),
    "guarantees": ("guarantees", "--guarantee"),
    "degradations": ("degradations", "--degradation"),
    "perturbations": ("images.perturbation", "--perturbation"),
}
"""Kinds, each with its family in `catalog` and the option that takes a member."""


@click.command("list")
@click.argument("kind", type=click.Choice(["adapters", *FAMILIES]))
@click.argument("name", required=False)
@shared.option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="With an adapter: a parameter of it.")
@shared.output
def command(screen: Screen, kind: str, name: str | None, parameters: tuple[str, ...]) -> None:
    """List every member of a KIND in a sentence, also from other packages; with NAME say what that one takes.

    For an adapter also say price, limits and seeds, and where its key goes; with -p for your model.
    """
    from blackbox_conformal.study.plugins import describe_member
    from blackbox_conformal.support import catalog

    if parameters and (kind != "adapters" or name is None):
        raise UsageError("expected -p with the name of an adapter: list adapters NAME -p KEY=VALUE. Leave it out")
    if kind == "adapters":
        _list_adapters(screen) if name is None else _show_adapter(screen, name, parameters)
    elif name is None:
        family, option = FAMILIES[kind]
        members = [describe_member(family, listing) for listing in catalog.listings(family)]
        width = max(len(member["name"]) for member in members)
        for member in members:
            text = f"broken: {member['error']}"
            if not member["error"]:
                text = member["summary"].partition("\n\n")[0].replace("\n", " ").replace("``", "`")
            screen.say(f"{member['name']:<{width}}  {text}")
        screen.say(f"\nGive one as {option} NAME.")
        screen.next("list", kind, "NAME")
        screen.data(members)
    else:
        _show_member(screen, kind, name)


def _show_member(screen: Screen, kind: str, name: str) -> None:
    from blackbox_conformal.study.plugins import describe_member
    from blackbox_conformal.support import catalog

    family, option = FAMILIES[kind]
    catalog.member(family, name)
    listing = next(listing for listing in catalog.listings(family) if listing.name == name)
    member = describe_member(family, listing)
    parameters = member["parameters"]
    screen.say(f"{member['summary'].replace('``', '`')}\n")
    screen.summary({kind.removesuffix("s"): f"{name} (from {member['origin']})", **member["facts"]})
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


def _list_adapters(screen: Screen) -> None:
    from blackbox_conformal.study.plugins import adapter_names, describe

    adapters = [describe(name) for name in adapter_names()]
    whole = [adapter for adapter in adapters if not adapter["error"]]
    screen.columns([("name", "key from", "price of a draw", "draws", "checked"), *map(_choice, whole)])
    screen.say(CHOICE_LEGEND)
    screen.columns([("name", "at once", "requests", "failures", "late jobs"), *map(_behaviour, whole)])
    screen.say(BEHAVIOUR_LEGEND)
    for adapter in adapters:
        if adapter["error"]:
            screen.say(f"{adapter['name']} is broken: {adapter['error']}")
        elif adapter["capabilities"]["retired"]:
            screen.say(f"{adapter['name']} is retired by its vendor: {adapter['capabilities']['retired']}")
    screen.next("list", "adapters", "NAME")
    screen.data(adapters)


def _show_adapter(screen: Screen, name: str, parameters: tuple[str, ...]) -> None:
    from blackbox_conformal.study.plugins import describe

    typed = values.vendor_parameters(parameters)
    adapter = describe(name, typed)
    if adapter["error"]:
        raise AdapterError(f"adapter {name} does not load: {adapter['error']}")
    capabilities, price = adapter["capabilities"], adapter["capabilities"]["price"]
    variable = _key(adapter) if adapter["auth_variable"] is None else f"environment variable {_key(adapter)}"
    shown_price = _price(adapter)
    if price is None:
        given = any(parameter["name"] == "price-usd" for parameter in adapter["parameters"])
        stated = "give -p price-usd=… with your vendor's price to limit the cost, or " if given else "give "
        known = capabilities.get("unpriced")
        shown_price += f" in US dollars: {known}" if known else f": {stated}--max-calls to limit the calls"
    elif float(price["high_usd"]):
        read = f"{price['source']}{', read on ' + price['read_on'] if price['read_on'] else ''}"
        shown_price += f"{', ' + price['rule'] if price['rule'] else ''} ({read})"
    if capabilities["deterministic"]:
        seed = "none, and equal requests have equal answers: several draws need --perturbation dihedral"
    elif not capabilities["seedable"]:
        seed = "not taken: draws differ only if the vendor varies; if not, several need --perturbation dihedral"
    else:
        hazard = "; without one the vendor would answer from a fixed one" if capabilities["default_seed_hazard"] else ""
        seed = f"a fresh one for each draw{hazard}"
    most = capabilities["max_concurrency"]
    failures = "the vendor's documents do not tell its own from refusals"
    if capabilities["transient_known"]:
        failures = "the vendor's documents name its own, and such a draw is asked for again"
    late = "cancelled" if capabilities["cancels"] else "left to the vendor, and looked for by the next run"
    limits = [text.format(capabilities[key]) for key, text in LIMITS.items() if capabilities.get(key)]
    screen.say(f"{adapter['summary'].replace('``', '`')}\n")
    screen.summary(
        {
            "adapter": adapter["name"] + (f" (from {adapter['origin']})" if adapter["origin"] else ""),
            "key": way_of_key(name, typed) or variable,
            "price": shown_price,
            "seed": seed,
            "scale": ", ".join(f"×{scale}" for scale in capabilities["scale_factors"]),
            "inputs": f"made by {capabilities['degradation']}, unless --degradation says how",
            "limits": "; ".join(limits) or "none",
            "rates": _rates(capabilities) or "none documented",
            "at once": "no limit documented" if most is None else f"{most} draw{'s' * (most > 1)}",
            "failures": failures + ("" if capabilities["failures_billed"] else "; they are not billed"),
            "late jobs": "none: the vendor answers at once" if adapter["jobs"] is False else late,
            "checked": EVIDENCE.get(adapter["evidence"], adapter["evidence"]),
            "not known": "; ".join(adapter["uncertain"]) or "nothing that was looked for",
            "documentation": adapter["documentation"] or "none",
        }
        | ({"retired": f"{capabilities['retired']}: nothing is drawn any more"} if capabilities["retired"] else {})
    )
    if assumed := adapter["assumed"]:
        shown = ", ".join(key if Path(str(value)).is_absolute() else f"{key}={value}" for key, value in assumed.items())
        give = " ".join(f"-p {key.replace('_', '-')}=…" for key in assumed)
        screen.say(f"  These figures are those of an example ({shown}). Add {give} to see your own.")
    screen.say("\nParameters (-p KEY=VALUE); those marked * may change without a new calibration:")
    for parameter in adapter["parameters"]:
        default = "required" if parameter["required"] else default_text(parameter["default"])
        mark = "" if parameter["identifies"] else " *"
        screen.say(f"  {parameter['name']}{mark}  ({parameter['type']}, {default})\n      {parameter['help']}")
    screen.next("plan", "photographs/", "--adapter", name)
    screen.data(adapter)


def _key(described: dict[str, Any]) -> str:
    if described["auth_variable"] is None:
        own = any(parameter["name"] == "recipe" for parameter in described["parameters"])
        return "the recipe names it" if own else "no key"
    options = described["key_options"]
    return str(described["auth_variable"]) + (f" (sent with {options})" if options else "")


def _rates(capabilities: dict[str, Any], most: int | None = None) -> str:
    from blackbox_conformal.vendor.rates import Rate

    rates = [str(Rate(**rate)) for rate in capabilities["rates"]]
    return ", ".join(rates if most is None or len(rates) <= most else [*rates[:most], "…"])


def _choice(described: dict[str, Any]) -> tuple[str, ...]:
    capabilities, variable = described["capabilities"], described["auth_variable"]
    draws = "seeded" if capabilities["seedable"] else "equal" if capabilities["deterministic"] else "vary"
    shown, price = _price(described), capabilities["price"]
    if price is not None and float(price["high_usd"]):
        high = "" if price["low_usd"] == price["high_usd"] else "–" + dollars(price["high_usd"]).removeprefix("$")
        # A star marks the price of an example's model.
        star = " *" * bool(described["assumed"])
        shown = f"{dollars(price['low_usd'])}{high}{' by size' * price['by_size']}{star}"
    return (
        described["name"],
        f"({variable})" if described["key_options"] else _key(described),
        shown,
        "model" if described["seeds_by_model"] else draws,
        described["evidence"],
    )


def _behaviour(described: dict[str, Any]) -> tuple[str, ...]:
    capabilities = described["capabilities"]
    named = "named" if capabilities["transient_known"] else "not named"
    return (
        described["name"],
        str(capabilities["max_concurrency"] or "–"),
        _rates(capabilities, 2) or "–",
        # Where no vendor answers, none has documents.
        "–" if described["jobs"] is None else named + ("" if capabilities["failures_billed"] else ", not billed"),
        {True: "cancelled" if capabilities["cancels"] else "left", False: "no jobs", None: "–"}[described["jobs"]],
    )


def _price(described: dict[str, Any]) -> str:
    price = described["capabilities"]["price"]
    if price is None:
        return "unknown"
    if float(price["high_usd"]) == 0:
        return "free"
    return money(price["low_usd"], price["high_usd"])
