"""Which run folder a command looks at when the user names none: the only one whose ledger is in use and readable."""

from collections.abc import Callable
from pathlib import Path

from blackbox_conformal.errors import LedgerError, UsageError

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
    folders = _here(note, whole)
    if len(folders) == 1:
        return folders[0]
    listed = ", ".join(map(str, folders)) or "none below ./runs"
    raise UsageError(f"expected --run FOLDER, since there is not exactly one to choose: {listed}")


def run_folders(given: str | None, note: Callable[[str], object]) -> list[Path]:
    """The folder given, or every run folder there is; errors as `run_folder_of` when there is none."""
    folders = [] if given is not None else _here(note, True)
    return folders if len(folders) > 1 else [run_folder_of(given, lambda text: None)]


def _here(note: Callable[[str], object], whole: bool) -> list[Path]:
    if Path(LEDGER).is_file():
        return [Path()]
    ledgers = ledgers_below(Path("runs"), whole=whole)
    for folder, trouble in ledgers:
        if trouble:
            note(f"note: the run folder {folder} is left out: {trouble}")
    return [folder for folder, trouble in ledgers if trouble is None]


def ledgers_below(runs: Path, *, whole: bool = True) -> list[tuple[Path, str | None]]:
    """Every run folder in or below `runs`, and why its ledger cannot be read: None it can, '' it was never used."""
    from blackbox_conformal.sampling.ledger.ledger_file import reading

    ledgers: list[tuple[Path, str | None]] = []
    for path in [*runs.glob(LEDGER), *sorted(runs.glob(f"*/{LEDGER}"))]:
        try:
            with reading(path.parent, whole=whole) as connection:
                ledgers.append((path.parent, "" if connection is None else None))
        except LedgerError as error:
            ledgers.append((path.parent, str(error)))
    return ledgers
