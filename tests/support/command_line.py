"""The command line as a process of its own, and the vendor that a fault server is to it."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VENDOR = "blackbox_conformal.testing.reference_adapters:SynchronousVendor"
COMMAND = (sys.executable, "-m", "blackbox_conformal")


def called(
    *arguments: str, folder: Path | None = None, code: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`blackbox-conformal ARGUMENTS` in `folder`, with no terminal to ask at; `code` is the exit code it must have."""
    completed = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )
    assert code in (None, completed.returncode), completed.stderr
    return completed


@contextmanager
def served(*arguments: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A command that serves a page until Ctrl-C, for the ``with`` block, which gets its JSON document.

    When it has ended, the document has its text for people as ``stderr``.
    """
    command = [*COMMAND, *arguments, "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
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
