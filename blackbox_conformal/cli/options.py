"""Options that several commands share, and the typed values in which a command receives them."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

import click

from blackbox_conformal.cli.config_file import Configured
from blackbox_conformal.cli.console import Screen

if TYPE_CHECKING:
    from blackbox_conformal.procedure import Delivery, SeedPolicy

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, kw_only=True)
class VendorOptions:
    """Which vendor is asked, and which second one."""

    adapter: str | None
    parameters: tuple[str, ...]
    scale: int | None
    second_adapter: str | None = None
    second_parameters: tuple[str, ...] = ()

    @property
    def typed_parameters(self) -> tuple[str, ...]:
        """All text in which the user may have named an address."""
        return (*self.parameters, *self.second_parameters)


@dataclass(frozen=True, kw_only=True)
class ProcedureOptions(VendorOptions):
    """How a vendor is asked, and what is computed from its draws."""

    draws: int
    score: str | None
    metric: str | None
    delivery: "Delivery"
    perturbation: str | None
    seeds: "SeedPolicy"
    seed: int | None


@dataclass(frozen=True, kw_only=True)
class SpendingOptions:
    """Where draws are kept, what they may cost, and how they are fetched.

    `max_cost` is in US dollars, `timeout` in seconds, `memory` in bytes.
    """

    run: str | None
    max_cost: Decimal | None
    max_calls: int | None
    concurrency: "int | Literal['auto']"
    timeout: float
    retry_ambiguous: bool
    max_resample: int
    insecure_http: bool
    yes: bool
    memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class JobOptions(ProcedureOptions, SpendingOptions):
    """A procedure, and what drawing for it may cost."""


class Money(click.ParamType[Decimal]):
    """A decimal amount of US dollars."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The amount, exact."""
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"expected an amount of US dollars such as 12.50; got {value!r}", param, ctx)
        if not amount.is_finite() or amount < 0:
            self.fail(f"expected an amount of at least 0; got {value!r}", param, ctx)
        return amount


class Level(click.ParamType[float]):
    """A level of at least 0. The guarantee decides whether 0 is a level."""

    name = "alpha"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The level."""
        try:
            level = float(value)
        except ValueError:
            self.fail(f"expected a level such as 0.1; got {value!r}", param, ctx)
        if not 0 <= level < float("inf"):
            self.fail(f"expected a level of at least 0; got {value!r}", param, ctx)
        return level


class Memory(click.ParamType[int]):
    """An amount of memory with its unit; converted to bytes."""

    name = "amount"

    UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        amount = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([MG]i?B)", str(value).strip(), re.IGNORECASE)
        if amount is None:
            self.fail(f"expected an amount with its unit, MB, GB, MiB or GiB, such as 2GB; got {value!r}", param, ctx)
        return int(Decimal(amount[1]) * self.UNITS[amount[2].upper()])


class Workers(click.ParamType["int | str"]):
    """A number of concurrent calls, or `auto`."""

    name = "n|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or ``auto``."""
        if str(value) == "auto":
            return "auto"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"expected a whole number or 'auto'; got {value!r}", param, ctx)
        if not 1 <= number <= 256:
            self.fail(f"expected 1 to 256 or 'auto'; got {value!r}", param, ctx)
        return number


class Group(click.Group):
    """A command that holds others, and lists them with the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One entry for each command, folded where it is long."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _first_sentence(command.help or "")) for name, command in sorted(self.commands.items())]
            )


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


def option(*names: str, **settings: Any) -> Decorator:
    """An option that the environment and the configuration files can set too."""
    return click.option(*names, cls=Configured, **settings)


def together(*decorators: Decorator) -> Decorator:
    """Apply several decorators so that their options appear in this order."""

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def collected(kind: type) -> Decorator:
    """Give a command its screen, and all other values as one `kind`, a dataclass with a field for each of them.

    Stands below `output`.
    """

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(screen: Screen, **values: Any) -> Any:
            return function(screen, kind(**values))

        return called

    return apply


def _with_screen(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*, as_json: bool, quiet: bool, verbose: int, **values: Any) -> Any:
        return function(screen=Screen(as_json=as_json, quiet=quiet, verbose=verbose), **values)

    return called


output = together(
    option("--json", "as_json", is_flag=True, help="One JSON document on stdout; text for people on stderr."),
    option("-q", "--quiet", is_flag=True, help="No progress and no summary."),
    option("-v", "--verbose", count=True, help="-v: events as they happen; -vv: tracebacks too."),
    _with_screen,
)
"""Gives a command a `Screen`, made from these options."""

vendor = together(
    option("--adapter", metavar="NAME", help="The vendor; see `adapters list`."),
    option("-p", "parameters", multiple=True, metavar="KEY=VALUE", help="Vendor parameter; repeatable."),
    option("--scale", type=click.IntRange(1, 16), help="Magnification; the vendor's ×4 by default."),
    option("--second-adapter", metavar="NAME", help="A second vendor, for the score second-opinion."),
    option("--second", "second_parameters", multiple=True, metavar="KEY=VALUE", help="Its parameter; repeatable."),
)

seed = option("--seed", type=int, help="Root of the per-image seeds; a calibration keeps it.  [default: 0]")

procedure = together(
    vendor,
    option("--draws", type=click.IntRange(1, 4096), default=8, show_default=True, help="Draws of each picture."),
    option(
        "--score",
        metavar="NAME[:k=v,…]",
        help="How unsure each pixel is; see `scores list`.  [default: weighted, Gaussian sigma 4]",
    ),
    option(
        "--metric",
        metavar="NAME[:k=v,…]",
        help="The error at each pixel; see `metrics list`.  [default: lab-l1, Gaussian sigma 4]",
    ),
    option(
        "--delivery",
        type=click.Choice(["first", "mean", "medoid"]),
        default="first",
        show_default=True,
        help="Which picture is delivered: the first draw, the mean of all, or the draw nearest to it.",
    ),
    option(
        "--perturb",
        "perturbation",
        metavar="NAME",
        help="Make draws of a vendor that never varies; see `perturbations list`.",
    ),
    option(
        "--seeds",
        type=click.Choice(["per-image", "shared"]),
        default="per-image",
        show_default=True,
        help="A seed of its own for each picture, or the same seeds for all.",
    ),
    seed,
)

guarantee = option(
    "--guarantee", metavar="NAME[:k=v,…]", help="What is guaranteed; see `guarantees list`.  [default: expected]"
)

alpha = option("--alpha", type=Level(), help="The level: the risk that is accepted.")

spending = together(
    option(
        "--run", type=click.Path(file_okay=False), help="Folder of ledger and samples.  [default: runs/<procedure>]"
    ),
    option("--max-cost", type=Money(), help="The most that this job may cost in all, US dollars."),
    option("--max-calls", type=click.IntRange(0), help="The most paid calls that this job may make in all."),
    option("--concurrency", type=Workers(), default="auto", show_default=True, help="Calls at a time."),
    option(
        "--timeout", type=click.FloatRange(1, 86400), default=120.0, show_default=True, help="Seconds for one answer."
    ),
    option("--retry-ambiguous", is_flag=True, help="Pay again for draws that were sent but never answered."),
    option(
        "--max-resample",
        type=click.IntRange(0, 100),
        default=0,
        show_default=True,
        metavar="N",
        help="How often a draw may be paid again whose answer was not the picture that was asked for.",
    ),
    option("--insecure-http", is_flag=True, help="Send a key unencrypted (http) to another machine, too."),
    option("--yes", is_flag=True, help="Do not ask before spending."),
)

memory = option(
    "--memory",
    type=Memory(),
    metavar="AMOUNT",
    help="The most memory that the calculation may take, such as 2GB: fewer pictures at a time.",
)

force = option("--force", is_flag=True, help="Overwrite existing files.")
