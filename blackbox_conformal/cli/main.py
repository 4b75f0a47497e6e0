"""The command line's front door: find the command, turn errors into one line and an exit code.

Each command is imported only when it runs; see `commands`.
"""

import difflib
import errno
import os
import re
import shlex
import sys
import traceback
from pathlib import Path

import click

from blackbox_conformal.cli.commands import RENAMED, Group, find, names, sections
from blackbox_conformal.cli.terminal_text import DOCUMENT, shown
from blackbox_conformal.errors import AccountRefusedError, BlackboxConformalError, KeyNotSentError
from blackbox_conformal.support.descriptors import raise_descriptor_limit
from blackbox_conformal.support.text import printable

_MOST_PROPOSED = 3


class Commands(click.Group):
    """Lists commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return find(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an earlier name say the new one, for a mistyped one the nearest."""
        for count in (2, 1):
            if (new := RENAMED.get(old := " ".join(args[:count]))) is not None:
                line = shlex.join(["blackbox-conformal", *new.split(), *args[count:]])
                raise click.UsageError(f"{old} is called {new} now: {line}", ctx)
        if not args[0].startswith("-") and args[0] not in names():
            near = difflib.get_close_matches(args[0], names(), n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}{hint}", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if isinstance(command, Group) and command.alone is not None and not set(rest[:1]) & set(command.commands):
            command = command.alone
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in sections().items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="blackbox-conformal", message="%(prog)s %(version)s")
def cli() -> None:
    """Which parts of a super-resolved or restored picture can you believe?

    Start with `blackbox-conformal demo`; for a job of your own, with `blackbox-conformal start`. Add --help to a
    command to see what it takes.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    raise_descriptor_limit()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command; errors become one line on stderr, an exit code and, with --json, the document."""
    from blackbox_conformal.cli.option_sources import PREFIX, is_yes

    short = (argument for argument in arguments if re.fullmatch("-[qv]+", argument))
    loud = sum(argument.count("v") for argument in short) + arguments.count("--verbose") >= 2
    DOCUMENT.renew(wanted="--json" in arguments or is_yes(os.environ.get(f"{PREFIX}JSON", "")))
    try:
        cli.main(args=arguments, prog_name="blackbox-conformal", standalone_mode=False)
        return 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _end("UsageError", shown(_one_line(error)), 2)
    except (click.Abort, KeyboardInterrupt):
        kept = (
            "what was paid for is kept; run the same command again to go on. It says how to buy anew what was cut off"
        )
        return _end("Interrupted", kept, 130, "interrupted")
    except BlackboxConformalError as error:
        if loud:
            click.echo(shown(traceback.format_exc()), err=True)
        said = str(error)
        if isinstance(error, AccountRefusedError) and not isinstance(error, KeyNotSentError):
            named = f"in {error.key_variable}" if error.key_variable else ""
            said = (
                f"{said.removesuffix('.')}. Check the key "
                f"{named or '(`blackbox-conformal list adapters NAME` names its variable)'} "
                "and the account's credit, then run the same command again: what was paid for is kept"
            )
        return _end(type(error).__name__, shown(said), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug becomes one line and exit code 1
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
            kept, cure = "What was paid for is kept; ", "make room and run the same command again"
            if error.errno == errno.EMFILE:
                cure = "allow more (ulimit -n), or give a smaller --concurrency, and run again"
            elif _OF_THE_MACHINE[error.errno] != 6:
                kept, cure = "", "Correct that, or name another place"
            said = f"{where}the operating system refused: {error.strerror}. {kept}{cure}"
            return _end("OSError", shown(said), _OF_THE_MACHINE[error.errno])
        if (
            isinstance(error, MemoryError)
            or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
            or (isinstance(error, RuntimeError) and str(error) == "can't start new thread")
        ):
            return _end("MemoryError", shown(_SHORT.format(error=str(error) or type(error).__name__)), 6)
        text = traceback.format_exc() if loud else f"{type(error).__name__}: {error}"
        _end(type(error).__name__, shown(text), 1, "bug")
        click.echo("This should not happen; run again with -vv for the whole trace.", err=True)
        return 1


def _end(kind: str, message: str, code: int, word: str = "error") -> int:
    # People read why, and scripts get a document if none was written.
    click.echo(f"{word}: {message}", err=True)
    DOCUMENT.write({"error": {"kind": kind, "message": message, "exit_code": code}})
    return code


_OF_THE_MACHINE = {
    errno.ENOSPC: 6,
    errno.EDQUOT: 6,
    errno.EACCES: 2,
    errno.EPERM: 2,
    errno.EROFS: 2,
    errno.ENAMETOOLONG: 2,
    errno.EMFILE: 6,
}
"""Errors of the operating system that a user can mend, each with its exit code."""


_SHORT = (
    "there is too little memory ({error}). What was paid for is kept; free some or allow more (ulimit -v), or give "
    "--memory AMOUNT or a smaller --concurrency, and run the same command again"
)


def _one_line(error: click.ClickException) -> str:
    from blackbox_conformal.cli.option_sources import RENAMED as SETTINGS
    from blackbox_conformal.cli.option_sources import settings
    from blackbox_conformal.study.settings_table import REMOVED

    text = " ".join(error.format_message().split()).removesuffix(".")
    if isinstance(error, click.NoSuchOption):
        option, name = error.option_name, error.option_name.lstrip("-")
        text = f"{option} is called --{SETTINGS[name]}. Give that" if name in SETTINGS else text
        text = f"there is no option {option}; {REMOVED[name]}" if name in REMOVED else text
        elsewhere = [words for words, theirs in settings().items() if name in theirs]
        if elsewhere and error.ctx is not None:
            text = f"there is no option {option} here; {' and '.join(f'`{one}`' for one in elsewhere)} can take it"
            if any(one.name == "parameters" for one in error.ctx.command.params):
                text += f". A parameter of the vendor, as of the adapter folder, is given as -p {name}=…"
    context = getattr(error, "ctx", None)
    if isinstance(error, click.BadParameter):
        if found := re.search(r"'([^']*)' is not one of (.*)", text):
            meant = difflib.get_close_matches(found[1], re.findall(r"'([^']*)'", found[2]), n=1)
            text += f"; did you mean {meant[0]}?" if meant else ""
        elif found := re.search(r"(?:Path|File|Directory) '(.+)' does not exist", text):
            text += _instead(Path(found[1]))
    missing = error.param.name if isinstance(error, click.MissingParameter) and error.param is not None else None
    examples = getattr(context.command, "examples", ()) if context is not None else ()
    if examples and isinstance(getattr(error, "param", None), click.Argument) and missing is not None:
        text += f". Add it as in: {examples[0]}"
    if missing == "alpha":
        text += ", the risk that you accept: add --alpha 0.1, say"
    if missing == "calibration":
        runs = (Path(), Path("runs"))
        made = sorted(file for run in runs for file in run.glob("*/calibration.json"))[:_MOST_PROPOSED]
        words = " or ".join(shlex.join(["--calibration", printable(file)]) for file in made)
        text += f": add {words}" if made else ", and none lies in runs/; `blackbox-conformal calibrate` makes one"
    if missing == "sign_with":
        text += ", a file with your key; `blackbox-conformal key new FILE` makes one"
    extra = re.search(r"unexpected extra argument \((.+)\)", text)
    if (
        extra
        and Path(extra[1]).is_dir()
        and context is not None
        and any(one.name == "run" for one in context.command.params)
    ):
        text += f"; a run folder is named by --run: {shlex.join(['--run', printable(extra[1])])}"
    stop = "" if text.endswith("?") else "."
    return text if context is None else f"{text}{stop} See `{context.command_path} --help`"


def _instead(typed: Path) -> str:
    """Say which path may be meant, else what lies where the typed one leaves what exists."""
    path = Path()
    for part in typed.parts:
        near = [part]
        if not (path / part).exists() and path.is_dir() and os.access(path, os.R_OK):
            there = sorted(name for name in os.listdir(path) if not name.startswith("."))
            near = [name for name in there if name.startswith(part)] or difflib.get_close_matches(part, there, n=1)
            if not near:
                held = ", ".join([*there[:_MOST_PROPOSED], *(["…"] if there[_MOST_PROPOSED:] else [])])
                where = path if path.parts else "this folder"
                return shown(f"; {where} holds {held or 'nothing'}. Name one of these, or a whole path")
        path /= near[0]
    return f"; did you mean {shown(str(path))}?" if path.exists() else ""


if __name__ == "__main__":
    main()
