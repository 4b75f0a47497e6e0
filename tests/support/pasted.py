"""The blocks of a page, run as a reader pastes them: Python in one namespace, commands in this process."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tutorial_output import refreshed

from blackbox_conformal.cli import main
from support.documentation import Block, command_lines

LOCAL = ("cat", "cp", "curl", "echo", "mkdir", "mv")
"""Programs whose lines are given to the shell; `curl` only asks servers that the page has started."""


class Desk:
    """One page's working folder, its environment, its Python names and the servers that it has started."""

    def __init__(self, folder: Path, names: dict[str, Any], patch: pytest.MonkeyPatch, stack: contextlib.ExitStack):
        self.folder, self.names, self.patch, self.stack = folder, names, patch, stack
        self.addresses: dict[str, str] = {}

    def run(self, block: Block) -> None:
        """Run a block; of a ``console`` block each line of output that it shows must still be printed."""
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(block.page), "exec"), self.names)
        elif block.language == "sh":
            for line in command_lines(block):
                self.typed(line)
        else:
            for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block.text, re.MULTILINE):
                printed = self.typed(command).splitlines()
                gone = refreshed(shown.splitlines(), printed)[1]
                # Other photographs may have fewer rows of a table.
                gone = [line for line in gone if not line[0].isdigit()]
                assert gone == [], f"{block.name} shows what is not printed any more: {gone}; printed: {printed}"

    def typed(self, line: str) -> str:
        """What one command prints, with paths as they look from the folder."""
        for shown, real in self.addresses.items():
            line = line.replace(shown, real)
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            for name, _, value in (word.partition("=") for word in words[1:]):
                self.patch.setenv(name, value)
            printed = ""
        elif words[0] == "blackbox-conformal":
            printed = self.command(words[1:], line)
        elif words[:2] == ["python", "-m"] and "--port" in words:
            printed = self.server(words)
        else:
            assert words[0] in LOCAL, (
                f"say above the block why it does not run, such as <!-- not run: needs a key -->: {line}"
            )
            ended = subprocess.run(["bash", "-c", line], cwd=self.folder, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, (line, ended.stderr)
            printed = ended.stdout
        for shown, real in self.addresses.items():
            printed = printed.replace(real, shown)
        return printed.replace(f"{self.folder.resolve()}/", "")

    def command(self, words: list[str], line: str) -> str:
        into = words[words.index(">") + 1] if ">" in words else None
        words = words[: words.index(">")] if into else words
        words = [name for word in words for name in (self.named(word) if "*" in word else [word])]
        out, err = io.StringIO(), io.StringIO()
        err = out if into is None else err
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr(sys, "stdin", io.StringIO())
            code = main.run(words)
        assert code == 0, (line, out.getvalue(), err.getvalue())
        if into:
            (self.folder / into).write_text(out.getvalue(), encoding="utf-8")
        return out.getvalue()

    def named(self, pattern: str) -> list[str]:
        """As the shell writes out a pattern of names."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.glob(pattern)) or [pattern]

    def server(self, words: list[str]) -> str:
        """Start a server of this package on a free port; later lines that name the page's port reach it."""
        port = words[words.index("--port") + 1]
        words = [sys.executable, *["0" if word == port else word for word in words[1:]], "--while-stdin"]
        process = self.stack.enter_context(
            subprocess.Popen(words, cwd=self.folder, stdin=-1, stdout=-1, stderr=subprocess.STDOUT, text=True)
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self.stack.callback(process.stdin.close)
        first = process.stdout.readline()
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+", first)
        self.addresses[f"http://127.0.0.1:{port}"] = address
        # The fault server says more; the embedded vendor says one line of JSON.
        more = [] if first.startswith("{") else [process.stdout.readline() for _ in range(3)]
        return "".join([first, *more])
