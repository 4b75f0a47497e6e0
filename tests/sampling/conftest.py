"""Most tests of drawing run twice: with a ledger in the run folder, and with one in a database of the test's own."""

from collections.abc import Iterator

import pytest
from support.postgres_server import PostgresServer, address_by_folder, postgres_or_skip

from blackbox_conformal.sampling import owned_folder
from blackbox_conformal.sampling.ledger import places

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
    with postgres_or_skip() as running:
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
