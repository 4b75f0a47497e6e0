"""Writing files so that nothing is overwritten by accident and nothing is ever half written.

What is in the files is not known here.
"""

import os
import tempfile
from pathlib import Path

from blackbox_conformal.errors import UsageError


def write_new(path: Path, content: bytes, *, force: bool = False) -> Path:
    """Write `content` to `path`, whole or not at all; the same content again is no change.

    Raises
    ------
    UsageError
        The file exists with other content and `force` is not set, or the folder cannot be written.
    """
    try:
        refuse_other(path, content, force=force)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Choose a folder that can be written") from None
    return path


def refuse_other(path: Path, content: bytes, *, force: bool = False) -> None:
    """Refuse a path that holds other content, unless `force`.

    Raises
    ------
    UsageError
        It does.
    """
    if not force and path.exists() and path.read_bytes() != content:
        raise UsageError(f"{path} exists with other content and is not overwritten; give --force or another --out")


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
