"""Which run folder a command looks at, when the user does not say.

Nothing in the folder is read here.
"""

from pathlib import Path

from blackbox_conformal.errors import UsageError

LEDGER = "ledger.sqlite"


def run_folder_of(given: str | None) -> Path:
    """The folder given, or the only run folder there is: the working folder itself, or one below ``runs``.

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
    found = _here()
    if len(found) == 1:
        return found[0]
    listed = ", ".join(map(str, found)) or "none below ./runs"
    raise UsageError(f"expected --run FOLDER, since there is not exactly one to choose: {listed}")


def run_folders(given: str | None) -> list[Path]:
    """The folder given, or every run folder there is; errors as `run_folder_of` when there is none."""
    found = _here()
    return found if given is None and len(found) > 1 else [run_folder_of(given)]


def _here() -> list[Path]:
    if Path(LEDGER).is_file():
        return [Path()]
    return sorted(path.parent for path in Path("runs").glob(f"*/{LEDGER}"))
