"""Prints how large the house is, and what changed since a commit: python .ci/size.py [COMMIT]

Without a commit it compares with the last release (the newest tag that begins with v).
"""

import ast
import io
import re
import subprocess
import sys
import tarfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

PRODUCT = ("blackbox_conformal/", "adapters/")
OTHER = ("examples/", "tests/", ".ci/")


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], check=True, capture_output=True).stdout


def texts(commit: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each Python file and page of the commit, or of the working tree where it is empty."""
    if not commit:
        for path in git("ls-files", "-z", "--", "*.py", "*.md").decode().split("\0"):
            if path and PurePosixPath(path).suffix:
                try:
                    with open(path, encoding="utf-8") as file:
                        yield path, file.read()
                except FileNotFoundError:
                    continue
        return
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith((".py", ".md")):
                content = archive.extractfile(member)
                yield member.name, content.read().decode() if content else ""


def kinds(text: str) -> Counter[str]:
    """Count the lines of a Python file, in all and by kind; a blank line in a docstring counts as docstring."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        kind = "imports" if isinstance(node, ast.Import | ast.ImportFrom) else ""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            kind = "docstrings"
        if kind:
            found.update(dict.fromkeys(range(node.lineno, node.end_lineno + 1), kind))
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            found.setdefault(number, "blank")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
            found.setdefault(token.start[0], "comments")
    counted = Counter(found.values())
    counted["lines"] = text.count("\n")
    counted["code"] = counted["lines"] - sum(found[number] != "" for number in found)
    return counted


def measured(commit: str) -> dict[str, Counter[str]]:
    """Return the figures of each room, of tests and examples, and of the pages."""
    rooms: dict[str, Counter[str]] = {}
    for path, text in texts(commit):
        parts = path.split("/")
        if path.endswith(".md"):
            prose = re.sub(r"^```.*?^```", " ", text, flags=re.M | re.S)
            kind = "vendor pages" if "docs/adapters/" in path else "documentation"
            if path != "CHANGELOG.md" and not path.startswith("tests/"):
                rooms.setdefault(kind, Counter())["words"] += len(re.findall(r"\S*\w\S*", prose))
        elif path.startswith(PRODUCT + OTHER):
            room = parts[1] if parts[0] == "blackbox_conformal" and len(parts) > 2 else parts[0]
            figures = kinds(text) + Counter(files=1)
            for name in (room, "product" if path.startswith(PRODUCT) else ""):
                if name:
                    rooms[name] = rooms.get(name, Counter()) + figures
    return rooms


def main() -> None:
    tags = git("tag", "--list", "v*", "--sort=-version:refname").decode().split()
    since = sys.argv[1] if len(sys.argv) > 1 else next(iter(tags), "")
    now, before = measured(""), measured(since) if since else {}
    columns = ("files", "lines", "code", "docstrings", "imports", "comments", "blank", "words")
    print(f"change since {since}" if since else "there is no release to compare with yet: name a commit")
    print(f"{'':20}" + "".join(f"{name:>18}" for name in columns))
    for room in sorted({*now, *before}, key=lambda name: (name in ("product", "tests", "documentation"), name)):
        cells = ""
        for name in columns:
            figure = now.get(room, Counter())[name]
            change = f" ({figure - before.get(room, Counter())[name]:+,})" if since else ""
            cells += f"{f'{figure:,}{change}' if figure or change not in ('', ' (+0)') else '':>18}"
        print(f"{room:20}{cells}")


if __name__ == "__main__":
    main()
