"""`ledger remember`: a database that was restored from an old dump learns of calls from what each machine keeps."""

import shutil

from support.command_line import ended
from support.draws import draw, tasks

from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


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
