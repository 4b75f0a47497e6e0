"""Which file system a folder lies on, and whether SQLite's locks can be trusted there."""

from pathlib import Path

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
    """Decode mountinfo's octal escapes for space, tab, newline and backslash."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def file_system(folder: Path) -> str | None:
    """Type of the file system under `folder` (``ext4``, ``nfs4``, …); None where the system does not tell."""
    try:
        table = MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    # Links lead elsewhere: what counts is where the files really lie.
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
            # The deepest mount point holds the folder; of two on one point the later one hides the earlier.
            if best is None or depth >= best[0]:
                best = depth, after.split(" ")[0]
    return None if best is None else best[1]


def is_network(kind: str | None) -> bool:
    """Tell whether other machines share such a disk, so that its locks are not to be trusted."""
    family, _, helper = (kind or "").partition(".")
    return kind in _NETWORK or (family == "fuse" and helper in _NETWORK_HELPERS)
