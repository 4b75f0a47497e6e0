"""`adapters`: which vendors there are, what one takes, and whether one keeps the contract."""

from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, money, summary


@click.group("adapters")
def command() -> None:
    """The vendors that can be drawn from."""


@command.command("list")
@shared.output
def list_adapters(**options: Any) -> None:
    """Every adapter, where it comes from, and how it was checked; a broken one is listed with its error."""
    from blackbox_conformal.plugins import adapter_names, describe

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    found = [describe(name) for name in adapter_names()]
    rows = [
        [
            one["name"],
            one.get("error") or (one["auth_variable"] or "no key"),
            "" if one.get("error") else _price(one),
            "" if one.get("error") else ("yes" if one["capabilities"]["seedable"] else "no"),
            "broken" if one.get("error") else one["evidence"],
        ]
        for one in found
    ]
    screen.table("Adapters", ["name", "key", "price of a draw", "seed", "checked against"], rows)
    screen.data(found)


@command.command("show")
@click.argument("name")
@shared.output
def show(name: str, **options: Any) -> None:
    """Parameters, key, price, limits and seeds of adapter NAME."""
    from blackbox_conformal.errors import AdapterError
    from blackbox_conformal.plugins import describe

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    found = describe(name)
    if found.get("error"):
        raise AdapterError(f"adapter {name} does not load: {found['error']}")
    capabilities = found["capabilities"]
    screen.say(
        summary(
            {
                "adapter": f"{found['name']} (from {found['origin']})",
                "key": found["auth_variable"] or "none needed",
                "price": _price(found),
                "seed": "taken" if capabilities["seedable"] else "not taken: draws differ only if the vendor varies",
                "scale": ", ".join(f"×{scale}" for scale in capabilities["scale_factors"]),
                "checked": found["evidence"],
                "documentation": found["documentation"] or "none",
            }
        )
    )
    screen.table(
        "Parameters (-p KEY=VALUE)",
        ["key", "type", "default", "meaning"],
        [[one["name"], one["type"], str(one["default"]), one["help"]] for one in found["parameters"]],
    )
    screen.data(found)


@command.command("check")
@click.argument("name")
@shared.output
def check(name: str, **options: Any) -> None:
    """Run the contract tests of adapter NAME against the fault server."""
    from blackbox_conformal.errors import CheckFailedError
    from blackbox_conformal.testing.contract import check_adapter

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    results = check_adapter(name)
    screen.table(
        f"Contract of {name}",
        ["check", "result", "detail"],
        [[one.name, "passed" if one.passed else "FAILED", one.detail] for one in results],
    )
    screen.data([{"check": one.name, "passed": one.passed, "detail": one.detail} for one in results])
    failed = [one.name for one in results if not one.passed]
    if failed:
        raise CheckFailedError(f"adapter {name} breaks its contract: {', '.join(failed)}")


def _price(described: dict[str, Any]) -> str:
    price = described["capabilities"]["price"]
    if price is None:
        return "unknown"
    return "free" if float(price["high_usd"]) == 0 else money(price["low_usd"], price["high_usd"])
