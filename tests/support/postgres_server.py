"""A PostgreSQL server of a test's own, run by an unprivileged user in a temporary folder, reached by a socket there."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from blackbox_conformal.drawing.ledger.addresses import LEDGERS

# After a crash syncfs is one call instead of one for each file: hundreds in each test's database.
_SETTINGS = ("-c listen_addresses=''", "-c max_connections=200", "-c shared_buffers=64MB", "-c fsync=on")
_SETTINGS += ("-c recovery_init_sync_method=syncfs",)
_PATIENCE_S = 180


def binaries() -> Path | None:
    """Where the server's programs are: the newest installed; None where there are none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    named = shutil.which("initdb")
    return max(found, key=lambda path: int(path.parent.name), default=Path(named).parent if named else None)


class PostgresServer:
    """A running server; each test makes a database of its own in it."""

    def __init__(self, folder: Path) -> None:
        programs = binaries()
        self._programs, self._data, self.folder = programs, folder / "data", folder
        self._count = 0
        # initdb refuses root.
        self._as: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run("initdb", "-D", str(self._data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-locale", "-k")
        self.start()

    def _run(self, program: str, *words: str) -> None:
        command = [*self._as, str(self._programs / program), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_PATIENCE_S, cwd="/")
        assert done.returncode == 0, f"{program}: {done.stdout[-2000:]} {done.stderr[-2000:]}"

    def _control(self, *words: str) -> None:
        options = " ".join((*_SETTINGS, f"-c unix_socket_directories={self.folder}"))
        # Its output goes to a file: a pipe would stay open as long as the server runs.
        with (self.folder / "pg_ctl.txt").open("ab") as out:
            command = [*self._as, str(self._programs / "pg_ctl"), "-D", str(self._data), "-o", options, "-w"]
            command += ["-l", str(self.folder / "server.log"), "-t", str(_PATIENCE_S), *words]
            done = subprocess.run(command, check=False, stdout=out, stderr=out, timeout=_PATIENCE_S + 10, cwd="/")
        assert done.returncode == 0, (self.folder / "pg_ctl.txt").read_text()[-2000:]

    def start(self) -> None:
        """Start it."""
        self._control("start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it."""
        self._control("stop", "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        """Stop and start it; ``immediate`` is a crash."""
        self._control("restart", "-m", mode)

    def new_user(self, name: str, password: str, rights: str = "SUPERUSER") -> None:
        """Make a user who needs a password."""
        import psycopg

        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all {name} scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN {rights} PASSWORD '{password}'")
            connection.execute("SELECT pg_reload_conf()")

    def address(self, database: str = "postgres") -> str:
        """The address of a database in it."""
        return f"postgresql://tester@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The address of a database that is empty."""
        self._count += 1
        name = f"ledger_{os.getpid()}_{self._count}"
        import psycopg

        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def dump(self, address: str) -> Path:
        """A copy of the database at an address, as `pg_dump` makes it."""
        self._count += 1
        file = self.folder / f"{self._count}.dump"
        self._run("pg_dump", "-Fc", "-f", str(file), address)
        return file

    def restore(self, address: str, dump: Path) -> None:
        """Put a copy in the place of the database at an address."""
        name = address.partition("?")[0].rpartition("/")[2]
        import psycopg

        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        self._run("pg_restore", "--exit-on-error", "-d", address, str(dump))


def end_leases(address: str, process: str = "%") -> None:
    """Let the others take a process of the ledger at an address for dead, or all that are there now."""
    set_leases(address, process, 0)


def set_leases(address: str, process: str, seconds: int) -> None:
    """Let processes be alive for so many seconds after each sign of life, the last of which is now."""
    import psycopg

    from blackbox_conformal.drawing.ledger.postgres.database import SCHEMA
    from blackbox_conformal.drawing.ledger.postgres.postgres_transaction import NOW

    lives = f"lease_s = {seconds}, expires_at = {NOW} + {seconds}"
    with psycopg.connect(address) as connection:
        changed = connection.execute(f"UPDATE {SCHEMA}.owner SET {lives} WHERE name LIKE %s", (process,))
        assert changed.rowcount > 0


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the ``with`` block."""
    # Not below pytest's folder, which is root's alone and too long a name for a socket.
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        server = PostgresServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of a folder: with many databases it takes long to recover from a crash."""
    pytest.importorskip("psycopg", reason="psycopg is not installed here (pip install -e '.[postgres]')")
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    with postgres_server() as running:
        yield running


def run_with_both(metafunc: pytest.Metafunc, modules: Collection[str]) -> None:
    """Run the tests of `modules` with both kinds of ledger, but for those that are marked with ``sqlite``."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in modules and metafunc.definition.get_closest_marker("sqlite") is None:
        metafunc.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With ``postgres``, every run folder that a test uses has a ledger of its own in the server."""
    kind: str = getattr(request, "param", "sqlite")
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        placed = cache(lambda folder: LEDGERS.place(folder, server.new_database()))
        monkeypatch.setattr(LEDGERS, "of", lambda run: placed(Path(run).resolve()))
    return kind
