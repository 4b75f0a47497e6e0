"""The command line as a process of its own, and the vendor that a fault server is to it."""

import os
import subprocess
import sys
from pathlib import Path

VENDOR = "blackbox_conformal.testing.reference_adapters:SynchronousVendor"
COMMAND = (sys.executable, "-m", "blackbox_conformal")


def called(
    *arguments: str, folder: Path | None = None, code: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`blackbox-conformal ARGUMENTS` in `folder`, with no terminal to ask at; `code` is the exit code it must have."""
    completed = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )
    assert code in (None, completed.returncode), completed.stderr
    return completed
