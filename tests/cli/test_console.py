"""What goes where: streams, tables, one document with --json, escaped names, help, and an early word on what lacks."""

import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image
from rich.text import Text
from support.command_line import COMMAND, VENDOR, called, ended
from support.forked import Forked
from support.report_material import make_run
from support.synthetic import photograph, write_photographs

from blackbox_conformal.cli import commands
from blackbox_conformal.cli.console import LINE_S, Screen
from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.terminal_text import json_line, shown
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.drawing.events import Counters, Event
from blackbox_conformal.support.wording import share
from blackbox_conformal.testing.fault_server import FaultServer

LONG_NAME = "a-vendor-with-a-very-long-name-that-matters: trust mask"
COLUMNS = ["alpha", "method", "key", "interval", "risk", "verdict"]
ROWS = [
    ["0.1", LONG_NAME, "REPLICATE_API_TOKEN_OF_MINE", "0.000 to 1.275", "0.0312", "inconclusive"],
    ["0.2", "short", "", "0.023 to 1.298", "–", "confirmed"],
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        return Text.from_ansi(self.getvalue()).plain


def as_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> Terminal:
    """stdout as a terminal of this width; from within a test, since its own stdout is set before each phase."""
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def screen(**how: bool) -> Screen:
    return Screen(**{"as_json": False, "quiet": False, "verbose": 0, **how})


def test_a_pipe_gets_tables_as_wide_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    screen().table("Title", COLUMNS, ROWS)
    title, head, _, first, second = capsys.readouterr().out.rstrip().splitlines()
    assert title == "Title"
    assert first.split("  ") != first
    for cell in ROWS[0]:
        assert cell in first
    assert first.index(LONG_NAME) == second.index("short") == head.index("method")
    assert first.index("0.0312") + len("0.0312") == second.index("–") + 1


@pytest.mark.parametrize("width", [122, 110, 80, 50, 24])
def test_a_narrow_terminal_folds_and_cuts_nothing(monkeypatch, width):
    terminal = as_terminal(monkeypatch, width)
    screen().table("Title", COLUMNS, ROWS)
    lines = terminal.shown().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in terminal.shown()
    shown = sorted("".join(terminal.shown().split()).replace("─", ""))
    wanted = sorted("".join("".join(["Title", *COLUMNS, *ROWS[0], *ROWS[1]]).split()))
    assert shown == wanted


def test_words_stay_whole_where_there_is_room(monkeypatch):
    terminal = as_terminal(monkeypatch, 124)
    screen().table("Title", COLUMNS, ROWS)
    for word in "".join(f"{cell} " for row in ROWS for cell in row).split():
        assert word in terminal.shown()


@pytest.mark.parametrize(
    ("how", "out", "err"),
    [
        ({}, "result\n", "remark\n"),
        ({"as_json": True}, '{"a": 1}\n', "result\nremark\n"),
        ({"quiet": True}, "", ""),
        ({"quiet": True, "as_json": True}, '{"a": 1}\n', ""),
    ],
)
def test_results_on_stdout_remarks_on_stderr(capsys, how, out, err):
    shown = screen(**how)
    shown.say("result")
    shown.note("remark")
    shown.data({"a": 1})
    assert capsys.readouterr() == (out, err)


def test_results_make_way_for_a_picture_on_stdout(capsys):
    shown = screen()
    shown.free_stdout()
    shown.say("result")
    shown.note("remark")
    assert capsys.readouterr() == ("", "result\nremark\n")
    assert [share(value) for value in (0.0, 1e-6, 0.0006, 1.0)] == ["0.0 %", "< 0.1 %", "0.1 %", "100.0 %"]


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = screen()
    with shown.progress():
        shown.step("reading photographs", 1, 9)
        now[0] = LINE_S + 1
        shown.event(Event("retry", 0.0, "trying again: the connection broke", None, None, Counters(total=8, done=2)))
        shown.step("drawing", 3, 8)
        now[0] += LINE_S + 1
        shown.step("drawing", 4, 8, "1 in flight")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("drawing: 2 of 8; ")
    assert first.endswith("; trying again: the connection broke")
    assert second == "drawing: 4 of 8; 1 in flight"
    quiet = screen(quiet=True)
    now[0] += LINE_S + 1
    quiet.step("drawing", 5, 8)
    assert capsys.readouterr().err == ""


CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return Forked([*COMMAND, *arguments], **pipes, text=True, cwd=cwd, start_new_session=True)


def failed(*arguments: str, cwd: Path, **environment: str) -> tuple[int, dict]:
    """Exit code and the one document's error."""
    ended = called(*arguments, folder=cwd, **environment)
    document = json.loads(ended.stdout)
    assert set(document) == {"error"}
    assert document["error"]["exit_code"] == ended.returncode
    assert document["error"]["message"] in ended.stderr, "people are told the same"
    return ended.returncode, document["error"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    write_photographs(folder / "photographs", range(3))
    return folder


def calibrate(url: str, *more: str) -> list[str]:
    return ["calibrate", "photographs", "--adapter", VENDOR, "-p", f"url={url}", *CHOICES, "--json", *more]


def test_usage_errors_and_what_was_written_leave_one_document(desk):
    assert failed("calibrat", "--json", cwd=desk)[1]["kind"] == "UsageError"
    assert failed("calibrate", "--json", cwd=desk)[0] == 2
    assert failed("calibrate", "photographs", "--json", "--adapter", "none", cwd=desk)[0] == 2
    code, error = failed("doctor", "--runn", "x", cwd=desk, BLACKBOX_CONFORMAL_JSON="1")
    assert (code, error["kind"]) == (2, "UsageError")
    (desk / "doctored" / "runs" / "x").mkdir(parents=True)
    (desk / "doctored" / "runs" / "x" / "ledger.sqlite").write_bytes(b"no database, " * 400)
    ended = called("ledger", "verify", "--run", "doctored/runs/x", "--json", folder=desk)
    assert ended.returncode != 0
    json.loads(ended.stdout)
    assert called("calibrate", "photographs", "--adapter", "none", folder=desk, code=2).stdout == ""


def test_money_keys_and_what_is_left_over(desk):
    with FaultServer() as server:
        assert failed(*calibrate(server.url), cwd=desk)[1]["kind"] == "BudgetError"
    with FaultServer({"submit": ["status:code=401"] * 50}) as server:
        code, error = failed(*calibrate(server.url, "--yes", "--run", "refused"), cwd=desk)
        assert (code, error["kind"]) == (5, "AccountRefusedError")
    with FaultServer({"submit": ["captive-portal"] * 50}) as server:
        assert failed(*calibrate(server.url, "--yes", "--run", "left"), cwd=desk)[0] == 6


def test_a_bug(desk, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("never seen")

    monkeypatch.setattr("blackbox_conformal.study.pictures_in_memory.find_photographs", broken)
    code, error = failed(*calibrate("http://127.0.0.1:1"), cwd=desk)
    assert (code, error["kind"]) == (1, "RuntimeError")
    assert "never seen" in error["message"]


@pytest.mark.parametrize(("times", "codes"), [(1, {6}), (2, {130})])
def test_an_interrupt(desk, times, codes):
    with (
        FaultServer({"submit": ["slow-start:seconds=2"] * 50}) as server,
        start(*calibrate(server.url, "--yes", "-v", "--run", f"stopped-{times}"), cwd=desk) as process,
    ):
        assert process.stderr is not None
        while '"submitted"' not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        if times == 2:
            while "stopping" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode in codes
    assert json.loads(out)["error"]["exit_code"] == process.returncode


HOSTILE = "pic\x1b]0;owned\x07\x1b[2J\u202egnp\nerror: forged\x9b31m"
NO_TEXT = os.fsdecode(b"caf\xe9-\xff")
RAW = (b"\x1b]0;", b"\x07", "\u202e".encode(), b"\x9b31m", b"\nerror: forged")


class Shop:
    """A vendor and a calibration of it, whose first photograph has a name that is no text."""

    def __init__(self, folder: Path, server: FaultServer) -> None:
        write_photographs(folder / "photographs", range(8))
        first = min((folder / "photographs").iterdir())
        first.rename(first.with_name(f"{NO_TEXT}{first.suffix}"))
        self.common = ["--adapter", VENDOR, "-p", f"url={server.url}", "--run", "run", "--yes"]
        self.url = server.url
        for name in (HOSTILE, NO_TEXT):
            with (folder / f"{name}.png").open("wb") as file:
                Image.fromarray(photograph(20)).resize((20, 16)).save(file, "PNG")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def calibrate_named(shop: Shop) -> int:
    choices = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
    return run(["calibrate", "photographs", *shop.common, *choices, "-q"])


def mask_words(shop: Shop, name: str) -> list[str]:
    return ["mask", f"{name}.png", *shop.common, "--calibration", "run/calibration.json", "--alpha", "0.9"]


def on_terminal(arguments: list[str]) -> bytes:
    """What a command writes to a terminal, both streams."""
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-m", "blackbox_conformal", *arguments]
    with Forked(command, stdin=other_end, stdout=other_end, stderr=other_end) as process:
        os.close(other_end)
        written = b""
        while True:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # The last of the other end's holders is gone.
                break
            written += piece
        assert process.wait() == 0, written
    os.close(terminal)
    return written.replace(b"\r\n", b"\n")


def test_no_name_reaches_a_terminal_as_it_is(shop):
    assert calibrate_named(shop) == 0
    written = on_terminal([*mask_words(shop, HOSTILE), "-v"])
    assert [raw for raw in RAW if raw in written] == []
    assert b"pic\\x1b]0;owned\\x07\\x1b[2J\\u202egnp\\x0aerror: forged\\x9b31m: " in written
    label = "A\x1bcB\x07\u202ec\nerror: forged\x9b31m"
    vendors = ["--vendor", f"{VENDOR}:label={label}", "--vendor", f"{VENDOR}:draws=3"]
    compare = ["compare", "photographs", *vendors, "-p", f"url={shop.url}", "--alpha", "0.9", "--yes", "-v"]
    written = on_terminal([*compare, "--draws", "2"])
    assert [raw for raw in (*RAW, b"\x1bc") if raw in written] == []
    assert b"A\\x1bcB\\x07\\u202ec" in written.replace(b"\n", b"")


def test_what_is_no_text_is_masked_and_told_in_every_document(shop, capsys):
    assert calibrate_named(shop) == 0
    names = {one["name"] for one in json.loads(Path("run/calibration.json").read_text())["images"]}
    assert "caf\\xe9-\\xff" in names
    out = ended(capsys, [*mask_words(shop, NO_TEXT), "--json"]).out
    out.encode("ascii")
    (entry,) = json.loads(out)["pictures"]
    assert os.fsencode(entry["input"]) == b"caf\xe9-\xff.png"
    certificate = Certificate.from_json(Path(entry["certificate"]).read_text())
    assert certificate.input["name"] == "caf\\xe9-\\xff"
    certificate.verify(Path(entry["certificate"]).parent)
    assert "caf\\xe9-\\xff: " in ended(capsys, [*mask_words(shop, NO_TEXT), "-v"]).out
    assert run(["report", "--run", "run", "--out", "report.html"]) == 0
    assert "caf\\xe9-\\xff" in Path("report.html").read_text()
    for command in (["ledger", "ls"], ["ledger", "export"], ["ledger", "export", "--format", "csv"], ["cache", "ls"]):
        ended(capsys, [*command, "--run", "run"]).out.encode()


def test_a_file_that_is_not_there_is_named_whatever_its_name(capfd):
    assert run(["plan", HOSTILE, NO_TEXT, "--adapter", "embedded"]) == 2
    said = capfd.readouterr().err
    assert [raw for raw in RAW if raw.decode("utf-8", "replace") in said] == []
    assert said.count("\n") == 1


def test_what_is_hidden_is_shown_as_escapes():
    document = {"name": HOSTILE, "other": NO_TEXT, "plain": "é \N{SNOWMAN} \N{GRINNING FACE}", "tag": "\U000e0041"}
    line = json_line(document)
    assert line.isprintable()
    assert json.loads(line) == document
    assert "é \N{SNOWMAN} \N{GRINNING FACE}" in line
    assert shown("a\nb\x1b[0m\u202e\t\udcff\r") == "a\nb\\x1b[0m\\u202e\\x09\\udcff\\x0d"


ROOMS = ("annotations", "embedded", "gateway", "pages", "testing", "watching")
OWN = "import click\n\n@click.command()\ndef command():\n    click.echo('ran')\n"


def test_help_imports_nothing_that_the_core_can_do_without():
    code = (
        "import sys; from blackbox_conformal.cli.main import run; run(['--help']);"
        "print(*(name for name in sys.modules if name.startswith('blackbox_conformal.')), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {module.split(".")[1] for module in found.stderr.split()} & set(ROOMS)


def test_the_first_screen_has_every_command_under_its_section(capsys):
    said = ended(capsys, ["--help"]).out
    places = [said.index(f"\n{title}:\n") for title in commands.SECTIONS]
    assert places == sorted(places)
    assert 20 <= len(commands.names()) <= 27
    for name in commands.names():
        assert f"\n  {name} " in said
        assert isinstance(commands.find(name), click.Command)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    information = tmp_path / "own-1.0.dist-info"
    information.mkdir()
    (tmp_path / "own_command.py").write_text(OWN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\nSummary: Sends postcards.\n")
    (information / "entry_points.txt").write_text(
        f"[{commands.GROUP}]\npostcard = own_command:command\nserve = own_command:command\nmask = own_command:command\n"
        "broken = own_command:nothing\nnone = os:sep\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for kept in (commands._announced, commands.every_command):
        kept.cache_clear()
    yield tmp_path
    for kept in (commands._announced, commands.every_command):
        kept.cache_clear()


def test_a_command_of_another_package_is_listed_and_runs(site, capsys):
    assert "postcard  Sends postcards." in ended(capsys, ["--help"]).out.partition("From other packages:")[2]
    assert ended(capsys, ["postcard"]).out == "ran\n"


@pytest.mark.parametrize("name", ["serve", "mask"])
def test_a_name_of_ours_is_not_taken_over(site, name):
    found = commands.find(name)
    assert found is not None
    assert getattr(found, "alone", found).callback.__module__.startswith("blackbox_conformal.")


@pytest.mark.parametrize("name", ["broken", "none"])
def test_a_broken_command_is_named(site, name, capsys):
    assert run([name]) != 0
    assert f"command {name}" in capsys.readouterr().err
    assert {"postcard", "serve token new", "calibrate"} <= commands.every_command().keys()
    assert name not in commands.every_command()


KEY = "FAULT_VENDOR_KEY"


def calibrate_keyed(folder: Path, url: str, *more: str) -> int:
    vendor = ["--adapter", VENDOR, "-p", f"url={url}", "-p", "keyed=true", "--metric", "rgb-linf"]
    return run(["calibrate", str(folder / "photographs"), *vendor, "--run", str(folder / "run"), *more])


def test_a_missing_or_wrong_key_is_named_once_the_budget_suffices(server, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    write_photographs(tmp_path / "photographs", range(3))[0].write_bytes(b"damaged")
    assert calibrate_keyed(tmp_path, server.url, "--yes") == 2
    assert f"expects its key in {KEY}" in capsys.readouterr().err
    assert calibrate_keyed(tmp_path, server.url, "--dry-run") == 2
    assert KEY not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv(KEY, "wrong-key-of-a-test")
    write_photographs(tmp_path / "photographs", range(3))
    with FaultServer({"submit": "status:code=401"}) as server:
        assert calibrate_keyed(tmp_path, server.url, "--yes") == 5
    said = capsys.readouterr().err
    assert f"Check the key in {KEY} and the account's credit" in said
    assert "list adapters NAME" not in said
    monkeypatch.setenv(KEY, "key-of-a-test")
    write_photographs(tmp_path / "photographs", range(3))
    assert calibrate_keyed(tmp_path, server.url, "--max-cost", "0.01") == 4
    said = capsys.readouterr().err
    assert "reserved of 0.01 allowed; raise --max-cost" in said
    assert "nothing was sent" in said
    assert f"{KEY} goes to" not in said
    assert server.account.paid == 0


def test_a_missing_or_wrong_calibration_is_answered_with_what_lies_here(tmp_path, capsys, monkeypatch):
    (picture,) = write_photographs(tmp_path, range(1))
    assert run(["mask", str(picture), "--calibration", str(picture), "--alpha", "0.1"]) == 2
    assert "expected a calibration file; this is a picture" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert "`blackbox-conformal calibrate` makes one" in ended(capsys, ["mask", str(picture), "--alpha", "0.1"], 2).err
    (tmp_path / "runs" / "vendor 1").mkdir(parents=True)
    (tmp_path / "runs" / "vendor 1" / "calibration.json").write_text("{}")
    assert run(["mask", str(picture), "--alpha", "0.1"]) == 2
    assert "add --calibration 'runs/vendor 1/calibration.json'" in capsys.readouterr().err
    assert "add --alpha 0.1, say" in ended(capsys, ["mask", str(picture), "--calibration", str(picture)], 2).err


def test_report_finds_the_only_run_as_view_does(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["report"]) == 2
    assert "expected --run FOLDER, since no folder below ./runs holds a calibration.json" in capsys.readouterr().err
    made = make_run(tmp_path / "runs" / "one", sizes=((64, 48),)).folder
    assert run(["report", "-q"]) == 0
    assert (made / "report.html").is_file()
    shutil.copytree(made, tmp_path / "runs" / "two")
    assert "there is more than one: runs/one, runs/two" in ended(capsys, ["report"], 2).err


def test_a_webhook_that_was_typed_is_answered_with_how_to_name_it(tmp_path, capsys):
    calibration = make_run(tmp_path / "run", sizes=((64, 48),)).folder / "calibration.json"
    address = "http://127.0.0.1:8899/hook?token=secret"
    watch = ["watch", str(tmp_path), "--calibration", str(calibration), "--accept", "yes", "--notify-webhook"]
    said = ended(capsys, [*watch, address], 2).err
    assert "what was typed is no name of a variable. Such as: export WATCH_ADDRESS=https://" in said
    assert "secret;" not in said.replace("a secret", "")
    assert "hook_FILE" not in said
    assert "NO_SUCH_VARIABLE is not set" in ended(capsys, [*watch, "NO_SUCH_VARIABLE"], 2).err


def test_help_of_view_names_the_default_once_and_doctor_lists_no_vendor_without_a_key(capsys, tmp_path, monkeypatch):
    assert ended(capsys, ["view", "--help"]).out.count("a free one") == 1
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    run(["doctor", "--run", str(tmp_path)])
    said = capsys.readouterr().out
    assert "REPLICATE_API_TOKEN" not in said
    assert "more lack their key; `blackbox-conformal list adapters NAME`" in said
