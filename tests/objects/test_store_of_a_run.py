"""Answers and finished files in a store: nothing that was paid for is lost or paid twice, whatever dies."""

import json
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import VENDOR
from support.draws import draw, killed, limits, tasks
from support.forwarding_proxy import forwarding_proxy
from support.postgres_server import PostgresServer
from support.synthetic import photograph, reduced, write_photographs

from blackbox_conformal.cli import main
from blackbox_conformal.drawing import object_store
from blackbox_conformal.drawing.ledger.addresses import LEDGERS, STORES
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.drawing.object_store import store_at
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import BudgetError, LedgerError, UsageError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

OPTIONS = ("--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf", "--max-cost", "1", "--yes")
MOTO = pytest.mark.parametrize("s3_url", ["moto"], indirect=True)


def names(place: str, below: str = "") -> list[str]:
    return sorted(found.name for found in store_at(place).names(below))


def command(*words: str) -> None:
    """`blackbox-conformal WORDS` in this process, which has to end well."""
    assert main.run([*words]) == 0


@pytest.fixture
def forgetting() -> Iterator[Callable[[], None]]:
    """Forgets what the user of this process named, as another process would not know it."""

    def forget() -> None:
        STORES._named.clear()
        STORES._placed.clear()

    yield forget
    forget()


@MOTO
def test_a_whole_run_in_a_bucket_gives_what_a_local_one_gives(
    desk: Path, bucket: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photographs(desk / "photographs", range(6))
    (desk / "small").mkdir()
    for seed in (9, 10):
        Image.fromarray(reduced(photograph(seed), 4)).save(desk / "small" / f"i{seed}.png")
    place = f"{bucket}/runs/x"
    with FaultServer() as server:
        vendor = ("--adapter", VENDOR, "-p", f"url={server.url}")
        command("calibrate", "photographs", *vendor, *OPTIONS, "--run", "local")
        command(
            "mask", "small", *vendor, "--calibration", "local/calibration.json", "--alpha", "0.9", "--max-cost", "1"
        )
        paid = server.account.paid
        there = ("--run", "remote", "--store", place)
        command("calibrate", "photographs", *vendor, *OPTIONS, *there)
        masking = ("--calibration", "remote/calibration.json", "--alpha", "0.9", "--max-cost", "1", "--yes", *there)
        command("mask", "small", *vendor, *masking, "--out", "from-bucket")
        assert server.account.paid == 2 * paid == 32
        monkeypatch.setenv("BLACKBOX_CONFORMAL_STORE", place)
        command("report", "--run", "remote")
        command("mask", "small", *vendor, *masking, "--out", "from-bucket")
        assert server.account.paid == 2 * paid
    local = (desk / "local" / "calibration.json").read_bytes()
    assert (desk / "remote" / "calibration.json").read_bytes() == local
    store = store_at(place)
    assert store.get("results/calibration.json") == local
    assert store.get("results/report.html") == (desk / "remote" / "report.html").read_bytes()
    assert len(names(place, "samples")) == len(list((desk / "remote" / "samples").rglob("*.*")))
    kept = names(place, "results/from-bucket")
    assert len(kept) == len(list((desk / "from-bucket").iterdir())) > 10
    for name in kept:
        content = store.get(name)
        assert content == (desk / "from-bucket" / Path(name).name).read_bytes()
        if not name.endswith(".json"):
            assert content == (desk / "masked" / Path(name).name).read_bytes()
    fetched = desk / "fetched"
    fetched.mkdir()
    for name in kept:
        (fetched / Path(name).name).write_bytes(store.get(name) or b"")
    command("verify", "fetched/i9-certificate.json", "--calibration", "remote/calibration.json")
    assert names(bucket) == names(bucket, "runs")
    texts = [*capfd.readouterr()] + [path.read_bytes().decode("latin-1") for path in desk.rglob("*") if path.is_file()]
    assert "s3cr3t" not in "".join(texts)
    assert "AKIA" not in "".join(texts)


@pytest.mark.parametrize(
    ("point", "number", "submitted"), [("received", 3, 3), ("kept", 3, 3), ("stored", 3, 3), ("settled", 2, 2)]
)
@MOTO
def test_a_run_that_is_killed_around_keeping_an_answer_goes_on_and_pays_nothing_twice(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, point: str, number: int, submitted: int
) -> None:
    run, place = tmp_path / "run", f"{bucket}/runs"
    monkeypatch.setenv("STORE_OF_THE_CRASH", place)
    with FaultServer(polls=0) as server:
        killed(server.url, run, "once", point, number)
        assert server.account.requests("submit") == submitted
        STORES.place(run, place)
        with Sampler(SynchronousVendor(url=server.url), run, limits(), check=lambda data, task: None) as sampler:
            outcomes = list(sampler.draw(tasks(1, 4)))
            assert [one.state for one in outcomes] == ["stored"] * 4
        assert server.account.requests("submit") == 4
        assert not ledger_verify(run).problems
        assert len(names(place, "samples")) == len({one.digest for one in outcomes})


@MOTO
def test_an_answer_that_comes_while_the_store_is_down_is_kept_and_put_there_later(
    tmp_path: Path, bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "RETRIES", 1)
    run, place = tmp_path / "run", f"{bucket}/runs"
    STORES.place(run, place)
    with FaultServer(polls=0) as server, forwarding_proxy(s3_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        vendor = SynchronousVendor(url=server.url)
        with Sampler(vendor, run, limits(), check=lambda data, task: None) as sampler:
            proxy.down = ("PUT",)
            with pytest.raises(LedgerError, match=r"it answered 503.*is in inbox/"):
                list(sampler.draw(tasks(1, 4)))
        paid = server.account.requests("submit")
        assert paid >= 1
        assert len(list((run / "inbox").iterdir())) == paid
        assert names(place) == []
        proxy.down = ()
        with Sampler(vendor, run, limits(), check=lambda data, task: None) as sampler:
            outcomes = list(sampler.draw(tasks(1, 4)))
        assert [one.state for one in outcomes] == ["stored"] * 4
        assert server.account.requests("submit") == 4
        assert len(names(place, "samples")) == len({one.digest for one in outcomes})


@MOTO
def test_a_store_that_ignores_conditions_is_refused_before_anything_is_paid(
    desk: Path, bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_photographs(desk / "photographs", range(2))
    with FaultServer() as server, forwarding_proxy(s3_url, drop="if-none-match") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        vendor = ("--adapter", VENDOR, "-p", f"url={server.url}")
        assert main.run(["calibrate", "photographs", *vendor, *OPTIONS, "--store", f"{bucket}/runs"]) == 2
        assert "expected a store that keeps the first of two objects of one name" in capfd.readouterr().err
        assert server.account.paid == 0


def test_what_a_folder_held_is_put_into_a_store_that_it_gets_later_and_missing_files_come_from_there(
    tmp_path: Path, bucket: str
) -> None:
    run, place = tmp_path / "run", f"{bucket}/runs"
    with FaultServer(polls=0) as server:
        vendor = SynchronousVendor(url=server.url)
        with Sampler(vendor, run, limits()) as sampler:
            outcomes = list(sampler.draw(tasks(1, 3)))
        STORES.place(run, place)
        with Sampler(vendor, run, limits()) as sampler:
            list(sampler.draw(tasks(1, 3)))
        assert len(names(place, "samples")) == len({one.digest for one in outcomes})
        for path in (run / "samples").rglob("*.*"):
            path.unlink()
        with Sampler(vendor, run, limits()) as sampler:
            again = list(sampler.draw(tasks(1, 4)))
            assert all(sampler.read(one) for one in again)
        assert server.account.requests("submit") == 4
        damaged = store_at(place)
        (first, *_) = names(place, "samples")
        damaged.replace(first, b"damaged")
        assert "is gone, or damaged" in "".join(ledger_verify(run).problems)


@MOTO
def test_machines_with_one_ledger_and_one_store_share_what_they_drew(
    postgres: PostgresServer,
    desk: Path,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    forgetting: Callable[[], None],
) -> None:
    write_photographs(desk / "photographs", range(4))
    address = postgres.new_database()
    monkeypatch.setenv("BLACKBOX_CONFORMAL_LEDGER", address)
    monkeypatch.setenv("BLACKBOX_CONFORMAL_STORE", f"{bucket}/runs")
    with FaultServer() as server:
        calibrate = ("calibrate", "photographs", "--adapter", VENDOR, "-p", f"url={server.url}", *OPTIONS, "--run")
        command(*calibrate, "one")
        command(*calibrate, "two")
        assert server.account.paid == 8
        assert (desk / "one" / "calibration.json").read_bytes() == (desk / "two" / "calibration.json").read_bytes()
        capfd.readouterr()
        command("ledger", "verify", "--ledger", address, "--json")
        assert json.loads(capfd.readouterr().out)["problems"] == []
        monkeypatch.delenv("BLACKBOX_CONFORMAL_STORE")
        forgetting()
        assert main.run([*calibrate, "three"]) != 0
        assert "was paid for and its file is gone" in capfd.readouterr().err
        assert server.account.paid == 8, "a machine that does not know the store pays again"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@MOTO
def test_an_old_copy_of_the_ledger_and_a_bucket_buy_nothing_again(
    tmp_path: Path, bucket: str, kind: str, request: pytest.FixtureRequest
) -> None:
    """All that is left is the bucket and an older copy of the ledger, on another machine."""
    run, other, place = tmp_path / "run", tmp_path / "other", f"{bucket}/runs"
    other.mkdir()
    for folder in (run, other):
        STORES.place(folder, place)
    with FaultServer(polls=0) as server:
        vendor = SynchronousVendor(url=server.url)
        if kind == "postgres":
            database: PostgresServer = request.getfixturevalue("postgres")
            address = database.new_database()
            for folder in (run, other):
                LEDGERS.place(folder, address)
        draw(vendor, run, tasks(1, 2))
        if kind == "postgres":
            dump = database.dump(address)
        else:
            shutil.copy(run / "ledger.sqlite", other)
        draw(vendor, run, tasks(1, 6))
        if kind == "postgres":
            database.restore(address, dump)
        receipts = {one: store_at(place).get(one) or b"" for one in names(place, "receipts")}
        assert len(receipts) == 6
        forgotten = [one for one in receipts if json.loads(receipts[one].partition(b" ")[2])["spec"]["draw"] == 4]
        (receipt,), content = forgotten, receipts[forgotten[0]]
        store_at(place).replace(receipt, content.replace(b"stored", b"Stored"))
        with pytest.raises(LedgerError, match=f"{receipt}.* is damaged"):
            draw(vendor, other, tasks(1, 6))
        store_at(place).replace(receipt, content)
        drawn = draw(vendor, other, tasks(1, 7), max_cost_usd=Decimal("0.06"), concurrency=1)
        assert drawn.states == ["stored"] * 6
        assert isinstance(drawn.error, BudgetError)
        assert server.account.paid == 6
        assert ledger_sum(other)["cost_usd"] == Decimal("0.06")
        assert not ledger_verify(other).problems


def test_a_note_alone_makes_nobody_connect(tmp_path: Path, forgetting: Callable[[], None]) -> None:
    run, shared = tmp_path / "run", tmp_path / "shared"
    STORES.place(run, str(shared))
    with FaultServer(polls=0) as server:
        vendor = SynchronousVendor(url=server.url)
        with Sampler(vendor, run, limits()) as sampler:
            list(sampler.draw(tasks(1, 1)))
        assert (run / "store.address").read_text() == f"{shared}\n"
        with pytest.raises(UsageError, match="Give that, or another --run"):
            STORES.place(run, "s3://another/place")
        forgetting()
        with pytest.raises(LedgerError, match="set BLACKBOX_CONFORMAL_STORE="), Sampler(vendor, run, limits()):
            pytest.fail("it was opened")
        (run / "store.address").write_text("gopher://x\n")
        with pytest.raises(LedgerError, match="does not say where"), Sampler(vendor, run, limits()):
            pytest.fail("it was opened")
    assert len(names(str(shared), "samples")) == 1


@MOTO
def test_other_results_in_the_store_are_not_overwritten(
    desk: Path, bucket: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write_photographs(desk / "photographs", range(6))
    store_at(bucket).put_if_absent("runs/results/calibration.json", b"somebody's")
    with FaultServer() as server:
        words = ["calibrate", "photographs", "--adapter", VENDOR, "-p", f"url={server.url}", *OPTIONS]
        assert main.run([*words, "--store", f"{bucket}/runs"]) == 2
        assert f"{bucket}/runs/results/calibration.json exists with other content" in capfd.readouterr().err
        command(*words, "--store", f"{bucket}/runs", "--force")
        assert server.account.paid == 12
    assert store_at(bucket).get("runs/results/calibration.json") != b"somebody's"


@MOTO
def test_doctor_looks_at_a_store(
    desk: Path, bucket: str, s3_url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command("doctor", "--store", f"{bucket}/runs", "--json")
    found = {finding["subject"]: finding["state"] for finding in json.loads(capfd.readouterr().out)}
    assert found[f"store {bucket}/runs"] == "ok"
    with forwarding_proxy(s3_url, drop="if-none-match") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert main.run(["doctor", "--store", f"{bucket}/runs"]) == 3
    assert "this machine is not ready to spend money: store s3:" in capfd.readouterr().err
