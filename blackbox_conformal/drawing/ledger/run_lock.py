"""Lets one process use a run folder: a lock of the operating system, and a note of its holder.

The lock is on its own file: closing any handle of the ledger would give up SQLite's locks.
"""

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import filelock

from blackbox_conformal.errors import LedgerError
from blackbox_conformal.support.text import printable

MOUNTINFO = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    (
        *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "glusterfs"),
        *("lustre", "beegfs", "gpfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "vboxsf", "vmhgfs", "prl_fs"),
        "virtiofs",
    )
)
_NETWORK_HELPERS = frozenset(
    (
        *("sshfs", "s3fs", "gcsfuse", "rclone", "glusterfs", "ceph", "vmhgfs-fuse", "grpcfuse", "osxfs"),
        *("blobfuse", "blobfuse2", "goofys", "juicefs"),
    )
)


def _unescape(field: str) -> str:
    # mountinfo writes space, tab, newline and backslash as octal escapes.
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def file_system(folder: Path) -> str | None:
    """Return the type of the file system under `folder` (``ext4``, ``nfs4``, …); None if the system does not tell."""
    try:
        table = MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    # Links lead elsewhere, and only the files' real place counts.
    folder = folder.resolve()
    best: tuple[int, str] | None = None
    for line in table.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        mount = Path(_unescape(fields[4]))
        if folder == mount or mount in folder.parents:
            depth = len(mount.parts)
            # The deepest mount point holds the folder; of two on one point the later hides the earlier.
            if best is None or depth >= best[0]:
                best = depth, after.split(" ")[0]
    return None if best is None else best[1]


def is_network(kind: str | None) -> bool:
    """Tell whether other machines share such a disk, so that its locks cannot be trusted."""
    family, _, helper = (kind or "").partition(".")
    return kind in _NETWORK or (family == "fuse" and helper in _NETWORK_HELPERS)


_THIS_PROCESS = uuid4().hex  # Tells this process from one in another container, which may have the same number.


class RunLock:
    """This process's hold on a run folder, until `release` or its death."""

    def __init__(self, run: Path) -> None:
        _refuse_network_disk(run)
        self._run = run
        self._path = run / "ledger.lock"
        self._owner = run / "ledger.owner.json"
        self._lock = filelock.FileLock(self._path, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise LedgerError(_in_use(run, self._owner)) from None
        try:
            self._file = file_identity(self._path)
            owner = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
                "process": _THIS_PROCESS,
            }
            self._owner.write_text(json.dumps(owner), encoding="utf-8")
        except BaseException:
            self._lock.release()
            raise

    def guard(self) -> None:
        """Check that no other process can have locked the folder meanwhile."""
        if file_identity(self._path) != self._file:
            raise LedgerError(
                f"{self._path} was deleted or replaced while a run was using it, and another process may have taken"
                f" over {self._run} ({_holder(self._owner)}); nothing more is sent from here. Run again"
            )

    def release(self) -> None:
        self._lock.release()


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, which change when it is replaced; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _refuse_network_disk(run: Path) -> None:
    kind = file_system(run)
    if is_network(kind):
        raise LedgerError(
            f"expected the run folder on a local disk; {run} is on {kind}, where locks cannot be trusted with money."
            " Choose a local folder with --run and copy the results afterwards"
        )


def _in_use(run: Path, owner: Path) -> str:
    found = _read(owner)
    if (found.get("process"), found.get("pid")) == (_THIS_PROCESS, os.getpid()):
        return (
            f"{run} is in use by another call in this same process; calls that share a run folder have to take turns,"
            " or each needs a run folder of its own; pictures to be masked can share one blackbox_conformal.Session"
        )
    return f"{run} is in use by {_holder(owner)}; wait for it, stop it, or use another run folder"


def _holder(owner: Path) -> str:
    note = _read(owner)
    if not {"pid", "host", "since"} <= note.keys():
        return "another process"
    return printable(f"process {note['pid']} on {note['host']}, since {note['since']}", 120)


def _read(owner: Path) -> dict[str, object]:
    try:
        note = json.loads(owner.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}
