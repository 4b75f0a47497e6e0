"""Commands on ledgers that were damaged in any way: a clear error or the truth, no bare exception, and no call."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.command_line import VENDOR, called, ended
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]


def words(folder: Path, server: FaultServer, name: str) -> list[str]:
    run = ["--run", str(folder / "run")]
    if name in ("plan", "calibrate"):
        limits = ["--max-cost", "1", "--out", str(folder / "c.json"), "--force"] if name == "calibrate" else []
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}"]
        return [name, str(folder / "photographs"), *vendor, *CHOICES, *limits, *run]
    return ["ledger", name, *run]


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bought")
    write_photographs(folder / "photographs", range(3))
    with FaultServer() as server:
        called(*words(folder, server, "calibrate"), code=0)
    shutil.copytree(folder / "run", folder / "whole")
    return folder


def foreign_text(content: bytearray, chooser: random.Random) -> None:
    """Bytes that are no text, in a value of a row."""
    place = chooser.choice([at for at in range(4096, len(content)) if content[at : at + 6] in (b"sha256", b"valida")])
    content[place : place + 3] = b"\xff\xfe\xc0"


def no_number(content: bytearray, chooser: random.Random) -> None:
    """Letters where a seed should be: every long number in the file may be one."""
    places = [at for at in range(4096, len(content) - 6) if bytes(content[at : at + 6]).isdigit()]
    place = chooser.choice(places)
    content[place : place + 3] = b"abc"


def scribble(content: bytearray, chooser: random.Random) -> None:
    for _ in range(chooser.randint(1, 8)):
        start = chooser.randrange(4096 if chooser.random() < 0.3 else len(content) - 100)
        size = chooser.choice([1, 2, 4, 16, 100])
        content[start : start + size] = chooser.randbytes(size)


@pytest.mark.parametrize("damage", [foreign_text, no_number, scribble])
def test_commands_on_a_damaged_ledger_end_in_a_clear_error_and_buy_nothing(bought, server, capsys, damage):
    chooser = random.Random(1)
    content = (bought / "whole" / "ledger.sqlite").read_bytes()
    refused = 0
    for _ in range(8):
        shutil.rmtree(bought / "run")
        shutil.copytree(bought / "whole", bought / "run")
        altered = bytearray(content)
        damage(altered, chooser)  # type: ignore[operator]
        (bought / "run" / "ledger.sqlite").write_bytes(altered)
        for name in ("sum", "ls", "verify", "plan", "calibrate"):
            code = run(words(bought, server, name))
            said = capsys.readouterr().err
            assert code in (0, 2, 3), said
            assert "bug:" not in said
            refused += code == 2
    assert refused > 0
    assert server.account.paid == 0


def test_verify_lists_what_is_wrong_with_the_only_ledger_there_is(bought, tmp_path, monkeypatch, capsys):
    shutil.copytree(bought / "whole", tmp_path / "runs" / "a")
    with closing(sqlite3.connect(tmp_path / "runs" / "a" / "ledger.sqlite")) as connection:
        connection.execute("UPDATE attempt SET model = 'another' WHERE id = 2")
        connection.commit()
    monkeypatch.chdir(tmp_path)
    assert "attempt 2 is not as it was written" in ended(capsys, ["ledger", "verify"], 3).out
    assert "runs/a" in ended(capsys, ["ledger", "sum"], 2).err
