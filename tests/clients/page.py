"""The page that says what each adapter was compared with, written from the tables of the comparisons themselves.

``PYTHONPATH=tests python -m clients.page`` writes it; a test asks that it is current.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from clients.case import Case
from clients.cases import CASES, COMPARED_ON, FURTHER, NOT_COMPARED
from openapi.check_specs import CASES as OPENAPI

import blackbox_conformal
from blackbox_conformal import catalog
from blackbox_conformal.plugins import adapter_class

PAGE = Path(blackbox_conformal.__file__).parent / "docs" / "vendors-checked.md"
REQUIREMENTS = [Path(__file__).with_name(name) for name in ("requirements.txt", "requirements-alone.txt")]

HEAD = """# What each adapter was compared with

Written by `PYTHONPATH=tests python -m clients.page` from the tables of the tests; change those, not this file.

No test calls a vendor. The adapters are compared with what vendors publish:

- **their Python clients** (`bash .ci/run clients`). Client and adapter draw one picture with the same parameters
  from the same scripted server on loopback. Method, path, query, headers and body of every request are compared field
  by field; files are compared by content. Both then read the same answers that hold no picture. Each difference must
  be listed below with its reason, and a listed one that is gone fails the test too;
- **their OpenAPI documents** (`bash .ci/run openapi`). A mock server of the document checks every request of a draw
  and the classes of its refusals. The documents are the vendors', so you name the folder that holds them;
- **their server software** ([real servers](real-servers.md)). A whole calibration is drawn from it.

No comparison covers prices, limits on sizes or request rates: no client tells them. Where a price was read and when
stands on each [adapter's page](./adapters/index.md), with what nobody could find out.
"""


def page() -> str:
    """The whole page."""
    names = [each.name for each in catalog.listings("adapters") if each.target.startswith("blackbox_adapters.")]
    shown = [name for name in names if adapter_class(name).evidence != "own-software"]
    rows = [
        "| adapter | client | draws compared | answers read alike | OpenAPI document | server software |",
        "| --- | --- | --- | --- | --- | --- |",
        *map(_row, shown),
    ]
    sections = [_section(name) for name in shown if _of(name)]
    return "\n".join([HEAD, *rows, "", f"Compared with clients on {COMPARED_ON}.", "", *sections])


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
        str(len(cases) or "–"),
        str(sum(len(case.readings) for case in cases) or "–"),
        ", ".join(documents) or "–",
        "yes" if adapter_class(name).evidence == "real-server" else "–",
    ]
    return f"| {' | '.join(cells)} |"


def _section(name: str) -> str:
    cases = _of(name)
    lines = [f"## {name}", "", f"Client: {cases[0].client} {versions()[cases[0].client]}.", ""]
    lines += [f"- {case.what}" for case in cases]
    readings = [reading for case in cases for reading in case.readings]
    lines += _table(
        ("the vendor says", "its client raises", "the adapter raises"),
        ((reading.said, f"`{reading.theirs}`", f"`{reading.ours}`") for reading in readings),
    )
    reasons: dict[str, list[str]] = {}
    for case in cases:
        for place, reason in case.deliberate.items():
            if place not in reasons.setdefault(reason, []):
                reasons[reason].append(place)
    lines += _table(
        ("difference", "reason"),
        (("<br>".join(f"`{place}`" for place in places), reason) for reason, places in reasons.items()),
    )
    if name in FURTHER:
        lines += ["", FURTHER[name]]
    lines += ["", f"Not compared: {NOT_COMPARED[name]}.", ""]
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return ["", f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *lines] if lines else []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
