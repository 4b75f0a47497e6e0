"""The page that says what each adapter was compared with, written from the tables of the comparisons themselves.

``PYTHONPATH=tests python -m clients.page`` writes it; a test asks that it is current.
"""

import re
from pathlib import Path

from clients.case import Case
from clients.cases import CASES, COMPARED_ON, FURTHER
from openapi.check_specs import CASES as OPENAPI

import blackbox_conformal
from blackbox_conformal.study.plugins import adapter_class
from blackbox_conformal.support import catalog

PAGE = Path(blackbox_conformal.__file__).parent / "docs" / "vendors-checked.md"
REQUIREMENTS = [Path(__file__).with_name(name) for name in ("requirements.txt", "requirements-alone.txt")]

HEAD = """# What each adapter was compared with

Written by `PYTHONPATH=tests python -m clients.page` from the tables of the tests; change those, not this file.

No test calls a vendor. The tests compare adapters with what vendors publish:

- **their Python clients** (`bash .ci/run clients`). Client and adapter draw one picture from the same scripted server.
  Every field of every request is compared, and both read the same answers that hold no picture;
- **their OpenAPI documents** (`bash .ci/run openapi`). A mock server of the document checks every request of a draw
  and its refusals;
- **their server software** ([real servers](real-servers.md)). A whole calibration is drawn from it.

The adapter of a vendor that is not in the table was written from documents alone. No comparison covers prices, limits
on sizes or rates: the [adapters' pages](./adapters/index.md) say where and when these were read.
"""


def page() -> str:
    """The whole page."""
    names = [each.name for each in catalog.listings("adapters") if each.target.startswith("blackbox_adapters.")]
    rows = [
        "| adapter | client | OpenAPI document | server software |",
        "| --- | --- | --- | --- |",
        *(_row(name) for name in names if adapter_class(name).evidence not in ("own-software", "documents")),
    ]
    head = (
        f"Compared with clients on {COMPARED_ON}. `tests/clients` gives the reason of each deliberate difference, and "
        "`NOT_COMPARED` in `tests/clients/cases.py` what was not compared."
    )
    return "\n".join([HEAD, *rows, "", head, "", *(f"**{name}.** {said}" for name, said in FURTHER.items())]) + "\n"


def versions() -> dict[str, str]:
    """Distribution → the version that is compared with."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in REQUIREMENTS)
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))


def _of(name: str) -> list[Case]:
    return [case for case in CASES if case.adapter == name]


def _row(name: str) -> str:
    cases = _of(name)
    client = f"{cases[0].client} {versions()[cases[0].client]}" if cases else "–"
    modules = {name.replace("-", "_"), name}
    documents = [
        document
        for document, checked in OPENAPI.items()
        if any(modules & {each.module, each.parameters.get("recipe")} for each in checked)
    ]
    cells = [
        f"[{name}](./adapters/{name}.md)",
        client,
        ", ".join(documents) or "–",
        "yes" if adapter_class(name).evidence == "real-server" else "–",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
