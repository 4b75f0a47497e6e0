"""`adapters check`: whether an adapter keeps the contract."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import from_options, values
from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.consent import Consent, way_of_key
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.support.text import file_stem

if TYPE_CHECKING:
    from blackbox_conformal.testing.static_contract import CheckResult
    from blackbox_conformal.vendor.example import Example


@click.group("adapters", cls=Group)
def command() -> None:
    """Try an adapter of your own; `list adapters` shows those there are."""


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
        screen.say(f"key: {way_of_key(name, values.vendor_parameters(parameters))}")
    adapter = describe(name)
    if adapter["error"] is None and adapter["capabilities"]["local"]:
        raise UsageError(
            f"adapter {name} reads this machine's disk and makes no request, so there is no contract to check"
        )
    results: Sequence[CheckResult]
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


def _check_live(screen: Screen, options: CheckOptions) -> "list[CheckResult]":
    from blackbox_conformal.study.job import Job
    from blackbox_conformal.testing.live_check import check_live, prepare_check

    vendor = shared.VendorOptions.of(options.name, options.parameters, options.scale)
    adapter = from_options.open_vendor(vendor)
    picture = None if options.image is None else Path(options.image)
    setup, prepared = prepare_check(adapter, picture=picture, scale=options.scale, seed=options.seed or 0)
    run = Path(options.run or Path("runs") / f"check-{file_stem(adapter.name)}")
    consent = Consent(screen, options, fresh=True)
    with from_options.job_terms(screen, options, run, consent) as terms:
        job = Job(setup, [prepared], terms)
        job.confirm()
        if job.estimate().calls == 0:
            screen.note(f"nothing is bought: these draws are paid for already, in {run}; --run {run}-2 buys new ones")
        return check_live(job)


def _example(name: str, parameters: tuple[str, ...]) -> "Example | None":
    # An adapter's example may depend on its parameters.
    from blackbox_conformal.study.plugins import adapter_class, load_adapter
    from blackbox_conformal.vendor.example import example_of

    typed, kind = values.vendor_parameters(parameters), adapter_class(name)
    example: Example | None = example_of(kind)
    if hasattr(kind, "example_exchange"):
        example = load_adapter(name, **typed).example_exchange()  # type: ignore[attr-defined]
    if example is None:
        return None
    # Built once with all parameters, so that a wrong one is refused before anything is played.
    load_adapter(name, **{**example.parameters, **typed})
    named = {key: value for key, value in typed.items() if key != example.address}
    return replace(example, parameters={**example.parameters, **named})
