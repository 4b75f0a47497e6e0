"""`adapters`: which vendors there are, what one takes, and whether one keeps the contract."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import from_options, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.consent import Consent
from blackbox_conformal.cli.console import Screen, default_text
from blackbox_conformal.cli.interrupts import listening
from blackbox_conformal.cli.keys import destinations
from blackbox_conformal.errors import AdapterError, CheckFailedError, UsageError
from blackbox_conformal.support.text import dollars, file_stem, money

if TYPE_CHECKING:
    from blackbox_conformal.testing.contract import CheckResult
    from blackbox_conformal.testing.live_check import Finding
    from blackbox_conformal.vendor.example import Example

EVIDENCE = {
    "openapi": "against the vendor's own OpenAPI document",
    "real-server": "against the vendor's own server software",
    "client": "against the vendor's own client",
    "own-software": "against software of this package; there is no vendor to it",
    "documents": "against documents and examples only, never against a server",
}

CHOICE_LEGEND = """
key       (in parentheses): sent only with the options that `adapters show NAME` names
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

`adapters show NAME -p KEY=VALUE` tells the figures with your parameters.
"""


@click.group("adapters", cls=shared.Group)
def command() -> None:
    """List, show and check the adapters, one for each vendor."""


@command.command("list")
@shared.output
def list_adapters(screen: Screen) -> None:
    """Every adapter: key, price, draws, how it was checked, limits, failures; a broken one with its error."""
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
    screen.next("adapters", "show", "NAME")
    screen.data(adapters)


@command.command("show")
@click.argument("name")
@shared.option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="Vendor parameter, such as recipe=FILE.")
@shared.output
def show(screen: Screen, name: str, parameters: tuple[str, ...]) -> None:
    """What adapter NAME is for, its parameters, and with those of -p: price, limits, seeds, where its key goes."""
    from blackbox_conformal.study.plugins import describe

    adapter = describe(name, from_options.vendor_parameters(parameters))
    if adapter["error"]:
        raise AdapterError(f"adapter {name} does not load: {adapter['error']}")
    capabilities = adapter["capabilities"]
    variable = _key(adapter) if adapter["auth_variable"] is None else f"environment variable {_key(adapter)}"
    screen.say(f"{adapter['summary'].replace('``', '`')}\n")
    screen.summary(
        {
            "adapter": adapter["name"] + (f" (from {adapter['origin']})" if adapter["origin"] else ""),
            "key": _way_of_key(name, parameters) or variable,
            "price": _price(adapter) + _price_rule(adapter),
            "seed": _seed(capabilities),
            "scale": ", ".join(f"×{scale}" for scale in capabilities["scale_factors"]),
            "inputs": f"made by {capabilities['degradation']}, unless --degradation says how",
            "limits": _limits(capabilities),
            "rates": _rates(capabilities) or "none documented",
            "at once": _at_once(capabilities),
            "failures": _failures(capabilities),
            "late jobs": _late_jobs(adapter),
            "checked": EVIDENCE.get(adapter["evidence"], adapter["evidence"]),
            "not known": "; ".join(adapter["uncertain"]) or "nothing that was looked for",
            "documentation": adapter["documentation"] or "none",
        }
        | ({"retired": f"{capabilities['retired']}: nothing is drawn any more"} if capabilities["retired"] else {})
    )
    if adapter["assumed"]:
        screen.say(_assumption(adapter["assumed"]))
    screen.say("\nParameters (-p KEY=VALUE); those marked * may change without a new calibration:")
    for parameter in adapter["parameters"]:
        default = "required" if parameter["required"] else default_text(parameter["default"])
        mark = "" if parameter["identifies"] else " *"
        screen.say(f"  {parameter['name']}{mark}  ({parameter['type']}, {default})\n      {parameter['help']}")
    screen.next("plan", "photographs/", "--adapter", name)
    screen.data(adapter)


@dataclass(frozen=True, kw_only=True)
class CheckOptions(shared.SpendingOptions):
    """What `adapters check` is given."""

    name: str = shared.arguments(nargs=1)
    parameters: tuple[str, ...] = shared.declared(
        "-p", multiple=True, metavar="KEY=VALUE", help="Vendor parameter, such as recipe=FILE."
    )
    live: bool = shared.flag("--live", is_flag=True, help="Draw twice from the vendor itself, which costs money.")
    image: str | None = shared.flag("--image", type=shared.FILE, help="With --live: the picture to send.")
    scale: int | None = shared.flag(
        "--scale",
        type=values.whole(1, 16),
        help="With --live: magnification.  [default: the vendor's, ×4 if it has several]",
    )
    seed: int | None = shared.setting()


@command.command("check")
@shared.takes(CheckOptions)
def check(screen: Screen, options: CheckOptions) -> None:
    """Replay the example of adapter NAME (`recipe -p recipe=FILE`: your recipe) on a server that misbehaves.

    What the adapter says of its vendor is tried out, too: failures, pauses, rates, costs, limits of size, cancelling.
    Nothing leaves this machine, and no key is needed. With --live one small picture is sent to the vendor itself,
    twice, and what comes back is compared with what the adapter says: size, content, variety, price, model. All other
    options belong to --live; its run folder is runs/check-NAME.
    """
    from blackbox_conformal.study.plugins import describe
    from blackbox_conformal.testing.contract import check_adapter

    name, parameters = options.name, options.parameters
    if parameters:
        screen.say(f"key: {_way_of_key(name, parameters)}")
    adapter = describe(name)
    if adapter["error"] is None and adapter["capabilities"]["local"]:
        raise UsageError(
            f"adapter {name} reads this machine's disk and makes no request, so there is no contract to check"
        )
    results: Sequence[CheckResult | Finding]
    if options.live:
        results = _check_live(screen, options)
    elif options.image or options.scale:
        raise UsageError("expected --image and --scale together with --live: without it nothing is sent to the vendor")
    else:
        results = check_adapter(name, _example(name, parameters) if parameters else None)
    for result in results:
        detail = f": {result.detail}" if result.detail else ""
        screen.say(f"  {'passed' if result.passed else 'FAILED'}  {result.name}{detail}")
    failed = [result.name for result in results if not result.passed]
    screen.say(f"{name}: {len(results) - len(failed)} of {len(results)} checks passed")
    if not failed:
        given = [word for parameter in parameters for word in ("-p", parameter)]
        screen.next("plan", "photographs/", "--adapter", name, *given)
    screen.data([{"check": result.name, "passed": result.passed, "detail": result.detail} for result in results])
    if failed:
        broken = "is not what its vendor does" if options.live else "breaks its contract"
        raise CheckFailedError(f"adapter {name} {broken}: {', '.join(failed)}")


def _check_live(screen: Screen, options: CheckOptions) -> "list[Finding]":
    """The vendor's draws compared with what its adapter says, after a person agreed to their price."""
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.testing.live_check import check_live, prepare_check

    vendor = shared.VendorOptions.of(options.name, options.parameters, options.scale)
    adapter = from_options.open_vendor(vendor)
    picture = None if options.image is None else Path(options.image)
    setup, prepared = prepare_check(adapter, picture=picture, scale=options.scale, seed=options.seed or 0)
    run = Path(options.run or Path("runs") / f"check-{file_stem(adapter.name)}")
    consent = Consent(screen, options, fresh=True)
    with listening(screen) as listeners:
        job = Job(setup, [prepared], from_options.job_terms(options, run, listeners, consent))
        job.confirm()
        if job.estimate().calls == 0:
            screen.note(f"nothing is bought: these draws are paid for already, in {run}; --run {run}-2 buys new ones")
        return check_live(job)


def _example(name: str, parameters: tuple[str, ...]) -> "Example | None":
    """The example to replay with these parameters, on which that of an adapter may depend."""
    from blackbox_conformal.study.plugins import adapter_class, load_adapter
    from blackbox_conformal.vendor.example import example_of

    typed, kind = from_options.vendor_parameters(parameters), adapter_class(name)
    example: Example | None = example_of(kind)
    if hasattr(kind, "example_exchange"):
        example = load_adapter(name, **typed).example_exchange()  # type: ignore[attr-defined]
    if example is None:
        return None
    load_adapter(name, **{**example.parameters, **typed})
    named = {key: value for key, value in typed.items() if key != example.address}
    return replace(example, parameters={**example.parameters, **named})


def _way_of_key(name: str, parameters: tuple[str, ...]) -> str:
    """Which key goes where with these parameters, completed from the example; empty without parameters."""
    from blackbox_conformal.study.plugins import adapter_class, assumed_parameters, load_adapter
    from blackbox_conformal.vendor.example import example_of

    if not parameters:
        return ""
    kind, typed = adapter_class(name), from_options.vendor_parameters(parameters)
    example, assumed = example_of(kind), assumed_parameters(kind, typed)
    adapter = load_adapter(name, **{**assumed, **typed})
    if not destinations(adapter):
        return "none is sent"
    unnamed = example is not None and example.address in assumed
    places = "the address given" if unnamed else " and ".join(origin.text for origin in destinations(adapter))
    return f"environment variable {adapter.key_variable}, sent to {places}"


def _key(described: dict[str, Any]) -> str:
    if described["auth_variable"] is None:
        own = any(parameter["name"] == "recipe" for parameter in described["parameters"])
        return "the recipe names it" if own else "no key"
    options = described["key_options"]
    return str(described["auth_variable"]) + (f" (sent with {options})" if options else "")


def _seed(capabilities: dict[str, Any]) -> str:
    if capabilities["deterministic"]:
        return "none, and equal requests have equal answers: several draws need --perturbation dihedral"
    if not capabilities["seedable"]:
        return "not taken: draws differ only if the vendor varies; if not, several need --perturbation dihedral"
    return "a fresh one for each draw" + (
        "; without one the vendor would answer from a fixed one" if capabilities["default_seed_hazard"] else ""
    )


def _limits(capabilities: dict[str, Any]) -> str:
    named = {
        "min_side": "sides of at least {:,} px",
        "max_side": "sides of at most {:,} px",
        "max_input_pixels": "input of at most {:,} px",
        "max_output_pixels": "output of at most {:,} px",
        "min_output_side": "sides of at least {:,} px back",
        "max_output_side": "sides of at most {:,} px back",
        "max_aspect": "one side at most {:g} times the other",
        "max_upload_bytes": "upload of at most {:,} bytes",
    }
    return "; ".join(text.format(capabilities[key]) for key, text in named.items() if capabilities.get(key)) or "none"


def _rates(capabilities: dict[str, Any], most: int | None = None) -> str:
    """The declared rates; the first `most` of them where a table has room for no more."""
    from blackbox_conformal.vendor.rates import Rate

    rates = [str(Rate(**rate)) for rate in capabilities["rates"]]
    return ", ".join(rates if most is None or len(rates) <= most else [*rates[:most], "…"])


def _at_once(capabilities: dict[str, Any]) -> str:
    most = capabilities["max_concurrency"]
    return "no limit documented" if most is None else f"{most} draw{'s' * (most > 1)}"


def _failures(capabilities: dict[str, Any]) -> str:
    if not capabilities["transient_known"]:
        named = "the vendor's documents do not tell its own from refusals"
    else:
        named = "the vendor's documents name its own, and such a draw is asked for again"
    return named + ("" if capabilities["failures_billed"] else "; they are not billed")


def _late_jobs(described: dict[str, Any]) -> str:
    if described["jobs"] is False:
        return "none: the vendor answers at once"
    if described["capabilities"]["cancels"]:
        return "cancelled"
    return "left to the vendor, and looked for by the next run"


def _assumption(assumed: dict[str, Any]) -> str:
    """What the figures are those of, where a required parameter is not given."""
    shown = ", ".join(key if Path(str(value)).is_absolute() else f"{key}={value}" for key, value in assumed.items())
    give = " ".join(f"-p {key.replace('_', '-')}=…" for key in assumed)
    return f"  These figures are those of an example ({shown}). Add {give} to see your own."


def _choice(described: dict[str, Any]) -> tuple[str, ...]:
    """A row of the list for who chooses an adapter."""
    capabilities, variable = described["capabilities"], described["auth_variable"]
    draws = "seeded" if capabilities["seedable"] else "equal" if capabilities["deterministic"] else "vary"
    return (
        described["name"],
        f"({variable})" if described["key_options"] else _key(described),
        _listed_price(described),
        "model" if described["seeds_by_model"] else draws,
        described["evidence"],
    )


def _behaviour(described: dict[str, Any]) -> tuple[str, ...]:
    """A row of the list for who is about to draw."""
    capabilities = described["capabilities"]
    named = "named" if capabilities["transient_known"] else "not named"
    return (
        described["name"],
        str(capabilities["max_concurrency"] or "–"),
        _rates(capabilities, 2) or "–",
        named + ("" if capabilities["failures_billed"] else ", not billed"),
        {True: "cancelled" if capabilities["cancels"] else "left", False: "no jobs", None: "–"}[described["jobs"]],
    )


def _listed_price(described: dict[str, Any]) -> str:
    """The price in few letters; a star: that of an example's model."""
    price = described["capabilities"]["price"]
    if price is None or float(price["high_usd"]) == 0:
        return _price(described)
    high = "" if price["low_usd"] == price["high_usd"] else "–" + dollars(price["high_usd"]).removeprefix("$")
    return f"{dollars(price['low_usd'])}{high}{' by size' * price['by_size']}{' *' * bool(described['assumed'])}"


def _price(described: dict[str, Any]) -> str:
    price = described["capabilities"]["price"]
    if price is None:
        return "unknown"
    if float(price["high_usd"]) == 0:
        return "free"
    return money(price["low_usd"], price["high_usd"])


def _price_rule(described: dict[str, Any]) -> str:
    """What the price depends on, where it was read, and what to do where there is none."""
    price = described["capabilities"]["price"]
    if price is None:
        given = any(parameter["name"] == "price-usd" for parameter in described["parameters"])
        stated = "give -p price-usd=… with your vendor's price to limit the cost, or " if given else "give "
        return f": {stated}--max-calls to limit the calls"
    if float(price["high_usd"]) == 0:
        return ""
    read = f"{price['source']}{', read on ' + price['read_on'] if price['read_on'] else ''}"
    return f"{', ' + price['rule'] if price['rule'] else ''} ({read})"
