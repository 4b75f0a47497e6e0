"""What the tutorial shows of its commands' output, from a run of today's code.

    python examples/collect_photographs.py unpacked wallpapers      # see there
    python examples/tutorial_output.py wallpapers

types the tutorial's commands in a new folder, and writes their output into the page. The page shows a part of it: each
line that it shows is replaced by the line of the output that is like it but for its figures, and what is left out stays
left out. A test asks that every such line is still printed.
"""

import random
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

PAGE = Path(__file__).parent.parent / "blackbox_conformal" / "docs" / "tutorial.md"
SIDE = 384
"""Pixels of a photograph's side."""

CALIBRATE, AUDIT = 40, 20
"""Photographs: those that audit are drawn at random, by a seed."""


def shape(line: str) -> str:
    """A line without its figures and widths; of the row of a table its number of columns alone."""
    text = line.strip()
    if re.match(r"\d", text):
        return f"{len(re.split(r' {2,}', text))} columns"
    return re.sub(r"[\s─]+", " ", re.sub(r"\d[\d.]*", "#", text))


def refreshed(shown: list[str], printed: list[str]) -> tuple[list[str], list[str]]:
    """The lines that a page shows as they are printed now, and those of them that are not printed any more."""
    lines, gone, place = [], [], 0
    for line in shown:
        found = next((number for number in range(place, len(printed)) if shape(printed[number]) == shape(line)), None)
        if line == "…":
            lines.append(line)
        elif found is None:
            lines.append(line)
            gone.append(line)
        else:
            lines.append(printed[found].rstrip())
            place = found + 1
    return lines, gone


def typed(command: str, folder: Path) -> list[str]:
    """The lines that a command prints in `folder`, with paths as they look from there."""
    words = [sys.executable, "-m", *shlex.split(command.replace("blackbox-conformal", "blackbox_conformal", 1))]
    output = subprocess.run(words, cwd=folder, stdout=-1, stderr=subprocess.STDOUT, text=True, check=True).stdout
    return output.replace(f"{folder.resolve()}/", "").splitlines()


def refreshed_page(text: str, folder: Path) -> tuple[str, list[str]]:
    """The page with the output of its commands, typed in `folder` from top to bottom, and its lines that are gone."""
    gone: list[str] = []

    def block(found: re.Match[str]) -> str:
        lines: list[str] = []
        for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", found[1], re.MULTILINE):
            new, missing = refreshed(shown.splitlines(), typed(command, folder))
            lines += [f"$ {command}", *new]
            gone.extend(missing)
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```\n"

    return re.sub(r"^```console\n(.*?)^```\n", block, text, flags=re.MULTILINE | re.DOTALL), gone


def main(wallpapers: Path) -> int:
    """Write the page anew; the exit code is 1 where it shows lines that are gone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("photographs", "other-photographs"):
            (folder / part).mkdir()
        audits = set(random.Random(0).sample(range(CALIBRATE + AUDIT), AUDIT))
        for number, path in enumerate(sorted(wallpapers.iterdir())[: CALIBRATE + AUDIT]):
            photograph = ImageOps.fit(Image.open(path).convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
            photograph.save(folder / ("other-photographs" if number in audits else "photographs") / f"{path.stem}.png")
        first = min((folder / "other-photographs").iterdir())
        Image.open(first).resize((SIDE // 4, SIDE // 4), Image.Resampling.BICUBIC).save(folder / "small.png")
        text, gone = refreshed_page(PAGE.read_text(encoding="utf-8"), folder)
    PAGE.write_text(text, encoding="utf-8")
    print("\n".join(f"not printed any more: {line}" for line in gone) or f"{PAGE.name} is current")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
