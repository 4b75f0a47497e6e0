"""The command line's front door: finds the command, turns errors into one line and an exit code.

Each command has a file beside this one, which is imported only when the command runs.
"""

import difflib
import errno
import importlib
import os
import re
import shlex
import sys
import traceback
from pathlib import Path

import click

from blackbox_conformal.cli.terminal_text import DOCUMENT, shown
from blackbox_conformal.errors import AccountRefusedError, BlackboxConformalError, KeyNotSentError
from blackbox_conformal.support.descriptors import raise_descriptor_limit
from blackbox_conformal.support.text import printable

COMMANDS = {
    "demo": "The whole method on real photographs, with no key and no network.",
    "plan": "What a calibration would cost before a cent is spent.",
    "inputs": "Whether your inputs look like a calibration's, or which degradation makes such.",
    "degrade": "The inputs that a calibration would send, as files for a vendor asked elsewhere.",
    "calibrate": "Draw the samples, compute the curves, write the calibration file.",
    "mask": "Have pictures super-resolved or restored, with trust masks and certificates.",
    "verify": "Check certificates, the files beside them, what their calibration gives, and who signed them.",
    "sign": "Sign a calibration or a certificate.",
    "signing-key": "A key to sign with: new, show.",
    "audit": "Measure a calibration on photographs that it has not seen.",
    "watch": "Visit a calibrated vendor: whether it is still what was calibrated.",
    "serve": "A calibrated vendor behind an HTTP server: pictures unchanged, with masks.",
    "serve-token": "Who may use a gateway: new, list, revoke.",
    "compare": "Several vendors or settings on the same photographs.",
    "tune": "Choose a score on photographs that calibration then never sees.",
    "annotate": "A page on which people mark where pictures differ in meaning.",
    "annotations": "Marks of people: agreement, combine, import, export.",
    "report": "One self-contained HTML file from a run folder.",
    "view": "The pictures of a run folder at full resolution, in a browser.",
    "adapters": "The vendors that can be drawn from: list, show, check.",
    "scores": "Maps of where the vendor is undecided: list, show.",
    "metrics": "Maps of how wrong a picture is: list, show.",
    "guarantees": "What a threshold can promise: list, show.",
    "degradations": "Steps that make an input from a photograph: list, show.",
    "perturbations": "Changes of the input that vary the draws: list, show.",
    "ledger": "Every call ever paid for: ls, sum, settle, reopen, export, verify.",
    "cache": "Stored samples: ls, verify, prune, export.",
    "doctor": "Clock, proxy, disk, kernel cache, keys present, adapters found.",
    "config": "Every setting and where it came from.",
}

_MOST_PROPOSED = 3

_CATALOGUES = ("scores", "metrics", "guarantees", "degradations", "perturbations")
"""Commands that stand in one file, since they differ only in the family that they list."""


class Commands(click.Group):
    """Lists commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        own = (cmd_name.replace("-", "_"), "command")
        file, attribute = ("catalogue_commands", cmd_name) if cmd_name in _CATALOGUES else own
        command: click.Command = getattr(importlib.import_module(f"blackbox_conformal.cli.{file}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a mistyped name, suggest the nearest one."""
        if not args[0].startswith("-") and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line for each command, from `COMMANDS`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="blackbox-conformal", message="%(prog)s %(version)s")
def cli() -> None:
    """Trust masks with finite-sample guarantees for black-box image super-resolution and restoration.

    Start with `blackbox-conformal demo`: no key, no network, about two minutes.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    _open_closed_streams()
    raise_descriptor_limit()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command; errors become one line on stderr, an exit code and, with --json, the document."""
    loud = _wants_tracebacks(arguments)
    DOCUMENT.renew(wanted=_wants_json(arguments))
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
        kept = "what was paid for is kept; run the same command again to resume"
        return _end("Interrupted", kept, 130, "interrupted")
    except BlackboxConformalError as error:
        if loud:
            click.echo(shown(traceback.format_exc()), err=True)
        return _end(type(error).__name__, shown(_with_advice(error)), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug becomes one line and exit code 1
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return _end("OSError", shown(_refusal(error)), _OF_THE_MACHINE[error.errno])
        if _is_short_of_memory(error):
            return _end("MemoryError", shown(_SHORT.format(error=str(error) or type(error).__name__)), 6)
        text = traceback.format_exc() if loud else f"{type(error).__name__}: {error}"
        _end(type(error).__name__, shown(text), 1, "bug")
        click.echo("This should not happen; run again with -vv for the whole trace.", err=True)
        return 1


def _end(kind: str, message: str, code: int, word: str = "error") -> int:
    """Say how the command ended: for people, and for scripts where a document is wanted and none was written."""
    click.echo(f"{word}: {message}", err=True)
    DOCUMENT.write({"error": {"kind": kind, "message": message, "exit_code": code}})
    return code


def _wants_json(arguments: list[str]) -> bool:
    """Whether a document is wanted, before the command is known. Files may set it too; they are read later."""
    from blackbox_conformal.cli.config_file import PREFIX, is_yes

    return "--json" in arguments or is_yes(os.environ.get(f"{PREFIX}JSON", ""))


def _wants_tracebacks(arguments: list[str]) -> bool:
    """Whether -v was given twice, together, apart or spelled out."""
    short = (argument for argument in arguments if re.fullmatch("-[qv]+", argument))
    return sum(argument.count("v") for argument in short) + arguments.count("--verbose") >= 2


def _with_advice(error: Exception) -> str:
    """The error; a refused account with what to do about it."""
    if not isinstance(error, AccountRefusedError) or isinstance(error, KeyNotSentError):
        return str(error)
    variable = error.key_variable
    where = f"in {variable}" if variable else "(`blackbox-conformal adapters show NAME` names its variable)"
    return (
        f"{str(error).removesuffix('.')}. Check the key {where} "
        "and the account's credit, then run the same command again: what was paid for is kept"
    )


_OF_THE_MACHINE = {
    errno.ENOSPC: 6,
    errno.EDQUOT: 6,
    errno.EACCES: 2,
    errno.EPERM: 2,
    errno.EROFS: 2,
    errno.ENAMETOOLONG: 2,
    errno.EMFILE: 6,
}
"""Refusals of the operating system that a user can do something about, and the exit code of each."""


def _refusal(error: OSError) -> str:
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
    what = f"{where}the operating system refused: {error.strerror}"
    if error.errno == errno.EMFILE:
        return (
            f"{what}. What was paid for is kept; allow more (ulimit -n), or give a smaller --concurrency, and run again"
        )
    if _OF_THE_MACHINE.get(error.errno or 0) == 6:
        return f"{what}. What was paid for is kept; make room and run the same command again"
    return f"{what}. Correct that, or name another place"


_SHORT = (
    "there is too little memory ({error}). What was paid for is kept; free some or allow more (ulimit -v), or give "
    "--memory AMOUNT or a smaller --concurrency, and run the same command again"
)


def _is_short_of_memory(error: Exception) -> bool:
    """Whether memory ran out, perhaps when a thread was to start."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and str(error) == "can't start new thread")
    )


def _open_closed_streams() -> None:
    """Replace standard streams that a daemon lacks by the null device."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _proposal(name: str | None) -> str:
    """What may be given for a parameter that is missing: a calibration that lies here, or a usual level."""
    if name == "alpha":
        return ", the risk that you accept: add --alpha 0.1, say"
    if name != "calibration":
        return ""
    found = sorted(path for run in (Path(), Path("runs")) for path in run.glob("*/calibration.json"))[:_MOST_PROPOSED]
    if not found:
        return ", and none lies in runs/; `blackbox-conformal calibrate` makes one"
    words = " or ".join(shlex.join(["--calibration", printable(path)]) for path in found)
    return f": add {words}"


def _one_line(error: click.ClickException) -> str:
    """An error of click in the form of our own: one line that says where to look."""
    from blackbox_conformal.cli.unknown_settings import RENAMED

    text = " ".join(error.format_message().split()).removesuffix(".")
    if isinstance(error, click.NoSuchOption) and (new := RENAMED.get(error.option_name.lstrip("-"))):
        text = f"{error.option_name} is called --{new}. Give that"
    context = getattr(error, "ctx", None)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        text += _proposal(error.param.name)
    stop = "" if text.endswith("?") else "."
    return text if context is None else f"{text}{stop} See `{context.command_path} --help`"


if __name__ == "__main__":
    main()
