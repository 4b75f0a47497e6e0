"""The only place that knows numba: the decorator every kernel uses, and where machine code is cached.

No kernel lives here.
"""

import hashlib
import os
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def _sources_digest() -> str:
    """Digest of every kernel source: numba's own cache misses a change in an imported helper."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory() -> Path | None:
    """Where machine code is kept, or None when no private, writable folder can be had."""
    if os.environ.get("BLACKBOX_CONFORMAL_KERNEL_CACHE") == "0":
        return None
    import numba

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = base / "blackbox-conformal" / f"kernels-{numba.__version__}-{_sources_digest()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except (OSError, RuntimeError):
        return None
    return folder
