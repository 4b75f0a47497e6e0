"""Tables of the documentation are those of their files, and what pages say about them is true of these."""

import json
import re
import subprocess
import sys
from pathlib import Path

import figures
import numpy as np
import paid_part_rates as paid
import pytest
from support.documentation import DOCS, text_of

from blackbox_conformal.method.images.photographs import demo_photographs

TABLES = figures.every_table(DOCS / "figures")
PHOTOGRAPHS = demo_photographs()[0].path.parent
CELLS = [cell for table in TABLES.values() for cell in table.get("cells", [])]


def marked(name: str) -> list[str]:
    return re.findall(r"^<!-- figures: (.+) -->$", text_of(DOCS / f"{name}.md"), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(path.stem for path in (DOCS / "figures").glob("*.json")))
def test_the_tables_of_a_page_are_those_of_its_file(name: str) -> None:
    text = text_of(DOCS / f"{name}.md")
    assert marked(name)
    assert figures.filled(text, TABLES) == text, "python examples/figures.py fills in the pages"


def test_every_comment_names_a_table() -> None:
    assert {table for page in DOCS.glob("*.md") for table in marked(page.stem)} <= TABLES.keys()


def test_no_realised_risk_is_above_its_level() -> None:
    page = text_of(DOCS / "trusted-share.md")
    (count,) = re.findall(r"Every realised risk is below its level\*\*, in all (\d+) cells", page)
    assert int(count) == len(CELLS)
    assert [cell for cell in CELLS if cell["risk"] > cell["alpha"]] == []


@pytest.mark.parametrize(
    ("program", "options", "names", "settings"),
    [
        ("stopping_numbers", "--audits 1", ["audits/stopping"], 1),
        ("verdict_rates", "--audits 1", ["audits/verdicts"], 2),
        ("paid_part_rates", "--audits 1", ["audits/paid"], 2),
        ("watch_rates", "--power-runs 1 --runs 1 --visits 5", ["watching/visits"], 2),
        pytest.param(
            "compare_scores",
            "--adapter embedded --side 64 --n 10 --calls 8 --splits 2 --out scores.md -- PHOTOGRAPHS",
            ["scores/embedded"],
            1,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_program_measures_what_its_table_shows(
    tmp_path: Path, program: str, options: str, names: list[str], settings: int
) -> None:
    """The first cells of each row, which say what was measured, come from the program too."""
    words = [str(PHOTOGRAPHS) if word == "PHOTOGRAPHS" else word for word in options.split()]
    command = [sys.executable, str(Path(figures.__file__).with_name(f"{program}.py")), *words]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    measured = [line[2:].split(" | ")[:settings] for line in printed.splitlines() if line.startswith("| ")]
    for name in names:
        assert [row[:settings] for row in TABLES[name]["rows"] if row[:settings] not in measured] == []


def test_intervals_with_coefficients_of_the_same_losses_cover_clearly_less() -> None:
    for network in json.loads(paid.KEPT.read_text("utf-8")).values():
        rows = [paid.row("", np.array(network["losses"]), 6, kind, 300) for kind in (paid.OWN, paid.SAME)]
        ours, control = (int(row[2].split()[0]) for row in rows)
        print(ours, control)
        assert control + 12 < ours


def test_what_a_program_saves_is_what_the_page_shows(tmp_path: Path) -> None:
    cells = [
        {"row": row, "n": n, "alpha": alpha, "share": n / 100 + alpha, "risk": alpha / 2, "standard_error": 0.001}
        for row in ("one", "two")
        for n in (25, 50)
        for alpha in (0.05, 0.1)
    ]
    path = figures.save("page", "pool", {"cells": cells}, tmp_path)
    figures.save(
        "page",
        "other",
        {"columns": ["a", "b"], "rows": [["1", ""], ["x", "2"]], "show": {"rows": {"a": ["x"]}, "columns": ["b"]}},
        tmp_path,
    )
    assert json.loads(path.read_text(encoding="utf-8"))["pool"]["cells"] == cells
    before = "x\n<!-- figures: page/pool -->\n\n| old |\n\ny\n<!-- figures: page/other -->\n\n| old |\n\nz\n"
    assert figures.filled(before, figures.every_table(tmp_path)) == (
        "x\n<!-- figures: page/pool -->\n\n"
        "| settings | n | alpha 0.05 | 0.1 |\n| --- | --- | --- | --- |\n"
        "| one | 25 | 30.0 (0.025) | 35.0 (0.050) |\n"
        "| one | 50 | 55.0 (0.025) | 60.0 (0.050) |\n"
        "| two | 25 | 30.0 (0.025) | 35.0 (0.050) |\n"
        "| two | 50 | 55.0 (0.025) | 60.0 (0.050) |\n"
        "\ny\n<!-- figures: page/other -->\n\n| b |\n| --- |\n| 2 |\n\nz\n"
    )
