"""`ledger`: settled, reopened, remembered, damaged, and in a database: nothing is paid twice, no password is shown."""

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.command_line import VENDOR, called, called_in_new_process, ended, next_steps, served
from support.draws import draw, tasks
from support.postgres_server import PostgresServer
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.backends import has_ledger
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.task import idempotency_key
from blackbox_conformal.errors import RefusedError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Draw, Flow, Send, Upload

WORK = tasks(6)


@pytest.fixture(params=["sqlite", "postgres"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder, with its ledger in it or in a database."""
    place = tmp_path / "run"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        LEDGERS.place(place, server.new_database())
    return place


def interrupted(folder: Path, server: FaultServer) -> list[Attempt]:
    """Six draws, of which three were answered, and the answers to the last three did not arrive."""
    vendor = SynchronousVendor(url=server.url)
    draw(vendor, folder, WORK[:3], concurrency=1)
    server.script = {"submit": "close-without-answer"}
    drawn = draw(vendor, folder, WORK, concurrency=1)
    server.script = None
    assert sorted(drawn.states) == ["ambiguous"] * 3 + ["stored"] * 3
    return ledger_ls(folder)


def an_invoice(path: Path, *lines: Sequence[Any], headings: str = "request_id,created_at,amount_usd") -> Path:
    path.write_text("\n".join([headings, *(",".join(map(str, line)) for line in lines), ""]), encoding="utf-8")
    return path


def at(attempt: Attempt, later_s: float = 2.0) -> str:
    assert attempt.sent_at is not None
    return datetime.fromtimestamp(attempt.sent_at + later_s, UTC).isoformat()


def settle(invoice: Path, folder: Path, *more: str) -> int:
    return run(["ledger", "settle", str(invoice), "--run", str(folder), *more])


def books(folder: Path) -> tuple[list[str], str]:
    assert ledger_verify(folder).problems == ()
    return [one.state for one in ledger_ls(folder)], str(ledger_sum(folder)["cost_usd"])


def test_ambiguous_calls_end_as_the_invoice_says_and_only_once(folder, tmp_path, capsys):
    with FaultServer(polls=0) as server:
        *answered, first, second, _ = interrupted(folder, server)
        assert books(folder)[1] == "0.06"
        invoice = an_invoice(
            tmp_path / "invoice.csv",
            *((one.request_id or one.job, at(one), "0.01") for one in answered),
            ("unknown-1", at(first), "0.03"),
            (idempotency_key(second.task, second.generation), at(second), "0.00"),
            ("theirs", "2020-01-01", "5.00"),
        )
        period = ["--from", at(first)[:10], "--until", at(first)[:10]]
        before = books(folder)
        assert settle(invoice, folder, *period) == 0
        said = capsys.readouterr().out
        for part in ("5 calls (matched by", "idempotency key: 1", "time: ", "1 call, $0.01 booked", "--write"):
            assert part in said
        assert books(folder) == before
        assert settle(invoice, folder, *period, "--write") == 0
        assert "1 call as billed, $0.03; 2 as not billed, $0.02 given back" in capsys.readouterr().out
        after = books(folder)
        assert after == (["validated"] * 3 + ["expired", "failed", "failed"], "0.06")
        assert settle(invoice, folder, *period, "--write") == 0
        assert "no call is ambiguous, so nothing was changed" in capsys.readouterr().out
        assert books(folder) == after
        # What was not billed is asked for again, within the limit that has its money back; what was billed is not.
        drawn = draw(SynchronousVendor(url=server.url), folder, WORK, max_cost_usd=Decimal("0.10"))
        assert drawn.states == ["stored"] * 3 + ["expired", "stored", "stored"]
        assert books(folder)[1] == "0.08"


@pytest.mark.parametrize(("listed", "states"), [(6, ["expired"] * 3), (4, ["expired", "failed", "failed"])])
def test_without_ids_and_times_calls_are_counted(tmp_path, capsys, listed, states):
    with FaultServer(polls=0) as server:
        interrupted(folder := tmp_path / "run", server)
    invoice = an_invoice(tmp_path / "invoice.csv", (listed, f"${listed * 0.01:.2f}"), headings="Quantity,Amount (USD)")
    assert settle(invoice, folder, "--write") == 2
    assert "--from 2026-11-01 --until 2026-11-30" in capsys.readouterr().err
    assert settle(invoice, folder, "--write", "--from", "2020-01-01", "--until", "2100-01-01") == 0
    assert f"count: {listed}" in capsys.readouterr().out
    assert books(folder) == (["validated"] * 3 + states, f"{listed * 0.01:.2f}".rstrip("0"))


def test_times_of_another_zone_do_not_make_calls_free_and_calls_after_the_invoice_stay(tmp_path):
    with FaultServer(polls=0) as server:
        attempts = interrupted(folder := tmp_path / "run", server)
    shifted = an_invoice(
        tmp_path / "shifted.csv", *((at(one, 9 * 3600)[:19], 0.01) for one in attempts), headings="date,cost"
    )
    assert settle(shifted, folder, "--from", "2020-01-01", "--until", "2100-01-01", "--write") == 0
    assert books(folder) == (["validated"] * 3 + ["expired"] * 3, "0.06")
    early = tmp_path / "early"
    with FaultServer(polls=0) as server:
        attempts = interrupted(early, server)
    short = an_invoice(
        tmp_path / "short.csv", *((one.request_id or one.job, at(one, 0), "0.01") for one in attempts[:3])
    )
    assert settle(short, early, "--write") == 0
    assert books(early) == (["validated"] * 3 + ["ambiguous"] * 3, "0.06")


def test_an_answer_that_turns_up_after_all_is_kept_and_booked(folder, tmp_path):
    """The answers of three draws lie in the inbox of a machine that could not record them, and are brought back."""
    with FaultServer(polls=0) as server:
        attempts = interrupted(folder, server)
        other = tmp_path / "other"
        draw(SynchronousVendor(url=server.url), other, WORK)
        billed, free = attempts[3], attempts[4]
        invoice = an_invoice(tmp_path / "i.csv", (idempotency_key(billed.task, 0), at(billed), "0.02"))
        period = ["--from", at(billed)[:10], "--until", at(billed)[:10]]
        assert settle(invoice, folder, *period, "--write") == 0
        assert books(folder)[0][3:] == ["expired", "failed", "failed"]
        for late, found in zip((billed, free), ledger_ls(other)[3:5], strict=True):
            content = next((other / "samples").rglob(f"{str(found.digest).removeprefix('sha256:')}*")).read_bytes()
            Store(folder).receive(late.id, content)
        sent = server.account.paid
        drawn = draw(SynchronousVendor(url=server.url), folder, WORK[:5])
        assert (drawn.states, server.account.paid) == (["stored"] * 5, sent)
        assert books(folder) == (["validated"] * 5 + ["failed"], "0.06")


def test_a_ledger_restored_from_an_older_copy_learns_what_was_settled(tmp_path):
    folder = tmp_path / "run"
    with FaultServer(polls=0) as server:
        attempts = interrupted(folder, server)
        shutil.copy(folder / "ledger.sqlite", tmp_path / "copy")
        invoice = an_invoice(tmp_path / "i.csv", *((one.request_id or one.job, at(one), 0.01) for one in attempts[:4]))
        assert settle(invoice, folder, "--from", "2020-01-01", "--until", "2100-01-01", "--write") == 0
        after = books(folder)
        for _ in range(2):
            shutil.copy(tmp_path / "copy", folder / "ledger.sqlite")
            (folder / "ledger.commits").unlink()
            assert run(["ledger", "remember", "--run", str(folder)]) == 0
            assert books(folder) == after


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("request_id,cost\na,1.00 EUR", (), "in EUR"),
        ("request_id,cost\na,€1.00", (), "in EUR"),
        ("request_id,amount_gbp\na,1.00", (), "in GBP"),
        ("request_id,Cost (£)\na,1.00", (), "in GBP"),
        ("request_id,cost,currency\na,1.00,USD\nb,1.00,CHF", (), "line 3 of"),
        ("request_id,cost\na,0,02", (), "3 cells"),
        ("request_id;cost\na;0,02", (), "an amount of US dollars such as 1234.50"),
        ("request_id,cost,price\na,1,2", (), "--column cost='cost'"),
        ("request_id,paid\na,1", (), "--column cost=NAME"),
        ("request_id,cost\na,1", ("--column", "cost=paid"), "to name one column"),
        ("request_id,cost\na,1", ("--column", "price=paid"), "KIND=HEADING"),
        ("date,cost\n11/03/2026,1", (), "expected times such as"),
        ("date,cost\n2026-11-03,1\nTotal,1", (), "line 3 of"),
        ("date,cost\n2026-11-03,1\n,1", (), "neither id nor time"),
        ("date,cost\n2026-11-03,-1", (), "no credit"),
        ("request_id,cost,quantity\na,1,2.5", (), "whole number of calls"),
        ("request_id,cost\na,1\na,-2", (), "less than nothing"),
        ('request_id,cost\n"a,1', (), "expected a CSV file"),
        ("request_id,cost\n", (), "lists calls"),
        ("", (), "is empty"),
        (b"request_id,cost\n\xff,1", (), "UTF-8"),
    ],
)
def test_an_invoice_that_cannot_be_read_in_one_way_is_refused_in_a_sentence(tmp_path, capsys, content, options, said):
    with FaultServer(polls=0) as server:
        draw(SynchronousVendor(url=server.url), folder := tmp_path / "run", WORK[:1])
    invoice = tmp_path / "invoice.csv"
    invoice.write_bytes(content.encode() if isinstance(content, str) else content)
    assert settle(invoice, folder, *options) == 2
    assert said in capsys.readouterr().err


def test_a_charge_and_its_credit_are_one_call_and_a_wrong_price_is_told(tmp_path, capsys):
    with FaultServer(polls=0) as server:
        draw(SynchronousVendor(url=server.url), folder := tmp_path / "run", WORK[:3])
    first, second, _ = ((one.request_id or one.job) for one in ledger_ls(folder))
    lines = ((first, "0.05"), (first, "-0.04"), (second, "0.03"))
    assert settle(an_invoice(tmp_path / "i.csv", *lines, headings="\ufeffRequest ID,Total Cost"), folder) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "at another cost 1 call" in said
    assert "only in the ledger 1 call, $0.01 booked" in said


class Censor(SynchronousVendor):
    """Bills for what it made and then does not show."""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield Send("POST", f"{self.url}/v1/upscale", "submit", body=upload.png)
        if b"filtered" in answer.body:
            raise RefusedError("filtered", billed=True, code="filter")
        return answer.body


def test_a_calibration_asks_again_for_refused_draws_alone_and_says_so(tmp_path, capsys):
    photographs = [str(path) for path in write_photographs(tmp_path / "photographs", range(6))]
    folder, out = tmp_path / "run", tmp_path / "run" / "calibration.json"
    with FaultServer({"submit": ["status:code=400"] * 3}) as server:
        vendor = ["--adapter", VENDOR, "-p", f"url={server.url}", "--metric", "rgb-linf", "--concurrency", "1"]
        calibrate = ["calibrate", *photographs, *vendor, "--run", str(folder), "--yes", "--json"]
        first = json.loads(ended(capsys, [*calibrate, "--accept-refusals"]).out)
        assert (first["failed"], first["reopened"], server.account.paid) == (3, 0, 3)
        assert b"reopened" not in out.read_bytes()
        assert run(["ledger", "reopen", "--run", str(folder)]) == 2
        assert run(["ledger", "reopen", "--run", str(folder), "--code", "422"]) == 2
        assert "Codes of those there: 400" in capsys.readouterr().err
        assert run(["ledger", "reopen", "--run", str(folder), "--state", "refused", "--code", "400"]) == 0
        assert "3 refusals reopened" in capsys.readouterr().out
        said = ended(capsys, [*calibrate, "--out", str(tmp_path / "again.json")])
        again = json.loads(said.out)
        assert (again["failed"], again["reopened"], again["calls"], server.account.paid) == (0, 3, 3, 6)
        assert "3 refusals had been reopened, and the calibration says so" in said.err
        assert json.loads(ended(capsys, [*calibrate, "--out", str(tmp_path / "again.json")]).out)["calls"] == 0
    assert sum(image.reopened for image in Calibration.load(tmp_path / "again.json").images) == 3
    assert ledger_verify(folder).problems == ()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_billed_for_a_refusal_stays_booked(tmp_path, capsys, request, kind):
    folder = tmp_path / "run"
    if kind == "postgres":
        database: PostgresServer = request.getfixturevalue("postgres")
        LEDGERS.place(folder, database.new_database())
    with FaultServer({"submit": ["json-error:message=filtered"] * 3}) as server:
        vendor = Censor(url=server.url)
        assert draw(vendor, folder, tasks(3), concurrency=1).states == ["refused"] * 3
        assert str(ledger_sum(folder)["cost_usd"]) == "0.03"
        reopen = ["ledger", "reopen", "--run", str(folder), "--picture", "picture-1"]
        assert "$0.01 that the vendor billed for them stay booked" in ended(capsys, reopen).out
        assert run(reopen) == 2
        drawn = draw(vendor, folder, tasks(3), concurrency=1)
        assert drawn.states == ["refused", "stored", "refused"]
        assert [outcome.reopened for outcome in drawn.outcomes].count(1) == 1
    assert [one.state for one in ledger_ls(folder)] == ["refused"] * 3 + ["validated"]
    assert str(ledger_sum(folder)["cost_usd"]) == "0.04"
    assert ledger_verify(folder).problems == ()


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


def test_each_machine_tells_the_restored_database_of_its_own_calls(tmp_path, capsys, postgres):
    machines = [tmp_path / f"machine-{number}" for number in range(3)]
    with FaultServer(polls=0) as account:
        address, vendor = postgres.new_database(), SynchronousVendor(url=account.url)
        for machine in machines:
            LEDGERS.place(machine, address)
        draw(vendor, machines[0], tasks(1, 1))
        dump = postgres.dump(address)
        draw(vendor, machines[0], tasks(1, 4))
        draw(vendor, machines[1], tasks(1, 6))
        postgres.restore(address, dump)
        for machine, calls in ((machines[0], 3), (machines[1], 2)):
            assert run(["ledger", "remember", "--run", str(machine), "--ledger", address]) == 0
            assert f"it had forgotten {calls} calls" in capsys.readouterr().out
        assert run(["ledger", "remember", "--run", str(machines[0]), "--ledger", address]) == 0
        assert "knows all calls whose receipts are kept" in capsys.readouterr().out
        assert draw(vendor, machines[2], tasks(1, 6)).states == ["stored"] * 6
        assert account.account.paid == 6
        assert run(["ledger", "verify", "--ledger", address]) == 0


def test_a_machine_notices_that_the_database_lost_what_others_wrote(tmp_path, capsys, postgres):
    one, other = tmp_path / "one", tmp_path / "other"
    with FaultServer(polls=0) as account:
        address, vendor = postgres.new_database(), SynchronousVendor(url=account.url)
        for machine in (one, other):
            LEDGERS.place(machine, address)
        draw(vendor, one, tasks(1, 1))
        dump = postgres.dump(address)
        draw(vendor, other, tasks(1, 3))
        draw(vendor, one, tasks(1, 1))
        postgres.restore(address, dump)
        remember = ["ledger", "remember", "--ledger", address, "--run"]
        for said in ("on the other machines, or what they paid for may be paid again", "knows all calls"):
            assert said in ended(capsys, [*remember, str(one)]).out


def test_what_was_paid_for_and_forgotten_is_not_pruned(tmp_path, capsys):
    with FaultServer(polls=0) as account:
        vendor, folder = SynchronousVendor(url=account.url), tmp_path / "run"
        draw(vendor, folder, tasks(1, 1))
        shutil.copy(folder / "ledger.sqlite", tmp_path / "copy")
        draw(vendor, folder, tasks(1, 3))
        shutil.copy(tmp_path / "copy", folder / "ledger.sqlite")
        (folder / "ledger.commits").unlink()
        assert f"ledger remember --run {folder}" in ended(capsys, ["cache", "prune", "--run", str(folder)], 2).err
        assert run(["ledger", "remember", "--run", str(folder)]) == 0
        assert run(["cache", "prune", "--run", str(folder)]) == 0
        assert len(list((folder / "samples").rglob("*.*"))) == 3


ADDRESS = "postgresql://me:s3cret-word@127.0.0.1:9/name"


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


def test_a_password_is_not_typed_and_a_projects_file_names_no_database(capsys, tmp_path):
    told = ended(capsys, ["ledger", "sum", "--ledger", ADDRESS], 2).err
    assert "set PGPASSWORD or PGPASSFILE, or the whole address in BLACKBOX_CONFORMAL_LEDGER" in told
    assert "s3cret" not in told
    (tmp_path / "blackbox-conformal.toml").write_text('ledger = "postgresql://me@stranger.example/name"\n')
    assert "sets ledger, which a project's settings file may not" in ended(capsys, ["ledger", "sum"], 2).err


def test_a_password_may_stand_in_the_environment_and_is_not_shown(monkeypatch, capsys):
    pytest.importorskip("psycopg")
    monkeypatch.setattr("blackbox_conformal.drawing.ledger.postgres.database._START_S", 0.0)
    monkeypatch.setenv("BLACKBOX_CONFORMAL_LEDGER", ADDRESS)
    told = ended(capsys, ["ledger", "sum"], 2).err
    assert "127.0.0.1:9/name cannot be used" in told
    assert "s3cret" not in told


def test_commands_name_the_ledger_that_was_typed_and_keep_to_its_limit(photographs, capsys, monkeypatch, postgres):
    """Two jobs with other budgets spend no more than the ledger's limit together; what follows is ready to paste."""
    monkeypatch.setattr(LEDGERS, "_named", {})
    with FaultServer(price_usd="0.01") as vendor:
        address = postgres.new_database()
        ledger = ["--ledger", address]
        assert run(["ledger", "limit", "0.09", *ledger]) == 0
        adapter = f"{SynchronousVendor.__module__}:{SynchronousVendor.__name__}"
        for draws in ("1", "2"):
            job = ["calibrate", str(photographs), "--adapter", adapter, "-p", f"url={vendor.url}", "--draws", draws]
            code = run([*job, "--metric", "rgb-linf", "--max-cost", "5", "--run", f"run{draws}", *ledger])
            assert code == (0 if draws == "1" else 4)
        said = capsys.readouterr()
        assert f"--ledger '{address}'" in said.out + said.err
        assert "of 0.09 that everything with the ledger" in said.err
        assert vendor.account.paid == vendor.account.distinct == 9
        for words in (["ledger", "ls"], ["ledger", "sum"], ["cache", "ls", "--run", "run1"]):
            LEDGERS._named.clear()
            assert f"--ledger '{address}'" in ended(capsys, [*words, *ledger]).out.split("Next: ")[1]
        # Nothing of the folder is taken for unpaid, and it keeps its ledger.
        assert "0 files removed" in ended(capsys, ["cache", "prune", "--run", "run1", *ledger]).out
        assert not Path("run1/ledger.sqlite").exists()
        assert has_ledger(Path("run1"))
        assert run(["cache", "export", "--run", "run2", "--out", "copies", *ledger]) == 0
        assert len(list(Path("copies").iterdir())) == 9
        LEDGERS._named.clear()
        assert "set BLACKBOX_CONFORMAL_LEDGER" in ended(capsys, ["cache", "ls", "--run", "run1"], 2).err


def test_what_people_look_at_takes_the_ledger_that_was_typed(photographs, tmp_path, postgres):
    """Every command that a `Next` line names is run as it stands there."""
    with FaultServer(price_usd="0.01") as vendor:
        ledger = ["--ledger", postgres.new_database()]
        adapter = ["--adapter", f"{SynchronousVendor.__module__}:{SynchronousVendor.__name__}", "-p"]
        adapter += [f"url={vendor.url}"]
        calibrated = ["--calibration", "runs/mine/calibration.json", *adapter]
        job = ["calibrate", str(photographs), *adapter, "--metric", "rgb-linf", "--max-cost", "5", *ledger]
        called(*job, "--run", "runs/mine", folder=tmp_path, code=0)
        Image.effect_mandelbrot((16, 16), (-2, -1, 1, 1), 40).convert("RGB").save(tmp_path / "low.png")
        masked = ["mask", "low.png", *calibrated, "--alpha", "0.9", "--max-cost", "1", *ledger]
        steps = next_steps(called(*masked, folder=tmp_path, code=0))
        reported = called(*steps["report"], folder=tmp_path, code=0)
        assert "$0.07" in (tmp_path / "runs/mine/report.html").read_text()
        assert next_steps(reported)["audit"][-2:] == ledger
        for words, count in ((steps["view"], 1), (["view", *ledger], 1)):
            with served(*words, folder=tmp_path) as told:
                assert told["pictures"] == count, words


def test_commands_that_share_a_ledger_each_say_their_own_part_and_the_whole(
    photographs, tmp_path, monkeypatch, postgres
):
    with FaultServer(price_usd="0.01") as vendor:
        monkeypatch.setenv("BLACKBOX_CONFORMAL_LEDGER", postgres.new_database())
        adapter = f"{SynchronousVendor.__module__}:{SynchronousVendor.__name__}"
        job = ["calibrate", str(photographs), "--adapter", adapter, "-p", f"url={vendor.url}", "--draws", "2"]
        job += ["--metric", "rgb-linf", "--max-cost", "5", "--concurrency", "1"]
        with ThreadPoolExecutor() as pool:
            machines = [(*job, "--run", name) for name in ("one/run", "two/run", "three/run")]
            ended = list(pool.map(lambda words: called_in_new_process(*words, folder=tmp_path, code=0), machines))
        paid = vendor.account.paid
        made = [int(re.search(r"calls +(\d+) made", each.stdout)[1]) for each in ended]  # type: ignore[index]
        assert sum(made) == paid == vendor.account.distinct == 12
        assert all("spent by this command" in each.stdout for each in ended)
        last = " ".join(called(*job, "--run", "four/run", folder=tmp_path, code=0).stdout.split())
        assert "calls 0 made, 12 draws were stored, $0.00 spent by this command" in last
        assert f"in all {paid} calls, $0.12 spent for these draws on this ledger, by all that share it" in last


@pytest.mark.parametrize("sign", ["/", "?", "#", "@", "%2F", "/x@", "["])
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_password_is_shown_nowhere_however_it_is_written(sign, scheme, monkeypatch, capsys):
    monkeypatch.setattr("blackbox_conformal.drawing.ledger.postgres.database._START_S", 0.0)
    monkeypatch.setenv("BLACKBOX_CONFORMAL_LEDGER", f"{scheme}://me:b3gun{sign}s3cret@127.0.0.1:9/name")
    for command in (["ledger", "sum"], ["config", "show", "ledger", "sum"], ["config", "show", "--json"], ["doctor"]):
        run(command)
        told = "".join(capsys.readouterr())
        assert told
        assert "s3cret" not in told
        assert "b3gun" not in told
