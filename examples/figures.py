"""Tables of the documentation that come from files: programs write the files, and this fills in the pages.

    python examples/figures.py           # write the tables of every page anew

Each file of `blackbox_conformal/docs/figures` belongs to the page of its name. A comment before such a table names its
figures; the lines of the table below it are made from them. A test compares pages and files.
"""

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "blackbox_conformal" / "docs"
FIGURES = DOCS / "figures"

Table = dict[str, Any]
"""Either ``columns`` and ``rows`` of text, or ``cells`` as trusted_share.py measures them; ``show`` names the rows (by
the values of a column) and the columns that the page shows, where the file holds more; ``of`` names another table of
which this one shows a part."""


def save(page: str, name: str, table: Table, figures: Path = FIGURES) -> Path:
    """Put `table` into the file of `page`, beside what it holds under other names."""
    path = figures / f"{page}.json"
    tables = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    # What stands beside the cells, such as the words for settings, is kept.
    tables[name] = tables.get(name, {}) | table
    path.write_text(_one_row_a_line(tables), encoding="utf-8")
    return path


def save_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--save`` to a program that measures."""
    parser.add_argument("--save", action="store_true", help="write the tables to the figures of the page, too")


def printed(row: Sequence[str]) -> list[str]:
    """`row`, printed as a line of a table as soon as it is measured."""
    print(_line(row), flush=True)
    return list(row)


def heading(columns: Sequence[str]) -> list[str]:
    """`columns`, printed as the first lines of a table."""
    printed(columns)
    printed(["---"] * len(columns))
    return list(columns)


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def _one_row_a_line(tables: dict[str, Table]) -> str:
    """JSON in which a change of one row changes one line."""
    text = json.dumps(tables, ensure_ascii=False, indent=1)
    return re.sub(r"\n {4,}([^ ])", r" \1", re.sub(r"\n {3}([\]}])", r" \1", text)) + "\n"


def filled(text: str, tables: dict[str, Table]) -> str:
    """A page with its tables made anew."""

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{rendered(tables[found[2]], tables)}"

    return re.sub(r"(<!-- figures: (.+?) -->\n)\n(?:\|.*\n)*", table, text)


def rendered(table: Table, tables: dict[str, Table]) -> str:
    """The lines of one table."""
    if "of" in table:
        table = tables[table["of"]] | table
    if "sizes" in table:
        columns, rows = _by_size(table, tables)
    elif "draws" in table:
        columns, rows = _by_price(table, tables)
    elif "cells" in table:
        columns, rows = _by_level(table["cells"])
    else:
        columns, rows = table["columns"], table["rows"]
    show = table.get("show", {})
    for column, values in show.get("rows", {}).items():
        place = columns.index(column)
        rows = [row for row in rows if row[place] in values]
    places = [columns.index(column) for column in show.get("columns", columns)]
    lines = [[row[place] for place in places] for row in (columns, ["---"] * len(columns), *rows)]
    return "".join(f"{_line(line)}\n" for line in lines)


def _by_level(cells: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A line for each setting and number of photographs, a column for each level."""
    alphas = list(dict.fromkeys(cell["alpha"] for cell in cells))
    levels = [f"alpha {alphas[0]:g}", *(f"{alpha:g}" for alpha in alphas[1:])]
    rows = []
    for row in dict.fromkeys(cell["row"] for cell in cells):
        for n in dict.fromkeys(cell["n"] for cell in cells if cell["row"] == row):
            rows.append([row, str(n), *(_cell(_one(cells, row, n, alpha)) for alpha in alphas)])
    return ["settings", "n", *levels], rows


def _by_size(table: Table, tables: dict[str, Table]) -> tuple[list[str], list[list[str]]]:
    """A column for each size of the same photographs, at one level."""
    pools = [tables[name]["cells"] for name in table["sizes"].values()]
    rows = []
    for row in table["settings"]:
        for n in table["photographs"]:
            rows.append([row, str(n), *(_cell(_one(cells, row, n, table["alpha"])) for cells in pools)])
    return ["settings", "n", *table["sizes"]], rows


def _by_price(table: Table, tables: dict[str, Table]) -> tuple[list[str], list[list[str]]]:
    """What is trusted for how many calls, by how many draws are made of a picture."""
    cells = tables[table["pool"]]["cells"]
    rows = []
    for said, (row, draws) in table["draws"].items():
        shares = [_one(cells, row, n, table["alpha"])["share"] for n in table["photographs"]]
        priced = zip(shares, table["photographs"], strict=True)
        rows.append([said, str(draws), *(f"{100 * share:.1f} % for {draws * n}" for share, n in priced)])
    return ["", "calls for a mask", *(f"{n} photographs" for n in table["photographs"])], rows


def _one(cells: Iterable[dict[str, Any]], row: str, n: int, alpha: float) -> dict[str, Any]:
    (cell,) = (cell for cell in cells if (cell["row"], cell["n"], cell["alpha"]) == (row, n, alpha))
    return cell


def _cell(cell: dict[str, Any]) -> str:
    return f"{100 * cell['share']:.1f} ({cell['risk']:.3f})"


def every_table(figures: Path = FIGURES) -> dict[str, Table]:
    """Name → table, of all files; a name is that of its page and its own."""
    found = {}
    for path in sorted(figures.glob("*.json")):
        tables = json.loads(path.read_text(encoding="utf-8"))
        found |= {f"{path.stem}/{name}": table for name, table in tables.items()}
    return found


def main() -> None:
    """Write every page anew that has such tables."""
    tables = every_table()
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := filled(text, tables)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.name} changed")


if __name__ == "__main__":
    main()
