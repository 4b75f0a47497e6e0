"""Pages whose commands ask no paid vendor can be typed from top to bottom.

Commands of the other pages need a key and money: `test_docs_commands.py` parses them, and runs calibrations up to
the budget.
"""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from support.documentation import DOCS, blocks, command_lines
from support.synthetic import photograph, write_draws, write_photographs

from blackbox_conformal.cli.main import run


@pytest.mark.parametrize("name", ["tutorial.md", "offline.md"])
def test_its_commands_end_well(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(Path("photographs"), range(20))
    write_photographs(Path("other-photographs"), range(20, 25))
    write_draws(Path("outputs"), range(25), draws=1)
    Image.fromarray(photograph(40)).resize((20, 16)).save("small.png")
    lines = [line for block in blocks("sh", "console") if block.page == DOCS / name for line in command_lines(block)]
    lines = [line for line in lines if not line.startswith(("uvx ", "pipx "))]  # They install from the network.
    assert len(lines) >= 3
    for line in lines:
        # A run folder that the command named by itself.
        (folder,) = {path.name for path in tmp_path.glob("runs/*")} or {""}
        words = shlex.split(re.sub(r"runs/…", f"runs/{folder}", line))
        assert words[0] == "blackbox-conformal"
        assert run(words[1:]) == 0, (line, capsys.readouterr().err)
