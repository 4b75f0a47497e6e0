"""Names that would move a cursor, turn letters around, or are no text at all: shown escaped, no reason to stop."""

import json
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import VENDOR, ended
from support.forked import Forked
from support.synthetic import photograph, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.terminal_text import json_line, shown
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.testing.fault_server import FaultServer

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


def calibrate(shop: Shop) -> int:
    choices = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
    return run(["calibrate", "photographs", *shop.common, *choices, "-q"])


def mask(shop: Shop, name: str) -> list[str]:
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
    assert calibrate(shop) == 0
    written = on_terminal([*mask(shop, HOSTILE), "-v"])
    assert [raw for raw in RAW if raw in written] == []
    assert b"pic\\x1b]0;owned\\x07\\x1b[2J\\u202egnp\\x0aerror: forged\\x9b31m: " in written
    label = "A\x1bcB\x07\u202ec\nerror: forged\x9b31m"
    vendors = ["--vendor", f"{VENDOR}:label={label}", "--vendor", f"{VENDOR}:draws=3"]
    compare = ["compare", "photographs", *vendors, "-p", f"url={shop.url}", "--alpha", "0.9", "--yes", "-v"]
    written = on_terminal([*compare, "--draws", "2"])
    assert [raw for raw in (*RAW, b"\x1bc") if raw in written] == []
    assert b"A\\x1bcB\\x07\\u202ec" in written.replace(b"\n", b"")


def test_what_is_no_text_is_masked_and_told_in_every_document(shop, capsys):
    assert calibrate(shop) == 0
    names = {one["name"] for one in json.loads(Path("run/calibration.json").read_text())["images"]}
    assert "caf\\xe9-\\xff" in names
    out = ended(capsys, [*mask(shop, NO_TEXT), "--json"]).out
    out.encode("ascii")
    (entry,) = json.loads(out)["pictures"]
    assert os.fsencode(entry["input"]) == b"caf\xe9-\xff.png"
    certificate = Certificate.from_json(Path(entry["certificate"]).read_text())
    assert certificate.input["name"] == "caf\\xe9-\\xff"
    certificate.verify(Path(entry["certificate"]).parent)
    assert "caf\\xe9-\\xff: " in ended(capsys, [*mask(shop, NO_TEXT), "-v"]).out
    assert run(["report", "--run", "run", "--out", "report.html"]) == 0
    assert "caf\\xe9-\\xff" in Path("report.html").read_text()
    for command in (["ledger", "ls"], ["ledger", "export"], ["ledger", "export", "--format", "csv"], ["cache", "ls"]):
        assert run([*command, "--run", "run"]) == 0
        capsys.readouterr().out.encode()


def test_a_file_that_is_not_there_is_named_whatever_its_name(capfd):
    assert run(["plan", HOSTILE, NO_TEXT, "--adapter", "embedded"]) == 2
    said = capfd.readouterr().err
    assert [raw for raw in RAW if raw.decode("utf-8", "replace") in said] == []
    assert said.count("\n") == 1


def test_json_keeps_what_is_hidden_as_its_own_escapes():
    document = {"name": HOSTILE, "other": NO_TEXT, "plain": "é \N{SNOWMAN} \N{GRINNING FACE}", "tag": "\U000e0041"}
    line = json_line(document)
    assert line.isprintable()
    assert json.loads(line) == document
    assert "é \N{SNOWMAN} \N{GRINNING FACE}" in line


def test_text_keeps_its_lines_and_nothing_else_that_is_hidden():
    assert shown("a\nb\x1b[0m\u202e\t\udcff\r") == "a\nb\\x1b[0m\\u202e\\x09\\udcff\\x0d"
