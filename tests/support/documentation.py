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

MARKS = {
    "needs a key": "a vendor or a cloud that bills",
    "needs the network": "pip, git",
    "needs another program": "Docker, PostgreSQL, Dask, cron, examples that need other photographs",
    "waits for a person": "a page or a server until Ctrl-C",
    "to be filled in": "the reader's own names",
    "part of a file": "a fragment",
}
"""Why a block of a page is not run: ``<!-- not run: needs a key -->`` stands above its fence.

``<!-- run by tests/test_that.py -->`` names a test of its own instead.
"""

FENCED = re.compile(r"^( *)(?:<!-- ((?:not run|run by).*?) -->\n *)?```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of code; `line` is the number of its fence.

    `mark` is the comment above it that says why a test does not run it, or which test does: see `MARKS`.
    """

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""

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
        for match in re.finditer(FENCED, text):
            if match[3] in languages:
                line = text.count("\n", 0, match.start(3)) + 1
                found.append(Block(page, line, match[3], textwrap.dedent(match[4]), match[2] or ""))
    return found


def command_lines(block: Block) -> list[str]:
    """What a reader types, one command each: lines that end in a backslash are joined, output is left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]
