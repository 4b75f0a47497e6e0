"""The pages of the documentation, and the blocks of code in them."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

import blackbox_conformal

ROOT = Path(__file__).parents[2]
PACKAGE = Path(blackbox_conformal.__file__).parent
DOCS = PACKAGE / "docs"
README = ROOT / "README.md"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "adapters/README.md")),
]


class Block(NamedTuple):
    """A fenced block of code; `line` is the number of its fence."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """Where it stands, such as ``tutorial.md:38``."""
        return f"{self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page.name}:{self.line}"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages, without the indentation of a list that they stand in."""
    found = []
    for page in PAGES:
        text = text_of(page)
        for match in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
            if match[2] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(page, line, match[2], textwrap.dedent(match[3])))
    return found


def command_lines(block: Block) -> list[str]:
    """What a reader types, one command each: lines that end in a backslash are joined, output is left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]
