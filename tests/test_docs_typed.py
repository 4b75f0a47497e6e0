"""Pages whose commands ask no paid vendor can be typed from top to bottom.

Commands of the other pages need a key and money: `test_docs_commands.py` parses them, and runs calibrations up to
the budget.
"""

import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from support.documentation import DOCS, blocks, command_lines
from support.synthetic import photograph, write_photographs
from tutorial_output import refreshed_page

from blackbox_conformal.cli.main import run


def test_the_tutorial_can_be_typed_and_shows_what_is_printed(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", range(20))
    write_photographs(tmp_path / "other-photographs", range(20, 25))
    Image.fromarray(photograph(40)).resize((20, 16)).save(tmp_path / "small.png")
    page, gone = refreshed_page((DOCS / "tutorial.md").read_text(encoding="utf-8"), tmp_path)
    assert page.count("\n$ blackbox-conformal ") + page.count("```console\n$ ") >= 7
    # Other photographs may have fewer rows of a table.
    assert [line for line in gone if not line[0].isdigit()] == [], (
        "shown on the page, and not printed any more: examples/tutorial_output.py writes it anew"
    )


def typed(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    assert words[0] == "blackbox-conformal"
    assert run(words[1:]) == 0, (line, capsys.readouterr().err)


def test_the_offline_calibration_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(Path("photographs"), range(20))
    write_photographs(Path("other-photographs"), range(20, 25))
    parts = sorted(block for block in blocks("sh", "python") if block.page == DOCS / "offline.md")
    assert [part.language for part in parts] == ["sh", "python", "sh", "sh", "python"]
    for part in parts:
        if part.language == "python":
            exec(compile(part.text, part.name, "exec"), {})
        else:
            for line in command_lines(part):
                typed(line, capsys)


def test_the_rehearsal_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the server as a process, its key, and at the end the file that takes the place of the options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTTP_VENDOR_KEY_FILE", "key.txt")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_photographs(Path("photographs"), range(20))
    write_photographs(Path("other-photographs"), range(20, 23))
    start, job = [block for block in blocks("sh") if block.page.name == "your-vendor.md" and "8765" in block.text]
    key, server = command_lines(start)
    subprocess.run(key, shell=True, check=True)
    words = [sys.executable, *shlex.split(server)[1:], "--while-stdin"]
    words[words.index("8765")] = "0"
    with subprocess.Popen(words, stdin=-1, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().strip()

        def here(text: str) -> str:
            return text.replace("http://127.0.0.1:8765", address)

        (printed,) = [block for block in blocks("text") if block.page.name == "your-vendor.md"]
        said = [process.stderr.readline() for _ in range(3)]
        assert [address, *map(str.strip, said)] == here(printed.text).replace("/home/you", str(tmp_path)).splitlines()
        lines = command_lines(job)
        assert (lines[0], lines[-1]) == ("export HTTP_VENDOR_KEY_FILE=key.txt", "curl http://127.0.0.1:8765/account")
        for line in lines[1:-1]:
            typed(here(line), capsys)
        assert re.search(r"paid +23\n", capsys.readouterr().out)
        with urllib.request.urlopen(f"{address}/account") as answer:
            assert json.load(answer)["paid"] == 23

        (settings,) = [block for block in blocks("toml") if block.page.name == "your-vendor.md"]
        Path("blackbox-conformal.toml").write_text(here(settings.text))
        audit = ["audit", "other-photographs", "--calibration", "runs/rehearsal/calibration.json", "--alpha", "0.2"]
        assert run([*audit, "--max-cost", "5"]) == 0, capsys.readouterr().err
        process.communicate()
