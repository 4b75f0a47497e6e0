"""`adapters`: which vendors there are, what one takes, and whether one keeps the contract."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.command_groups import Group
from blackbox_conformal.cli.console import Screen, default_text, money, summary

if TYPE_CHECKING:
    from blackbox_conformal.example import Example
    from blackbox_conformal.pipeline.live_check import Finding
    from blackbox_conformal.testing.contract import CheckResult

EVIDENCE = {
    "openapi": "against the vendor's own OpenAPI document",
    "real-server": "against the vendor's own server software",
    "own-software": "against software of this package; there is no vendor to it",
    "documents": "against documents and examples only, never against a server",
}


@click.group("adapters", cls=Group)
def command() -> None:
    """The vendors that can be drawn from."""


@command.command("list")
@shared.output
def list_adapters(**options: Any) -> None:
    """Every adapter, the variable of its key, price, seed, how it was checked; a broken one with its error."""
    from blackbox_conformal.plugins import adapter_names, describe

    screen = _screen(options)
    found = [describe(name) for name in adapter_names()]
    rows = [("name", "key from", "price of a draw", "seed", "checked against")]
    for one in found:
        if one.get("error"):
            rows.append((one["name"], "", "", "", f"broken: {one['error']}"))
        else:
            capabilities = one["capabilities"]
            seed = "yes" if capabilities["seedable"] else "never varies" if capabilities["deterministic"] else "no"
            rows.append((one["name"], _key(one), _price(one), seed, one["evidence"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        screen.say("  ".join(cells).rstrip())
    screen.say(
        "\nPrices and seeds are those of the default parameters, where a model must be named those of an example; "
        "`adapters show NAME` tells more."
    )
    screen.data(found)


@command.command("show")
@click.argument("name")
@shared.option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="Vendor parameter, such as recipe=FILE.")
@shared.output
def show(name: str, parameters: tuple[str, ...], **options: Any) -> None:
    """What adapter NAME is for; its parameters, key, price, limits and seeds. With -p: where its key would go."""
    from blackbox_conformal.errors import AdapterError
    from blackbox_conformal.plugins import describe

    screen = _screen(options)
    found = describe(name)
    if found.get("error"):
        raise AdapterError(f"adapter {name} does not load: {found['error']}")
    where = _way_of_key(name, parameters)
    required = [one["name"] for one in found["parameters"] if one["required"]]
    capabilities = found["capabilities"]
    screen.say(f"{found['summary'].replace('``', '`')}\n")
    screen.say(
        summary(
            {
                "adapter": f"{found['name']} (from {found['origin']})",
                "key": where
                or (_key(found) if found["auth_variable"] is None else f"environment variable {_key(found)}"),
                "price": _price(found) + (": give price-usd, or --yes" if capabilities["price"] is None else ""),
                "seed": _seed(capabilities),
                "scale": ", ".join(f"×{scale}" for scale in capabilities["scale_factors"]),
                "limits": _limits(capabilities),
                "checked": EVIDENCE.get(found["evidence"], found["evidence"]),
                "not known": "; ".join(found["uncertain"]) or "nothing that was looked for",
                "documentation": found["documentation"] or "none",
            }
        )
    )
    if required:
        screen.say(f"  Price, seed, scale and limits are those of an example: they depend on {', '.join(required)}.")
    screen.say("\nParameters (-p KEY=VALUE); those marked * may change without a new calibration:")
    for one in found["parameters"]:
        default = "required" if one["required"] else default_text(one["default"])
        mark = "" if one["identifies"] else " *"
        screen.say(f"  {one['name']}{mark}  ({one['type']}, {default})\n      {one['help']}")
    screen.data(found)


@command.command("check")
@click.argument("name")
@shared.option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="Vendor parameter, such as recipe=FILE.")
@click.option("--live", is_flag=True, help="Draw twice from the vendor itself, which costs money.")
@click.option("--image", type=click.Path(exists=True, dir_okay=False), help="With --live: the picture to send.")
@click.option("--scale", type=click.IntRange(1, 16), help="With --live: magnification; the vendor's ×4 by default.")
@shared.seed
@shared.spending
@shared.output
def check(name: str, parameters: tuple[str, ...], **options: Any) -> None:
    """Replay the example of adapter NAME (`recipe -p recipe=FILE`: your recipe) on a server that misbehaves.

    Nothing leaves this machine, and no key is needed. With --live one small picture is sent to the vendor itself,
    twice, and what comes back is compared with what the adapter says: size, content, variety, price, model. All other
    options belong to --live; its run folder is runs/check-NAME.
    """
    from blackbox_conformal.cli.check_live import look_live
    from blackbox_conformal.errors import CheckFailedError, UsageError
    from blackbox_conformal.plugins import describe
    from blackbox_conformal.testing.contract import check_adapter

    screen = _screen(options)
    if parameters:
        screen.say(f"key: {_way_of_key(name, parameters)}")
    if describe(name)["error"] is None and describe(name)["capabilities"]["local"]:
        raise UsageError(
            f"adapter {name} reads this machine's disk and makes no request, so there is no contract to check"
        )
    results: Sequence[CheckResult | Finding]
    if options["live"]:
        results = look_live(screen, name, parameters, options)
    elif options["image"] or options["scale"]:
        raise UsageError("expected --image and --scale together with --live: without it nothing is sent to the vendor")
    else:
        results = check_adapter(name, _example(name, parameters) if parameters else None)
    for one in results:
        screen.say(f"  {'passed' if one.passed else 'FAILED'}  {one.name}{f': {one.detail}' if one.detail else ''}")
    failed = [one.name for one in results if not one.passed]
    screen.say(f"{name}: {len(results) - len(failed)} of {len(results)} checks passed")
    screen.data([{"check": one.name, "passed": one.passed, "detail": one.detail} for one in results])
    if failed:
        broken = "is not what its vendor does" if options["live"] else "breaks its contract"
        raise CheckFailedError(f"adapter {name} {broken}: {', '.join(failed)}")


def _screen(options: dict[str, Any]) -> Screen:
    return Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])


def _example(name: str, parameters: tuple[str, ...]) -> "Example | None":
    """The example to replay with these parameters: an adapter's own, which may depend on them, or its module's."""
    from dataclasses import replace

    from blackbox_conformal.cli.session import vendor_parameters
    from blackbox_conformal.example import example_of
    from blackbox_conformal.plugins import adapter_class, load_adapter

    given, kind = vendor_parameters(parameters), adapter_class(name)
    example: Example | None = example_of(kind)
    if hasattr(kind, "example_exchange"):
        example = load_adapter(name, **given).example_exchange()  # type: ignore[attr-defined]
    if example is None:
        return None
    load_adapter(name, **{**example.parameters, **given})
    named = {key.replace("-", "_"): value for key, value in given.items() if key != example.address}
    return replace(example, parameters={**example.parameters, **named})


def _way_of_key(name: str, parameters: tuple[str, ...]) -> str:
    """Which key goes where with these parameters, and the example's where one is required; empty without any."""
    from blackbox_conformal.cli.keys import destination
    from blackbox_conformal.cli.session import vendor_parameters
    from blackbox_conformal.example import example_of
    from blackbox_conformal.plugins import adapter_class, load_adapter

    if not parameters:
        return ""
    kind, given = adapter_class(name), vendor_parameters(parameters)
    example = example_of(kind)
    known = {} if example is None else {**example.parameters, example.address: "http://127.0.0.1:9"}
    lacking = {key: known[key] for key, field in kind.model_fields.items() if field.is_required() and key in known}
    adapter = load_adapter(name, **{**lacking, **given})
    where = destination(adapter)
    if where is None:
        return "none is sent"
    elsewhere = example is not None and example.address in lacking.keys() - given.keys()
    return f"environment variable {adapter.key_variable}, sent to {'the address given' if elsewhere else where.text}"


def _key(described: dict[str, Any]) -> str:
    if described["auth_variable"] is None:
        told = any(one["name"] == "recipe" for one in described["parameters"])
        return "the recipe names it" if told else "no key"
    switch = next((one for one in described["parameters"] if one["name"] == "authenticate"), None)
    optional = switch is not None and switch["default"] is False
    return str(described["auth_variable"]) + (" (with authenticate=true)" if optional else "")


def _seed(capabilities: dict[str, Any]) -> str:
    if capabilities["deterministic"]:
        return "none, and equal requests have equal answers: calibrate with --perturb dihedral"
    if not capabilities["seedable"]:
        return "not taken: draws differ only if the vendor varies; if not, add --perturb dihedral"
    return "a fresh one for each draw" + (
        "; without one the vendor would answer from a fixed one" if capabilities["default_seed_hazard"] else ""
    )


def _limits(capabilities: dict[str, Any]) -> str:
    named = {
        "min_side": "sides of at least {:,} px",
        "max_side": "sides of at most {:,} px",
        "max_input_pixels": "input of at most {:,} px",
        "max_output_pixels": "output of at most {:,} px",
        "max_upload_bytes": "upload of at most {:,} bytes",
    }
    return "; ".join(text.format(capabilities[key]) for key, text in named.items() if capabilities.get(key)) or "none"


def _price(described: dict[str, Any]) -> str:
    price = described["capabilities"]["price"]
    if price is None:
        return "unknown"
    return "free" if float(price["high_usd"]) == 0 else money(price["low_usd"], price["high_usd"])
