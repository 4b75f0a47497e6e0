"""Which run folder a command looks at, when the user does not say.

A folder whose ledger was never used, or cannot be read, is not chosen.
"""

from collections.abc import Callable
from pathlib import Path

from blackbox_conformal.errors import UsageError

LEDGER = "ledger.sqlite"


def run_folder_of(given: str | None, note: Callable[[str], object], *, whole: bool = True) -> Path:
    """The folder given, or the only run folder there is: the working folder itself, or one below ``runs``.

    `note` is told of folders whose ledger cannot be read, or, unless `whole` is unset, is damaged in any way.

    Raises
    ------
    UsageError
        The folder does not exist, or there are none or several to choose from.
    """
    if given is not None:
        folder = Path(given)
        if not folder.is_dir():
            raise UsageError(f"expected --run to be a run folder; {folder} is none")
        if not (folder / LEDGER).is_file():
            raise UsageError(f"expected a run folder; {folder} holds no {LEDGER}: nothing was ever drawn into it")
        return folder
    found = _here(note, whole)
    if len(found) == 1:
        return found[0]
    listed = ", ".join(map(str, found)) or "none below ./runs"
    raise UsageError(f"expected --run FOLDER, since there is not exactly one to choose: {listed}")


def run_folders(given: str | None, note: Callable[[str], object]) -> list[Path]:
    """The folder given, or every run folder there is; errors as `run_folder_of` when there is none."""
    found = [] if given is not None else _here(note, True)
    return found if len(found) > 1 else [run_folder_of(given, lambda text: None)]


def _here(note: Callable[[str], object], whole: bool) -> list[Path]:
    if Path(LEDGER).is_file():
        return [Path()]
    return [folder for folder, trouble in ledgers_below(Path("runs"), whole=whole) if _is_fit(folder, trouble, note)]


def _is_fit(folder: Path, trouble: str | None, note: Callable[[str], object]) -> bool:
    if trouble:
        note(f"note: the run folder {folder} is left out: {trouble}")
    return trouble is None


def ledgers_below(runs: Path, *, whole: bool = True) -> list[tuple[Path, str | None]]:
    """Every run folder in or below `runs`, and why its ledger cannot be read: None it can, '' it was never used."""
    from blackbox_conformal.errors import LedgerError
    from blackbox_conformal.sampling.ledger.ledger_file import reading

    found: list[tuple[Path, str | None]] = []
    for path in [*runs.glob(LEDGER), *sorted(runs.glob(f"*/{LEDGER}"))]:
        try:
            with reading(path.parent, whole=whole) as connection:
                found.append((path.parent, "" if connection is None else None))
        except LedgerError as error:
            found.append((path.parent, str(error)))
    return found
