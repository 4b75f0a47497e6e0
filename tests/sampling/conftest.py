"""Most tests of drawing run twice: with a ledger in the run folder, and with one in a database of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.postgres_server import PostgresServer, binaries, postgres_server

from blackbox_conformal.sampling import owned_folder
from blackbox_conformal.sampling.ledger import places
from blackbox_conformal.sampling.ledger.address import Address, place_ledger

BOTH = {
    "test_attempt_ledger",
    "test_attempts",
    "test_crash",
    "test_last_day",
    "test_overdue",
    "test_queries",
    "test_sampler",
}
"""Modules whose tests run with both kinds of ledger, but for those that are marked with ``sqlite``."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in BOTH and metafunc.definition.get_closest_marker("sqlite") is None:
        metafunc.parametrize("database", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests of one worker."""
    pytest.importorskip("psycopg", reason="psycopg is not installed here (pip install -e '.[postgres]')")
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    with postgres_server() as running:
        yield running


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With ``postgres``, every run folder that a test uses has a ledger of its own in the server."""
    kind = getattr(request, "param", "sqlite")
    if kind == "postgres":
        found = address_by_folder(request.getfixturevalue("server"))
        for module in (places, owned_folder):
            monkeypatch.setattr(module, "address_of", found)
    return kind


def address_by_folder(server: PostgresServer) -> Callable[[Path], Address]:
    """Gives each run folder a database the first time that it is asked for."""
    addresses: dict[Path, Address] = {}

    def address_of(run: Path) -> Address:
        folder = Path(run).resolve()
        if folder not in addresses:
            addresses[folder] = place_ledger(folder, server.new_database())
        return addresses[folder]

    return address_of
