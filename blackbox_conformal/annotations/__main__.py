"""``python -m blackbox_conformal.annotations``: store a person's annotation of one delivered picture."""

import argparse
import sys
from pathlib import Path

from blackbox_conformal import catalog
from blackbox_conformal.annotations.convert import import_annotations
from blackbox_conformal.errors import BlackboxConformalError, UsageError


def main(arguments: list[str] | None = None) -> int:
    """Import; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m blackbox_conformal.annotations",
        description="Store an annotation of where a delivered picture differs in meaning from the truth.",
    )
    parser.add_argument("source", type=Path, help="the annotation tool's file; for labelme and png also a folder")
    parser.add_argument(
        "--format", required=True, choices=catalog.names("annotations.formats"), help="which tool wrote it"
    )
    parser.add_argument("--truth", required=True, type=Path, help="the photograph")
    parser.add_argument("--delivered", required=True, type=Path, help="the vendor's picture that was annotated")
    parser.add_argument("--folder", required=True, type=Path, help="where annotations are stored")
    parser.add_argument("--annotator", default="not stated", help="who marked it")
    parser.add_argument("--date", help="when, YYYY-MM-DD; today unless given")
    parser.add_argument("--grade", action="append", default=[], metavar="LABEL=GRADE", help="in [0, 1]; repeatable")
    parser.add_argument("--image", help="what the source calls the picture, if not like either file")
    parser.add_argument("--force", action="store_true", help="replace another annotation of the same pair")
    chosen = parser.parse_args(arguments)
    try:
        path = import_annotations(
            chosen.source,
            chosen.format,
            chosen.truth,
            chosen.delivered,
            chosen.folder,
            annotator=chosen.annotator,
            date=chosen.date,
            grades=_grades(chosen.grade),
            image=chosen.image,
            force=chosen.force,
        )
    except BlackboxConformalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(path)
    return 0


def _grades(pairs: list[str]) -> dict[str, float] | None:
    grades: dict[str, float] = {}
    for pair in pairs:
        label, equals, grade = pair.rpartition("=")
        try:
            grades[label] = float(grade)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(f"expected --grade LABEL=GRADE; got {pair!r}")
    return grades or None


if __name__ == "__main__":
    sys.exit(main())
