"""The front door: cold start, exit codes, one line for an error, settings and their origin."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import called
from support.synthetic import write_photographs

from blackbox_conformal.cli import config, main


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return called(*arguments, folder=cwd, **{"XDG_CONFIG_HOME": str(cwd or "/nonexistent"), **environment})


def test_help_imports_neither_numba_nor_numpy():
    code = (
        "import sys; from blackbox_conformal.cli.main import run; run(['--help']);"
        "print(sorted({'numpy', 'numba', 'PIL', 'httpx'} & sys.modules.keys()), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "calibrate" in found.stdout
    assert found.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--version"], 0, ""),
        (["nonsense"], 2, "No such command"),
        (["calibrat"], 2, "did you mean calibrate?"),
        (["serve-token", "new", "x"], 2, "serve-token is called serve token now: blackbox-conformal serve token"),
        (["scores", "show", "texture"], 2, "called list scores now: blackbox-conformal list scores texture"),
        (["adapters", "list"], 2, "blackbox-conformal list adapters"),
        (["annotations", "combine", "x"], 2, "blackbox-conformal annotate combine x"),
        (["list", "score"], 2, "'scores'"),
        (["list", "scores", "-p", "a=b"], 2, "list adapters NAME -p KEY=VALUE"),
        (["calibrate", ".", "--adaptr", "x"], 2, "--adapter"),
        (["calibrate", ".", "--clusters", "x"], 2, "--clusters is called --tiles"),
        (
            ["calibrate", ".", "--store", "s3://b/x"],
            2,
            "there is no option --store; answers are kept in the run folder",
        ),
        (["calibrate"], 2, "Missing argument"),
        (["calibrate", "/nowhere"], 2, "does not exist"),
        (["calibrate", ".", "--alpha", "-1"], 2, "level of at least 0"),
        (["calibrate", ".", "--alpha", "x"], 2, "such as 0.1"),
        (["calibrate", ".", "--max-cost", "-1"], 2, "at least 0"),
        (["calibrate", ".", "--concurrency", "many"], 2, "whole number or 'auto'"),
        (["calibrate", ".", "--memory", "2"], 2, "such as 2GB"),
        (["calibrate", "."], 2, "expected --adapter NAME"),
        (["calibrate", ".", "--adapter", "no-such-vendor"], 2, "no-such-vendor"),
        (["calibrate", ".", "--adapter", "http", "-p", "url"], 2, "KEY=VALUE"),
        (["calibrate", ".", "--adapter", "http", "-p", "url=http://127.0.0.1:1", "--metric", "nothing"], 2, "lab-l1"),
        (["list", "adapters", "no-such-vendor"], 2, "no-such-vendor"),
    ],
)
def test_exit_codes_and_messages(tmp_path, arguments, code, says):
    found = run(*arguments, cwd=tmp_path)
    assert found.returncode == code, found.stderr
    assert says in found.stderr
    assert "Traceback" not in found.stderr
    if code:
        assert found.stdout == ""
        assert found.stderr.startswith("error: ")
        assert found.stderr.count("\n") == 1


def test_config_shows_where_each_setting_came_from(tmp_path):
    (tmp_path / "blackbox-conformal.toml").write_text('draws = 5\n[calibrate]\nmetric = "rgb-l1"\n')
    below = tmp_path / "deep" / "er"
    below.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    found = run("config", "show", "--origin", "--json", cwd=below, BLACKBOX_CONFORMAL_SCALE="2")
    assert found.returncode == 0, found.stderr
    settings = json.loads(found.stdout)
    assert settings["draws"]["value"] == 5
    assert "blackbox-conformal.toml" in settings["draws"]["origin"]
    assert settings["metric"] == {
        "value": "rgb-l1",
        "origin": f"[calibrate] metric in {tmp_path / 'blackbox-conformal.toml'}",
    }
    assert settings["scale"] == {"value": "2", "origin": "environment BLACKBOX_CONFORMAL_SCALE"}
    assert settings["delivery"] == {"value": "first", "origin": "default"}


def test_settings_for_people_say_what_is_used_and_where_files_are_looked_for(tmp_path):
    found = run("config", "show", "--origin", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "None" not in found.stdout
    assert "lab-l1:kernel=gaussian,sigma=4" in found.stdout
    assert str(tmp_path / "blackbox-conformal" / "config.toml") in found.stdout
    assert found.stderr == ""


def test_a_broken_configuration_file_is_named_with_its_line(tmp_path):
    (tmp_path / "blackbox-conformal.toml").write_text("draws = \n")
    found = run("config", "show", cwd=tmp_path)
    assert found.returncode == 2
    assert "blackbox-conformal.toml" in found.stderr
    assert "line 1" in found.stderr
    (tmp_path / "blackbox-conformal.toml").write_text('memory = "512MiB"\n')
    settings = json.loads(run("config", "show", "--origin", "--json", cwd=tmp_path).stdout)
    assert settings["memory"]["value"] == "512MiB"
    assert "blackbox-conformal.toml" in settings["memory"]["origin"]


def test_doctor_answers_in_json_and_names_keys_and_never_their_value(tmp_path):
    doctor = run("doctor", "--json", cwd=tmp_path)
    assert doctor.returncode == 0, doctor.stderr
    subjects = {one["subject"] for one in json.loads(doctor.stdout)}
    assert {"clock", "proxy", "TLS", "disk", "file system", "kernel cache", "adapter http"} <= subjects
    listed = run("list", "adapters", "--json", cwd=tmp_path)
    names = {one["name"] for one in json.loads(listed.stdout)}
    assert {"embedded", "folder", "http", "replicate"} <= names
    shown = run("list", "adapters", "http", "--json", cwd=tmp_path)
    assert {one["name"] for one in json.loads(shown.stdout)["parameters"]} >= {"url", "scale"}
    found = run("doctor", cwd=tmp_path, REPLICATE_API_TOKEN="canary-5be2d1")
    assert "replicate: REPLICATE_API_TOKEN is set" in found.stdout
    assert "embedded: no key needed" in found.stdout
    assert "STABILITY_API_KEY" not in found.stdout
    assert "more lack their key" in found.stdout
    assert "canary-5be2d1" not in found.stderr + found.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_bug(tmp_path, closed):
    command = f'"{sys.executable}" -m blackbox_conformal config show {closed}'
    assert subprocess.run(command, shell=True, cwd=tmp_path, timeout=60, check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["--help"]])
def test_a_full_disk_is_no_bug(tmp_path, arguments):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "blackbox_conformal", *arguments]
        found = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60, check=False
        )
    assert found.returncode == 6
    assert "error: the operating system refused: No space left on device" in found.stderr
    assert "bug" not in found.stderr
    assert "make room and run the same command again" in found.stderr


def test_a_file_that_may_not_be_read_is_named_and_other_trouble_is_a_bug(monkeypatch, capsys):
    def refuse() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "some/file")

    monkeypatch.setattr(config, "files", refuse)
    assert main.run(["config", "show"]) == 2
    assert capsys.readouterr().err == (
        "error: some/file: the operating system refused: Permission denied. Correct that, or name another place\n"
    )

    def fail() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(config, "files", fail)
    assert main.run(["config", "show"]) == 1
    assert capsys.readouterr().err.startswith("bug: OSError: ")


@pytest.mark.parametrize(
    "trouble", [MemoryError(), RuntimeError("can't start new thread"), OSError(errno.ENOMEM, "Cannot allocate memory")]
)
def test_too_little_memory_is_no_bug(trouble, monkeypatch, capsys):
    def fail() -> None:
        raise trouble

    monkeypatch.setattr(config, "files", fail)
    assert main.run(["config", "show"]) == 6
    said = capsys.readouterr().err
    assert said.startswith("error: there is too little memory (")
    assert "--memory AMOUNT" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("megabytes", [300, 400])
def test_a_limit_on_memory_ends_in_one_sentence(server, tmp_path, megabytes):
    write_photographs(tmp_path / "photographs", range(4))
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)\n"
        "from blackbox_conformal.cli.main import main; main(sys.argv[2:])"
    )
    vendor = ["--adapter", "blackbox_conformal.testing.reference_adapters:SynchronousVendor", "-p", f"url={server.url}"]
    calibrate = ["calibrate", "photographs", *vendor, "--draws", "2", "--yes", "-q"]
    command = [sys.executable, "-c", script, str(megabytes * 10**6), *calibrate]
    # NumPy's OpenBLAS ends the process by itself when there is no room for the buffers of its threads.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False, env=alone)
    assert found.returncode in (0, 6), found.stderr
    assert found.stderr.count("\n") == (found.returncode == 6), found.stderr


@pytest.mark.parametrize(
    ("more", "traced"),
    [
        ([], False),
        (["-v"], False),
        (["-vv"], True),
        (["-v", "-v"], True),
        (["-v", "--verbose"], True),
        (["-qvv"], True),
    ],
)
def test_a_traceback_only_for_those_who_ask(more, traced, capsys):
    assert main.run(["calibrate", ".", "--adapter", "no-such-vendor", *more]) == 2
    said = capsys.readouterr().err
    assert ("Traceback" in said) == traced
    assert "error: " in said
