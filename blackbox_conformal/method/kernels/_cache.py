"""The private folder in which machine code is kept between processes."""

import hashlib
import os
import shutil
from pathlib import Path

from blackbox_conformal.support.files import private_folder

SWITCH = "BLACKBOX_CONFORMAL_KERNEL_CACHE"
"""Environment variable; `0` compiles in every process and writes nothing."""


def sources_digest() -> str | None:
    """Return a digest of every kernel source, or None where they are not plain files.

    A compiler's own check reads one file only, and would serve code compiled with an older helper.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    if not sources:
        return None
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory(compiler_version: str) -> Path | None:
    """Return the folder for code by this compiler from these sources; None where no folder is private and writable.

    Loading cached code executes it, so a folder that someone else owns or can write to is refused.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        stamp = sources_digest()
    except OSError:
        return None
    if stamp is None:
        return None
    return private_folder("XDG_CACHE_HOME", ".cache", f"kernels-{compiler_version}-{stamp}")


def discard(folder: Path) -> None:
    """Delete everything in the folder; the folder itself stays private."""
    for entry in folder.iterdir():
        shutil.rmtree(entry, ignore_errors=True)
