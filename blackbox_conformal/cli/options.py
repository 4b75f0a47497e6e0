"""Options: how a command declares them, and the classes of those that several commands share.

A command receives its options as one value of a dataclass. Each field of that class is one parameter of the command.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import click

from blackbox_conformal.cli import values
from blackbox_conformal.cli.config_file import Configured
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.pipeline.stages.defaults import DEFAULT_DRAWS, PRESETS

if TYPE_CHECKING:
    from blackbox_conformal.procedure import Fit, SeedPolicy
    from blackbox_conformal.rates import Rate

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class PicturesPath(click.Path):
    """A file or folder that exists, or an address, which is looked at later."""

    name = "pictures"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`value` itself."""
        if isinstance(value, str) and "://" in value:
            from blackbox_conformal.pipeline.photographs_at_addresses import is_address

            if is_address(value):
                return value
        return super().convert(value, param, ctx)


class NewPath(click.Path):
    """Where a command writes; refused before it does anything, and pays for anything, where it cannot write."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`value` itself."""
        from blackbox_conformal.files import require_writable

        path = Path(value)
        require_writable(path if self.dir_okay else path.parent)
        return super().convert(value, param, ctx)


FILE = click.Path(exists=True, dir_okay=False)
NAMED_FILE = click.Path(dir_okay=False)
NEW_FILE = NewPath(dir_okay=False)
NEW_FOLDER = NewPath(file_okay=False)
FOLDER = click.Path(file_okay=False)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False)
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


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
    """A click option that the environment and the configuration files can set too."""
    return click.option(*names, cls=Configured, show_default="default" in settings, **settings)


def declared(*names: str, **settings: Any) -> Any:
    """A field of an options class that is an option; the environment and the configuration files can set it too."""
    return field(metadata={"declare": lambda name: option(*names, name, **settings)})


def flag(*names: str, **settings: Any) -> Any:
    """A field of an options class that is an option of the command line alone."""
    return field(metadata={"declare": lambda name: click.option(*names, name, **settings)})


def arguments(*, nargs: int = -1, **settings: Any) -> Any:
    """A field of an options class that takes the words on the command line that belong to no option."""
    return field(metadata={"declare": lambda name: click.argument(name, nargs=nargs, **settings)})


def takes(kind: type) -> Decorator:
    """Declare the fields of `kind` as parameters of a command, which is called with its screen and one `kind`.

    Parameters of `kind` itself come first, those of its bases after them in their order.
    """

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(screen: Screen, **values: Any) -> Any:
            return function(screen, kind(**values))

        command = output(called)
        fields = {
            name: kind.__dataclass_fields__[name].metadata["declare"](name)  # type: ignore[attr-defined]
            for base in kind.__mro__
            for name in inspect.get_annotations(base)
        }
        for declare in reversed(fields.values()):
            command = declare(command)
        return command

    return apply


def output(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command a `Screen`, made from the options that say what is printed."""

    @option("--json", "as_json", is_flag=True, help="One JSON document on stdout; text for people on stderr.")
    @option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
    @option("-v", "--verbose", count=True, help="-v: events as they happen; -vv: tracebacks too.")
    @functools.wraps(function)
    def called(*, as_json: bool, quiet: bool, verbose: int, **values: Any) -> Any:
        screen = Screen(as_json=as_json, quiet=quiet, verbose=verbose)
        _note_left_out(screen)
        return function(screen=screen, **values)

    return called


def _note_left_out(screen: Screen) -> None:
    """Say which files are left out of the folders of pictures that the command was given, by whichever option."""
    context = click.get_current_context()
    sources: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if isinstance(parameter.type, PicturesPath) and value:
            sources += (value,) if isinstance(value, str) else value
    if any(Path(source).is_dir() for source in sources):
        from blackbox_conformal.images.photographs import left_out

        note = left_out(sources)
        if note is not None:
            screen.note(f"note: {note}")


ledger_address = option(
    "--ledger", type=values.ledger_address, metavar="ADDRESS", help="A ledger in a database, without a run folder."
)
alpha = functools.partial(declared, "--alpha", type=values.level, help="The level: the risk that is accepted.")
alphas = functools.partial(
    declared, "--alpha", type=values.level, multiple=True, help="A level, the risk that is accepted; repeatable."
)
tiles = functools.partial(
    declared,
    "--tiles",
    type=FILE,
    help="CSV file with a line tile,photograph for each tile; the tiles of one photograph count once.",
)
nothing_chosen = functools.partial(
    declared,
    "--nothing-chosen",
    is_flag=True,
    help="Calibrate also on photographs that were looked at, since nothing was chosen by them. The calibration notes "
    "it.",
)
degradation = functools.partial(declared, "--degradation", metavar="STEP[:…][+STEP…]")
force = functools.partial(declared, "--force", is_flag=True, help="Overwrite existing files.")
opened = functools.partial(
    flag, "--open", is_flag=True, help="Open the page or picture that was made. Does nothing without a terminal."
)
sign_with = functools.partial(
    declared,
    "--sign-with",
    type=FILE,
    help="Sign with this private key; `signing-key new` makes one. Never taken from a project's settings file.",
)
trust = functools.partial(
    declared,
    "--trust",
    multiple=True,
    metavar="KEY|FILE",
    help="Public key, or file of such keys, whose signatures count; repeatable. What has none of them is refused. "
    "Never taken from a project's settings file.",
)
guarantee = functools.partial(
    declared,
    "--guarantee",
    metavar="NAME[:k=v,…]",
    help="What is guaranteed; see `guarantees list`.  [default: expected]",
)
photographs = functools.partial(arguments, required=True, type=PicturesPath(exists=True))
seed = functools.partial(
    declared,
    "--seed",
    type=int,
    help="Root of per-image seeds and random degradations; a calibration keeps it.  [default: 0]",
)


@dataclass(frozen=True, kw_only=True)
class VendorOptions:
    """Which vendor is asked, and which second one."""

    adapter: str | None = declared("--adapter", metavar="NAME", help="The vendor; see `adapters list`.")
    parameters: tuple[str, ...] = declared(
        "-p", multiple=True, metavar="KEY=VALUE", help="Vendor parameter; repeatable."
    )
    scale: int | None = declared(
        "--scale",
        type=click.IntRange(1, 16),
        help="Magnification; 1 restores at the same size.  [default: the vendor's, ×4 if it has several]",
    )
    second_adapter: str | None = declared(
        "--second-adapter", metavar="NAME", help="A second vendor, for the score second-opinion."
    )
    second_parameters: tuple[str, ...] = declared(
        "--second", multiple=True, metavar="KEY=VALUE", help="Parameter of the second vendor; repeatable."
    )

    @classmethod
    def of(cls, adapter: str | None, parameters: tuple[str, ...], scale: int | None = None) -> Self:
        """One vendor and no second one."""
        return cls(adapter=adapter, parameters=parameters, scale=scale, second_adapter=None, second_parameters=())


@dataclass(frozen=True, kw_only=True)
class ProcedureOptions:
    """How a vendor is asked, and what is computed from its draws."""

    preset: str | None = declared(
        "--preset",
        type=click.Choice(sorted(PRESETS)),
        is_eager=True,
        help="Other defaults, all at once: paper is the published recipe, ten draws of each picture.",
    )
    draws: int = declared(
        "--draws",
        type=click.IntRange(1, 4096),
        default=DEFAULT_DRAWS,
        help="Draws of each picture. One makes a mask cost one call; eight cost eight times as much and trust "
        "little or no more.",
    )
    score: str | None = declared(
        "--score",
        metavar="NAME[:k=v,…]",
        help="How unsure each pixel is; see `scores list`.  [default: for one draw price at ×4, texture at ×1, "
        "else bicubic-gap; for more draws weighted]",
    )
    metric: str | None = declared(
        "--metric",
        metavar="NAME[:k=v,…]",
        help="The error at each pixel; see `metrics list`.  [default: lab-l1, Gaussian sigma 4]",
    )
    delivery: str = declared(
        "--delivery",
        metavar="RULE",
        default="first",
        help="Which picture is delivered: the first draw, the mean of all, medoid, the draw nearest to it, or "
        "consistent[:steps=N], the first draw made consistent with its input by back-projection.",
    )
    perturbation: str | None = declared(
        "--perturb",
        metavar="NAME",
        help="Vary the input of a vendor whose answers never vary; see `perturbations list`.",
    )
    seeds: "SeedPolicy" = declared(
        "--seeds",
        type=click.Choice(["per-image", "shared"]),
        default="per-image",
        help="Whether each picture has seeds of its own, or all pictures have the same.",
    )
    seed: int | None = seed()
    degradation: str | None = degradation(
        help="How inputs are made from photographs, such as area:4+noise:3+jpeg:60-95; see `degradations list`."
        "  [default: the vendor's, bicubic for super-resolution]"
    )
    fit: "Fit | None" = declared(
        "--fit",
        type=click.Choice(["crop", "shrink"]),
        help="Photographs that break the vendor's limits on sizes: take their middle, or make them smaller.",
    )


@dataclass(frozen=True, kw_only=True)
class SpendingOptions:
    """Where draws are kept, what they may cost, and how they are fetched."""

    run: str | None = declared(
        "--run", type=FOLDER, help="Run folder, for ledger and samples.  [default: runs/<procedure>]"
    )
    ledger: str | None = declared(
        "--ledger",
        type=values.ledger_address,
        metavar="ADDRESS",
        help="PostgreSQL database that keeps the ledger and the answers for many machines, such as "
        "postgresql://user@host/name.  [default: a file in the run folder]",
    )
    store: str | None = declared(
        "--store",
        type=values.store_address,
        metavar="ADDRESS",
        help="Where answers and finished files are kept, too: a bucket such as s3://bucket/runs, or a folder that "
        "machines share.  [default: the run folder alone]",
    )
    max_cost: Decimal | None = declared(
        "--max-cost", type=values.usd, help="The most that this job may cost in all, US dollars."
    )
    max_calls: int | None = declared(
        "--max-calls", type=click.IntRange(0), help="The most paid calls that this job may make in all."
    )
    concurrency: "int | Literal['auto']" = declared(
        "--concurrency", type=values.workers, metavar="N|auto", default="auto", help="The most calls at a time."
    )
    rate: tuple["Rate", ...] = declared(
        "--rate",
        type=values.request_rate,
        multiple=True,
        metavar="N/UNIT",
        help="The most requests in a time, such as 50/hour or '100/minute poll'; repeatable.  [default: the vendor's]",
    )
    timeout: float | None = declared(
        "--timeout",
        type=click.FloatRange(1, 86400),
        help="The most seconds to wait for one answer.  [default: the vendor's, or 120]",
    )
    job_timeout: float | None = declared(
        "--job-timeout",
        type=click.FloatRange(1, 604800),
        help="The most seconds to wait for a job that the vendor accepted; then it is cancelled where that can be."
        "  [default: the vendor's, or 1800]",
    )
    retry_ambiguous: bool = declared(
        "--retry-ambiguous", is_flag=True, help="Pay again for draws that were sent but never answered."
    )
    max_resample: int = declared(
        "--max-resample",
        type=click.IntRange(0, 100),
        default=0,
        metavar="N",
        help="How often a draw may be paid for again when its answer is not the picture that was asked for.",
    )
    accept_refusals: bool = declared(
        "--accept-refusals", is_flag=True, help="Go on although three pictures were refused in the same words."
    )
    insecure_http: bool = declared(
        "--insecure-http", is_flag=True, help="Allow a key to be sent unencrypted (http) to another machine."
    )
    yes: bool = declared("--yes", is_flag=True, help="Do not ask before spending.")


@dataclass(frozen=True, kw_only=True)
class TermsOptions(SpendingOptions):
    """The terms of a job; `memory` is in bytes."""

    memory: int | None = declared(
        "--memory",
        type=values.number_of_bytes,
        metavar="AMOUNT",
        help="The most memory that the calculation may take, such as 2GB: fewer pictures at a time.",
    )


@dataclass(frozen=True, kw_only=True)
class JobOptions(VendorOptions, ProcedureOptions, TermsOptions):
    """All that a job on photographs takes."""
