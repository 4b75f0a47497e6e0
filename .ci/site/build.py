"""The documentation as a site: the pages that ship with the package, every command, and the Python interface.

    python .ci/site/build.py OUT

The pages stay as they are read on GitHub. This script gathers them in a folder of their own, mends the links that leave
`blackbox_conformal/docs`, makes the navigation of the lists on the pages of the four parts, and writes pages for the
commands and the public names. Sphinx builds all of it with warnings as errors; `llms.txt` is made of the same lists.
Every link of the result is followed, and what newcomers search for must be found.
"""

import functools
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import names
from check_links import dead_links
from check_search import searches_without_page

from blackbox_conformal.cli.commands import Group, every_command, find
from blackbox_conformal.cli.commands import names as command_names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "blackbox_conformal" / "docs"
ELSEWHERE = {
    ROOT / "adapters" / "README.md": "your-adapter.md",
    ROOT / "CONTRIBUTING.md": "contributing.md",
    ROOT / "CHANGELOG.md": "changes.md",
    ROOT / "SECURITY.md": "vulnerabilities.md",
    ROOT / "blackbox_conformal" / "photographs" / "README.md": "photographs.md",
}
"""Pages outside the package's documentation, and their names on the site."""

PARTS = ("how-to", "reference", "explanation")
ONLY_HERE = {
    "commands": "\n## Every option\n\n```{toctree}\n:maxdepth: 1\n\n"
    + "".join(f"commands/{name}\n" for name in command_names())
    + "```\n",
    "index": "\n```{toctree}\n:hidden:\n\nTutorial <tutorial>\nhow-to\nreference\nexplanation\n```\n",
}
"""What is added to pages because it leads to pages that are made below."""

PYTHON = (
    "- [The adapters](adapters/index.md)",
    "- [Python functions](api/functions.rst), [Python classes](api/classes.rst), "
    "[parts of results](api/parts.rst) and [errors](api/errors.rst)\n- [The adapters](adapters/index.md)",
)
"""Where the list of the reference gets the pages of the Python interface."""
FUNCTIONS = "Each is loaded when it is first used: ``import blackbox_conformal as bc``, then ``bc.calibrate(…)``."
CLASSES = "What functions take and give. You make few of them yourself."
PARTS_OF_RESULTS = "You read their attributes, or write a class of your own that derives from one."
FAILURES = (
    "Every error derives from `BlackboxConformalError`, and says what was expected, what arrived, and what to do."
)


def gather(source: Path) -> None:
    """The pages, and the files that they link to."""
    pages = {path: path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | ELSEWHERE
    for page, name in pages.items():
        text = page.read_text(encoding="utf-8").replace(*PYTHON) + ONLY_HERE.get(name.removesuffix(".md"), "")
        # Who changes a page needs this; who reads the site does not.
        text = re.sub(r"^Written by `.*change .*\n\n", "", text, flags=re.MULTILINE)
        mend = functools.partial(mended, page=page, name=name, pages=pages, source=source)
        text = re.sub(r"(?<=\]\()[^)\s]+(?=\))", mend, text)
        if name.removesuffix(".md") in (*PARTS, "adapters/index"):
            text += navigation(text)
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")


def mended(found: re.Match[str], *, page: Path, name: str, pages: dict[Path, str], source: Path) -> str:
    """A link of `page` as it is right for `name` on the site."""
    link = found[0]
    path, mark, anchor = link.partition("#")
    if "://" in link or not path or path.endswith(".rst"):
        return link
    target = Path(os.path.normpath(page.parent / path))
    if target.suffix == ".md" and target not in pages:
        sys.exit(f"{page.name}: {link} leads to a page that the site has not: name it in ELSEWHERE of {__file__}")
    if target not in pages:
        # A file that is not a page, such as a picture or an example: it comes along.
        copy = source / "files" / target.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, copy)
        return os.path.relpath(copy, (source / name).parent)
    return os.path.relpath(pages[target], Path(name).parent) + mark + anchor


def navigation(text: str) -> str:
    """A hidden table of contents of the pages that the page lists, under the words of their links."""
    lists = "\n".join(re.findall(r"^(?:- |\| \[).*$", text, re.MULTILINE))
    entries = {page: title for title, page in re.findall(r"\[([^\]]+)\]\(([^)#:]+)\.(?:md|rst)\)", lists)}
    lines = [f"{title[0].upper()}{title[1:]} <{page}>" for page, title in entries.items()]
    return "\n```{toctree}\n:hidden:\n\n" + "\n".join(lines) + "\n```\n"


def for_models(source: Path) -> str:
    """`llms.txt`: what the package is, and the lists of the parts' pages, for language models (llmstxt.org)."""
    title, summary = (source / "index.md").read_text(encoding="utf-8").split("\n\n")[:2]
    lines = [title, "", "> " + summary.replace("\n", " "), "", "## Start", "", "- [Tutorial](tutorial.md): a whole job"]
    for part in PARTS:
        said = (source / f"{part}.md").read_text(encoding="utf-8").splitlines()
        if not any(line.startswith("## ") for line in said):
            said.insert(0, "#" + said[0])
        for line in said:
            if line.startswith("## "):
                lines += ["", line, ""]
            elif line.startswith("- ["):
                lines.append(line)
    # Sphinx moves files that are not pages, and gives each page its own name.
    text = re.sub(r"\[([^\]]+)\]\(files/[^)]+\)", r"\1", "\n".join(lines) + "\n")
    return re.sub(r"\.(?:md|rst)(?=[#)])", ".html", text)


def write_commands(source: Path) -> None:
    """A page for each command: what `--help` says, with an anchor for each option."""
    (source / "commands").mkdir()
    for name in command_names():
        command = find(name)
        assert command is not None
        parts = [(words, part) for words, part in every_command().items() if words.split()[0] == name]
        if isinstance(command, Group) and command.alone is None:
            parts.insert(0, (name, command))
        text = "\n".join(described(title, part, "=-"[number > 0]) for number, (title, part) in enumerate(parts))
        (source / "commands" / f"{name}.rst").write_text(text, encoding="utf-8")


def described(title: str, command: click.Command, underline: str) -> str:
    """One command, as reStructuredText."""
    context = click.Context(command, info_name=f"blackbox-conformal {title}")
    paragraphs = [title, underline * len(title), "", in_markup(inspect.cleandoc(command.help or "")), ""]
    if isinstance(command, click.Group):
        return "\n".join(paragraphs)
    usage = " ".join(command.collect_usage_pieces(context))
    paragraphs += [".. code-block:: text", "", f"   {context.command_path} {usage}", ""]
    paragraphs += [f".. program:: {context.command_path}", ""]
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            paragraphs += [f".. option:: {record[0]}", "", f"   {in_markup(record[1])}", ""]
    paragraphs += ["It ends with one of the :doc:`exit codes of all commands </commands>`.", ""]
    return "\n".join(paragraphs)


def in_markup(text: str) -> str:
    """A help text as reStructuredText: options and what is between backquotes are code, and that is all."""
    text = re.sub(r"(?<![\w`-])(--?[a-z][a-z-]*)(?![\w`-])", r"`\1`", text)
    parts = [
        re.sub(r"([\\*_|])", r"\\\1", part) if number % 2 == 0 else part for number, part in enumerate(text.split("`"))
    ]
    return "``".join(parts)


def write_interface(source: Path) -> None:
    """The public names of the package, by kind."""
    (source / "api").mkdir()
    pages = {
        "functions": ("Functions", FUNCTIONS, "autofunction", "blackbox_conformal", names.functions()),
        "classes": ("Classes", CLASSES, "autoclass", "blackbox_conformal", names.classes()),
        "parts": (
            "Parts of results, and what plugins derive from",
            PARTS_OF_RESULTS,
            "autoclass",
            "blackbox_conformal",
            names.PARTS,
        ),
        "errors": ("Errors", FAILURES, "autoexception", names.ERRORS_MODULE, names.errors()),
    }
    for file, (title, said, directive, module, members) in pages.items():
        lines = [title, "=" * len(title), "", said, ""]
        for name in members:
            heading = name.rpartition(".")[2]
            lines += [heading, "-" * len(heading), "", f".. {directive}:: {module}.{name}"]
            lines += [] if directive == "autofunction" else ["   :members:"]
            lines += [""]
        (source / "api" / f"{file}.rst").write_text("\n".join(lines), encoding="utf-8")


def main(out: Path) -> None:
    """Build the site in `out`, which is emptied first if it holds an earlier one."""
    if (out / ".buildinfo").exists():
        shutil.rmtree(out)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        gather(source)
        write_commands(source)
        write_interface(source)
        command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "auto"]
        built = subprocess.run([*command, "-c", str(Path(__file__).parent), str(source), str(out)], check=False)
        if built.returncode:
            sys.exit(built.returncode)
        (out / "llms.txt").write_text(for_models(source), encoding="utf-8")
    if wrong := dead_links(out) + searches_without_page(out):
        sys.exit("\n".join(wrong))
    print(f"site: {len(list(out.rglob('*.html')))} pages in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
