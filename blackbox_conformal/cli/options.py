"""Options: how commands declare and help shows them, and classes of options that several commands share.

A command receives its options as one value of a dataclass. Each field is one parameter of the command. Most are
settings, described in `study/settings_table.py`; the others are described at their declaration.
"""

import functools
import inspect
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import click

from blackbox_conformal.cli import values
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.option_sources import Configured, Described
from blackbox_conformal.study.settings_table import (
    DRAWING,
    GROUPS,
    NEEDED,
    OUTPUT,
    PROMISE,
    LevelSettings,
    Setting,
    Settings,
    TrustSettings,
    WatchSettings,
    described,
)
from blackbox_conformal.support.value_kinds import ANYTHING, SWITCH

if TYPE_CHECKING:
    from blackbox_conformal.documents.procedure import Fit, SeedPolicy
    from blackbox_conformal.vendor.rates import Rate


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SCREEN = "Python has no screen: functions return what they find, and methods of what they return write files"
VENDOR = "Python's functions take the vendor itself"
FIXED = "a calibration fixes it, and the option may only repeat it"
SHOWN = 14
"""Up to this many options, `--help` shows all; of more, only the options that most people need."""


class PicturesPath(click.Path):
    """A file or folder of pictures that exists."""

    name = "pictures"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "://" in str(value):
            self.fail(
                "expected a file or folder; got an address. Download the pictures, and name their folder", param, ctx
            )
        return super().convert(value, param, ctx)


class PaperPath(click.Path):
    """A file of a calibration, a certificate or a report."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if Path(value).is_dir():
            self.fail(f"expected papers; got a folder. Name those in it: {Path(value)}/*-certificate.json", param, ctx)
        return super().convert(value, param, ctx)


class CalibrationPath(click.Path):
    """A calibration file, also by the run folder that it lies in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        held = Path(value) / "calibration.json"
        return super().convert(str(held) if held.is_file() else value, param, ctx)


class NewPath(click.Path):
    """A path to write to, refused before the command does or pays anything if it cannot be written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from blackbox_conformal.support.files import require_writable

        path = Path(value)
        require_writable(path if self.dir_okay else path.parent)
        return super().convert(value, param, ctx)


FILE = click.Path(exists=True, dir_okay=False)
PAPER = PaperPath(exists=True)
CALIBRATION = CalibrationPath(exists=True, dir_okay=False)
NAMED_FILE = click.Path(dir_okay=False)
NEW_FILE = NewPath(dir_okay=False)
NEW_FOLDER = NewPath(file_okay=False)
FOLDER = click.Path(file_okay=False)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False)


class Command(click.Command):
    """A command whose help has examples, and options under headings; ``--help`` shows the most needed ones."""

    def __init__(self, *names: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*names, **more)
        self.examples = examples

        def show(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
            if wanted:
                ctx.meta[_ALL] = True
                click.echo(ctx.get_help(), color=ctx.color)
                ctx.exit()

        if len(self.params) > SHOWN:
            flags: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False, "callback": show}
            self.params.append(click.Option(["--help-all"], help="Show all options and exit.", **flags))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        few, everything = len(self.params) <= SHOWN, ctx.meta.get(_ALL, False)
        records: dict[str, list[tuple[str, str]]] = {group: [] for group in ("Options", *GROUPS)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None and (few or everything or getattr(parameter, "main", True)):
                records["Options" if few else getattr(parameter, "group", OUTPUT)].append(record)
        for group, shown in records.items():
            if shown:
                with formatter.section(group):
                    formatter.write_dl(shown)


def typed_flags(names: Collection[str]) -> list[str]:
    """Return the flags of the options `names` that were typed for the present command."""
    context = click.get_current_context()
    return [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name in names and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    ]


_ALL = f"{__name__}: all options"


def option(*names: str, **settings: Any) -> Decorator:
    """Declare a click option that the environment and the configuration files can set, too."""
    return click.option(*names, cls=Configured, show_default="default" in settings, **settings)


def setting(of: str | Setting = "", **more: Any) -> Any:
    """Declare a field that is a setting: the described one of this name, or its own.

    `more` adds to the option: another type, `multiple`, `required`.
    """
    return field(metadata={"setting": of, "more": more})


def declared(*names: str, **settings: Any) -> Any:
    """Declare a field that only the command line and files have; `no_keyword` says why Python has none."""
    return field(metadata={"declare": lambda name: option(*names, name, **settings)})


def flag(*names: str, **settings: Any) -> Any:
    """Declare a field that only the command line has: neither the environment nor a file sets it."""
    return field(metadata={"declare": lambda name: click.option(*names, name, cls=Described, **settings)})


def arguments(*, nargs: int = -1, **settings: Any) -> Any:
    """Declare a field for the words on the command line that belong to no option."""
    return field(metadata={"declare": lambda name: click.argument(name, nargs=nargs, **settings)})


def command(
    name: str, kind: type, python: Any = Settings, *, only_typed: str = "", examples: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command whose parameters are the fields of `kind`; see `takes`."""
    return lambda function: click.command(name, cls=Command, examples=examples)(
        takes(kind, python, only_typed)(function)
    )


def takes(kind: type, python: Any = Settings, only_typed: str = "") -> Decorator:
    """Declare the fields of `kind` as parameters of a command, which takes its screen and one `kind`.

    Parameters of `kind` come first, then its bases'. `python` describes the settings of the same function in Python;
    `only_typed` says why that function lacks some of them.
    """
    own = described(python)
    known = {**described(Settings), **own}

    def declare(name: str) -> Decorator:
        metadata = kind.__dataclass_fields__[name].metadata  # type: ignore[attr-defined]
        if "declare" in metadata:
            made: Decorator = metadata["declare"](name)
            return made
        of = metadata["setting"] or name
        if isinstance(of, str) and of not in known:
            raise LookupError(
                f"{kind.__name__}.{name} is a setting that nothing describes. Describe it in {python.__name__} of "
                "study/settings_table.py, so that Python takes it too, or declare it with "
                "declared(…, no_keyword='why Python has none')"
            )
        found = known[of] if isinstance(of, str) else of
        lacking = {} if isinstance(of, Setting) or of in own else {"no_keyword": only_typed, "main": False}
        return _of_setting(name, found, known, **{**lacking, **metadata["more"]})

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(screen: Screen, **values: Any) -> Any:
            return function(screen, kind(**values))

        command = output(called)
        names = dict.fromkeys(name for base in kind.__mro__ for name in inspect.get_annotations(base))
        for name in reversed(names):
            command = declare(name)(command)
        return command

    return apply


def _of_setting(name: str, setting: Setting, known: "dict[str, Setting]", **more: Any) -> Decorator:
    flag = more.pop("flag", setting.flag) or f"--{name.replace('_', '-')}"
    shown = [f"default: {setting.usual}"] if setting.usual else []
    if setting.kind is SWITCH:
        default = bool(setting.default)
        more = {"is_flag": True, "default": default, **more}
        flag = f"{flag}/--no-{flag[2:]}" if default else flag
    else:
        many = more.get("multiple", setting.many)
        kind = setting.kind
        type_ = click.Choice(kind.choices) if kind.choices else None if kind is ANYTHING else values.Value(kind)
        # A default of None would be a value, so that a required option would not be missed.
        usual = {} if setting.default is None else {"default": setting.default}
        more = {"type": type_, "multiple": many, **usual, **more}
        more |= {"metavar": setting.metavar} if setting.metavar else {}
        shown += [f"default: {setting.default}"] if setting.default is not None else []
        shown += [kind.range] if kind.range else []
        shown += ["repeatable"] if many else []
    text = as_options(setting.help, known) + (f"  [{'; '.join(shown)}]" if shown else "")
    more = {"group": setting.group, "main": setting.main, "help": text, **more}
    return click.option(flag, name, cls=Configured, **more)


def as_options(text: str, known: "dict[str, Setting]") -> str:
    """Write a description for options: settings as options, and nothing about Python alone."""
    text = re.sub(r" In Python .*?\.(?=\s|$)|[;,] in Python .*?(?=[;.](?:\s|$))", "", text)
    return re.sub(
        r"`(\w+)`", lambda name: f"--{name[1].replace('_', '-')}" if name[1] in {*known, "alpha"} else name[0], text
    )


def settings_of(options: Any, kind: Any = Settings) -> dict[str, Any]:
    """Return the given options that are settings of the class `kind`."""
    names = {each.name for each in fields(options)} & kind.__annotations__.keys()
    given = {name: getattr(options, name) for name in kind.__annotations__ if name in names}
    return {name: value for name, value in given.items() if value not in (None, ())}


def output(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command a `Screen`, made from its output options."""

    @option(
        "--json",
        "as_json",
        is_flag=True,
        no_keyword=SCREEN,
        help="One JSON document on stdout; text for people on stderr.",
    )
    @option("-q", "--quiet", is_flag=True, no_keyword=SCREEN, help="No progress and no summary.")
    @option("-v", "--verbose", count=True, no_keyword=SCREEN, help="-v: events as they happen; -vv: tracebacks too.")
    @functools.wraps(function)
    def called(*, as_json: bool, quiet: bool, verbose: int, **values: Any) -> Any:
        screen = Screen(as_json=as_json, quiet=quiet, verbose=verbose)
        context = click.get_current_context()
        sources: list[str] = []
        for parameter in context.command.params:
            value = context.params.get(parameter.name or "")
            if isinstance(parameter.type, PicturesPath) and value:
                sources += (value,) if isinstance(value, str) else value
        if any(Path(source).is_dir() for source in sources):
            from blackbox_conformal.method.images.photographs import left_out

            note = left_out(sources)
            if note is not None:
                screen.note(f"note: {note}")
        return function(screen=screen, **values)

    return called


run_folder = option("--run", type=FOLDER, help="Run folder.  [default: the only one there is]")
ledger_address = option(
    "--ledger", type=values.ledger_address, metavar="ADDRESS", help="A ledger in a database, without a run folder."
)
force = functools.partial(
    declared, "--force", is_flag=True, group=OUTPUT, no_keyword=SCREEN, help="Overwrite existing files."
)
full = functools.partial(
    declared, "--full", is_flag=True, no_keyword=SCREEN, help="Say the guarantee with its conditions, too."
)
opened = functools.partial(
    flag,
    "--open",
    is_flag=True,
    no_keyword=SCREEN,
    help="Open the page or picture that was made. Does nothing without a terminal.",
)
sign_with = functools.partial(
    setting,
    described(WatchSettings)["sign_with"],
    type=FILE,
    no_keyword="methods of what Python's functions return sign",
)
_SIGNS = "`Result.save` signs them"
credentials = functools.partial(
    declared,
    "--credentials",
    is_flag=True,
    group=PROMISE,
    no_keyword=_SIGNS,
    help="Sign Content Credentials (C2PA) with --sign-with in the pictures made here.",
)
credentials_with = functools.partial(
    declared,
    "--credentials-with",
    type=FILE,
    group=PROMISE,
    no_keyword=_SIGNS,
    help="Sign them with your own certificates and key, a PEM file. Never taken from a project's settings file.",
)
calibration = functools.partial(
    declared,
    "--calibration",
    type=CALIBRATION,
    group=NEEDED,
    main=True,
    help="Calibration file, or the run folder that holds it.",
)
alpha = functools.partial(setting, described(LevelSettings)["alpha"])
trust = functools.partial(setting, described(TrustSettings)["trust"])
photographs = functools.partial(arguments, required=True, type=PicturesPath(exists=True))


@dataclass(frozen=True, kw_only=True)
class VendorOptions:
    """The vendor, and a second one."""

    adapter: str | None = declared(
        "--adapter", metavar="NAME", group=NEEDED, main=True, no_keyword=VENDOR, help="The vendor; see `list adapters`."
    )
    parameters: tuple[str, ...] = declared(
        "-p",
        multiple=True,
        metavar="KEY=VALUE",
        group=NEEDED,
        main=True,
        no_keyword=VENDOR,
        help="Vendor parameter; repeatable.",
    )
    scale: int | None = setting()
    second_adapter: str | None = setting()
    second_parameters: tuple[str, ...] = declared(
        "--second",
        multiple=True,
        metavar="KEY=VALUE",
        group=DRAWING,
        no_keyword=VENDOR,
        help="Parameter of the second vendor; repeatable.",
    )

    @classmethod
    def of(cls, adapter: str | None, parameters: tuple[str, ...], scale: int | None = None) -> Self:
        return cls(adapter=adapter, parameters=parameters, scale=scale, second_adapter=None, second_parameters=())


@dataclass(frozen=True, kw_only=True)
class ProcedureOptions:
    """How a vendor is asked, and the computation on its draws."""

    preset: str | None = setting(is_eager=True)
    draws: int = setting()
    score: str | None = setting()
    metric: str | None = setting()
    delivery: str = setting()
    perturbation: str | None = setting()
    seeds: "SeedPolicy" = setting()
    seed: int | None = setting()
    degradation: str | None = setting()
    fit: "Fit | None" = setting()


@dataclass(frozen=True, kw_only=True)
class SpendingOptions:
    """Where draws are kept, what they may cost, and how they are fetched."""

    run: str | None = setting(type=FOLDER)
    ledger: str | None = setting(type=values.ledger_address)
    max_cost: Decimal | None = setting()
    max_calls: int | None = setting()
    concurrency: "int | Literal['auto']" = setting()
    rate: tuple["Rate", ...] = setting()
    timeout: float | None = setting()
    job_timeout: float | None = setting()
    retry_ambiguous: bool = setting()
    max_resample: int = setting()
    accept_refusals: bool = setting()
    insecure_http: bool = setting()
    yes: bool = declared(
        "--yes",
        is_flag=True,
        group=NEEDED,
        main=True,
        no_keyword="a program agrees by a limit, or by `ask`",
        help="Do not ask before spending.",
    )


@dataclass(frozen=True, kw_only=True)
class TermsOptions(SpendingOptions):
    """The terms of a job; `memory` is in bytes."""

    memory: int | None = setting()


@dataclass(frozen=True, kw_only=True)
class JobOptions(VendorOptions, ProcedureOptions, TermsOptions):
    """All options of a job on photographs."""

    check: bool = setting()


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """The workers that evaluate pictures."""

    cluster: str | None = setting(type=values.cluster_place)
