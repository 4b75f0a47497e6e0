"""`plan`: what a calibration would cost before a cent is spent."""

from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, money, summary


@click.command("plan")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True))
@shared.procedure
@shared.guarantee
@shared.alpha
@shared.spending
@shared.output
def command(images: tuple[str, ...], **options: Any) -> None:
    """Calls, price, time, disk, memory and reachable levels of calibrating on IMAGES. Spends nothing."""
    from blackbox_conformal.cli import session
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.plan import PLANNED_LEVELS, plan
    from blackbox_conformal.pipeline.prepare import prepare_photographs
    from blackbox_conformal.pipeline.settings import member

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    setup = session.build_setup(options)
    rule = member("guarantees", options["guarantee"] or "expected")
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    with screen.progress():
        pictures = prepare_photographs(paths, setup, options["seed"], screen.step)
    levels = sorted({*PLANNED_LEVELS, *([options["alpha"]] if options["alpha"] else [])})
    found = plan(
        setup,
        pictures,
        rule,
        run=session.folder_of(options, setup.procedure),
        limits=session.build_limits(options),
        levels=levels,
    )
    show_plan(screen, found)


def show_plan(screen: Screen, found: Any) -> None:
    """The plan for people and for scripts."""
    screen.say(
        summary(
            {
                "photographs": f"{found.n}, {found.draws} draws each",
                "calls": f"{found.calls} to make, {found.cached} draws stored",
                "price": "unknown: give -p price_usd=…" if found.cost_usd is None else money(*found.cost_usd),
                "time": "unknown" if found.seconds is None else f"about {found.seconds:.0f} s at the allowed rate",
                "disk, memory": f"{found.disk_bytes / 2**20:.0f} MiB, {found.memory_bytes / 2**20:.0f} MiB",
                "reachable alpha": f"{found.reachable_alpha:.4g} with these {found.n} photographs",
            }
        )
    )
    screen.table(
        "Fewest photographs for a level",
        ["alpha", "photographs", "missing", "their price"],
        [
            [level, str(count), str(max(0, count - found.n)), _more(found, max(0, count - found.n))]
            for level, count in found.needed_n.items()
        ],
    )
    screen.data(
        {
            "n": found.n,
            "draws": found.draws,
            "calls": found.calls,
            "cached": found.cached,
            "cost_usd": None if found.cost_usd is None else [float(amount) for amount in found.cost_usd],
            "seconds": found.seconds,
            "disk_bytes": found.disk_bytes,
            "memory_bytes": found.memory_bytes,
            "reachable_alpha": found.reachable_alpha,
            "needed_n": found.needed_n,
            "usd_a_photograph": None
            if found.usd_a_photograph is None
            else [float(amount) for amount in found.usd_a_photograph],
        }
    )


def _more(found: Any, photographs: int) -> str:
    """What so many photographs more would cost."""
    if found.usd_a_photograph is None:
        return "unknown"
    low, high = found.usd_a_photograph
    return money(low * photographs, high * photographs)
