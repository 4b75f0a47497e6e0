"""Folders of the user's own, outside every project, that no other user can read into or plant files in.

What is kept in them is not known here.
"""

import os
from pathlib import Path

NAME = "blackbox-conformal"


def private_folder(variable: str, default: str, *below: str) -> Path | None:
    """The folder that `variable` names, or `default` below the user's home; with this package's name and `below`.

    It is made if it is missing. None when no private, writable one can be had.

    Parameters
    ----------
    variable
        An environment variable of the XDG base directory specification, such as ``XDG_CACHE_HOME``.
    default
        Its default, relative to the home folder, such as ``.cache``.
    """
    try:
        given = os.environ.get(variable)
        base = Path(given) if given else Path.home() / default
        # A home that is missing or empty in the environment must not be made up, here or in the working folder.
        if not base.is_absolute() or not (given or Path.home().is_dir()):
            return None
        folder = base.joinpath(NAME, *below)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            return None
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, RuntimeError):
        return None
    return folder
