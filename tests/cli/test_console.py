"""What goes where, and that no table ever loses a letter."""

import io
import sys
import time

import pytest
from rich.text import Text

from blackbox_conformal.cli.console import LINE_S, Screen
from blackbox_conformal.drawing.events import Counters, Event
from blackbox_conformal.support.wording import share

VENDOR = "a-vendor-with-a-very-long-name-that-matters: trust mask"
COLUMNS = ["alpha", "method", "key", "interval", "risk", "verdict"]
ROWS = [
    ["0.1", VENDOR, "REPLICATE_API_TOKEN_OF_MINE", "0.000 to 1.275", "0.0312", "inconclusive"],
    ["0.2", "short", "", "0.023 to 1.298", "–", "confirmed"],
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        return Text.from_ansi(self.getvalue()).plain


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> Terminal:
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
    assert first.index(VENDOR) == second.index("short") == head.index("method")
    assert first.index("0.0312") + len("0.0312") == second.index("–") + 1


@pytest.mark.parametrize("width", [122, 110, 80, 50, 24])
def test_a_narrow_terminal_folds_and_cuts_nothing(monkeypatch, width):
    terminal = on_terminal(monkeypatch, width)
    screen().table("Title", COLUMNS, ROWS)
    lines = terminal.shown().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in terminal.shown()
    shown = sorted("".join(terminal.shown().split()).replace("─", ""))
    wanted = sorted("".join("".join(["Title", *COLUMNS, *ROWS[0], *ROWS[1]]).split()))
    assert shown == wanted


def test_words_stay_whole_where_there_is_room(monkeypatch):
    terminal = on_terminal(monkeypatch, 124)
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


def test_little_is_not_nothing():
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
