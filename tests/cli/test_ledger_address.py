"""Where a ledger in a database may be named, and what is shown of it."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import called, called_in_new_process, next_steps, served

from blackbox_conformal.cli.main import run
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.backends import has_ledger
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

ADDRESS = "postgresql://me:s3cret-word@127.0.0.1:9/name"


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


def test_a_password_is_not_typed(capsys):
    assert run(["ledger", "sum", "--ledger", ADDRESS]) == 2
    told = capsys.readouterr().err
    assert "set PGPASSWORD or PGPASSFILE, or the whole address in BLACKBOX_CONFORMAL_LEDGER" in told
    assert "s3cret" not in told


def test_a_password_may_stand_in_the_environment_and_is_not_shown(monkeypatch, capsys):
    pytest.importorskip("psycopg")
    monkeypatch.setattr("blackbox_conformal.drawing.ledger.postgres.database._START_S", 0.0)
    monkeypatch.setenv("BLACKBOX_CONFORMAL_LEDGER", ADDRESS)
    assert run(["ledger", "sum"]) == 2
    told = capsys.readouterr().err
    assert "127.0.0.1:9/name cannot be used" in told
    assert "s3cret" not in told


def test_a_projects_settings_file_names_no_database(tmp_path, capsys):
    (tmp_path / "blackbox-conformal.toml").write_text('ledger = "postgresql://me@stranger.example/name"\n')
    assert run(["ledger", "sum"]) == 2
    assert "sets ledger, which a project's settings file may not" in capsys.readouterr().err


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
            ended = run([*job, "--metric", "rgb-linf", "--max-cost", "5", "--run", f"run{draws}", *ledger])
            assert ended == (0 if draws == "1" else 4)
        said = capsys.readouterr()
        assert f"--ledger '{address}'" in said.out + said.err
        assert "of 0.09 that everything with the ledger" in said.err
        assert vendor.account.paid == vendor.account.distinct == 9
        for words in (["ledger", "ls"], ["ledger", "sum"], ["cache", "ls", "--run", "run1"]):
            LEDGERS._named.clear()
            assert run([*words, *ledger]) == 0
            assert f"--ledger '{address}'" in capsys.readouterr().out.split("Next: ")[1]
        # Nothing of the folder is taken for unpaid, and it keeps its ledger.
        assert run(["cache", "prune", "--run", "run1", *ledger]) == 0
        assert "0 files removed" in capsys.readouterr().out
        assert not Path("run1/ledger.sqlite").exists()
        assert has_ledger(Path("run1"))
        assert run(["cache", "export", "--run", "run2", "--out", "copies", *ledger]) == 0
        assert len(list(Path("copies").iterdir())) == 9
        LEDGERS._named.clear()
        assert run(["cache", "ls", "--run", "run1"]) == 2
        assert "set BLACKBOX_CONFORMAL_LEDGER" in capsys.readouterr().err


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
        for words, count in (
            (steps["view"], 1),
            (["view", *ledger], 1),
        ):
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
