"""The run folder of a command without one: the only folder whose ledger is in use and readable."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from blackbox_conformal.drawing.ledger.backends import Where

LEDGER = "ledger.sqlite"
NOTE = "ledger.address"


def run_folder_of(
    named: str | None,
    note: Callable[[str], object],
    *,
    whole: bool = True,
    option: str = "--run FOLDER",
    file: str = "",
) -> Path:
    """Return the folder that was named, or the only run folder: the working folder itself, or one below ``runs``.

    `note` gets each folder whose ledger cannot be read or, with `whole`, is damaged in any way. `option` is the option
    that errors name. With `file`, only folders that hold this file count.
    """
    from blackbox_conformal.drawing.ledger.backends import has_ledger

    if named is not None:
        folder = Path(named)
        if not folder.is_dir():
            raise UsageError(f"expected --run to name a run folder; there is no folder {folder}. `calibrate` makes one")
        if not has_ledger(folder):
            raise UsageError(
                f"expected --run to name a run folder; {folder} holds no {LEDGER}, so nothing was drawn into it"
            )
        return folder
    folders = [folder for folder in _here(note, whole) if (folder / file).exists()]
    if len(folders) == 1:
        return folders[0]
    if not folders:
        raise UsageError(f"expected {option}, since no folder below ./runs holds {f'a {file}' if file else 'a ledger'}")
    raise UsageError(f"expected {option}, since there is more than one: {', '.join(map(str, folders))}")


def place_of(named: str | None, ledger: str | None, note: Callable[[str], object], *, whole: bool = True) -> "Where":
    """Return the address of a given ledger, or else the folder as `run_folder_of` finds it."""
    from blackbox_conformal.drawing.ledger.addresses import LEDGERS

    address = None if ledger is None else LEDGERS.name(ledger)
    # An address from the environment is for new ledgers; a named folder has its own.
    return run_folder_of(named, note, whole=whole) if address is None or named is not None else address


def folder_of(named: str | None, ledger: str | None, note: Callable[[str], object]) -> Path:
    """Return the folder as `run_folder_of` finds it; its ledger may be at a given address."""
    from blackbox_conformal.drawing.ledger.addresses import LEDGERS

    if ledger is not None:
        LEDGERS.name(ledger)
    return run_folder_of(named, note)


def run_folders(named: str | None, note: Callable[[str], object]) -> list[Path]:
    """Return the folder that was named, or every run folder; without any, errors as `run_folder_of`."""
    folders = [] if named is not None else _here(note, True)
    return folders if len(folders) > 1 else [run_folder_of(named, lambda text: None)]


def _here(note: Callable[[str], object], whole: bool) -> list[Path]:
    if Path(LEDGER).is_file() or Path(NOTE).is_file():
        return [Path()]
    ledgers = ledgers_below(Path("runs"), whole=whole)
    for folder, trouble in ledgers:
        if trouble:
            note(f"note: the run folder {folder} is left out: {trouble}")
    return [folder for folder, trouble in ledgers if trouble is None]


def ledgers_below(runs: Path, *, whole: bool = True) -> list[tuple[Path, str | None]]:
    """List run folders in or below `runs`, and why a ledger cannot be read: None it can, '' it was never used."""
    from blackbox_conformal.drawing.ledger.backends import reading

    ledgers: list[tuple[Path, str | None]] = []
    found = [path for name in (LEDGER, NOTE) for path in (*runs.glob(name), *runs.glob(f"*/{name}"))]
    for path in sorted(found, key=lambda path: (len(path.parts), path)):
        try:
            with reading(path.parent, whole=whole) as connection:
                ledgers.append((path.parent, "" if connection is None else None))
        except LedgerError as error:
            ledgers.append((path.parent, str(error)))
    return ledgers
