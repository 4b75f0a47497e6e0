"""Where a ledger in a database may be named, and what is shown of it."""

from pathlib import Path

import pytest

from blackbox_conformal.cli.main import run

ADDRESS = "postgresql://me:s3cret-word@127.0.0.1:9/name"


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


def test_a_password_is_not_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "sum", "--ledger", ADDRESS]) == 2
    told = capsys.readouterr().err
    assert "set PGPASSWORD or PGPASSFILE, or the whole address in BLACKBOX_CONFORMAL_LEDGER" in told
    assert "s3cret" not in told


def test_a_password_may_stand_in_the_environment_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr("blackbox_conformal.sampling.ledger.postgres.connection._START_S", 0.0)
    monkeypatch.setenv("BLACKBOX_CONFORMAL_LEDGER", ADDRESS)
    assert run(["ledger", "sum"]) == 2
    told = capsys.readouterr().err
    assert "127.0.0.1:9/name cannot be used" in told
    assert "s3cret" not in told


def test_a_projects_settings_file_names_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "blackbox-conformal.toml").write_text('ledger = "postgresql://me@stranger.example/name"\n')
    assert run(["ledger", "sum"]) == 2
    assert "sets ledger, which a project's settings file may not" in capsys.readouterr().err
