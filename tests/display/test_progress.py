"""Progress is shown in notebooks and on terminals, and only there unless it is asked for."""

import io
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from support.synthetic import photograph, write_draws

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.pages import progress_bars as module
from blackbox_conformal.pages.progress_bars import NotebookDisplay, TerminalDisplay
from blackbox_conformal.study.listeners import shown_progress


class Display:
    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        assert raw
        self.shown.append(bundle)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Display]:
    """The displays of a kernel's process, which this one is taken for."""
    displays: list[Display] = []

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Display:
        assert raw
        assert display_id
        displays.append(Display())
        displays[-1].shown.append(bundle)
        return displays[-1]

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))  # type: ignore[arg-type]
    return displays


def become_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to stderr, which is taken for a terminal; called in the test, since pytest replaces stderr."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return stream


def test_nothing_is_shown_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with shown_progress(None) as step:
        step("reading", 1, 2)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_terminal_shows_bars_unless_told_not_to(monkeypatch):
    terminal = become_terminal(monkeypatch)
    with shown_progress(None) as step:
        assert isinstance(step, TerminalDisplay)
        step("reading", 1, 2)
        step("reading", 2, 2)
    assert "reading" in terminal.getvalue()
    assert "2/2" in (before := terminal.getvalue())
    with shown_progress(False) as step:
        step("reading", 1, 2)
    assert terminal.getvalue() == before


def test_a_terminals_ipython_is_no_notebook(monkeypatch):
    become_terminal(monkeypatch)
    shell = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    with shown_progress(None) as step:
        assert isinstance(step, TerminalDisplay)


def test_a_notebook_shows_one_display_that_ends_complete(notebook, monkeypatch):
    monkeypatch.setattr(module, "REFRESH_S", 1000.0)
    with shown_progress(None) as step:
        assert isinstance(step, NotebookDisplay)
        assert notebook == []
        for done in range(101):
            step("<drawing>", done, 100)
    (display,) = notebook
    # The first step, the last one, and the end.
    assert len(display.shown) == 3
    assert "&lt;drawing&gt;" in display.shown[-1]["text/html"]
    assert "100 of 100" in display.shown[-1]["text/html"]
    assert display.shown[-1]["text/plain"] == "<drawing>: 100 of 100"


def interrupted_at_three() -> None:
    with shown_progress(True) as step:
        step("drawing", 3, 10)
        raise KeyboardInterrupt


def test_bars_stay_where_they_were_after_an_error(notebook):
    with pytest.raises(KeyboardInterrupt):
        interrupted_at_three()
    assert notebook[0].shown[-1]["text/plain"] == "drawing: 3 of 10"


def test_a_function_is_called_instead():
    told: list[Any] = []
    with shown_progress(lambda *step: told.append(step)) as step:
        step("a", 1, 2)
    assert told == [("a", 1, 2)]
    wrong: Any = "yes"
    with pytest.raises(UsageError, match="True, False, None or a function of three values; got 'yes'"):
        shown_progress(wrong).__enter__()


def commands(vendor: bc.Adapter, arrays: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    choices: dict[str, Any] = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}
    calibration = bc.calibrate(vendor, arrays, run="run", nothing_chosen=True, **choices)
    unseen = {f"p{seed}": photograph(seed) for seed in range(6, 9)}
    inputs = [(name, pixels[::4, ::4]) for name, pixels in unseen.items()]

    def masked(**shown: Any) -> None:
        with bc.Session(calibration, vendor, 0.9, run="masks") as session:
            assert len(list(session.mask_many(inputs, **shown))) == 3
            told: list[Any] = []
            list(session.mask_many(iter(inputs), ahead=2, progress=lambda *step: told.append(step)))
            assert (told[0], told[-1]) == (("masking", 0, 2), ("masking", 3, 3))

    both = {"one": vendor, "other": (vendor, {"score": "patch-variance"})}
    small = photograph(3, (16, 20))
    chosen = {"candidates": ["pixel-variance"], "run": "tuned", "only_choose": True, "nothing_chosen": True, **choices}
    return {
        "calibrating": lambda **shown: bc.calibrate(vendor, arrays, run="run", nothing_chosen=True, **choices, **shown),
        "auditing": lambda **shown: bc.audit(vendor, unseen, calibration, 0.9, run="run", **shown),
        "measuring other": lambda **shown: bc.compare(both, arrays, 0.9, run="run", **choices, **shown),
        "tuning": lambda **shown: bc.tune(vendor, arrays, 0.9, **chosen, **shown),
        "reading inputs": lambda **shown: bc.compare_inputs({"a": small, "b": small[::-1]}, calibration, **shown),
        "masking": masked,
        "reading photographs": lambda **shown: bc.degrade(arrays, "inputs", force=True, **shown),
    }


def test_every_command_shows_how_far_it_is(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_draws(tmp_path / "outputs", range(9))
    vendor = bc.load_adapter("folder", path="outputs", label="made-up", scale=4)
    arrays = {f"p{seed}": photograph(seed) for seed in range(6)}
    for what, command in commands(vendor, arrays).items():
        notebook.clear()
        command(progress=False)
        assert notebook == [], what
        command()
        (display,) = notebook
        last = display.shown[-1]["text/plain"].splitlines()
        assert any(line.startswith(f"{what}: ") for line in last), (what, last)
        for line in last:
            if not line.startswith("The draws are kept"):
                done, total = line.rpartition(": ")[2].split(" of ")
                assert done == total, line
    notebook.clear()
    told: list[str] = []
    events: list[Any] = []
    calibrate = commands(vendor, arrays)["calibrating"]
    notebook.clear()
    calibrate(progress=lambda what, *_: told.append(what))
    assert "calibrating" in told
    assert notebook == []
    calibrate(listener=events.append)
    assert events
    assert "drawing: 12 of 12" in notebook[0].shown[-1]["text/plain"]
    assert "The draws are kept in run: the same call again pays for none of them." in notebook[0].shown[-1]["text/html"]
