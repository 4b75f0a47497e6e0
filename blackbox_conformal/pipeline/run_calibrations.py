"""Where the calibrations of a run folder lie: in it, unless the user named another file.

The calibration file itself lives in `calibration`.
"""

import json
from contextlib import suppress
from pathlib import Path

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.files import write_new
from blackbox_conformal.images.names import printable

NAME = "calibration.json"
NOTE = "calibration-elsewhere.json"
_LARGEST_NOTE = 2**16


def keep_calibration(run: Path, calibration: Calibration, path: Path, *, force: bool = False) -> Path:
    """Write the calibration to `path`, and where that is into the run folder, so that `find_calibration` finds it."""
    written = calibration.save(path, force=force)
    if written.resolve() != (run / NAME).resolve():
        note = {"path": str(written.resolve()), "digest": calibration.digest}
        write_new(run / NOTE, json.dumps(note).encode(), force=True)
    return written


def run_of(path: Path, runs: Path) -> Path | None:
    """The one run folder below `runs` that wrote a calibration to `path`; None where there is none, or several."""
    found = []
    for note in sorted(runs.glob(f"*/{NOTE}")):
        # A damaged note of another run is no trouble of this one.
        with suppress(FileFormatError):
            if _read(note)[0] == path.resolve():
                found.append(note.parent)
    return found[0] if len(found) == 1 else None


def find_calibration(run: Path) -> Calibration:
    """The calibration in the run folder, else the one that was last written elsewhere from it.

    Raises
    ------
    UsageError
        There is none, or what lies there now is another one.
    """
    if (run / NAME).is_file():
        return Calibration.load(run / NAME)
    note = run / NOTE
    if not note.is_file():
        raise UsageError(
            f"expected a calibration in {run}; there is no {NAME}. Name the file with --calibration, or `calibrate` "
            "with this --run"
        )
    path, digest = _read(note)
    if not path.is_file():
        raise UsageError(
            f"expected the calibration of {run} at {printable(path)}, where it was written; it is not there. Say where "
            "it is with --calibration FILE"
        )
    found = Calibration.load(path)
    if found.digest != digest:
        raise UsageError(
            f"expected the calibration of {run} at {printable(path)}; another one has been written there since. Name "
            "the one that is meant with --calibration FILE"
        )
    return found


def _read(note: Path) -> tuple[Path, str]:
    try:
        if note.stat().st_size > _LARGEST_NOTE:
            raise ValueError("too large")
        content = json.loads(note.read_bytes())
        return Path(str(content["path"])), str(content["digest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(
            f"{note}: expected where the calibration was written; {type(error).__name__}. Delete the note and name the "
            "file with --calibration"
        ) from None
