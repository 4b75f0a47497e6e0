"""The command line in the test's own process, or in a new one, and the vendor that a fault server is to it."""

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from blackbox_conformal.cli import main
from blackbox_conformal.cli.commands import Group
from support import forked
from support.forked import Forked

VENDOR = "blackbox_conformal.testing.reference_adapters:SynchronousVendor"
COMMAND = (sys.executable, "-m", "blackbox_conformal")

_one_at_a_time = threading.RLock()
"""A command has the working folder, the environment and the standard streams of the process to itself."""


def every_command(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, each by its words."""
    yield name, command
    if isinstance(command, Group) and command.alone is not None:
        yield name, command.alone
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from every_command(found, f"{name} {sub}")


def called(
    *arguments: str, folder: Path | None = None, code: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`blackbox-conformal ARGUMENTS` in `folder`, with no terminal to ask at; `code` is the exit code it must have.

    Runs in this process, which is four seconds of work less than a new one: see `called_in_new_process`.
    """
    done = called_with_input(b"", *arguments, folder=folder, **environment)
    # As a pipe that is opened as text: every end of a line is "\n".
    said = [io.TextIOWrapper(io.BytesIO(stream), encoding="utf-8").read() for stream in (done.stdout, done.stderr)]
    assert code in (None, done.returncode), said[1]
    return subprocess.CompletedProcess(arguments, done.returncode, *said)


def ended(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> Any:
    """Run ``blackbox-conformal ARGUMENTS`` here, which must end with `code`; return its `out` and `err`."""
    found, told = main.run([*arguments]), capsys.readouterr()
    assert found == code, told.err
    return told


def called_with_input(
    content: bytes, *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """As `called`, with `content` on standard input, and with what it writes as bytes."""
    given, out, err = (io.TextIOWrapper(io.BytesIO(each), encoding="utf-8") for each in (content, b"", b""))
    with _one_at_a_time, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", given)
        for name, value in environment.items():
            patch.setenv(name, value)
        if folder is not None:
            patch.chdir(folder)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.run([*arguments])
    for stream in (out, err):
        stream.flush()
    return subprocess.CompletedProcess(arguments, code, out.buffer.getvalue(), err.buffer.getvalue())  # type: ignore[attr-defined]


def called_in_new_process(
    *arguments: str, folder: Path | None = None, code: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """As `called`, where a process matters: what it imports, its limits and signals, or several at once."""
    completed = forked.run([*COMMAND, *arguments], text=True, cwd=folder, env={**os.environ, **environment})
    assert code in (None, completed.returncode), completed.stderr
    return completed


@contextmanager
def served(*arguments: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A command that serves a page until Ctrl-C, for the ``with`` block, which gets its JSON document.

    When it has ended, the document has its text for people as ``stderr``.
    """
    command = [*COMMAND, *arguments, "--json"]
    with Forked(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            document = ""
            while not document.rstrip().endswith("}"):
                line = process.stdout.readline()  # type: ignore[union-attr]
                assert line, process.stderr.read()  # type: ignore[union-attr]
                document += line
            told = json.loads(document)
            yield told
        finally:
            process.send_signal(signal.SIGINT)
        told["stderr"] = process.communicate(timeout=30)[1]
    assert process.returncode == 0, told["stderr"]


def next_steps(ended: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """The words of each command that was named as next, by its first one."""
    lines = [line.removeprefix("Next: ") for line in ended.stdout.splitlines() if line.startswith("Next: ")]
    return {words[1]: words[1:] for words in map(shlex.split, lines)}
