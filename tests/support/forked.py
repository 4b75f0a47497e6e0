"""Processes of the command line that start at once: forked from one that has imported the package already.

A new interpreter works for two seconds, to import and to load kernels, before it does what a test asks of it.
"""

import array
import atexit
import contextlib
import ctypes
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
_one_at_a_time = threading.Lock()


class Forked(subprocess.Popen[Any]):
    """`subprocess.Popen` of `[sys.executable, "-m", MODULE, ...]`, or with `"-c", CODE`, or with a script's path.

    The process is a child of this one: its signals, exit code, streams, folder and environment, with `PYTHONPATH`, are
    as a new interpreter has them. A test of what is imported, or of memory or files from the start on, needs a new one.
    """

    ready = """
import blackbox_conformal.cli.main, blackbox_conformal.study.python.functions
from blackbox_conformal.method.kernels._jit import warm_up
warm_up()
"""
    """What has been done in such a process; a class of its own may do something else."""

    def _execute_child(self, args: Sequence[Any], *given: Any) -> None:
        executable, preexec_fn, _, _, cwd, env, _, _, _, read, fed, told, written, heard, erred, *others = given
        assert executable is None
        assert preexec_fn is None
        words = [os.fspath(word) for word in args]
        assert words[0] == sys.executable, words
        asked = {
            "words": words[1:],
            "folder": os.fspath(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
            "session": others[5],
        }
        streams = [ours if stream == -1 else stream for ours, stream in enumerate((read, written, erred))]
        with _one_at_a_time:
            self.pid = _Forker.running(os.getpid(), self.ready).fork(asked, streams)
        self._child_created = True
        self._close_pipe_fds(read, fed, told, written, heard, erred)  # type: ignore[attr-defined]


def run(
    arguments: Sequence[Any], timeout: float = 120, kind: type[subprocess.Popen[Any]] = Forked, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` by a `Forked`, with its output captured."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with kind(arguments, **{**streams, **options}) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


class _Forker:
    """The process that has imported the package; it ends with this one, whose end closes its line."""

    @classmethod
    @functools.cache
    def running(cls, owner: int, ready: str) -> "_Forker":
        """The one of this process."""
        return cls(ready)

    def __init__(self, ready: str) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            code = f"{ready}\nfrom support import forked\nforked.serve()"
            command = [sys.executable, "-c", code, str(theirs.fileno())]
            path = os.pathsep.join(path for path in sys.path if path)
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": path}
            )

    def fork(self, asked: dict[str, Any], streams: list[int]) -> int:
        """The number of a new process, whose parent is this one."""
        content = json.dumps(asked).encode()
        descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
        # An orphan becomes the child of the nearest ancestor that takes orphans in.
        _take_orphans(1)
        try:
            self._line.sendmsg([len(content).to_bytes(8, "big")], descriptors)
            self._line.sendall(content)
            return int.from_bytes(_received(self._line, 8), "big")
        finally:
            _take_orphans(0)


def _take_orphans(whether: int) -> None:
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, whether, 0, 0, 0) == 0


def _received(line: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = line.recv(size - len(content))
        if not part:
            sys.exit()
        content += part
    return content


def serve() -> None:
    """Fork a process for each that is asked for."""
    line = socket.socket(fileno=int(sys.argv[1]))
    # What is here already is never looked through, so that its memory stays shared.
    gc.freeze()
    while True:
        head, descriptors, _, _ = socket.recv_fds(line, 8, 3)
        if not head:
            return
        asked = json.loads(_received(line, int.from_bytes(head, "big")))
        read, write = os.pipe()
        between = os.fork()
        if not between:
            child = os.fork()
            if child:
                os.write(write, child.to_bytes(8, "big"))
                os._exit(0)
            for descriptor in (read, write):
                os.close(descriptor)
            line.close()
            code: Any = 0
            try:
                _become(asked, descriptors)
            except SystemExit as ended:
                code = ended.code
            _end(code)
        # The process is an orphan from here on.
        os.waitpid(between, 0)
        line.sendall(os.read(read, 8))
        for descriptor in (read, write, *descriptors):
            os.close(descriptor)


def _end(code: Any) -> None:
    """End as an interpreter does, but for taking apart all that was imported, which takes longer than most programs."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if code is None or isinstance(code, int):
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
    sys.exit(code)


def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Run the program in this process as a new interpreter does."""
    if asked["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    # Tests that run under nohup hang up on a program all the same.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    kind, *words = asked["words"]
    # What a new interpreter reads of its environment at its start.
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.pycache_prefix = os.environ.get("PYTHONPYCACHEPREFIX") or None
    sys.path[:1] = [asked["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if kind == "-m":
        sys.argv = words
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *words[1:]]
        exec(compile(words[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.argv = [kind, *words]
        sys.path[0] = os.path.dirname(kind)
        runpy.run_path(kind, run_name="__main__")
