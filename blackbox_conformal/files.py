"""Writing files so that nothing is overwritten by accident and nothing is ever half written.

What is in the files is not known here.
"""

import errno
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
        temporary = _whole(path, content)
        try:
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Choose a folder that can be written") from None
    return path


def write_once(path: Path, content: bytes) -> bool:
    """Write `content` to `path`, whole and durable, unless there is a file of that name; whether it was written.

    Of several processes that try, one succeeds.

    Raises
    ------
    OSError
        The folder cannot be written, or is full.
    """
    temporary = _whole(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # A file system without hard links.
        if path.exists():
            return False
        os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _whole(path: Path, content: bytes) -> Path:
    """A file beside `path` that holds `content` and is on disk."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


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
