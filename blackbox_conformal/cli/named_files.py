"""Files that a user names: photographs, tables, and a calibration file that is about to be replaced."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.errors import BlackboxConformalError, UsageError

if TYPE_CHECKING:
    from blackbox_conformal.documents.procedure import Procedure


def photograph_paths(images: Sequence[str]) -> list[Path]:
    """Return every photograph in these files and folders."""
    from blackbox_conformal.study.photographs_in_memory import photograph_paths

    return photograph_paths(images)


def read_groups(path: str | None) -> dict[str, str] | None:
    """Photograph (its file's stem) → group, from a CSV file with one ``photograph,group`` line each."""
    if path is None:
        return None
    groups: dict[str, str] = {}
    with Path(path).open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if len(row) != 2 or not all(cell.strip() for cell in row):
                raise UsageError(f"{path}, line {number}: expected photograph,group; got {','.join(row)!r}")
            photograph, group = (cell.strip() for cell in row)
            if Path(photograph).stem in groups:
                raise UsageError(f"{path}, line {number}: {photograph!r} is given a group twice")
            groups[Path(photograph).stem] = group
    return groups


def refuse_other_calibration(
    path: Path, procedure: "Procedure | None", truths: Collection[str], tuning: Collection[str] = ()
) -> None:
    """Refuse when `path` holds anything but a calibration of this procedure (None: any) on these photographs.

    Called before anything is drawn, since what follows could not be written.
    """
    from blackbox_conformal.documents.calibration import Calibration

    if not path.exists():
        return
    try:
        existing = Calibration.load(path)
    except (OSError, BlackboxConformalError):
        raise UsageError(f"{path} exists and is no calibration; give --force or another --out") from None
    differences = [] if procedure is None else existing.procedure.differences(procedure)
    same_photographs = {image.truth for image in existing.images} == set(truths)
    if differences or not same_photographs or {image.truth for image in existing.tuning} != set(tuning):
        other = f"another procedure ({'; '.join(differences)})" if differences else "other photographs"
        raise UsageError(f"{path} is a calibration of {other} and is not overwritten; give --force or another --out")
