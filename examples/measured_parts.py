"""Examples that measure several things: numbers as options, and parts that each print a report and pass or fail."""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any


def parser_of(description: str | None, parts: Iterable[str], **numbers: float) -> argparse.ArgumentParser:
    """A parser with an option for each number, of its type and with it as the default, and one for the parts."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in numbers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(number), default=number)
    parser.add_argument("--parts", nargs="*", default=[*parts])
    return parser


def run_parts(parts: Mapping[str, Callable[[Path], dict[str, Any]]], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The reports of the parts of these names, each run in a folder of its own; exit code 1 unless all passed."""
    reports = {}
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            folder = Path(root) / name
            folder.mkdir()
            reports[name] = parts[name](folder)
            print(json.dumps({name: reports[name]}, indent=1), flush=True)
    if not all(report["passed"] for report in reports.values()):
        raise SystemExit(1)
    return reports
