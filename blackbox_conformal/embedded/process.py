"""Starts and stops the embedded vendor as a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from blackbox_conformal.errors import VendorError

START_SECONDS = 60.0
STOP_SECONDS = 10.0


class VendorProcess:
    """The embedded vendor in a child process, ready to serve once constructed.

    The child serves until its standard input closes, which the system does even if this process is killed, so the child
    never outlives its parent. In the child each matrix product runs on one thread; several requests use several cores.

    `start_seconds`: How long to wait for the child to serve.
    `url`: ``http://127.0.0.1:PORT``.
    `model`: The vendor's own name for its upscaler, as in the header ``X-Model``.
    """

    def __init__(self, start_seconds: float = START_SECONDS) -> None:
        package = Path(__file__).parents[2]
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", PYTHONSAFEPATH="1")
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "blackbox_conformal.embedded", "--port", "0", "--while-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            # In its own session: an interrupt from the terminal reaches only the parent, which then closes the child.
            start_new_session=True,
        )
        try:
            greeting = json.loads(self._first_line(start_seconds))
            self.url: str = greeting["url"]
            self.model: str = greeting["model"]
        except (ValueError, KeyError, TypeError) as error:
            self._child.kill()
            self._child.wait()
            self._errors.seek(0)
            said = self._errors.read()[-2000:].decode(errors="replace").strip()
            self.close()
            raise VendorError(
                f"Expected the embedded vendor to serve within {start_seconds:g} seconds, but it did not. "
                f"Run `{sys.executable} -m blackbox_conformal.embedded` to see why. "
                f"It wrote to standard error: {said or 'nothing'}"
            ) from error
        except BaseException:
            self._child.kill()
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        return self._child.pid

    def close(self) -> None:
        """End the child and wait for it; a second call does nothing."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _first_line(self, seconds: float) -> bytes:
        # Empty if the line does not come in time.
        lines: list[bytes] = []
        stdout = self._child.stdout
        assert stdout is not None, "standard output was asked for as a pipe"
        reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
        reader.start()
        reader.join(seconds)
        if reader.is_alive():
            self._child.kill()
            reader.join()
            return b""
        return lines[0]
