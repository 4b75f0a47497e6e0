"""`plan`: what a calibration would cost before a cent is spent."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen, money, summary

if TYPE_CHECKING:
    from blackbox_conformal.guarantees.guarantee import Guarantee
    from blackbox_conformal.pipeline.planning import Plan
    from blackbox_conformal.pipeline.stages.prepare import Prepared
    from blackbox_conformal.pipeline.stages.settings import Setup


@click.command("plan")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True))
@shared.procedure
@shared.guarantee
@shared.alpha
@shared.spending
@shared.option("--quote", is_flag=True, help="Ask the vendor for its price, free of charge, instead of its price list.")
@shared.memory
@shared.output
def command(images: tuple[str, ...], **options: Any) -> None:
    """Calls, price, time, disk, memory and reachable levels of calibrating on IMAGES. Spends nothing.

    Nothing is sent either, unless --quote asks the vendor itself, which needs its key.
    """
    from blackbox_conformal.cli import session
    from blackbox_conformal.images.photographs import find_photographs
    from blackbox_conformal.pipeline.stages.memory import refuse_large
    from blackbox_conformal.pipeline.stages.prepare import prepare_photographs
    from blackbox_conformal.pipeline.stages.settings import member

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    setup = session.build_setup(options)
    rule = member("guarantees", options["guarantee"] or "expected")
    if options["alpha"] is not None:
        rule.check_level(options["alpha"], rule.loss_bound(setup.metric.bound))
    paths = [one.path for one in find_photographs([Path(image) for image in images])]
    with screen.progress():
        refuse_large(paths, options["memory"])
        pictures = prepare_photographs(paths, setup, screen.step, memory_bytes=options["memory"])
        quoted = _asked(screen, setup, pictures, options) if options["quote"] else None
    present(screen, setup, pictures, rule, session.folder_of(options, setup.procedure), options, quoted)


def _asked(
    screen: Screen, setup: "Setup", pictures: "Sequence[Prepared]", options: dict[str, Any]
) -> dict[tuple[int, int], Decimal]:
    from blackbox_conformal.cli import session
    from blackbox_conformal.cli.keys import confirm_keys
    from blackbox_conformal.pipeline.prices.quotes import ask_quotes

    confirm_keys(screen, [setup.adapter], options)
    uploads = [task.upload for picture in pictures for task in picture.tasks]
    return ask_quotes(setup.adapter, uploads, session.build_limits(options), screen.step)


def present(
    screen: Screen,
    setup: "Setup",
    pictures: "Sequence[Prepared]",
    rule: "Guarantee",
    run: Path,
    options: dict[str, Any],
    quoted: Mapping[tuple[int, int], Decimal] | None = None,
) -> None:
    """Plan the calibration, at the prices that the vendor quoted or else by its price list, and show what was found."""
    from blackbox_conformal.cli import consent, next_steps, session
    from blackbox_conformal.guarantees.guarantee import number_in_words
    from blackbox_conformal.pipeline.job import Job
    from blackbox_conformal.pipeline.planning import plan
    from blackbox_conformal.pipeline.prices.budget import missing_key

    limits = session.build_limits(options)
    found = plan(setup, pictures, rule, run=run, limits=limits, alpha=options["alpha"], quoted=quoted)
    found = Job(setup, pictures, run, limits).with_second(found)
    show_plan(screen, found, _pace(found, run, limits.first_workers))
    if options["alpha"] is not None:
        short = found.needed_n[f"{options['alpha']:g}"] - found.n
        if short > 0:
            missing = "1 photograph is" if short == 1 else f"{number_in_words(short)} photographs are"
            screen.say(f"alpha={options['alpha']:g} is out of reach: {missing} missing")
    tasks = [task for picture in pictures for task in picture.tasks]
    if found.calls:
        trouble = missing_key(setup.adapter, tasks[0])
        if trouble is not None:
            screen.note(f"note: {trouble}")
        found_elsewhere = consent.elsewhere(screen, setup.adapter, tasks, run)
        if found_elsewhere is not None:
            screen.note(f"note: {found_elsewhere}")
    # A limit covers the draws that are stored as well, and what they cost is not part of the estimate.
    highest = None if found.cost_usd is None or found.cached else found.cost_usd[1]
    words = next_steps.calibrate_as_planned(highest)
    screen.say(next_steps.next_command(*words))


def _pace(found: "Plan", run: Path, workers: int) -> tuple[float, str] | None:
    """Seconds that the calls will take and where that is from; None when nothing is known."""
    from blackbox_conformal.pipeline.prices.spending import read_spending

    if found.seconds is not None:
        return found.seconds, "at the allowed rate"
    earlier = read_spending(run)
    if found.calls == 0:
        return 0.0, "nothing is to be drawn"
    if earlier is None or earlier.latency is None:
        return None
    seconds = found.calls * earlier.latency.median / workers
    return seconds, f"as {earlier.latency.count} earlier draws took, {workers} at a time"


def show_plan(screen: Screen, found: "Plan", pace: tuple[float, str] | None) -> None:
    """The plan for people and for scripts."""
    from blackbox_conformal.guarantees.guarantee import number_in_words

    screen.say(
        summary(
            {
                "photographs": f"{found.n}, {found.draws} draws each",
                "calls": f"{found.calls} to make, {found.cached} draws stored",
                "price": _price(found),
                "time": "unknown" if pace is None else f"about {pace[0]:.0f} s, {pace[1]}",
                "disk, memory": f"{found.disk_bytes / 2**20:.0f} MiB, {found.memory_bytes / 2**20:.0f} MiB",
                "reachable alpha": f"{found.reachable_alpha:.4g} with these {found.n} photographs",
            }
        )
    )
    screen.table(
        "Fewest photographs for a level",
        ["alpha", "photographs", "missing", "price of the missing"],
        [
            [level, number_in_words(count) if count else "any", number_in_words(more), _more(found, more)]
            for level, count, more in (
                (level, count, max(0, count - found.n)) for level, count in found.needed_n.items()
            )
        ],
    )
    screen.data(
        {
            "n": found.n,
            "draws": found.draws,
            "calls": found.calls,
            "cached": found.cached,
            "cost_usd": None if found.cost_usd is None else [float(amount) for amount in found.cost_usd],
            "seconds": None if pace is None else round(pace[0], 1),
            "disk_bytes": found.disk_bytes,
            "memory_bytes": found.memory_bytes,
            "reachable_alpha": found.reachable_alpha,
            "needed_n": found.needed_n,
            "price_source": found.price_source,
            "usd_a_photograph": None
            if found.usd_a_photograph is None
            else [float(amount) for amount in found.usd_a_photograph],
        }
    )


def _price(found: "Plan") -> str:
    """The price, and where it is from."""
    if found.cost_usd is None:
        return "unknown: give -p price-usd=…"
    return money(*found.cost_usd) + (f" ({found.price_source})" if found.price_source else "")


def _more(found: "Plan", photographs: int) -> str:
    """What so many photographs more would cost."""
    if found.usd_a_photograph is None:
        return "unknown"
    low, high = found.usd_a_photograph
    return money(low * photographs, high * photographs)
