"""Sphinx reads this beside the pages that `build.py` has gathered."""

import dataclasses
import inspect
import itertools
import re
import sys
import textwrap
from pathlib import Path

from sphinx.application import Sphinx

import blackbox_conformal

sys.path.insert(0, str(Path(__file__).parent))
from names import full_names

FULL_NAMES = full_names()

project = "blackbox-conformal"
author = "The blackbox-conformal contributors"
copyright = "The blackbox-conformal contributors"  # noqa: A001 - Sphinx's name
version = release = blackbox_conformal.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
# The anchors that GitHub makes, so that links work in both places.
myst_heading_anchors = 4
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

# Single backquotes in docstrings are names: a link where the name is documented here, else code.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    # Annotations also name other projects' types, and internal ones that no page describes.
    ("py:class", ".*"),
]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
# Named as they are, where a module's annotations stay as they are written.
autodoc_type_aliases = {name: name for name in ("Photographs", "Given", "Picture", "ArrayLike", "Image", "Map", "Mask")}
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "blackbox-conformal"
html_favicon = "favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# What scrolls sideways can be reached by keyboard.
_SCROLLED = "document.querySelectorAll('.highlight pre, .table-wrapper').forEach(part => part.tabIndex = 0)"
html_js_files = [(None, {"body": f"addEventListener('DOMContentLoaded', () => {_SCROLLED})"})]
html_theme_options = {"navigation_with_keys": True}


def setup(app: Sphinx) -> None:
    """Mend what `autodoc` reads."""
    app.connect("autodoc-process-signature", without_addresses)
    app.connect("autodoc-process-docstring", with_full_names)


def without_addresses(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """A signature with an ellipsis for each default that is a function, whose address differs from build to build."""
    return signature and re.sub(r"<function .*? at 0x\w+>", "…", signature), returns


def with_full_names(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Docstrings name `Calibration`; a link needs to know where that has its entry. What they list becomes a list."""
    if what == "class" and dataclasses.is_dataclass(thing):
        lines += ["", *explained(thing)]
    item = re.compile(r"(?=(?:`\w+`(?:, `\w+`)*|Returns|Yields|Raises `\w+`): )")
    for blank, group in itertools.groupby(list(enumerate(lines)), lambda numbered: not numbered[1].strip()):
        paragraph = [] if blank else list(group)
        # Prose may begin so, too; in a list each line does, or goes on with the one above.
        if paragraph and all(line.startswith("  ") or item.match(line) for _, line in paragraph):
            for number, line in paragraph:
                lines[number] = item.sub("- ", line, count=1) if item.match(line) else line
    for number, line in enumerate(lines):
        lines[number] = re.sub(r"(?<!`)`(\w+)((?:\.\w+)*)`(?!`)", lambda found: linked(found[1], found[2]), line)


def explained(thing: object) -> list[str]:
    """What the comments beside or above the fields of a class say."""
    found, above = [], []
    for line in textwrap.dedent(inspect.getsource(thing)).splitlines():
        if comment := re.match(r"    # (.*)", line):
            above.append(comment[1])
        elif field := re.match(r"    (\w+): ([^#]*)(?:# (.*))?$", line):
            if text := " ".join([*above, *filter(None, [field[3]])]):
                found.append(f"`{field[1]}`: {text}")
            above = []
        else:
            above = []
    return found


def linked(name: str, attribute: str) -> str:
    """A name between backquotes, with its full form where it is known."""
    full = FULL_NAMES.get(name)
    return f"`{name}{attribute} <{full}{attribute}>`" if full else f"`{name}{attribute}`"
