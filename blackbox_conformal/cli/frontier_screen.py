"""What `plan` shows of promises, levels and prices and of the shares that they are expected to trust."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from blackbox_conformal.cli.console import Screen, expected, money, spent
from blackbox_conformal.text import counted

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.frontier_parts.frontier import Frontier
    from blackbox_conformal.pipeline.frontier_parts.rows import Row, Wish
    from blackbox_conformal.pipeline.planning import Plan

MARK = "*"
"""Beside the number of draws where the delivered picture is made consistent with its input."""


class Wished(Protocol):
    """Options that say what rows must keep."""

    @property
    def alpha(self) -> float | None:
        """The level."""

    @property
    def want_share(self) -> float | None:
        """The least trusted share."""

    @property
    def max_cost(self) -> Decimal | None:
        """The highest price."""


def wish_of(options: Wished) -> "Wish | None":
    """What the options wish for; None where they wish for nothing."""
    from blackbox_conformal.pipeline.frontier_parts.rows import Wish

    wish = Wish(alpha=options.alpha, share=options.want_share, usd=options.max_cost)
    return None if wish == Wish() else wish


def show(screen: Screen, frontier: "Frontier", number: int) -> None:
    """The rows, and what they rest on, for people; there are `number` photographs, and a row says how many it lacks."""
    if not frontier.rows:
        screen.say(f"Expected trusted shares: {_none(frontier)}")
    else:
        screen.table(
            "Expected trusted shares",
            ["promise", "alpha", "n", "draws", "calls", "price", "trusted share"],
            [_cells(row, number) for row in frontier.rows],
        )
        screen.say("\n".join(_notes(frontier, number)))
    if frontier.pilot is not None:
        pilot = frontier.pilot
        screen.say(
            f"The pilot: {pilot.calls} calls made, {pilot.cached} draws were stored, {spent(pilot.cost_usd)}. Its "
            f"{pilot.photographs} photographs do not calibrate, so choose promise, level and n as you like."
        )


def _none(frontier: "Frontier") -> str:
    """Why there is no row, and what to do."""
    if frontier.measured:
        return (
            f"nothing keeps what is wanted, by {frontier.source}. Raise --max-cost or --alpha, or want a smaller share"
        )
    return f"{frontier.source}. Add --pilot 20 to measure on your own photographs, which costs their draws"


def _cells(row: "Row", number: int) -> list[str]:
    draws = f"{row.draws}{MARK}" if row.way.procedure.delivery != "first" else str(row.draws)
    price = "unknown" if row.usd is None else money(*(_short(usd) for usd in row.usd))
    return [
        row.promise.name,
        f"{row.alpha:g}",
        f"{row.n} +{row.n - number}" if row.n > number else str(row.n),
        draws,
        str(row.calls),
        price,
        expected(row.prospect.share, row.prospect.error),
    ]


def _short(usd: Decimal) -> Decimal:
    """Cents are enough for a table, where there are any."""
    return usd.quantize(Decimal("0.01")) if usd >= Decimal("0.01") else usd.normalize()


def _notes(frontier: "Frontier", number: int) -> list[str]:
    """How to ask for each promise, and where the shares come from."""
    from blackbox_conformal.member_text import specification_text

    options = {}
    for row in frontier.rows:
        words = [f"--{name} {value}" for name, value in _promised(row).items()]
        options[row.promise.name] = " ".join(words) or "the default"
    notes = [f"  {name}: {words}" for name, words in options.items()]
    if any(row.n > number for row in frontier.rows):
        notes.append(f"  +…: out of reach of these {counted(number, 'photograph')}; so many are missing")
    if any("consistent" in row.way.procedure.delivery for row in frontier.rows):
        notes.append(f"  {MARK} --delivery consistent")
    scores = {row.draws: specification_text(row.way.score) for row in frontier.rows}
    notes += [f"  {counted(draws, 'draw')}: --score {score}" for draws, score in sorted(scores.items())]
    if frontier.pilot is not None:
        covered = "In nine cases of ten the share of a calibration lies in the range."
        return [*notes, f"From {frontier.source}. {covered}"]
    covered = "The range spans these kinds of photographs: of a kind that was left out, one share in five lay outside."
    return [
        *notes,
        f"From {frontier.source}. {covered} --pilot 40 --stand-in measures your own photographs at no cost.",
    ]


def _promised(row: "Row") -> dict[str, str]:
    """The options that ask for a row's promise, beside its level."""
    from blackbox_conformal.member_text import specification_text

    options = {} if row.promise.guarantee == "expected" else {"guarantee": row.promise.guarantee}
    if row.promise.cap != row.way.metric.cap:
        metric = row.way.metric.model_copy(update={"cap": row.promise.cap})
        options["metric"] = specification_text(metric)
    return options


def options_to_follow(frontier: "Frontier", planned: "Plan") -> dict[str, str] | None:
    """The options of the row to follow; None where the photographs at hand reach none with the planned draws.

    Of the first promise that they reach, at the usual level or else the smallest, it is the row that trusts most.
    """
    from blackbox_conformal.pipeline.planning import usual_level

    reached = [row for row in frontier.rows if row.n <= planned.n and row.draws == planned.draws]
    if not reached:
        return None
    of_promise = [row for row in reached if row.promise == reached[0].promise]
    usual, levels = usual_level(reached[0].way.metric.capped_bound), {row.alpha for row in of_promise}
    level = usual if usual in levels else min(levels)
    row = max((row for row in of_promise if row.alpha == level), key=lambda row: row.prospect.share)
    delivery = {} if row.way.procedure.delivery == "first" else {"delivery": "consistent"}
    return {**_promised(row), **delivery, "alpha": f"{row.alpha:g}"}


def what_changes(followed: Mapping[str, str], typed: Collection[str]) -> str | None:
    """In words, what the options of a row change beside the level and what was `typed`; None: nothing."""
    changes = {
        "guarantee": "another promise than the default",
        "metric": "another measure of error",
        "delivery": "the delivered picture is made consistent with its input",
    }
    words = [
        f"--{name} {followed[name]} ({change})"
        for name, change in changes.items()
        if name in followed and name not in typed
    ]
    if not words:
        return None
    return f"The next command is that of a row above, so it has {', '.join(words)}. Leave out what you do not want."


def frontier_json(frontier: "Frontier") -> dict[str, Any]:
    """For scripts."""
    pilot = frontier.pilot
    told = None
    if pilot is not None:
        told = {
            "photographs": pilot.photographs,
            "calls": pilot.calls,
            "cached": pilot.cached,
            "cost_usd": float(pilot.cost_usd),
            "stand_in": pilot.stand_in,
        }
    return {
        "frontier": [row.json() for row in frontier.rows],
        "frontier_source": frontier.source,
        **({} if told is None else {"pilot": told}),
    }
