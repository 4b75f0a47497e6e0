"""The private folder in which machine code is kept between processes, and the checks that make it safe to load.

Nothing is compiled here and numba is not imported; `_jit` does both.
"""

import hashlib
import os
import shutil
from pathlib import Path

from blackbox_conformal.files import private_folder

SWITCH = "BLACKBOX_CONFORMAL_KERNEL_CACHE"
"""Environment variable; `0` compiles in every process and writes nothing."""


def sources_digest() -> str | None:
    """Digest of every kernel source, None when they are not plain files.

    A compiler's own check looks at one file only and would serve code compiled with an older helper.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    if not sources:
        return None
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory(compiler_version: str) -> Path | None:
    """The folder for code made by this compiler from these sources; None when no private, writable one can be had.

    Cached code is executed when loaded, so a folder that someone else owns or can write to is refused.
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
    """Delete what the folder holds; the folder itself stays, as private as it was made."""
    for entry in folder.iterdir():
        shutil.rmtree(entry, ignore_errors=True)


def seal(folder: Path) -> None:
    """Write beside each cache file that has changed its SHA-256, which `remove_damaged` will ask for."""
    for file in _files(folder):
        digest = file.with_name(file.name + ".sha256")
        if digest.exists() and digest.stat().st_mtime_ns >= file.stat().st_mtime_ns:
            continue
        draft = file.with_name(f"{file.name}.{os.getpid()}.draft")
        draft.write_text(hashlib.sha256(file.read_bytes()).hexdigest())
        draft.replace(digest)


def remove_damaged(folder: Path) -> None:
    """Delete every cache file whose SHA-256 is missing or differs: half-written, truncated or decayed on disk.

    A file that another process has written but not sealed yet goes too; that costs one compilation.
    """
    for file in _files(folder):
        try:
            expected = file.with_name(file.name + ".sha256").read_text()
            damaged = expected != hashlib.sha256(file.read_bytes()).hexdigest()
        except (OSError, ValueError):
            damaged = True
        if damaged:
            file.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.nb[ic]") if file.is_file())
