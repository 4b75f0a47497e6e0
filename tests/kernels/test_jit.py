"""Compilation at first call, and the folder that keeps machine code: whatever is wrong with it, results are right."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import forked

from blackbox_conformal.method.kernels import _jit

KERNELS = Path(_jit.__file__).parent

HELPER = """
from blackbox_conformal.method.kernels._jit import kernel

FACTOR = 2

@kernel
def scaled(value: float) -> float:
    return value * FACTOR
"""

TOTAL = """
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.helper import scaled

@kernel
def total(values):
    result = 0.0
    for i in range(values.size):
        result += scaled(values[i])
    return result
"""

RUN = """
import sys
import warnings
import numpy as np
warnings.simplefilter("error")
known = "numba" in sys.modules
from blackbox_conformal.method.kernels import total as module
assert known or "numba" not in sys.modules, "importing a kernel imported the compiler"
answer = module.total(np.arange(5.0))
stats = getattr(module.total.compiled, "stats", None)
print(answer, sum(stats.cache_hits.values()) if stats else "interpreted")
"""


class WithCompiler(forked.Forked):
    """A process that has imported the compiler and used it, which takes longer than what a test asks of it."""

    ready = """
import os
os.environ.pop("NUMBA_DISABLE_JIT", None)
import numba
import numpy
numba.njit(lambda values: values[0] + 1)(numpy.arange(5.0))
"""


@pytest.fixture
def place(tmp_path):
    """A package with the real decorator and two small kernels, one calling the other from another file."""
    package = tmp_path / "source" / "blackbox_conformal"
    kernels = package / "method" / "kernels"
    kernels.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for folder in (kernels.parent, kernels, package / "support"):
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text("")
    shutil.copy(KERNELS / "_jit.py", kernels / "_jit.py")
    for name in ("support/files.py", "errors.py"):
        shutil.copy(KERNELS.parents[1] / name, package / name)
    (kernels / "helper.py").write_text(HELPER)
    (kernels / "total.py").write_text(TOTAL)
    (tmp_path / "home").mkdir()
    return tmp_path


def _command(place, script=RUN, **environment):
    # A process that was forked has its compiler's processor already, and code is kept under this name.
    left_out = {key for key in os.environ if key.startswith(("NUMBA_", "BLACKBOX_", "XDG_"))} - {"NUMBA_CPU_NAME"}
    kept = {key: value for key, value in os.environ.items() if key not in left_out}
    settings = kept | {"PYTHONPATH": str(place / "source"), "HOME": str(place / "home")} | environment
    return {"args": [sys.executable, "-c", script], "env": settings, "cwd": place / "source", "text": True}


def _run(place, script=RUN, kind=WithCompiler, **environment):
    command = _command(place, script, **environment)
    result = forked.run(command.pop("args"), kind=kind, **command)
    assert result.returncode == 0, result.stderr
    answer, hits = result.stdout.split()
    return float(answer), hits


def _folders(place):
    return sorted((place / "home" / ".cache" / "blackbox-conformal").glob("kernels-*"))


def _files(place, pattern="*.nb[ic]"):
    return sorted(file for folder in _folders(place) for file in folder.rglob(pattern))


def test_a_second_process_loads_what_the_first_compiled(place):
    assert _run(place) == (20.0, "0")
    (folder,) = _folders(place)
    assert folder.stat().st_mode & 0o077 == 0
    assert len(_files(place)) > 0
    assert _run(place, kind=subprocess.Popen) == (20.0, "1")


def test_an_edited_helper_in_another_file_is_noticed(place):
    assert _run(place) == (20.0, "0")
    helper = place / "source" / "blackbox_conformal" / "method" / "kernels" / "helper.py"
    helper.write_text(HELPER.replace("FACTOR = 2", "FACTOR = 3"))
    # Python takes bytecode for current when size and second are those of the source, and tests are that quick.
    os.utime(helper, (helper.stat().st_atime, helper.stat().st_mtime + 2))
    assert _run(place) == (30.0, "0")
    assert len(_folders(place)) == 2


def test_truncated_files_are_thrown_away(place):
    _run(place)
    for file in _files(place):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert _run(place) == (20.0, "0")
    assert _run(place) == (20.0, "1")


def test_files_that_cannot_be_loaded_are_thrown_away(place):
    _run(place)
    (folder,) = _folders(place)
    for suffix, content in (("nbc", b"\x80\x05garbage"), ("nbi", b""), ("nbc", b""), ("nbi", b"garbage")):
        for file in _files(place, f"*.{suffix}"):
            file.write_bytes(content)
        assert _run(place) == (20.0, "0")
        assert folder.stat().st_mode & 0o077 == 0
        assert _run(place) == (20.0, "1")


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/nonexistent"},
        {"HOME": ""},
        {"HOME": "/proc/self"},
        {"XDG_CACHE_HOME": "/proc/self/nothing"},
        {"XDG_CACHE_HOME": "/dev/null"},
        {"BLACKBOX_CONFORMAL_KERNEL_CACHE": "0"},
    ],
    ids=["no-home", "empty-home", "read-only-home", "read-only-cache", "cache-is-a-file", "switched-off"],
)
def test_without_a_writable_folder_kernels_are_compiled_and_nothing_is_written(place, environment):
    before, at_root = sorted(place.rglob("*")), Path("/.cache").exists()
    assert _run(place, PYTHONDONTWRITEBYTECODE="1", **environment) == (20.0, "0")
    assert sorted(place.rglob("*")) == before
    assert Path("/.cache").exists() == at_root, "an empty home is not the root folder"
    assert not Path("/nonexistent").exists()


def test_a_folder_that_others_can_write_to_is_not_used(place):
    _run(place)
    (folder,) = _folders(place)
    folder.chmod(0o777)
    assert _run(place) == (20.0, "0")


def test_a_full_disk_costs_time_only(place):
    pytest.importorskip("resource")
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    assert _run(place, full + RUN) == (20.0, "0")
    assert _run(place)[0] == 20.0


@pytest.mark.parametrize(
    "harm",
    ["[file.write_bytes(b'x') for file in folder.rglob('*.nbi')]", "shutil.rmtree(folder); folder.write_text('')"],
)
def test_a_cache_that_is_damaged_between_two_calls_costs_time_only(place, harm):
    """The second call has other types, so that the compiler looks into the cache again."""
    script = RUN + (
        "import shutil\nfrom blackbox_conformal.method.kernels import _jit\n"
        f"folder = _jit._folder()\n{harm}\n"
        "assert module.total(np.arange(5, dtype=np.float32)) == answer\n"
        "assert module.total(np.arange(5)) == answer\n"
    )
    assert _run(place, script)[0] == 20.0


def test_processes_that_start_at_once_do_not_disturb_each_other(place):
    racers = [WithCompiler(**_command(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for racer in racers:
        output, errors = racer.communicate(timeout=120)
        assert racer.returncode == 0, errors
        assert output.split()[0] == "20.0"
    assert _run(place)[0] == 20.0


def test_plain_functions_run_when_compilation_is_switched_off(place):
    assert _run(place, kind=subprocess.Popen, NUMBA_DISABLE_JIT="1") == (20.0, "interpreted")
    assert _folders(place) == []


def test_the_user_s_own_numba_cache_setting_is_left_alone(place):
    mine = place / "mine"
    script = RUN + (f"import numba\nassert numba.config.CACHE_DIR == {str(mine)!r}, numba.config.CACHE_DIR\n")
    assert _run(place, script, kind=subprocess.Popen, NUMBA_CACHE_DIR=str(mine))[0] == 20.0
    assert not mine.exists()
    assert len(_files(place)) > 0


def test_threads_that_call_at_once_share_one_compilation(place):
    script = RUN.replace(
        "answer = module.total(np.arange(5.0))",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    answers = set(pool.map(lambda _: module.total(np.arange(5.0)), range(8)))\n"
        "(answer,) = answers\n"
        "assert len(module.total.compiled.signatures) == 1",
    )
    assert _run(place, script)[0] == 20.0


def test_a_kernel_keeps_the_name_and_text_of_its_function():
    @_jit.kernel
    def twice(value: float) -> float:
        """Two times the value."""
        return 2 * value

    assert (twice.__name__, twice.__doc__) == ("twice", "Two times the value.")
    assert twice(1.5) == 3.0


def test_sources_that_are_not_files_are_not_cached(monkeypatch, tmp_path):
    monkeypatch.setattr(_jit, "__file__", str(tmp_path / "archive.zip" / "_jit.py"))
    assert _jit.sources_digest() is None
    assert _jit.cache_directory("1") is None
