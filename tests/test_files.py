"""Nothing is overwritten by accident, nothing is left half written."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.files import SharedSync, make_private, write_new, write_once, write_together


def test_other_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_new(path, b"first")
    with pytest.raises(UsageError, match="--force"):
        write_new(path, b"second")
    assert path.read_bytes() == b"first"


def test_the_same_content_again_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_new(path, b"same")
    assert write_new(path, b"same") == path


def test_force_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_new(path, b"first")
    write_new(path, b"second", force=True)
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be written"):
        write_new(tmp_path / "file" / "below", b"content")


def test_the_umask_is_left_alone_and_holds(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from blackbox_conformal.support.files import write_new, write_once\n"
        "def touched(_): raise SystemExit('the umask was changed, for other threads as well')\n"
        "os.umask = touched\n"
        "write_new(Path(sys.argv[1]), b'x'); write_once(Path(sys.argv[2]), b'x')\n"
    )
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        files = [tmp_path / f"{umask}-{number}" for number in range(2)]
        subprocess.run([sys.executable, "-c", script, *map(str, files)], umask=umask, check=True)
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [mode, mode]


def test_a_set_of_files_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from blackbox_conformal.support.files import write_together\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "names = {'small': 10, 'middle': 900, 'large': 1001}\n"
        "write_together({Path(sys.argv[1], name): b'x' * size for name, size in names.items()}, force=True)\n"
    )
    (tmp_path / "middle").write_bytes(b"earlier")
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "IncompleteError" in ran.stderr
    assert "large cannot be written: File too large. What was paid for is kept; make room and run" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["middle"]
    assert (tmp_path / "middle").read_bytes() == b"earlier"


def test_a_file_in_the_way_of_one_keeps_all_from_being_written(tmp_path: Path) -> None:
    (tmp_path / "second").write_bytes(b"mine")
    with pytest.raises(UsageError, match="second exists with other content"):
        write_together({tmp_path / "first": b"1", tmp_path / "second": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["second"]


def test_a_folder_in_the_way_of_one_keeps_all_from_being_written(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    for force in (False, True):
        with pytest.raises(UsageError, match="second cannot be written: a folder has this name"):
            write_together({tmp_path / "first": b"1", tmp_path / "second": b"2"}, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["second"]


def test_a_private_folder_is_nobody_elses_and_one_that_is_there_stays(tmp_path: Path) -> None:
    make_private(tmp_path / "above" / "run")
    assert stat.S_IMODE((tmp_path / "above" / "run").stat().st_mode) == 0o700
    (tmp_path / "above" / "run").chmod(0o750)
    make_private(tmp_path / "above" / "run")
    assert stat.S_IMODE((tmp_path / "above" / "run").stat().st_mode) == 0o750


def test_of_many_who_write_a_file_once_one_does(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: write_once(path, str(number).encode() * 1000), range(64)))
    assert done.count(True) == 1
    assert path.read_bytes() == str(done.index(True)).encode() * 1000
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_threads_that_write_while_one_syncs_share_the_next_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Semaphore(0), threading.Semaphore(0)
    syncs: list[int] = []
    written: list[int] = []

    def slow(descriptor: int) -> None:
        # What is written after this moment is not made durable by this call.
        syncs.append(len(written))
        began.release()
        assert go_on.acquire(timeout=20)

    monkeypatch.setattr(os, "fsync", slow)
    shared = SharedSync()
    durable: list[tuple[int, int]] = []

    def write() -> None:
        written.append(0)
        place = len(written)
        shared.sync(3)
        durable.append((place, max(syncs)))

    threads = [threading.Thread(target=write) for _ in range(6)]
    threads[0].start()
    assert began.acquire(timeout=20)
    for thread in threads[1:]:
        thread.start()
    while len(written) < 6:
        time.sleep(0.001)
    for _ in range(6):
        go_on.release()
    for thread in threads:
        thread.join(20)
    assert syncs[0] == 1
    assert len(syncs) < 6
    assert len(durable) == 6
    assert all(place <= synced for place, synced in durable)


def test_after_a_sync_that_failed_each_thread_tries_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    shared = SharedSync()
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setattr(os, "fsync", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="broken"):
                shared.sync(file.fileno())
        monkeypatch.undo()
        shared.sync(file.fileno())
