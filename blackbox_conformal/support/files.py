"""Write files so that nothing is overwritten by accident or half written; make the user's own folders."""

import errno
import itertools
import os
import secrets
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from blackbox_conformal.errors import IncompleteError, UsageError

_OWN_FOLDER = "blackbox-conformal"
# The system's errors for a disk, or a user's part of the disk, without room.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A file's content, or its pieces in order, which need not be joined in memory.
Content = bytes | Sequence[bytes | memoryview]


class SharedSync:
    """One call makes durable what many waiting threads wrote to a descriptor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written = itertools.count(1)
        self._durable = 0

    def sync(self, descriptor: int) -> None:
        """Return once this thread's writes are durable; errors as ``os.fsync``."""
        mine = next(self._written)
        with self._lock:
            # Another thread may have begun to sync after this one's write.
            if mine > self._durable:
                durable = next(self._written)
                os.fsync(descriptor)
                self._durable = durable


def write_new(path: Path, content: Content, *, force: bool = False) -> Path:
    """Write `content` to `path`, whole or not at all; writing equal content changes nothing."""
    write_together({path: content}, force=force)
    return path


def write_together(contents: Mapping[Path, Content], *, force: bool = False, may_differ: Collection[Path] = ()) -> None:
    """Write several files, all or none; they get their names in turn, the last one last.

    Files in `may_differ` are overwritten also without `force`.
    """
    ready: dict[Path, Path] = {}
    path = Path()
    try:
        # Three passes: a failure in the first two leaves each old file as it was, since only the last gives names.
        for path, content in contents.items():
            refuse_other(path, content, force=force or path in may_differ)
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            ready[path] = _whole(path, content)
        for path, temporary in ready.items():
            os.replace(temporary, path)
    except OSError as error:
        raise refusal(path, error) from None
    finally:
        for temporary in ready.values():
            temporary.unlink(missing_ok=True)


def refusal(path: Path, error: OSError) -> UsageError | IncompleteError:
    """Return the error for a `path` that cannot be written."""
    if error.errno in FULL_DISK:
        return IncompleteError(
            f"{path} cannot be written: {error.strerror}. What was paid for is kept; make room and run the same command"
            " again"
        )
    return UsageError(f"{path} cannot be written: {error.strerror}. Choose a folder that can be written")


def require_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be made; leave nothing there."""
    # The folder may not exist yet, and making it for a trial would leave it there; so the nearest existing parent is
    # tried.
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise refusal(folder if error.errno in FULL_DISK or there == folder else there, error) from None


def make_private(folder: Path) -> None:
    """Make `folder` for this user alone, unless it exists; folders above it are made as usual."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The mode holds for the last folder alone: the others may be shared on purpose.
    folder.mkdir(mode=0o700, exist_ok=True)


def private_folder(variable: str, default: str, *below: str) -> Path | None:
    """Return a folder of the user's own, outside every project, that nobody else can write to; None if there is none.

    The folder is `variable` (of the XDG specification, such as ``XDG_CACHE_HOME``), or `default` below the home (such
    as ``.cache``), then this package's name and `below`; it is made if missing.
    """
    try:
        named = os.environ.get(variable)
        base = Path(named) if named else Path.home() / default
        # If the environment's home is missing or empty, none may be made up, here or in the working folder. Python
        # takes the root folder for an empty one.
        if not base.is_absolute() or not (named or (os.environ.get("HOME") != "" and Path.home().is_dir())):
            return None
        folder = base.joinpath(_OWN_FOLDER, *below)
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


def write_once(path: Path, content: bytes) -> bool:
    """Write `content` durably to `path` unless that file exists; return whether this process alone wrote it."""
    temporary = _whole(path, content)
    try:
        # Unlike a rename, a link fails if the name is taken, so only one of two processes succeeds.
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # The file system has no hard links.
        if path.exists():
            return False
        os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _whole(path: Path, content: Content) -> Path:
    temporary = path.parent / f".{path.name[:64]}.{secrets.token_hex(8)}"
    # The usual mode of new files, from which the system takes the process's umask.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            # Before the name is given: else a crash in between would leave an empty file under the final name.
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def refuse_other(path: Path, content: Content, *, force: bool = False) -> None:
    """Refuse a path that is a folder, or that holds other content, unless `force`."""
    if path.is_dir():
        raise UsageError(f"{path} cannot be written: a folder has this name. Rename it, or choose another place")
    if force or not path.exists():
        return
    if path.read_bytes() != (content if isinstance(content, bytes) else b"".join(content)):
        raise UsageError(f"{path} exists with other content and is not overwritten; give --force or another --out")
